//! A moment on both clocks.

use std::time::{Instant, SystemTime};

/// A moment on both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The wall clock, which people are told.
    pub time: SystemTime,
    /// The monotonic clock, which durations are measured by.
    pub instant: Instant,
}
