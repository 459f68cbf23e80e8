//! The header fields of a request, and the rules about which of them a client may send.

use http::header::COOKIE;
use http::{HeaderName, HeaderValue};

use super::malformed;
use crate::reason::Denial;

/// Fields in the order they came. A request has few: a linear search beats a map.
#[derive(Clone, Debug, Default)]
pub struct Headers {
    fields: Vec<(HeaderName, HeaderValue)>,
}

/// Fields that speak of one connection (RFC 9110, section 7.6.1) and end here.
const HOP_BY_HOP: &[&str] = &[
    "connection",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Fields that say who asks, or over which hops, to a backend that believes them. A client's copies end here; what
/// goes upstream under these names is set by opgate or absent. Prefixes end in `-`.
const CLAIMED: &[&str] = &[
    "cf-connecting-ip",
    "forwarded",
    "remote-user",
    "ssl-client-",
    "true-client-ip",
    "via",
    "x-amzn-oidc-",
    "x-apigateway-api-userinfo",
    "x-auth-request-",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-endpoint-api-userinfo",
    "x-envoy-",
    "x-forwarded-",
    "x-goog-authenticated-user-",
    "x-goog-iap-jwt-assertion",
    "x-goog-request-params",
    "x-ms-client-principal",
    "x-ms-client-principal-",
    "x-opgate-",
    "x-original-",
    "x-real-ip",
    "x-remote-user",
    "x-request-id",
    "x-rewrite-url",
    "x-serverless-authorization",
    "x-ssl-client-",
];

/// Fields that replace the method, which was judged (cloud.google.com/apis/docs/system-parameters and its imitators).
const METHOD_OVERRIDES: &[&str] = &["x-http-method", "x-http-method-override", "x-method-override"];

/// Fields of which a second copy lets two readers choose differently.
const SINGULAR: &[&str] = &[
    "content-encoding",
    "content-length",
    "content-type",
    "dpop",
    "expect",
    "host",
    "range",
    "traceparent",
    "transfer-encoding",
];

/// Fields that `Connection` may not name: taking them away would change what is framed, who asks or what is judged.
const NOT_NOMINABLE: &[&str] = &[
    "authorization",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "dpop",
    "expect",
    "host",
    "traceparent",
    "tracestate",
    "x-goog-api-key",
    "x-goog-user-project",
];

impl Headers {
    /// An empty list with room.
    pub fn with_capacity(capacity: usize) -> Self {
        Self { fields: Vec::with_capacity(capacity) }
    }

    /// Adds a field.
    pub fn push(&mut self, name: HeaderName, value: HeaderValue) {
        self.fields.push((name, value));
    }

    /// How many fields there are.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// All fields, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
        self.fields.iter().map(|(name, value)| (name, value))
    }

    /// Every value of a field. `name` in lower case.
    pub fn all<'h>(&'h self, name: &'h str) -> impl Iterator<Item = &'h HeaderValue> {
        self.fields.iter().filter(move |(field, _)| field.as_str() == name).map(|(_, value)| value)
    }

    /// Whether a field is there. `name` in lower case.
    pub fn contains(&self, name: &str) -> bool {
        self.all(name).next().is_some()
    }

    /// The value of a field that may be there once. `name` in lower case.
    ///
    /// # Errors
    /// 400 where it is there twice.
    pub fn one<'h>(&'h self, name: &'h str) -> Result<Option<&'h HeaderValue>, Denial> {
        let mut values = self.all(name);
        let first = values.next();
        match values.next() {
            Some(_) => Err(malformed(format!("the header `{name}` is sent twice"))),
            None => Ok(first),
        }
    }

    /// Makes one `Cookie` of several. HTTP/2 may send a cookie in crumbs, and a field of another version takes them whole
    /// (RFC 9113, section 8.2.3); over HTTP/1 a client sends one (RFC 6265, section 5.4), and servers differ about which of
    /// two counts.
    ///
    /// # Errors
    /// 400 where they cannot be joined.
    pub fn join_cookies(&mut self) -> Result<(), Denial> {
        let crumbs: Vec<&[u8]> = self.all(COOKIE.as_str()).map(HeaderValue::as_bytes).collect();
        if crumbs.len() < 2 {
            return Ok(());
        }
        let whole = HeaderValue::from_bytes(&crumbs.join(&b"; "[..]))
            .map_err(|_| malformed("the header `cookie` cannot be joined"))?;
        self.fields.retain(|(name, _)| name != COOKIE);
        self.push(COOKIE, whole);
        Ok(())
    }

    /// Refuses what no honest client sends and drops what ends here, so that later stages never see a client's copy
    /// of a header that opgate sets.
    ///
    /// # Errors
    /// 400 for method overrides, upgrades, repeated singular fields, underscore twins and forbidden nominations.
    pub fn settle(&mut self) -> Result<(), Denial> {
        let mut nominated = Vec::new();
        for (name, value) in &self.fields {
            let name = name.as_str();
            if METHOD_OVERRIDES.contains(&name) {
                return Err(malformed(format!(
                    "the header `{name}` would change the method that was judged"
                )));
            }
            if name == "upgrade" {
                return Err(malformed("protocol upgrades are not spoken here"));
            }
            if let Some(twin) = plain_twin(name)
                && is_trusted(&twin)
            {
                // CGI-style servers read `X_Opgate_Principal` as `X-Opgate-Principal`, some `Transfer--Encoding` too.
                return Err(malformed(format!("the header `{name}` passes for `{twin}` at some servers")));
            }
            if name == "connection" {
                if !nominated.is_empty() {
                    return Err(malformed("the header `connection` is sent twice"));
                }
                nominated.extend(nominations(value)?);
            }
        }
        for name in SINGULAR {
            self.one(name)?;
        }
        self.fields.retain(|(name, _)| {
            let name = name.as_str();
            // The framing itself is read after this, and dropped when the request is rebuilt.
            name == "transfer-encoding"
                || !(HOP_BY_HOP.contains(&name)
                    || is_claimed(name)
                    || nominated.iter().any(|field| field == name))
        });
        Ok(())
    }
}

