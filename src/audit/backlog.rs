//! How much of the log waits to be written.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Bytes of lines that wait to be written: the most memory that a stalled log can take.
pub(super) const QUEUE_BYTES: usize = 16 * 1024 * 1024;

/// How much waits to be written, and when the last write was.
#[derive(Clone, Debug)]
pub(super) struct Backlog(Arc<BacklogInner>);

#[derive(Debug)]
struct BacklogInner {
    bytes: AtomicUsize,
    epoch: Instant,
    /// Milliseconds after `epoch`.
    progress: AtomicU64,
}

impl Backlog {
    pub(super) fn new() -> Self {
        Self(Arc::new(BacklogInner {
            bytes: AtomicUsize::new(0),
            epoch: Instant::now(),
            progress: AtomicU64::new(0),
        }))
    }

    /// Counts a line, unless there would be too many bytes.
    pub(super) fn add(&self, bytes: usize) -> bool {
        let fits = |held: usize| held.checked_add(bytes).filter(|sum| *sum <= QUEUE_BYTES);
        self.0.bytes.fetch_update(Ordering::AcqRel, Ordering::Acquire, fits).is_ok()
    }

    pub(super) fn bytes(&self) -> usize {
        self.0.bytes.load(Ordering::Acquire)
    }

    pub(super) fn take(&self, bytes: usize) {
        self.0.bytes.fetch_sub(bytes, Ordering::AcqRel);
    }

    pub(super) fn progressed(&self) {
        let since = u64::try_from(self.0.epoch.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.progress.store(since, Ordering::Release);
    }

    pub(super) fn last_progress(&self) -> Instant {
        let since = Duration::from_millis(self.0.progress.load(Ordering::Acquire));
        self.0.epoch.checked_add(since).unwrap_or(self.0.epoch)
    }
}
