//! How far a request's bytes reach: told by whoever judges its framing, kept by whoever reads the connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many bytes may still be read. Shared with whoever learns that a chunked body has ended.
#[derive(Clone, Debug)]
pub struct Allowance(Arc<AtomicU64>);

impl Allowance {
    /// Any number.
    pub fn unlimited() -> Self {
        Self(Arc::new(AtomicU64::new(u64::MAX)))
    }

    /// The request is complete: everything from here on is not its.
    pub fn end(&self) {
        self.0.store(0, Ordering::Release);
    }

    /// Lets `bytes` more be read; [`u64::MAX`] for any number.
    pub fn set(&self, bytes: u64) {
        self.0.store(bytes, Ordering::Release);
    }

    /// How many are left.
    pub fn left(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    /// Counts bytes that were read.
    pub fn take(&self, bytes: usize) {
        // In one step: an end that comes in between stays an end. An error means that there was nothing to count down.
        let _ = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| {
            (left != u64::MAX).then(|| left.saturating_sub(bytes as u64))
        });
    }
}
