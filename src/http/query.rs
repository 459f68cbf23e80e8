//! The query string: forwarded as it came, if no key in it can change what was judged.
//!
//! A transcoder binds query parameters to fields of the request message, and Google's front ends read system
//! parameters from it (cloud.google.com/apis/docs/system-parameters). A key that binds a field which the path has
//! bound already would name another resource than the one that was judged; that check needs the route and is made by
//! the catalogue ([`crate::catalog::Call`]).

use super::malformed;
use crate::percent::{BadEscape, Octet, octets};
use crate::reason::{Denial, Reason};

use super::field_path::{letters, steps};

/// A query that is sent on as it came.
///
/// Some readers separate parameters at `;` as well as at `&` (HTML 4.01, appendix B.2.2, recommended it), others do not.
/// Clients write it within a value: `$alt=json;enum-encoding=int`. So both readings are judged, and the bytes pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    raw: Option<Box<str>>,
    keys: Vec<String>,
}

/// Longest query that is read, in bytes.
pub const MAX_QUERY_BYTES: usize = 32 * 1024;

/// Parameters that replace the method, the content type or the answer's type, or carry a credential outside of the
/// header: their letters and digits, folded.
const REFUSED: &[&str] = &[
    "accesstoken",
    "bearertoken",
    "callback",
    "ct",
    "httpmethod",
    "httpmethodoverride",
    "httpverb",
    "methodoverride",
    "oauthtoken",
    "overridemethod",
    "xhttpmethod",
    "xhttpmethodoverride",
    "xhttpverb",
    "xhttpverboverride",
    "xmethod",
    "xmethodoverride",
];

/// Parameters that do so only with punctuation in front (`_method` of Rails, Symfony, Laravel and Spring, `.method` of
/// PHP, `_content_type`): without it, they are ordinary names.
const REFUSED_BEHIND_A_MARK: &[&str] = &["contenttype", "method"];

/// The methods that Restlet's tunnel takes from a plain `method=…`, and those that WebDAV adds.
const METHODS: &[&str] = &[
    "connect",
    "copy",
    "delete",
    "get",
    "head",
    "lock",
    "mkcol",
    "move",
    "options",
    "patch",
    "post",
    "propfind",
    "proppatch",
    "put",
    "trace",
    "unlock",
];

impl Query {
    /// Parses what follows the `?`; `None` where the target has none.
    ///
    /// # Errors
    /// 400 for bytes that no client leaves raw in a query, a malformed `%`, and parameters that are refused in either
    /// reading of `;`.
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
            judge_parameter(parameter, &mut keys)?;
            if parameter.contains(';') {
                parameter.split(';').try_for_each(|piece| judge_parameter(piece, &mut keys))?;
            }
        }
        Ok(Self { raw: Some(raw.into()), keys })
    }

    /// The query with the pairs of a form behind its own. Both were judged; the form is judged by the same rules.
    ///
    /// # Errors
    /// As [`Query::parse`].
    pub fn with_form(&self, form: &str) -> Result<Self, Denial> {
        match self.as_str() {
            None | Some("") => Self::parse(Some(form)),
            Some(own) => Self::parse(Some(&format!("{own}&{form}"))),
        }
    }

    /// The query as it was sent and will be sent, without the `?`.
    pub fn as_str(&self) -> Option<&str> {
        self.raw.as_deref()
    }

    /// The keys of both readings, decoded once.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(String::as_str)
    }
}

/// Judges one `key=value`, and keeps the key.
fn judge_parameter(parameter: &str, keys: &mut Vec<String>) -> Result<(), Denial> {
    let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
    let key = decode(key)?;
    let value = decode(value)?;
    if key.chars().any(char::is_control) || value.contains('\0') {
        return Err(malformed("the query holds an encoded control character"));
    }
    if changes_what_was_judged(&key, &value) {
        return Err(refused(&key));
    }
    if !key.is_empty() {
        keys.push(key);
    }
    Ok(())
}

/// The denial of a parameter that would change what was judged.
pub fn refused(key: &str) -> Denial {
    Denial::new(
        Reason::QueryParameterRefused,
        format!("the query parameter `{}` is not accepted here", key.escape_default()),
    )
    .told()
}

/// Whether a parameter changes what was judged, in any spelling that some reader accepts: letters folded, blanks, `$`,
/// `_` and `-` left out, `.` and `[` either left out (PHP makes them `_`) or taken for the end.
fn changes_what_was_judged(key: &str, value: &str) -> bool {
    let is = |text: &str, names: &[&str]| names.iter().any(|name| letters(text).eq(name.chars()));
    let outer = key.trim_start_matches('[').split('[').next().unwrap_or_default();
    let first = steps(key).next().unwrap_or_default();
    let is_marked = is_marked(key);
    [outer, first].into_iter().any(|name| {
        is(name, REFUSED)
            || is_marked && is(name, REFUSED_BEHIND_A_MARK)
            || is(name, &["method"]) && is(value, METHODS)
    })
}

/// Whether some reader takes a key for `_method`: in a form or, with Laravel, in a JSON body, too.
pub(crate) fn is_method_override(key: &str) -> bool {
    is_marked(key) && steps(key).next().is_some_and(|step| letters(step).eq("method".chars()))
}

/// Whether a key begins with a character other than a letter or a digit, blanks apart.
fn is_marked(key: &str) -> bool {
    !key.trim_start_matches(' ').starts_with(char::is_alphanumeric)
}

