//! Whether a client stopped reading what it is sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether a connection ended because its client did not read: told by the side that writes to it, read by its requests.
#[derive(Clone, Debug, Default)]
pub struct StalledFlag(Arc<AtomicBool>);

impl StalledFlag {
    /// It did.
    pub fn tell(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether it did.
    pub fn is_told(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}
