//! A line that waits to be written.

use std::sync::Arc;
use std::time::SystemTime;

use super::entry::Severity;

/// A line in the form that the output takes, without its end.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) text: Arc<str>,
    /// What syslog says in its own words.
    pub(super) time: SystemTime,
    pub(super) severity: Severity,
    /// How much it takes of the backlog.
    pub(super) counted: usize,
}
