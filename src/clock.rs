//! The wall clock, read in one place.
//!
//! Decisions take the time as an argument, so that they can be tested, replayed and explained for another time. The
//! edges of the process (the engine as a request comes, the admin endpoints, the command line, development tokens) read the
//! clock here.

use std::time::SystemTime;

/// The time now.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
pub fn now() -> SystemTime {
    SystemTime::now()
}
