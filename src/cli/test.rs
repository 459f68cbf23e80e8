//! `opgate test`: the decision tests that policy authors keep beside their policies.
//!
//! ```text
//! policies/tests/**.yaml ─► case ─► answer (the gate's) ─► outcome ─► text, JSON, JUnit
//!                                                             └─────► coverage: rules that decided nothing
//! ```

mod answer;
mod case;
mod coverage;
mod json;
mod junit;
mod results;
mod text;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Instant, SystemTime};

use serde_json::json;

use self::case::TestCase;
use self::coverage::Coverage;
use self::results::{Results, RunCase};
use super::args::Output;
use super::tree::{ExposureArgs, is_there, load_files};
use crate::clock;
use crate::config::{self, Config};
use crate::decision::snapshot::Snapshot;
use crate::diagnostic::Report;
use crate::source::{PolicyFiles, PolicySource};
use crate::terminal::{FAILED, INVALID, eprint, eprint_report, print};

/// Arguments of `opgate test`.
#[derive(Debug, clap::Args)]
pub struct TestArgs {
    /// The policies directory, whose `tests/` are run; the configuration's by default
    #[arg(value_name = "DIR", required_unless_present = "config")]
    directory: Option<PathBuf>,
    #[command(flatten)]
    exposure: ExposureArgs,
    /// Run only the tests whose file or name contains this
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// List the tests that pass, too
    #[arg(long)]
    verbose: bool,
    /// Write a JUnit report to this file as well
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// How to print the result
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// Runs the tests and prints. Exits 0 where all pass, 1 where one fails, 3 where they could not be run.
pub fn run(args: &TestArgs) -> ExitCode {
    let mut report = Report::new();
    let results = test(args, clock::now(), &mut report).filter(|_| !report.is_fatal());
    if args.output == Output::Text && !report.diagnostics().is_empty() {
        eprint_report(&report);
    }
    let Some(results) = results else {
        if args.output == Output::Json {
            print(&format!("{:#}\n", json!({ "valid": false, "diagnostics": report.to_json() })));
        }
        return ExitCode::from(INVALID);
    };
    match args.output {
        Output::Text => print(&text::render(&results, args.verbose)),
        Output::Json => print(&format!("{:#}\n", json::render(&results, &report))),
    }
    if let Some(path) = &args.junit
        && let Err(error) = std::fs::write(path, junit::render(&results))
    {
        eprint(&format!("opgate: cannot write {}: {error}\n", path.display()));
        return ExitCode::from(FAILED);
    }
    if results.failed() > 0 { ExitCode::from(FAILED) } else { ExitCode::SUCCESS }
}

/// Loads, asks and compares. `None` where nothing can be run; what is wrong is in the report.
fn test(args: &TestArgs, now: SystemTime, report: &mut Report) -> Option<Results> {
    let begun = Instant::now();
    let config = args.exposure.load(args.directory.as_deref(), report);
    let named = config.as_ref().map(|config| config.policy_directory.clone());
    // Where only the configuration names it and cannot be read, there is nothing to look at.
    let directory = args.directory.clone().or(named)?;
    if args.exposure.config.is_some() && config.is_none() {
        return None;
    }
    if !is_there(&directory, report) {
        return None;
    }
    let files = PolicySource::directory(&directory).read(report)?;
    let cases = read(&files, args.filter.as_deref(), report);
    let snapshot = load(files, config.as_ref(), &cases, now, report)?;
    let rules = snapshot.policy.rules();
    let files = answer::rule_files(&rules, &snapshot.catalog, &directory);
    let mut outcomes = Vec::new();
    for case in cases {
        // Both, so that every mistake is told in one run.
        let rule = answer::check_rule(&case, &files, report);
        let outcome = outcome(case, &snapshot, &directory, now, report);
        outcomes.extend(rule.and(outcome));
    }
    let coverage = args.filter.is_none().then(|| {
        let exercised = outcomes.iter().filter_map(|outcome| outcome.answer.rule.as_ref());
        Coverage::of(&rules, exercised)
    });
    Some(Results { directory, outcomes, coverage, duration: begun.elapsed() })
}

/// The selected tests of a policy tree.
fn read(files: &PolicyFiles, filter: Option<&str>, report: &mut Report) -> Vec<TestCase> {
    let errors_before = report.diagnostics().len();
    let written = files.below("tests", report);
    let nodes = written.iter().filter_map(|file| file.parse(report)).collect::<Vec<_>>();
    let all: Vec<TestCase> = nodes.iter().flat_map(|node| case::read(node, report)).collect();
    let folder = files.path("tests");
    if all.is_empty() && report.diagnostics().len() == errors_before {
        // A run without a test must not look like a run that passed.
        report
            .file_error(&folder, "there is no test")
            .help("write one: `- {name: …, principal: …, call: POST /v1/…, expect: allowed}`");
    }
    let Some(filter) = filter else { return all };
    let any = !all.is_empty();
    let selected: Vec<TestCase> = all.into_iter().filter(|case| is_selected(case, filter)).collect();
    if selected.is_empty() && any {
        report
            .file_error(&folder, format!("no test has `{filter}` in its name or file"))
            .help("`--verbose` without `--filter` lists the names");
    }
    selected
}

fn is_selected(case: &TestCase, filter: &str) -> bool {
    case.name.contains(filter) || case.span.source.path.to_string_lossy().contains(filter)
}

/// The tree, and the issuers where a test needs one to make a caller of claims.
fn load(
    files: PolicyFiles,
    config: Option<&Config>,
    cases: &[TestCase],
    now: SystemTime,
    report: &mut Report,
) -> Option<Snapshot> {
    match config {
        Some(config) if cases.iter().any(TestCase::has_claims) => {
            config::snapshot::with_files(files, config, now, report)
        }
        _ => load_files(files, config, report),
    }
}

fn outcome(
    case: TestCase,
    snapshot: &Snapshot,
    directory: &Path,
    now: SystemTime,
    report: &mut Report,
) -> Option<RunCase> {
    let begun = Instant::now();
    let answer = answer::ask(&case, snapshot, now, report)?;
    answer.warn(&case, report);
    let passed = answer.is_expected(&case, directory);
    Some(RunCase { case, answer, passed, duration: begun.elapsed() })
}
