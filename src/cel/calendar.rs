//! Dates and times of day: as text (RFC 3339, `1h30m`), as parts (`getMonth`), and in zones.
//!
//! The calendar is the Gregorian one for all years, by the arithmetic of days: a zone's offset may lead out of the
//! years 1 to 9999, where libraries end.

use std::sync::LazyLock;

use jiff::tz::{TimeZone, TimeZoneDatabase};

use super::instant::{Duration, SECOND, Timestamp};

const DAY: i64 = 86_400;

/// The zone of a time of day.
#[derive(Clone, Debug)]
pub(super) enum Zone {
    /// So many seconds east of UTC.
    Fixed(i64),
    Named(TimeZone),
}

/// A part of a date or a time of day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TimePart {
    FullYear,
    Month,
    Date,
    DayOfMonth,
    DayOfWeek,
    DayOfYear,
    Hours,
    Minutes,
    Seconds,
    Milliseconds,
}

impl Zone {
    pub(super) const UTC: Self = Self::Fixed(0);

    /// `Europe/Berlin`, `UTC`, `+01:00`, `-08:00`. Names are of the bundled database and are told by case.
    pub(super) fn parse(text: &str) -> Option<Self> {
        static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);
        if text.bytes().any(|byte| byte == b':') {
            return offset(text).map(Self::Fixed);
        }
        let zone = ZONES.get(text).ok()?;
        (zone.iana_name() == Some(text)).then_some(Self::Named(zone))
    }

    fn seconds_east(&self, time: Timestamp) -> i64 {
        match self {
            Self::Fixed(seconds) => *seconds,
            Self::Named(zone) => {
                // The last day of 9999 is beyond jiff's range; no zone changes its offset by then.
                let limits = jiff::Timestamp::MIN.as_second()..=jiff::Timestamp::MAX.as_second();
                let second = time.seconds().clamp(*limits.start(), *limits.end());
                let time = jiff::Timestamp::from_second(second).unwrap_or(jiff::Timestamp::MAX);
                i64::from(zone.to_offset(time).seconds())
            }
        }
    }
}

