//! `opgate diff`: what a change of policies would have meant for the requests of an audit log.
//!
//! ```text
//! audit line ─► line ─┬─► replay on OLD_DIR (the gate decides) ─┐
//!                     └─► replay on NEW_DIR (the gate decides) ─┴─► changes ─► text, JSON
//! ```
//!
//! Without a log, the grants of the two trees are compared. With `--audit`, no tree is read: what a shadow policy said
//! otherwise is in the log.
//!
//! The log is streamed. An answer that depends on something the log lacks does not count as an answer: such requests
//! are counted apart, with what is missing.

mod changes;
mod compared;
mod grants;
mod recorded;
mod render;

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::{Value, json};

use self::changes::Changes;
use self::compared::Compared;
use self::recorded::RecordedShadows;
use super::args::Output;
use super::tree::{ExposureArgs, load_tree};
use crate::clock;
use crate::diagnostic::Report;
use crate::simulation::log_line::{LogLine, LogLineError};
use crate::simulation::replay::ReplayTree;
use crate::terminal::{FAILED, INVALID, eprint_report, print};

/// The longest line that is read; the gate's own are some kilobytes.
const LONGEST: usize = 1 << 20;

/// Lines that are not audit lines and are reported one by one.
const TOLD: u64 = 20;

/// Arguments of `opgate diff`.
#[derive(Debug, clap::Args)]
pub struct DiffArgs {
    /// The policies directory that the log was written under
    #[arg(value_name = "OLD_DIR", required_unless_present = "audit")]
    old: Option<PathBuf>,
    /// The policies directory to compare with
    #[arg(value_name = "NEW_DIR", required_unless_present = "audit")]
    new: Option<PathBuf>,
    /// The audit log to replay, one JSON object per line; `-` is standard input. Without it, the grants of the two trees
    /// are compared
    #[arg(long, value_name = "FILE", group = "log")]
    requests: Option<PathBuf>,
    /// The audit log of a gate with `policy.shadow`: lists where the shadow said otherwise than the policy in force. Takes no
    /// directories; `-` is standard input
    #[arg(long, value_name = "FILE", group = "log", conflicts_with_all = ["old", "new"])]
    audit: Option<PathBuf>,
    #[command(flatten)]
    exposure: ExposureArgs,
    /// Pass over lines that are not audit lines; without it, one of them makes the log invalid
    #[arg(long, requires = "log")]
    lenient: bool,
    /// How to print the result
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// Compares and prints. Exits 0 where no answer changed, 1 where one did, 3 where they could not be compared.
pub fn run(args: &DiffArgs) -> ExitCode {
    let mut report = Report::new();
    let compared = match (&args.audit, &args.requests) {
        (Some(log), _) => recorded(args, log, &mut report),
        (None, Some(log)) => replayed(args, log, &mut report),
        (None, None) => granted(args, &mut report),
    };
    let compared = compared.filter(|_| !report.is_fatal());
    if args.output == Output::Text && !report.diagnostics().is_empty() {
        eprint_report(&report);
    }
    let Some(compared) = compared else {
        if args.output == Output::Json {
            print(&format!("{:#}\n", json!({ "valid": false, "diagnostics": report.to_json() })));
        }
        return ExitCode::from(INVALID);
    };
    match args.output {
        Output::Text => print(&compared.text),
        Output::Json => print(&format!("{:#}\n", (compared.json)(&report))),
    }
    if compared.changed { ExitCode::from(FAILED) } else { ExitCode::SUCCESS }
}

/// A comparison that came to its end, as it is printed.
struct Printed {
    text: String,
    json: Box<dyn FnOnce(&Report) -> Value>,
    changed: bool,
}

/// What a log records of shadows.
fn recorded(args: &DiffArgs, log: &Path, report: &mut Report) -> Option<Printed> {
    let mut log = AuditLogReader::open(log, args.lenient, report)?;
    let mut found = RecordedShadows::default();
    while let Some((_, line)) = log.next(report) {
        found.add(line);
    }
    log.finish(found.requests(), report);
    let found = found.passed_over(log.passed_over);
    Some(Printed {
        text: found.text(),
        changed: found.differs(),
        json: Box::new(move |report| found.json(report)),
    })
}

/// The trees by the requests of a log.
fn replayed(args: &DiffArgs, log: &Path, report: &mut Report) -> Option<Printed> {
    let compared = compare(args, log, report)?;
    Some(Printed {
        text: render::text(&compared),
        changed: compared.changes.gained + compared.changes.revoked > 0,
        json: Box::new(move |report| render::json(&compared, report)),
    })
}

/// The trees by what they grant.
fn granted(args: &DiffArgs, report: &mut Report) -> Option<Printed> {
    let (old, new) = trees(args, report)?;
    let changes = grants::compare(&old.snapshot, &new.snapshot, clock::now());
    Some(Printed {
        text: grants::text(&changes),
        changed: !changes.is_empty(),
        json: Box::new(move |report| grants::json(&changes, report)),
    })
}

/// Both trees, so that every mistake in either is told in one run.
fn trees(args: &DiffArgs, report: &mut Report) -> Option<(ReplayTree, ReplayTree)> {
    let (old, new) = (args.old.as_deref()?, args.new.as_deref()?);
    let config = args.exposure.load(Some(old), report);
    if args.exposure.config.is_some() && config.is_none() {
        return None;
    }
    let mut tree = |directory: &Path| {
        let snapshot = load_tree(directory, config.as_ref(), report);
        snapshot.map(|snapshot| ReplayTree::new(snapshot, config.is_some()))
    };
    let (old, new) = (tree(old), tree(new));
    let both = (old?, new?);
    (!report.is_fatal()).then_some(both)
}

fn compare(args: &DiffArgs, log: &Path, report: &mut Report) -> Option<Compared> {
    let (old, new) = trees(args, report)?;
    let mut log = AuditLogReader::open(log, args.lenient, report)?;
    let mut changes = Changes::default();
    while let Some((number, line)) = log.next(report) {
        changes.compare(&line, number, &old, &new);
    }
    log.finish(changes.requests(), report);
    Some(Compared {
        old: args.old.clone()?,
        old_revision: old.snapshot.revision,
        new: args.new.clone()?,
        new_revision: new.snapshot.revision,
        changes,
        passed_over: log.passed_over,
    })
}

/// The audit log while it is read.
struct AuditLogReader {
    path: PathBuf,
    reader: Box<dyn BufRead>,
    lenient: bool,
    number: u64,
    passed_over: u64,
}

impl AuditLogReader {
    fn open(path: &Path, lenient: bool, report: &mut Report) -> Option<Self> {
        let (path, reader): (_, Box<dyn BufRead>) = if path == Path::new("-") {
            (Path::new("standard input"), Box::new(io::stdin().lock()))
        } else {
            match File::open(path) {
                Ok(file) => (path, Box::new(BufReader::new(file))),
                Err(error) => {
                    report
                        .file_error(path, format!("cannot read the file: {error}"))
                        .help("name a file that `audit.output` wrote, or `-` for standard input");
                    return None;
                }
            }
        };
        Some(Self { path: path.to_owned(), reader, lenient, number: 0, passed_over: 0 })
    }

