//! A place in the queue, taken before a request goes upstream.

use super::backlog::Backlog;

/// A place for the line of a request. It is given back if no line is queued in it.
#[derive(Debug)]
pub struct LinePlace {
    /// `None` once the line is there.
    backlog: Option<Backlog>,
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoPlace {
    /// As many lines wait as may.
    #[error("the queue of the audit log is full (`audit.when_full: refuse`)")]
    Full,
    /// The output does not take lines.
    #[error("the audit log cannot be written (`audit.when_full: refuse`)")]
    Failing,
}

impl LinePlace {
    pub(super) fn take(backlog: &Backlog) -> Option<Self> {
        backlog.add(0).then(|| Self { backlog: Some(backlog.clone()) })
    }

    /// A line of so many bytes is queued in it.
    pub(super) fn fill(mut self, bytes: usize) {
        if let Some(backlog) = self.backlog.take() {
            backlog.grow(bytes);
        }
    }
}

impl Drop for LinePlace {
    fn drop(&mut self) {
        if let Some(backlog) = &self.backlog {
            backlog.take(0);
        }
    }
}
