//! Points and stretches of time, with nanoseconds and with the ranges that protobuf sets.

use std::time::{SystemTime, UNIX_EPOCH};

/// Nanoseconds in a second.
pub(super) const SECOND: i128 = 1_000_000_000;

/// A point in time, from 0001-01-01T00:00:00Z to 9999-12-31T23:59:59.999999999Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp {
    seconds: i64,
    nanoseconds: u32,
}

/// A stretch of time in nanoseconds, up to some 292 years either way: what the `google.protobuf.Duration` of CEL's own
/// evaluators ends at, beyond which they report an error (cel-spec, "Timestamps and durations": `duration_range`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Duration(i64);

impl Timestamp {
    const FIRST: i64 = -62_135_596_800;
    const LAST: i64 = 253_402_300_799;

    /// So many seconds and nanoseconds after 1970, or `None` outside the years 1 to 9999.
    pub fn from_unix(seconds: i64, nanoseconds: u32) -> Option<Self> {
        let valid = (Self::FIRST..=Self::LAST).contains(&seconds) && nanoseconds < 1_000_000_000;
        valid.then_some(Self { seconds, nanoseconds })
    }

    /// Whole seconds since 1970, rounded down.
    pub fn seconds(self) -> i64 {
        self.seconds
    }

    /// Nanoseconds after the second.
    pub fn nanoseconds(self) -> u32 {
        self.nanoseconds
    }

    pub(super) fn total(self) -> i128 {
        i128::from(self.seconds) * SECOND + i128::from(self.nanoseconds)
    }

    pub(super) fn from_total(nanoseconds: i128) -> Option<Self> {
        let (seconds, nanoseconds) = split(nanoseconds)?;
        Self::from_unix(seconds, nanoseconds)
    }
}

impl TryFrom<SystemTime> for Timestamp {
    type Error = OutOfRange;

    fn try_from(time: SystemTime) -> Result<Self, OutOfRange> {
        let since = time.duration_since(UNIX_EPOCH).map_err(|_| OutOfRange)?;
        let seconds = i64::try_from(since.as_secs()).map_err(|_| OutOfRange)?;
        Self::from_unix(seconds, since.subsec_nanos()).ok_or(OutOfRange)
    }
}

/// The system's clock tells a time before 1970 or after 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the time is before 1970 or after 9999")]
pub struct OutOfRange;

impl Duration {
    /// So many nanoseconds, or `None` beyond 64 bits.
    pub fn from_nanoseconds(nanoseconds: i128) -> Option<Self> {
        i64::try_from(nanoseconds).ok().map(Self)
    }

    /// The whole of it in nanoseconds.
    pub fn total(self) -> i128 {
        i128::from(self.0)
    }
}

fn split(nanoseconds: i128) -> Option<(i64, u32)> {
    let seconds = i64::try_from(nanoseconds.div_euclid(SECOND)).ok()?;
    let rest = u32::try_from(nanoseconds.rem_euclid(SECOND)).ok()?;
    Some((seconds, rest))
}
