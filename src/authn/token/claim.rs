//! One claim of a token, by its type.
//!
//! A claim that is `null` counts as missing: serialisers write it for what is not there. So it never stands for a claim
//! that is required, and it says no more than its absence does.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::authn::denial::invalid;
use crate::reason::Denial;

/// 9999-12-31T23:59:59Z: the last second that RFC 3339 can write. Seconds since the epoch.
const LATEST: u64 = 253_402_300_799;

/// To which second a time with a fraction is rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::authn) enum Rounding {
    /// To the second before: for an end.
    Down,
    /// To the second after: for a beginning.
    Up,
}

/// A claim, where there is one.
pub(in crate::authn) fn claim<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    claims.get(name).filter(|value| !value.is_null())
}

/// A NumericDate (RFC 7519, section 2), from 1970 to the year 9999. A fraction is rounded so that the token holds for the
/// shorter time: readers that round it otherwise accept the token no later than this one refuses it.
pub(in crate::authn) fn time(
    claims: &Map<String, Value>,
    name: &str,
    rounding: Rounding,
) -> Result<Option<Duration>, Denial> {
    let Some(value) = claim(claims, name) else { return Ok(None) };
    match seconds(value, rounding) {
        Some(seconds) => Ok(Some(Duration::from_secs(seconds))),
        None => Err(invalid(format!("`{name}` is not a number of seconds from 1970 to 9999"))),
    }
}

fn seconds(value: &Value, rounding: Rounding) -> Option<u64> {
    if let Some(whole) = value.as_u64() {
        return (whole <= LATEST).then_some(whole);
    }
    let written = value.as_f64()?;
    // All whole numbers up to this bound have a value of their own in a double.
    #[expect(clippy::cast_precision_loss, reason = "below 2^53 none is lost")]
    let fits = (0.0..=LATEST as f64).contains(&written);
    let rounded = match rounding {
        Rounding::Down => written.floor(),
        Rounding::Up => written.ceil(),
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a whole number within the bounds"
    )]
    fits.then_some(rounded as u64)
}

/// A claim that is a string, where there is one.
pub(in crate::authn) fn text<'a>(
    claims: &'a Map<String, Value>,
    name: &str,
) -> Result<Option<&'a str>, Denial> {
    match claim(claims, name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(invalid(format!("`{name}` is not a string"))),
    }
}

/// The strings of an array; `None` for anything else.
pub(in crate::authn) fn strings(value: &Value) -> Option<Vec<&str>> {
    value.as_array()?.iter().map(Value::as_str).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_fraction_never_prolongs_a_token() {
        for (value, down, up) in [
            (json!(1_477_312_112.17), 1_477_312_112, 1_477_312_113),
            (json!(1_795_737_511.0), 1_795_737_511, 1_795_737_511),
            (json!(1.8e9), 1_800_000_000, 1_800_000_000),
            (json!(0.5), 0, 1),
            (json!(-0.0), 0, 0),
            (json!(253_402_300_799u64), LATEST, LATEST),
        ] {
            assert_eq!(seconds(&value, Rounding::Down), Some(down), "{value}");
            assert_eq!(seconds(&value, Rounding::Up), Some(up), "{value}");
        }
        for value in [json!(-1), json!(-0.5), json!(253_402_300_799.5), json!(1e300), json!("1"), json!(true)]
        {
            assert_eq!(seconds(&value, Rounding::Down), None, "{value}");
        }
    }

    #[test]
    fn a_null_is_not_there() {
        let claims = json!({ "a": null, "b": 1 });
        let claims = claims.as_object().unwrap();
        assert_eq!(claim(claims, "a"), None);
        assert!(claim(claims, "b").is_some());
        assert_eq!(text(claims, "a").unwrap(), None);
        assert_eq!(time(claims, "a", Rounding::Up).unwrap(), None);
    }
}
