//! `x-goog-request-params`: what a client says of the fields of its message, for proxies that do not read messages
//! (AIP-4222). Nothing is decided by it, but a backend may believe it: so it may not name another value than the message.

use crate::http::Headers;
use crate::http::field_path::overlap;
use crate::percent::{Octet, octets};
use crate::reason::{Denial, Reason};

/// The field.
const ROUTING: &str = "x-goog-request-params";

/// Whether the field, if it is there, agrees with the values that a message has at these paths.
///
/// # Errors
/// Where it names another value for one of them, or cannot be read.
pub fn agrees<'v>(
    headers: &Headers,
    values: impl Iterator<Item = (&'v str, &'v str)> + Clone,
) -> Result<(), Denial> {
    for header in headers.all(ROUTING) {
        let text = header.to_str().map_err(|_| refused("is not ASCII"))?;
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').ok_or_else(|| refused("has a key without a value"))?;
            let (key, value) = (decoded(key)?, decoded(value)?);
            if values.clone().any(|(path, judged)| overlap(path, &key) && value != judged) {
                return Err(refused("names another value for a field than the message"));
            }
        }
    }
    Ok(())
}

/// A text without its percent-encoding. A `+` stays as it is: where a reader takes it for a blank, that is another name than
/// any that is judged here.
fn decoded(text: &str) -> Result<String, Denial> {
    let mut bytes = Vec::with_capacity(text.len());
    for octet in octets(text) {
        match octet {
            Ok(Octet::Plain(b'+')) => return Err(refused("has a `+`, which some take for a blank")),
            Ok(Octet::Plain(byte) | Octet::Encoded(byte)) => bytes.push(byte),
            Err(_) => return Err(refused("is not well percent-encoded")),
        }
    }
    String::from_utf8(bytes).map_err(|_| refused("is not UTF-8"))
}

fn refused(why: &str) -> Denial {
    Denial::new(Reason::MessageRefused, format!("the header `{ROUTING}` {why}")).told()
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn agree(values: &[&str]) -> bool {
        let mut headers = Headers::default();
        for value in values {
            headers.push(HeaderName::from_static(ROUTING), HeaderValue::from_str(value).unwrap());
        }
        agrees(&headers, [("name", "projects/p/a"), ("book.name", "b")].into_iter()).is_ok()
    }

    #[test]
    fn a_hint_may_not_name_another_resource() {
        for good in [
            &[][..],
            &[""],
            &["name=projects/p/a"],
            &["name=projects%2Fp%2fa&x=y"],
            &["book.name=b"],
            &["other=z"],
        ] {
            assert!(agree(good), "{good:?}");
        }
        for bad in [
            &["name=projects/q/a"][..],
            &["name=projects/p/a", "name=projects/q"],
            &["name=projects/p/a&name=projects/q"],
            &["%6eame=projects/q"],
            &["Name=projects/q"],
            &["name="],
            &["name"],
            &["name=%"],
            &["name=%ff"],
            &["name=projects/p+a"],
            &["book=c"],
        ] {
            assert!(!agree(bad), "{bad:?}");
        }
    }
}
