//! The command line: one command per file, and what they share.
//!
//! Exit codes: 0 fine, 1 failed, 2 denied, 3 invalid input. What a command is asked for goes to standard output,
//! everything else to standard error.

pub mod demo;
pub mod token;

use std::io::{IsTerminal, Write};

use crate::diagnostic::Report;

/// Invalid input.
pub const INVALID: u8 = 3;
/// Something failed.
pub const FAILED: u8 = 1;

/// Prints text to standard output. A closed pipe is the reader's choice, not an error.
pub(crate) fn print(text: &str) {
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}

/// Prints text to standard error.
pub(crate) fn complain(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// Prints a report to standard error.
pub(crate) fn print_report(report: &Report) {
    complain(&report.render(std::io::stderr().is_terminal()));
}
