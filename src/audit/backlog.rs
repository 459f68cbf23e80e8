//! How much of the log waits to be written.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Lines that may wait to be written.
pub(super) const QUEUE_LINES: u64 = 16 * 1024;
/// Bytes of lines that may wait to be written: the most memory that a stalled output can take.
pub(super) const QUEUE_BYTES: u64 = 16 * 1024 * 1024;
/// Lines beyond those, for observers alone. They see lines that the output has no room for.
pub(super) const SPARE_LINES: u64 = 4 * 1024;
/// Bytes of such lines.
pub(super) const SPARE_BYTES: u64 = 4 * 1024 * 1024;

/// Lines and bytes are one number, so that a request changes one: the bytes take the lower bits.
const LINE: u64 = 1 << 40;

/// How much waits to be written, and when the last write was.
#[derive(Clone, Debug)]
pub(super) struct Backlog(Arc<BacklogInner>);

#[derive(Debug)]
struct BacklogInner {
    held: AtomicU64,
    epoch: Instant,
    /// Milliseconds after `epoch`.
    progress: AtomicU64,
}

impl Backlog {
    pub(super) fn new() -> Self {
        Self(Arc::new(BacklogInner {
            held: AtomicU64::new(0),
            epoch: Instant::now(),
            progress: AtomicU64::new(0),
        }))
    }

    /// Counts a line that the output is to write, unless there would be too many.
    pub(super) fn add(&self, bytes: usize) -> bool {
        self.add_within(bytes, QUEUE_LINES, QUEUE_BYTES)
    }

    /// Counts a line that is for observers alone.
    pub(super) fn add_spare(&self, bytes: usize) -> bool {
        self.add_within(bytes, QUEUE_LINES + SPARE_LINES, QUEUE_BYTES + SPARE_BYTES)
    }

    fn add_within(&self, bytes: usize, most_lines: u64, most_bytes: u64) -> bool {
        let with_it = |held: u64| {
            let sum = held.checked_add(LINE)?.checked_add(bytes as u64)?;
            (sum / LINE <= most_lines && sum % LINE <= most_bytes).then_some(sum)
        };
        self.0.held.fetch_update(Ordering::AcqRel, Ordering::Acquire, with_it).is_ok()
    }

    /// A line that was counted without its bytes has these.
    pub(super) fn grow(&self, bytes: usize) {
        self.0.held.fetch_add(bytes as u64, Ordering::AcqRel);
    }

    /// Whether no line more may wait.
    pub(super) fn is_full(&self) -> bool {
        self.lines() >= QUEUE_LINES || self.bytes() >= QUEUE_BYTES
    }

    /// A line is written, lost or seen.
    pub(super) fn take(&self, bytes: usize) {
        self.take_lines(1, bytes);
    }

    /// So many lines are, which have so many bytes together.
    pub(super) fn take_lines(&self, lines: usize, bytes: usize) {
        self.0.held.fetch_sub(LINE * lines as u64 + bytes as u64, Ordering::AcqRel);
    }

    pub(super) fn lines(&self) -> u64 {
        self.0.held.load(Ordering::Acquire) / LINE
    }

    pub(super) fn bytes(&self) -> u64 {
        self.0.held.load(Ordering::Acquire) % LINE
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