/// `query` of RFC 3986, section 3.4, and the bytes beyond it that browsers leave raw in a query (WHATWG URL, "query
/// percent-encode set"). No common server reads a query otherwise for these: they are sent raw, as they were judged.
/// Browsers encode `"`, `<` and `>`.
fn is_query_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@%/?[]{}|\\^`".contains(&byte)
}

fn decode(text: &str) -> Result<String, Denial> {
    let mut bytes = Vec::with_capacity(text.len());
    for octet in octets(text) {
        let octet =
            octet.map_err(|BadEscape| malformed("the query has a `%` that two hex digits do not follow"))?;
        bytes.push(match octet {
            Octet::Plain(b'+') => b' ',
            Octet::Plain(octet) | Octet::Encoded(octet) => octet,
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
    fn names_that_only_resemble_a_method_override_pass() {
        for raw in [
            "method=flickr.photos.search",
            "method",
            "methods=GET",
            "paymentMethod=put",
            "method.name=GETTER",
            "filter%5BhttpMethod%5D=GET",
            "httpRequest.requestMethod=GET",
            "contentType=text/plain",
            "product=x",
            "$.xgafv=2",
            "_format=json",
            "",
            "=DELETE",
        ] {
            assert!(Query::parse(Some(raw)).is_ok(), "{raw}");
        }
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
            "acce%C5%BF%C5%BF_to%E2%84%AAen=x",
            "_method=DELETE",
            "_method",
            "_method%5B%5D=DELETE",
            "_method%5Ba%5D=DELETE",
            ".method=DELETE",
            "%5B_method=DELETE",
            "%5B_method%5D=DELETE",
            "%5Bmethod%5D=DELETE",
            "+_method=DELETE",
            "method+=DELETE",
            "method=DELETE",
            "METHOD%5B%5D=Put",
            "_HttpMethod=DELETE",
            "x-http-method-override=DELETE",
            "x_http.method+override%5B0%5D=DELETE",
            "X-Method-Override=DELETE",
            "$method=GET",
            "_content_type=text/plain",
        ] {
            let denial = Query::parse(Some(raw)).unwrap_err();
            assert_eq!(denial.reason(), Reason::QueryParameterRefused, "{raw}");
        }
    }

    #[test]
    fn both_readings_of_a_semicolon_are_judged_and_the_bytes_pass() {
        for (raw, keys) in [
            ("$alt=json;enum-encoding%3Dint", vec!["$alt", "$alt", "enum-encoding=int"]),
            ("$alt=json;enum-encoding=int&a=1", vec!["$alt", "$alt", "enum-encoding", "a"]),
            ("a=1;;b=2;", vec!["a", "a", "b"]),
            (";", vec![";"]),
            ("a;b=1", vec!["a;b", "a", "b"]),
            ("a=1&amp;name=x", vec!["a", "amp;name", "amp", "name"]),
        ] {
            let query = Query::parse(Some(raw)).unwrap();
            assert_eq!(query.as_str(), Some(raw));
            assert_eq!(query.keys().collect::<Vec<_>>(), keys, "{raw}");
        }
        for raw in [
            "a=b;access_token=x",
            "a;access_token",
            ";%61ccess_token=x",
            "$alt=json;$ct=text/plain",
            "a=b;c=d;callback=f",
            "a=1&amp;_method=DELETE",
            "method=x;method=DELETE",
        ] {
            let denial = Query::parse(Some(raw)).unwrap_err();
            assert_eq!(denial.reason(), Reason::QueryParameterRefused, "{raw}");
        }
    }

    #[test]
    fn bytes_that_browsers_leave_raw_pass_as_they_are() {
        for raw in ["filter[x]=1", "fields=a|b", "x={a}", "x=a^b", "x=`", "x=a\\b", "x='a'"] {
            assert_eq!(Query::parse(Some(raw)).unwrap().as_str(), Some(raw));
        }
        for raw in
            ["[_method]=DELETE", "{access_token}=x", "|access_token=x", "`_method`=DELETE", "\\callback=f"]
        {
            assert!(Query::parse(Some(raw)).is_err(), "{raw}");
        }
    }

    #[test]
    fn a_form_is_judged_like_the_query_that_it_is_added_to() {
        let query = |raw| Query::parse(raw).unwrap();
        assert_eq!(query(None).with_form("a=1&b=2").unwrap().as_str(), Some("a=1&b=2"));
        assert_eq!(query(Some("")).with_form("a=1").unwrap().as_str(), Some("a=1"));
        let both = query(Some("x=1")).with_form("name=2").unwrap();
        assert_eq!(both.as_str(), Some("x=1&name=2"));
        assert_eq!(both.keys().collect::<Vec<_>>(), ["x", "name"]);
        assert!(query(Some("x=1")).with_form("access_token=2").is_err());
        assert!(query(None).with_form("a b").is_err());
    }

    #[test]
    fn a_malformed_query_is_refused() {
        for raw in [
            "a=%",
            "a=%4",
            "%zz",
            "a=b;c=%zz",
            "a=b;c%00=d",
            "a=b#c",
            "a= b",
            "a=\tb",
            "a=\u{e9}",
            "a=%ff",
            "a%00b=1",
            "a=%00",
            "a=\"b\"",
            "a=<b",
            "a=b>",
            "a=\u{7f}",
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
