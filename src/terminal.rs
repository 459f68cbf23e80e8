//! What the commands share: how they print, and which exit code they end with.
//!
//! What a command is asked for goes to standard output, everything else to standard error. So the output of a command
//! can be piped, and its errors are still seen.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use crate::diagnostic::{Report, Severity};

/// Exit code: something failed.
pub const FAILED: u8 = 1;
/// Exit code: the call is denied.
pub const DENIED: u8 = 2;
/// Exit code: the input is invalid.
pub const INVALID: u8 = 3;

/// Parses the arguments of the process. Where there is nothing to run, it prints help or an error, and returns the exit
/// code: 0 where help was asked for, else [`INVALID`].
///
/// # Errors
/// Where the arguments name no command to run.
pub fn parse_arguments<P: clap::Parser>() -> Result<P, ExitCode> {
    P::try_parse().map_err(|error| {
        if error.print().is_err() {
            return ExitCode::from(FAILED);
        }
        // clap treats `--help` and `--version` as errors that go to standard output.
        if error.use_stderr() { ExitCode::from(INVALID) } else { ExitCode::SUCCESS }
    })
}

/// Prints text to standard output.
pub fn print(text: &str) {
    // A closed pipe is the reader's choice, as with `| head`.
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}

/// Prints text to standard error.
pub fn eprint(text: &str) {
    // Where standard error is closed, only the exit code can tell.
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// Prints a report to standard error, then a line with the number of errors and warnings.
pub fn eprint_report(report: &Report) {
    eprint(&report.render(stderr_has_colours()));
    eprint(&format!("{}\n", summary(report)));
}

/// Whether text on standard error may have colours: only a terminal shows them.
pub fn stderr_has_colours() -> bool {
    std::io::stderr().is_terminal()
}

/// A count with its noun: `1 rule`, `2 rules`.
pub fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

fn summary(report: &Report) -> String {
    let counted = |severity, noun: &str| counted(report.count(severity), noun);
    let summary = format!("{}, {}", counted(Severity::Error, "error"), counted(Severity::Warning, "warning"));
    match report.count(Severity::Note) {
        0 => summary,
        _ => format!("{summary}, {}", counted(Severity::Note, "note")),
    }
}
