//! What a comparison of two policy trees found.

use std::path::PathBuf;

use super::changes::Changes;

/// A comparison that came to its end.
#[derive(Debug)]
pub(super) struct Compared {
    pub(super) old: PathBuf,
    pub(super) old_revision: String,
    pub(super) new: PathBuf,
    pub(super) new_revision: String,
    pub(super) changes: Changes,
    /// Lines that are not audit lines.
    pub(super) passed_over: u64,
}