/// `+01:00`; without a sign it is east.
fn offset(text: &str) -> Option<i64> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let (hours, minutes) = digits.split_once(':')?;
    let (hours, minutes) = (number(hours, 2)?, number(minutes, 2)?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

/// A part of a point in time, as its zone tells it.
pub(super) fn part_of_time(part: TimePart, time: Timestamp, zone: &Zone) -> i64 {
    let local = time.seconds() + zone.seconds_east(time);
    let (days, second) = (local.div_euclid(DAY), local.rem_euclid(DAY));
    let (year, month, day) = civil(days);
    match part {
        TimePart::FullYear => year,
        TimePart::Month => month - 1,
        TimePart::Date => day,
        TimePart::DayOfMonth => day - 1,
        // 1970 began on a Thursday.
        TimePart::DayOfWeek => (days + 4).rem_euclid(7),
        TimePart::DayOfYear => days - days_before(year, 1, 1),
        TimePart::Hours => second / 3600,
        TimePart::Minutes => second / 60 % 60,
        TimePart::Seconds => second % 60,
        TimePart::Milliseconds => i64::from(time.nanoseconds() / 1_000_000),
    }
}

/// A part of a duration: the whole of it in hours, minutes or seconds, and the milliseconds of its last second.
pub(super) fn part_of_duration(part: TimePart, duration: Duration) -> Option<i64> {
    let total = duration.total();
    let value = match part {
        TimePart::Hours => total / (3600 * SECOND),
        TimePart::Minutes => total / (60 * SECOND),
        TimePart::Seconds => total / SECOND,
        TimePart::Milliseconds => total / 1_000_000 % 1000,
        _ => return None,
    };
    i64::try_from(value).ok()
}

/// RFC 3339, with up to nine digits of a second and an offset: `2030-01-01T00:00:00Z`.
pub(super) fn parse_time(text: &str) -> Option<Timestamp> {
    let days = parse_days(text.get(..10)?)?;
    let clock = text.get(10..)?.strip_prefix('T')?;
    let (hours, minutes, seconds) = (clock.get(..2)?, clock.get(2..5)?, clock.get(5..8)?);
    let hours = number(hours, 2).filter(|hours| *hours < 24)?;
    let minutes = number(minutes.strip_prefix(':')?, 2).filter(|minutes| *minutes < 60)?;
    let seconds = number(seconds.strip_prefix(':')?, 2).filter(|seconds| *seconds < 60)?;
    let rest = clock.get(8..)?;
    let (nanoseconds, zone) = match rest.strip_prefix('.') {
        None => (0, rest),
        Some(fraction) => {
            let length = fraction.bytes().take_while(u8::is_ascii_digit).count();
            let (digits, zone) = fraction.split_at_checked(length)?;
            let padding = 9_u32.checked_sub(u32::try_from(length).ok()?)?;
            (number(digits, length)? * 10_i64.pow(padding), zone)
        }
    };
    let east = match zone {
        "Z" => 0,
        // Without a sign it is an offset for CEL's accessors, but not valid in RFC 3339.
        zone if zone.starts_with(['+', '-']) => offset(zone)?,
        _ => return None,
    };
    let second = days * DAY + hours * 3600 + minutes * 60 + seconds - east;
    Timestamp::from_unix(second, u32::try_from(nanoseconds).ok()?)
}

/// IAM's `date('2030-01-31')`: the day's first moment in UTC.
pub(super) fn parse_date(text: &str) -> Option<Timestamp> {
    Timestamp::from_unix(parse_days(text)? * DAY, 0)
}

/// Days since 1970 of `2030-01-31`.
fn parse_days(text: &str) -> Option<i64> {
    if text.len() != 10 {
        return None;
    }
    let year = number(text.get(..4)?, 4)?;
    let month = number(text.get(4..7)?.strip_prefix('-')?, 2)?;
    let day = number(text.get(7..)?.strip_prefix('-')?, 2)?;
    let days = days_before(year, month, day);
    // A day that is not in the calendar comes back as another one.
    ((1..=12).contains(&month) && civil(days) == (year, month, day)).then_some(days)
}

/// Exactly so many digits.
fn number(text: &str, digits: usize) -> Option<i64> {
    let valid = text.len() == digits && digits > 0 && text.bytes().all(|byte| byte.is_ascii_digit());
    if valid { text.parse().ok() } else { None }
}

/// A time as RFC 3339 in UTC, with as many digits of a second as it has.
pub(super) fn print_time(time: Timestamp) -> String {
    let (year, month, day) = civil(time.seconds().div_euclid(DAY));
    let second = time.seconds().rem_euclid(DAY);
    let (hours, minutes, seconds) = (second / 3600, second / 60 % 60, second % 60);
    let fraction = print_fraction(i128::from(time.nanoseconds()));
    format!("{year:04}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}{fraction}Z")
}

/// `1h30m`, `-1.5s`, `100ms`: numbers with units, and a sign for all of it.
pub(super) fn parse_duration(text: &str) -> Option<Duration> {
    const UNITS: &[(&str, i128)] = &[
        // The longest first: `ms` is not an `m`.
        ("ns", 1),
        ("us", 1_000),
        ("µs", 1_000),
        ("μs", 1_000),
        ("ms", 1_000_000),
        ("h", 3600 * SECOND),
        ("m", 60 * SECOND),
        ("s", SECOND),
    ];
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Duration::from_nanoseconds(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total = 0_i128;
    while !rest.is_empty() {
        let (whole, after) = digits(rest)?;
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => digits(after)?,
            None => ("", after),
        };
        let (unit, nanoseconds) = UNITS.iter().find(|(unit, _)| after.starts_with(unit))?;
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let value = |digits: &str| if digits.is_empty() { Some(0) } else { digits.parse::<i128>().ok() };
        let scale = 10_i128.pow(u32::try_from(fraction.len()).ok()?);
        total += value(whole)? * nanoseconds + value(fraction)? * nanoseconds / scale;
        rest = after.strip_prefix(unit)?;
    }
    Duration::from_nanoseconds(sign * total)
}

/// Up to 18 digits, and what follows them: more are not a duration, and would not fit.
fn digits(text: &str) -> Option<(&str, &str)> {
    let length = text.bytes().take_while(u8::is_ascii_digit).count();
    if length > 18 { None } else { text.split_at_checked(length) }
}

/// A duration in seconds: `5400s`, `-1.5s`.
pub(super) fn print_duration(duration: Duration) -> String {
    let total = duration.total();
    let sign = if total < 0 { "-" } else { "" };
    let (seconds, rest) = (total.abs() / SECOND, total.abs() % SECOND);
    format!("{sign}{seconds}{}s", print_fraction(rest))
}

fn print_fraction(nanoseconds: i128) -> String {
    if nanoseconds == 0 {
        return String::new();
    }
    let digits = format!(".{nanoseconds:09}");
    digits.trim_end_matches('0').to_owned()
}

/// Year, month and day of a number of days since 1970 ("chrono-compatible low-level date algorithms", H. Hinnant):
/// years begin in March, so that the leap day is their last one.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

/// Days from 1970 to a date: the inverse of [`civil`].
fn days_before(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests;
