//! One claim of a token, by its type.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::authn::denial::invalid;
use crate::reason::Denial;

/// 9999-12-31T23:59:59Z: the last second that RFC 3339 can write. Seconds since the epoch.
const LATEST: u64 = 253_402_300_799;

/// A NumericDate. RFC 7519 allows fractions, but no issuer sends them, and readers that round them differently disagree
/// about when a token ends. So only non-negative integers up to the year 9999 are accepted.
pub(in crate::authn) fn time(claims: &Map<String, Value>, claim: &str) -> Result<Option<Duration>, Denial> {
    match claims.get(claim) {
        None => Ok(None),
        Some(value) => match value.as_u64() {
            Some(seconds @ 0..=LATEST) => Ok(Some(Duration::from_secs(seconds))),
            _ => Err(invalid(format!("`{claim}` is not a whole number of seconds from 1970 to 9999"))),
        },
    }
}

/// A claim that is a string, where there is one.
pub(in crate::authn) fn text<'a>(
    claims: &'a Map<String, Value>,
    claim: &str,
) -> Result<Option<&'a str>, Denial> {
    match claims.get(claim) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(invalid(format!("`{claim}` is not a string"))),
    }
}
