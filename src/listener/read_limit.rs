//! What the door and the proxy tell each other of a connection: how far a request's bytes reach, and whether one was
//! ever allowed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// How many bytes may still be read, and whether a first chunk is waited for. Shared with the proxy, which
/// learns that a body has ended and how it is taken in.
#[derive(Clone, Debug)]
pub struct Allowance(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    left: AtomicU64,
    holds: AtomicBool,
}

impl Allowance {
    /// Any number.
    pub fn unlimited() -> Self {
        Self(Arc::new(Shared { left: AtomicU64::new(u64::MAX), holds: AtomicBool::new(false) }))
    }

    /// The request is complete: everything from here on is not its.
    pub fn end(&self) {
        self.set(0);
    }

    /// Lets `bytes` more be read; [`u64::MAX`] for any number.
    pub fn set(&self, bytes: u64) {
        self.0.left.store(bytes, Ordering::Release);
    }

    /// How many are left.
    pub fn left(&self) -> u64 {
        self.0.left.load(Ordering::Acquire)
    }

    /// Counts bytes that were read.
    pub fn take(&self, bytes: usize) {
        // In one step: an end that comes in between stays an end. An error means that there was nothing to count down.
        let _ = self.0.left.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| {
            (left != u64::MAX).then(|| left.saturating_sub(bytes as u64))
        });
    }

    /// Lets no byte of a chunked body be read before its first chunk has come, or as much of it as is kept.
    pub fn hold(&self) {
        self.0.holds.store(true, Ordering::Release);
    }

    /// Ends [`hold`](Self::hold).
    pub fn release(&self) {
        self.0.holds.store(false, Ordering::Release);
    }

    /// Whether a first chunk is waited for.
    pub fn holds(&self) -> bool {
        self.0.holds.load(Ordering::Acquire)
    }
}

/// Whether any request of a connection was ever allowed: told by the proxy, read by the door where places are short.
#[derive(Clone, Debug, Default)]
pub struct EverAllowed(Arc<AtomicBool>);

impl EverAllowed {
    /// One was.
    pub fn tell(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether one was.
    pub fn is_told(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
