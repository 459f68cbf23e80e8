//! Tokens that are bound to a client's TLS certificate (RFC 8705, section 3).

use std::time::SystemTime;

use super::denial::invalid;
use crate::reason::Denial;

/// Whether the connection's certificate, by its thumbprint and its end, is the one that a token is bound to.
///
/// # Errors
/// Where there is none, it is another, or it has ended.
pub(super) fn check(
    thumbprint: &str,
    certificate: Option<(&str, SystemTime)>,
    now: SystemTime,
) -> Result<(), Denial> {
    match certificate {
        None => Err(invalid("the token is bound to a client certificate, and the connection has none")),
        Some((shown, _)) if shown != thumbprint => {
            Err(invalid("the token is bound to another client certificate than the connection's"))
        }
        // The connection may have been made long ago.
        Some((_, until)) if now > until => Err(invalid("the token's client certificate has expired")),
        Some(_) => Ok(()),
    }
}
