//! The query string: forwarded as it came, once no key in it can change what was judged.
//!
//! A transcoder binds query parameters to fields of the request message, and Google's front ends read system
//! parameters from it (cloud.google.com/apis/docs/system-parameters). A key that binds a field which the path has
//! bound already would name another resource than the one that was judged; that check needs the route and is made by
//! the catalogue ([`crate::catalog::Call`]).

use super::malformed;
use crate::reason::{Denial, Reason};

use super::path::hex_octet;

/// A query that is sent on as it came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    raw: Option<Box<str>>,
    keys: Vec<String>,
}

/// Longest query that is read, in bytes.
pub const MAX_QUERY_BYTES: usize = 32 * 1024;

/// Parameters that replace the method, the content type or the answer's type, or carry a credential past the header.
/// Compared without regard to case and without a leading `$`.
const REFUSED: &[&str] = &["access_token", "bearer_token", "callback", "ct", "httpmethod", "oauth_token"];

impl Query {
    /// Parses what follows the `?`; `None` where the target has none.
    ///
    /// # Errors
    /// 400 for bytes that may not stand in a query (RFC 3986, section 3.4), a malformed `%`, a `;` (some servers
    /// separate parameters at it), and refused parameters.
    pub fn parse(raw: Option<&str>) -> Result<Self, Denial> {
        let Some(raw) = raw else {
            return Ok(Self::default());
        };
        if raw.len() > MAX_QUERY_BYTES {
            return Err(malformed("the query is longer than 32 KiB"));
        }
        if let Some(bad) = raw.bytes().find(|byte| !is_query_byte(*byte)) {
            return Err(malformed(format!(
                "the query holds `{}`, which may not stand in a query",
                bad.escape_ascii()
            )));
        }
        let mut keys = Vec::new();
        for parameter in raw.split('&') {
            let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let key = decode(key)?;
            let value = decode(value)?;
            if key.chars().any(char::is_control) || value.contains('\0') {
                return Err(malformed("the query holds an encoded control character"));
            }
            let bare = key.strip_prefix('$').unwrap_or(&key).to_ascii_lowercase();
            if REFUSED.contains(&bare.as_str()) {
                return Err(refused(&key));
            }
            if !key.is_empty() {
                keys.push(key);
            }
        }
        Ok(Self { raw: Some(raw.into()), keys })
    }

    /// The query as it was sent and will be sent, without the `?`.
    pub fn as_str(&self) -> Option<&str> {
        self.raw.as_deref()
    }

    /// The keys, decoded once.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(String::as_str)
    }
}

/// The denial of a parameter that would change what was judged.
pub fn refused(key: &str) -> Denial {
    Denial::new(
        Reason::QueryParameterRefused,
        format!("the query parameter `{}` is not accepted here", key.escape_default()),
    )
    .told()
}

/// `query` of RFC 3986, section 3.4, without `;`.
fn is_query_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,=:@%/?".contains(&byte)
}

fn decode(text: &str) -> Result<String, Denial> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => rest
                .next()
                .zip(rest.next())
                .and_then(|(high, low)| hex_octet(high, low))
                .ok_or_else(|| malformed("the query has a `%` that two hex digits do not follow"))?,
            b'+' => b' ',
            other => other,
        });
    }
    String::from_utf8(bytes).map_err(|_| malformed("the query decodes to something that is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn harmless_system_parameters_pass_and_stay_as_they_were() {
        let raw =
            "$alt=json%3Benum-encoding=int&prettyPrint=0&%24prettyPrint=1&quotaUser=a+b&filter=a%3D1%0A";
        let query = Query::parse(Some(raw)).unwrap();
        assert_eq!(query.as_str(), Some(raw));
        assert_eq!(
            query.keys().collect::<Vec<_>>(),
            ["$alt", "prettyPrint", "$prettyPrint", "quotaUser", "filter"]
        );
    }

    #[test]
    fn an_empty_query_is_kept() {
        // Node's client always sends the `?`.
        assert_eq!(Query::parse(Some("")).unwrap().as_str(), Some(""));
        assert_eq!(Query::parse(None).unwrap().as_str(), None);
    }

    #[test]
    fn parameters_that_change_what_was_judged_are_refused() {
        for raw in [
            "access_token=x",
            "%61ccess_token=x",
            "oauth_token=x",
            "bearer_token",
            "callback=f",
            "$callback=f",
            "%24ct=text/plain",
            "$ct=a",
            "$httpMethod=DELETE",
            "a=b&Access_Token=x",
        ] {
            let denial = Query::parse(Some(raw)).unwrap_err();
            assert_eq!(denial.reason(), Reason::QueryParameterRefused, "{raw}");
        }
    }

    #[test]
    fn what_is_no_query_is_refused() {
        for raw in [
            "a=%",
            "a=%4",
            "%zz",
            "a=b;name=c",
            "a=b#c",
            "a= b",
            "a=\u{e9}",
            "a=%ff",
            "a%00b=1",
            "a=%00",
            "a|b",
        ] {
            assert_eq!(Query::parse(Some(raw)).unwrap_err().reason(), Reason::RequestMalformed, "{raw}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_or_refused(raw in ".{0,80}") {
            if let Ok(query) = Query::parse(Some(&raw)) {
                prop_assert_eq!(query.as_str(), Some(raw.as_str()));
            }
        }
    }
}
