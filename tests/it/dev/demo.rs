//! `opgate-dev demo`: the walk as a user sees it, and what is missing where there is no walk.

use std::process::Command;

use crate::cli::check::assert_errors_are_of_use;
use crate::cli::{Outcome, Workspace};
use crate::harness;

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
#[test]
fn every_step_of_the_demo_comes_out_as_expected() {
    let outcome = Workspace::new().opgate_dev(&["demo", "--once"]);
    let text = &outcome.stdout;
    assert_eq!(outcome.code, Some(0), "{}", outcome.text());
    assert!(!text.contains("FAILED"), "{text}");

    // ` 1. Allowed: …`, its requests, and what it proves.
    let is_title = |line: &str| {
        line.trim_start().split_once(". ").is_some_and(|(number, _)| number.parse::<u8>().is_ok())
    };
    let lines: Vec<&str> = text.lines().collect();
    let starts: Vec<usize> = (0..lines.len()).filter(|index| is_title(lines[*index])).collect();
    for start in &starts {
        let step: Vec<&str> = lines[*start..].iter().copied().take_while(|line| !line.is_empty()).collect();
        let verdict = step.last().unwrap();
        assert!(verdict.trim_start().starts_with("ok "), "{}", step.join("\n"));
    }
    let tally = format!("{0} of {0} steps came out as expected.", starts.len());
    assert!(text.contains(&tally), "no `{tally}` in\n{text}");
    for topic in [
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
    ] {
        let told = starts.iter().any(|start| lines[*start].contains(topic));
        assert!(told, "no step is about `{topic}`");
    }
    for evidence in ["The metrics", "The audit log", "opgate_requests_total{", "IAM_PERMISSION_DENIED"] {
        assert!(text.contains(evidence), "no `{evidence}` in\n{text}");
    }
}