    /// The next audit line, with its number. Other lines are passed over; `end` says whether that is an error.
    fn next(&mut self, report: &mut Report) -> Option<(u64, LogLine)> {
        let mut bytes = Vec::new();
        loop {
            bytes.clear();
            self.number += 1;
            let mut limited = self.reader.by_ref().take(LONGEST as u64 + 1);
            match limited.read_until(b'\n', &mut bytes) {
                Ok(0) => return None,
                Ok(_) => {}
                Err(error) => {
                    report
                        .file_error(&self.path, format!("cannot read line {}: {error}", self.number))
                        .help("read a copy of the log that no process writes to");
                    return None;
                }
            }
            if bytes.len() > LONGEST {
                report
                    .file_error(&self.path, format!("line {} is longer than 1 MiB", self.number))
                    .help("no audit line is that long: check what this file holds");
                return None;
            }
            if bytes.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            match LogLine::parse(&bytes) {
                Ok(line) => return Some((self.number, line)),
                Err(LogLineError::Note) => {}
                Err(error) => {
                    self.passed_over += 1;
                    if !self.lenient && self.passed_over <= TOLD {
                        report
                            .file_error(
                                &self.path,
                                format!("line {} is not an audit line: {error}", self.number),
                            )
                            .help("`--lenient` passes over such lines, and says how many there were");
                    }
                }
            }
        }
    }

    /// What has to be said once all lines were read.
    fn finish(&self, requests: u64, report: &mut Report) {
        if !self.lenient && self.passed_over > TOLD {
            let more = self.passed_over - TOLD;
            report
                .file_error(&self.path, format!("{more} more lines are not audit lines"))
                .help("`--lenient` passes over them all");
        }
        // A comparison of nothing must not look like one in which nothing changed.
        if requests == 0 && !report.is_fatal() {
            report
                .file_error(&self.path, "there is no request in the log")
                .help("name a log with audit lines: what `audit.output` of the configuration wrote");
        }
    }
}
