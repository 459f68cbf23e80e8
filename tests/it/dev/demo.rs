//! `opgate-dev demo`: the walk as a user sees it, and the errors where it cannot start.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};

use regex::Regex;

use crate::cli::check::assert_errors_are_of_use;
use crate::cli::{Outcome, Workspace};
use crate::curl;
use crate::harness::{self, signal};

#[test]
fn without_its_configuration_it_says_where_to_run_it() {
    let workspace = Workspace::new().remove("config");
    let outcome = workspace.opgate_dev(&["demo", "--once"]);
    assert_eq!(outcome.code, Some(3));
    assert_errors_are_of_use(&outcome.stderr);
    insta::assert_snapshot!(outcome.text());
}

/// `cargo run --bin opgate-dev` does not build `opgate`.
#[test]
fn without_opgate_it_says_how_to_build_it() {
    // A hard link: of a symbolic one, the program would see the target.
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let alone = directory.path().join("opgate-dev");
    std::fs::hard_link(env!("CARGO_BIN_EXE_opgate-dev"), &alone).unwrap();
    let mut command = Command::new(&alone);
    command.current_dir(harness::root()).args(["demo", "--once"]);
    let outcome = Outcome::of(command);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(3), ""), "{}", outcome.text());
    assert_errors_are_of_use(&outcome.stderr);
    assert!(outcome.stderr.contains("cannot find the program that the demo starts"), "{}", outcome.text());
    assert!(outcome.stderr.contains("cargo build --bins"), "{}", outcome.text());
}
/// What the walk has a step about.
const TOPICS: [&str; 10] = [
    "Allowed",
    "Missing token",
    "Expired token",
    "Wrong scope",
    "No permission",
    "Another project",
    "Non-empty body",
    "Path trick",
    "Undeclared",
    "Unimplemented",
];

/// The steps that passed, by their titles, from what the demo prints.
fn steps(text: &str, step: &str) -> Vec<String> {
    let step = Regex::new(step).unwrap();
    let titles: Vec<String> = step.captures_iter(text).map(|found| found[1].to_owned()).collect();
    for topic in TOPICS {
        assert!(titles.iter().any(|title| title.starts_with(topic)), "no step is about `{topic}`:\n{text}");
    }
    let all = format!("\n{0} of {0} steps came out as expected.\n", titles.len());
    assert!(text.ends_with(&all), "{text}");
    titles
}

#[test]
fn a_step_of_the_demo_is_a_line_with_its_responses_and_why() {
    let outcome = Workspace::new().opgate_dev(&["demo", "--once"]);
    let text = &outcome.stdout;
    assert_eq!(outcome.code, Some(0), "{}", outcome.text());
    let titles = steps(text, r"(?m)^ ?\d+\. ok +([^=]+) => \d{3}.* \(.+\)$");
    let lines = text.lines().filter(|line| !line.is_empty()).count();
    let ends = text.lines().filter(|line| line.starts_with("    opgate_cancel_outcomes_total{")).count();
    assert_eq!(ends, 6, "each end, by service: {text}");
    // The heading, the steps, five counts, what became of cancels with its heading, and the verdict.
    assert_eq!(lines, 1 + titles.len() + 5 + 1 + ends + 1, "{text}");
    let counts = Regex::new(r"(?m)^    ok      (\d+) of (\d+) ").unwrap();
    assert_eq!(counts.captures_iter(text).filter(|found| found[1] == found[2]).count(), 5, "{text}");
}

#[test]
fn the_whole_demo_is_shown_where_that_is_asked_for() {
    let outcome = Workspace::new().opgate_dev(&["demo", "--once", "--verbose"]);
    let text = &outcome.stdout;
    assert_eq!(outcome.code, Some(0), "{}", outcome.text());
    assert!(!text.contains("FAILED"), "{text}");
    steps(text, r"(?m)^ ?\d+\. (.+)\n(?:    .+\n)+?    ok .+$");
    for evidence in ["The metrics", "The audit log", "opgate_requests_total{", "IAM_PERMISSION_DENIED"] {
        assert!(text.contains(evidence), "no `{evidence}` in\n{text}");
    }
}

/// A demo that runs until it is dropped.
struct RunningDemo(Child);

impl RunningDemo {
    /// Ends it with a signal: killed, it could not end opgate and remove its files.
    fn end(&mut self) -> std::io::Result<ExitStatus> {
        if self.0.try_wait()?.is_none() {
            signal(self.0.id(), "TERM");
        }
        self.0.wait()
    }
}

impl Drop for RunningDemo {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

/// The demo stays until a signal ends it, and the commands that it prints work as they are.
#[test]
fn the_commands_that_the_demo_prints_work() {
    if !curl::installed() {
        return;
    }
    let mut command = harness::opgate_dev();
    command.arg("demo").stdout(Stdio::piped()).stderr(Stdio::null());
    let mut demo = RunningDemo(command.spawn().unwrap());
    let lines = BufReader::new(demo.0.stdout.take().unwrap()).lines().map(|line| line.unwrap());
    let shown: Vec<String> = lines.take_while(|line| line != "Ctrl-C ends it.").collect();
    let is_command = |line: &&String| line.starts_with(". ") || line.starts_with("curl ");
    let commands: Vec<&str> = shown.iter().filter(is_command).map(String::as_str).collect();
    assert_eq!(commands.len(), 4, "{}", shown.join("\n"));
    // curl resolves names that end in `.localhost` by itself.
    let ran = Command::new("sh").args(["-c", &commands.join("\n")]).env("no_proxy", "*").output().unwrap();
    let printed = String::from_utf8_lossy(&ran.stdout);
    // Not by lines: the first body, `{}`, ends without one.
    let status = Regex::new(r"HTTP/1\.1 (\d{3})").unwrap();
    let statuses: Vec<&str> =
        status.captures_iter(&printed).map(|found| found.get(1).unwrap().as_str()).collect();
    assert_eq!(statuses, ["200", "403"], "{printed}\n{}", String::from_utf8_lossy(&ran.stderr));
    assert!(printed.contains("opgate_requests_total"), "{printed}");
    assert!(demo.end().unwrap().success());
}
