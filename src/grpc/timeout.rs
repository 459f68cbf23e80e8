//! `grpc-timeout`: how long a client waits.

use std::time::Duration;

use crate::http::Headers;
use crate::http::malformed;
use crate::reason::Denial;

/// The field.
pub const TIMEOUT: &str = "grpc-timeout";

/// The most digits that a value has.
const DIGITS: usize = 8;

/// The time that a head names.
///
/// # Errors
/// 400 where it is there twice, or is anything but one to eight digits and a unit.
pub fn of(headers: &Headers) -> Result<Option<Duration>, Denial> {
    let Some(value) = headers.one(TIMEOUT)? else { return Ok(None) };
    let wrong = || malformed("the header `grpc-timeout` is not a number of up to eight digits and a unit");
    parse(value.as_bytes()).map(Some).ok_or_else(wrong)
}

fn parse(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    if digits.is_empty() || digits.len() > DIGITS || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some(match unit {
        b'H' => Duration::from_secs(number * 3600),
        b'M' => Duration::from_secs(number * 60),
        b'S' => Duration::from_secs(number),
        b'm' => Duration::from_millis(number),
        b'u' => Duration::from_micros(number),
        b'n' => Duration::from_nanos(number),
        _ => return None,
    })
}

/// A time as a value, rounded down to its unit; at most 99,999,999 hours.
pub fn written(time: Duration) -> String {
    const MOST: u128 = 99_999_999;
    let units = [
        (time.as_nanos(), 'n'),
        (time.as_micros(), 'u'),
        (time.as_millis(), 'm'),
        (u128::from(time.as_secs()), 'S'),
        (u128::from(time.as_secs() / 60), 'M'),
        (u128::from(time.as_secs() / 3600), 'H'),
    ];
    let fitting = units.into_iter().find(|(number, _)| *number <= MOST);
    let (number, unit) = fitting.unwrap_or((MOST, 'H'));
    format!("{number}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_digits_and_a_unit() {
        for (value, time) in [
            ("1H", Duration::from_secs(3600)),
            ("99999999S", Duration::from_secs(99_999_999)),
            ("99999999H", Duration::from_secs(99_999_999 * 3600)),
            ("0S", Duration::ZERO),
            ("010m", Duration::from_millis(10)),
            ("5u", Duration::from_micros(5)),
            ("7n", Duration::from_nanos(7)),
            ("2M", Duration::from_secs(120)),
        ] {
            assert_eq!(parse(value.as_bytes()), Some(time), "{value}");
        }
        for value in
            ["", "S", "5", "123456789S", "-1S", "+1S", "1.5S", "1s", "1 S", " 1S", "1S ", "1Sx", "١S"]
        {
            assert_eq!(parse(value.as_bytes()), None, "{value:?}");
        }
    }

    #[test]
    fn what_is_written_is_read_back_and_never_longer() {
        for nanos in [0, 1, 99_999_999, 100_000_000, 1_234_567_890, u64::MAX] {
            let time = Duration::from_nanos(nanos);
            let read = parse(written(time).as_bytes()).unwrap();
            assert!(read <= time && time - read <= time / 1_000_000, "{time:?} {read:?}");
        }
        assert_eq!(written(Duration::MAX), "99999999H");
    }
}