/// The fields that a `Connection` value names, beside its own options.
///
/// A list longer than any client sends is refused: each item costs a search, and Pingora draws a line too.
fn nominations(value: &HeaderValue) -> Result<Vec<String>, Denial> {
    const MOST: usize = 8;
    let text = value.to_str().map_err(|_| malformed("the header `connection` is not ASCII"))?;
    let mut fields = Vec::new();
    if text.split(',').count() > MOST {
        return Err(malformed("the header `connection` names more than 8 fields"));
    }
    for option in text.split(',') {
        let option = option.trim_matches([' ', '\t']).to_ascii_lowercase();
        if option.is_empty() || HeaderName::from_bytes(option.as_bytes()).is_err() {
            return Err(malformed("the header `connection` is not a list of tokens"));
        }
        if NOT_NOMINABLE.contains(&option.as_str()) || is_claimed(&option) {
            return Err(malformed(format!(
                "the header `connection` names `{option}`, which is not its to remove"
            )));
        }
        if option != "close" && !HOP_BY_HOP.contains(&option.as_str()) {
            fields.push(option);
        }
    }
    Ok(fields)
}

fn is_claimed(name: &str) -> bool {
    CLAIMED.iter().any(|claimed| match claimed.strip_suffix('-') {
        Some(_) => name.starts_with(claimed),
        None => name == *claimed,
    })
}

/// The name with every run of punctuation as one `-`, where that is another name.
fn plain_twin(name: &str) -> Option<String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let odd =
        !name.bytes().all(is_plain) || name.contains("--") || name.starts_with('-') || name.ends_with('-');
    odd.then(|| {
        let words: Vec<&str> = name
            .split(|letter: char| !letter.is_ascii_alphanumeric())
            .filter(|word| !word.is_empty())
            .collect();
        words.join("-")
    })
}

/// Whether a name is one that opgate judges by, sets or drops.
fn is_trusted(name: &str) -> bool {
    is_claimed(name)
        || [HOP_BY_HOP, METHOD_OVERRIDES, SINGULAR, NOT_NOMINABLE].iter().any(|names| names.contains(&name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reason::Reason;

    fn settle(fields: &[(&str, &str)]) -> Result<Headers, Denial> {
        let mut headers = Headers::default();
        for (name, value) in fields {
            headers.push(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_bytes(value.as_bytes()).unwrap(),
            );
        }
        headers.settle().map(|()| headers)
    }

    fn names(headers: &Headers) -> Vec<&str> {
        headers.iter().map(|(name, _)| name.as_str()).collect()
    }

    #[test]
    fn identity_headers_of_a_client_are_dropped() {
        let headers = settle(&[
            ("x-opgate-principal", "user:root@example.com"),
            ("X-Forwarded-For", "127.0.0.1"),
            ("forwarded", "for=127.0.0.1"),
            ("x-goog-iap-jwt-assertion", "x"),
            ("x-goog-request-params", "name=projects/victim"),
            ("accept", "*/*"),
        ])
        .unwrap();
        assert_eq!(names(&headers), ["accept"]);
    }

    #[test]
    fn hop_by_hop_and_nominated_headers_are_dropped() {
        let headers = settle(&[
            ("connection", "keep-alive, X-Debug"),
            ("keep-alive", "timeout=5"),
            ("te", "trailers"),
            ("x-debug", "1"),
            ("accept", "*/*"),
        ])
        .unwrap();
        assert_eq!(names(&headers), ["accept"]);
    }

    #[test]
    fn a_nomination_cannot_remove_what_is_judged_or_set() {
        for name in [
            "authorization",
            "Host",
            "content-length",
            "x-opgate-principal",
            "X-Forwarded-For",
            "cookie",
            "DPoP",
        ] {
            let denial = settle(&[("connection", name)]).unwrap_err();
            assert_eq!(denial.reason(), Reason::RequestMalformed, "{name}");
        }
    }

    #[test]
    fn underscore_twins_are_refused() {
        for name in [
            "x_opgate_principal",
            "X_Forwarded_For",
            "content_length",
            "x-goog_iap-jwt-assertion",
            "transfer--encoding",
            "-host",
            "content.length",
            "x-forwarded-for-",
            "dpop_",
            "_dpop",
        ] {
            assert!(settle(&[(name, "1")]).is_err(), "{name}");
        }
        assert!(settle(&[("my_header", "1")]).is_ok());
    }

    #[test]
    fn method_overrides_and_upgrades_are_refused() {
        for name in ["X-HTTP-Method-Override", "x-http-method", "x-method-override", "upgrade"] {
            assert!(settle(&[(name, "DELETE")]).is_err(), "{name}");
        }
    }

    #[test]
    fn singular_fields_are_refused_twice() {
        for name in SINGULAR {
            assert!(settle(&[(name, "a"), (name, "a")]).is_err(), "{name}");
        }
        assert!(settle(&[("accept", "a"), ("accept", "b")]).is_ok());
    }
}
