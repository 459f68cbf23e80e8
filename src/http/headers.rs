//! The header fields of a request, and the rules about which of them a client may send.

mod families;
mod names;

use http::header::COOKIE;
use http::{HeaderName, HeaderValue, Method};

use self::families::{Family, family};
pub use self::names::HeaderNames;
use super::malformed;
use crate::reason::Denial;

/// Fields in the order they came. A request has few: a linear search beats a map.
#[derive(Clone, Debug, Default)]
pub struct Headers {
    fields: Vec<(HeaderName, HeaderValue)>,
    /// A bit for each name that is there, or was: that of [`mark`]. A name whose bit is not set is not there, and most names
    /// that are looked for are not.
    marks: u64,
    /// The bits that more than one field has. A name whose bit is not set is there once at most.
    shared_marks: u64,
}

/// The bit of a name. Others have it too.
#[inline]
fn mark(name: &str) -> u64 {
    let first = name.as_bytes().first().copied().unwrap_or_default();
    1 << ((usize::from(first) + 5 * name.len()) % 64)
}

/// Fields about one connection (RFC 9110, section 7.6.1), which end here.
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

/// Names the method that a request stands for.
const METHOD_OVERRIDE: &str = "x-http-method-override";

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

/// Fields that `Connection` may not name: to remove them would change the framing, the caller or what is judged.
const NOT_NOMINABLE: &[&str] = &[
    "authorization",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "dpop",
    "expect",
    "host",
    "x-goog-api-key",
    "x-goog-user-project",
];

impl Headers {
    /// An empty list with room.
    pub fn with_capacity(capacity: usize) -> Self {
        Self { fields: Vec::with_capacity(capacity), ..Self::default() }
    }

    /// Adds a field.
    pub fn push(&mut self, name: HeaderName, value: HeaderValue) {
        let mark = mark(name.as_str());
        self.shared_marks |= self.marks & mark;
        self.marks |= mark;
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
        let marked = if self.marks & mark(name) == 0 { &[] } else { self.fields.as_slice() };
        marked.iter().filter(move |(field, _)| field.as_str() == name).map(|(_, value)| value)
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
        if self.shared_marks & mark(name) == 0 {
            return Ok(first);
        }
        match values.next() {
            Some(_) => Err(malformed(format!("the header `{name}` is sent twice"))),
            None => Ok(first),
        }
    }

    /// Joins several `Cookie` fields into one. HTTP/2 may split a cookie, and a field of another version holds it whole
    /// (RFC 9113, section 8.2.3); over HTTP/1 a client sends one (RFC 6265, section 5.4), and servers differ about
    /// which of two counts.
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

    /// Takes the method that `X-HTTP-Method-Override` names out of the head, where it may stand in for the one that was
    /// sent. Google's clients send a GET whose target would be long, and a PATCH, as a POST with this field
    /// (cloud.google.com/apis/docs/system-parameters).
    ///
    /// # Errors
    /// 400 for every other method, over every other method, and for a second copy of the field.
    pub fn take_override(&mut self, sent: &Method) -> Result<Option<Method>, Denial> {
        let Some(named) = self.one(METHOD_OVERRIDE)? else { return Ok(None) };
        let method = match (sent, named.as_bytes()) {
            (&Method::POST, b"GET") => Method::GET,
            (&Method::POST, b"PATCH") => Method::PATCH,
            _ => {
                let why = "`x-http-method-override` may name GET or PATCH over a POST, and nothing else";
                return Err(malformed(why));
            }
        };
        self.fields.retain(|(name, _)| name != METHOD_OVERRIDE);
        Ok(Some(method))
    }

    /// Drops the fields whose names `kept` does not want.
    pub(super) fn retain(&mut self, kept: impl Fn(&HeaderName) -> bool) {
        self.fields.retain(|(name, _)| kept(name));
    }

