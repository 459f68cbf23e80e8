//! How the log is: what requests and probes are told of it.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use super::entry::LostLines;

/// Shared by the log and the thread that writes it.
#[derive(Debug, Default)]
pub(super) struct State {
    /// Whether the output is to be opened again.
    pub(super) reopen: AtomicBool,
    is_failing: AtomicBool,
    /// Why the last write failed. The thread that writes takes the lock where that changes, and probes do.
    failure: Mutex<Option<String>>,
}

impl State {
    pub(super) fn is_failing(&self) -> bool {
        self.is_failing.load(Ordering::Acquire)
    }

    /// A write has failed.
    pub(super) fn fails(&self, error: &io::Error) {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
        self.is_failing.store(true, Ordering::Release);
    }

    /// A write has not.
    pub(super) fn writes(&self) {
        if self.is_failing.swap(false, Ordering::AcqRel) {
            *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }

    pub(super) fn failure(&self) -> Option<String> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// How the log is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditStatus {
    /// Lines that were written.
    pub written: u64,
    /// Lines that are missing in it.
    pub lost: LostLines,
    /// Lines that wait to be written.
    pub queued: u64,
    /// Why the last write failed, where it did.
    pub failure: Option<String>,
    /// Whether requests are refused because of that, or because the queue is full.
    pub is_refusing: bool,
}
