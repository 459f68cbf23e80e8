//! The `audit` of the file: where audit lines go.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::diagnostic::Report;
use crate::document::location::located;
use crate::document::{Node, Spelling};

/// Where audit lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditOutput {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// Appended to a file.
    File(PathBuf),
}

impl fmt::Display for AuditOutput {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdout => formatter.write_str("stdout"),
            Self::Stderr => formatter.write_str("stderr"),
            Self::File(path) => path.display().fmt(formatter),
        }
    }
}

/// Reads `audit`.
pub(crate) fn audit(node: &Node, base: &Path, report: &mut Report) -> Option<AuditOutput> {
    let mut fields = node.fields("`audit`", Spelling::Exact, report)?;
    let output = fields.required_string("output", report).map(|text| match text {
        "stdout" => AuditOutput::Stdout,
        "stderr" => AuditOutput::Stderr,
        path => AuditOutput::File(located(base, path)),
    });
    fields.finish(report);
    output
}