    /// Refuses fields that no honest client sends, and drops those that end here: later stages never see a client's
    /// copy of a header that opgate sets, nor the trace of a sender that is not a trusted proxy.
    ///
    /// # Errors
    /// 400 for method overrides, WebSockets, repeated singular fields, underscore twins and forbidden nominations.
    pub fn settle(&mut self, is_from_proxy: bool) -> Result<(), Denial> {
        if self.shared_marks != 0 {
            for name in SINGULAR {
                self.one(name)?;
            }
        }
        if self.all("upgrade").any(names_websocket) {
            return Err(malformed("WebSockets are not spoken here"));
        }
        let mut nominated = Vec::new();
        for value in self.all("connection") {
            if !nominated.is_empty() {
                return Err(malformed("the header `connection` is sent twice"));
            }
            nominated.extend(nominations(value)?);
        }
        let mut refusal = None;
        self.fields.retain(|(name, _)| match fate(name.as_str()) {
            Fate::Passes => nominated.iter().all(|field| name != field.as_str()),
            Fate::PassesFromProxies => is_from_proxy,
            // The framing is read after this, and dropped when the request is rebuilt.
            Fate::Dropped => name == "transfer-encoding",
            Fate::Refused(why) => {
                refusal.get_or_insert(why);
                false
            }
        });
        match refusal {
            None => Ok(()),
            Some(why) => Err(malformed(why)),
        }
    }
}

/// What happens to a client's field, by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// A client may send it.
    Passes,
    /// A trusted proxy may send it. It ends here where it comes from others.
    PassesFromProxies,
    /// It ends here: it is about one connection, or only the gate may tell it to a backend.
    Dropped,
    /// The request is refused, for this reason.
    Refused(String),
}

/// What happens to a client's field of this name, in lower case.
pub fn fate(name: &str) -> Fate {
    if is_usual(name) { Fate::Passes } else { fate_by_rule(name) }
}

/// Names that most requests have and that pass. To tell them is cheaper than to ask each rule about them.
fn is_usual(name: &str) -> bool {
    matches!(
        name,
        "accept"
            | "accept-charset"
            | "accept-encoding"
            | "accept-language"
            | "authorization"
            | "cache-control"
            | "content-encoding"
            | "content-length"
            | "content-type"
            | "cookie"
            | "date"
            | "dnt"
            | "dpop"
            | "expect"
            | "host"
            | "if-match"
            | "if-modified-since"
            | "if-none-match"
            | "origin"
            | "pragma"
            | "priority"
            | "range"
            | "referer"
            | "sec-ch-ua"
            | "sec-ch-ua-mobile"
            | "sec-ch-ua-platform"
            | "sec-fetch-dest"
            | "sec-fetch-mode"
            | "sec-fetch-site"
            | "user-agent"
            | "x-goog-api-client"
            | "x-goog-api-key"
            | "x-goog-user-project"
            | "x-requested-with"
    )
}

/// The rules, in their order.
fn fate_by_rule(name: &str) -> Fate {
    if let Some(twin) = plain_twin(name)
        && is_trusted(&twin)
    {
        // CGI-style servers read `X_Opgate_Principal` as `X-Opgate-Principal`, some `Transfer--Encoding` too.
        return Fate::Refused(format!("some servers read the header `{name}` as `{twin}`"));
    }
    match family(name) {
        Some(Family::MethodOverride) => {
            Fate::Refused(format!("the header `{name}` would change the method that was judged"))
        }
        Some(Family::Told) => Fate::Dropped,
        Some(Family::Trace) => Fate::PassesFromProxies,
        None if HOP_BY_HOP.contains(&name) => Fate::Dropped,
        None => Fate::Passes,
    }
}

/// Whether an `Upgrade` asks for a WebSocket (RFC 6455, section 4.1), alone or in a list. Such a client has nothing to say
/// to a server that goes on with HTTP. Every other protocol is an offer that a server may ignore (RFC 9110, section 7.8):
/// the field ends here, and the request goes on as what it is.
fn names_websocket(value: &HeaderValue) -> bool {
    let protocols = value.as_bytes().split(|byte| *byte == b',');
    let mut names = protocols.filter_map(|protocol| protocol.split(|byte| *byte == b'/').next());
    names.any(|name| name.trim_ascii().eq_ignore_ascii_case(b"websocket"))
}

/// The fields that a `Connection` value names, beside its own options.
///
/// A list longer than any client sends is refused: each item costs a search.
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
        if option == "close" || HOP_BY_HOP.contains(&option.as_str()) {
            continue;
        }
        if NOT_NOMINABLE.contains(&option.as_str()) || family(&option).is_some() {
            return Err(malformed(format!("the header `connection` must not name `{option}`")));
        }
        fields.push(option);
    }
    Ok(fields)
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

/// Whether opgate judges by this name, sets it or drops it.
fn is_trusted(name: &str) -> bool {
    family(name).is_some() || [HOP_BY_HOP, SINGULAR, NOT_NOMINABLE].iter().any(|names| names.contains(&name))
}

#[cfg(test)]
mod tests;
