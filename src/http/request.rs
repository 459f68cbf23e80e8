//! A request in the one form in which it is judged and from which it is sent.

use std::borrow::Cow;
use std::sync::Arc;

use http::{HeaderValue, Method};
use memchr::{memchr, memrchr};

use super::channel::Channel;
use super::head::RawHead;
use super::headers::Headers;
use super::path::Path;
use super::proxies::{ClientOrigin, ConnectionPeer, Scheme, TrustedProxies};
use super::query::Query;
use super::rpc::RpcProtocol;
use super::version::Version;
use super::{malformed, request_line};
use crate::bytewise;
use crate::reason::Denial;
use crate::trace_context::SentTrace;

/// How the body is delimited, judged but not yet read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// HTTP/1 without a body: neither length nor transfer coding.
    None,
    /// `Content-Length`.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
    /// HTTP/2 DATA frames, up to the end of the stream; with the length that was announced.
    Stream(Option<u64>),
}

impl Framing {
    /// The length that the head tells; `None` where it tells none.
    pub fn announced(self) -> Option<u64> {
        match self {
            Self::None => Some(0),
            Self::Length(length) => Some(length),
            Self::Stream(length) => length,
            Self::Chunked => None,
        }
    }
}

/// The host that a request addresses: lower case, without port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host(Box<str>);

/// A request that can be read in one way only.
#[derive(Clone, Debug)]
pub struct Request {
    /// The version it came in.
    pub version: Version,
    /// The method that is judged and forwarded; `CONNECT` never gets here.
    pub method: Method,
    /// The method that was sent, where `X-HTTP-Method-Override` named the one that is judged.
    pub overridden: Option<Method>,
    /// The host, from `Host` or `:authority`.
    pub host: Host,
    /// The authority as it was sent, with its port: what goes upstream as `Host`.
    pub authority: HeaderValue,
    /// The path.
    pub path: Path,
    /// The query.
    pub query: Query,
    /// The fields that a client may send; `Authorization` is among them, and `DPoP`, which ends here.
    pub headers: Headers,
    /// Which protocol of remote calls it speaks.
    pub rpc: RpcProtocol,
    /// How the body is delimited.
    pub framing: Framing,
    /// Whether the connection goes on after the answer, as far as the client says (RFC 9112, section 9.3).
    pub persists: bool,
    /// The other end of the connection.
    pub peer: ConnectionPeer,
    /// Where it began: at the other end of the connection, or where a trusted proxy there says.
    pub origin: ClientOrigin,
    /// The scheme of an absolute-form target or of `:scheme`. It agrees with the connection.
    pub named_scheme: Option<Scheme>,
    /// The port that the connection came in at.
    pub port: Option<u16>,
    /// Whether it reads the health path of its listener: exactly that path, without a query, by GET or HEAD.
    pub is_health_probe: bool,
    /// The TLS facts of the connection; `None` without TLS.
    pub channel: Option<Arc<Channel>>,
    /// The trace that it says it belongs to.
    pub trace: Option<SentTrace>,
    /// The id that the client has given it, where that can stand in a log. It is the client's claim.
    pub client_request_id: Option<Box<str>>,
}

/// What a connection says of the requests that come over it.
#[derive(Clone, Debug, Default)]
pub struct Peer {
    /// The other end.
    pub address: ConnectionPeer,
    /// The port that it came in at.
    pub port: Option<u16>,
    /// The path at which its listener tells balancers how the gate is; `None` for none.
    pub health_path: Option<Arc<Path>>,
    /// What TLS says of it; `None` where there is none.
    pub channel: Option<Arc<Channel>>,
}

impl Request {
    /// Whether the HTTP method gives a body a meaning (RFC 9110, section 9.3).
    pub fn expects_body(&self) -> bool {
        matches!(self.method.as_str(), "POST" | "PUT" | "PATCH")
    }

    /// Judges the head of a request, of either version.
    ///
    /// # Errors
    /// 400 for everything that two readers could take for two requests.
    pub fn new(head: RawHead, peer: &Peer, proxies: &TrustedProxies) -> Result<Self, Denial> {
        let request = match head.version {
            Version::Http2 => {
                let RawHead { method, target, authority, scheme, headers, .. } = head;
                let authority = authority.as_deref();
                let request = Self::from_http2(method, authority, &target, headers, peer.address, proxies)?;
                Self { named_scheme: scheme, ..request }
            }
            Version::Http10 | Version::Http11 => Self::from_head(head, peer.address, proxies)?,
        };
        let is_health_probe = peer.health_path.as_ref().is_some_and(|path| request.reads(path));
        Self { port: peer.port, is_health_probe, ..request }.over(peer.channel.clone(), proxies)
    }

    /// Judges an HTTP/1 head.
    ///
    /// # Errors
    /// 400 for every class that docs/security.md, "What is refused", lists.
    pub fn from_head(head: RawHead, peer: ConnectionPeer, proxies: &TrustedProxies) -> Result<Self, Denial> {
        let RawHead { method, target, version, headers, .. } = head;
        let host_field = match headers.one("host")? {
            Some(value) => value.clone(),
            None => return Err(malformed("the header `host` is missing")),
        };
        let framing = frame_http1(version, &headers)?;
        let persists = persists(version, &headers);
        refuse_content(&method, framing)?;
        let (named_scheme, origin_form) = match split_absolute_form(&target)? {
            None => (None, target.as_str()),
            Some((scheme, authority, origin_form)) => {
                // To the byte: a backend may compare so as well.
                if authority.as_bytes() != host_field.as_bytes() {
                    return Err(malformed("the request target names another host than the header `host`"));
                }
                (Some(scheme), origin_form)
            }
        };
        let origin = proxies.origin(peer, &headers)?;
        let is_from_proxy = proxies.trusts(peer);
        let request =
            Self::assemble(version, method, host_field, origin_form, headers, framing, is_from_proxy)?;
        Ok(Self { persists, peer, origin, named_scheme, ..request })
    }

    /// Judges an HTTP/2 head (RFC 9113, section 8.3). `authority` is the `:authority` pseudo-header.
    ///
    /// # Errors
    /// As [`Request::new`].
    pub fn from_http2(
        method: Method,
        authority: Option<&str>,
        path_and_query: &str,
        headers: Headers,
        peer: ConnectionPeer,
        proxies: &TrustedProxies,
    ) -> Result<Self, Denial> {
        if let Some((name, _)) = headers.iter().find(|(name, _)| is_connection_specific(name.as_str())) {
            return Err(malformed(format!("the header `{name}` may not be sent over HTTP/2")));
        }
        // RFC 9113, section 8.2.1. HTTP/1 readers trim such values: each hop would see another one.
        if let Some((name, _)) = headers.iter().find(|(_, value)| has_outer_whitespace(value)) {
            return Err(malformed(format!("the value of `{name}` begins or ends with whitespace")));
        }
        if headers.all("te").any(|value| value != "trailers") {
            return Err(malformed("the header `te` may only say `trailers` over HTTP/2"));
        }
        let method = request_line::method(method.as_str().as_bytes())?;
        let origin_form = request_line::target(path_and_query.as_bytes())?;
        let host_field = headers.one("host")?;
        let authority = match (authority, host_field) {
            (None, None) => return Err(malformed("the request names no host")),
            (None, Some(host)) => host.clone(),
            (Some(authority), host) => {
                if host.is_some_and(|host| !host.as_bytes().eq_ignore_ascii_case(authority.as_bytes())) {
                    return Err(malformed("`:authority` names another host than the header `host`"));
                }
                HeaderValue::from_str(authority).map_err(|_| malformed("`:authority` is not a host"))?
            }
        };
        let framing = Framing::Stream(content_length(&headers)?);
        refuse_content(&method, framing)?;
        let origin = proxies.origin(peer, &headers)?;
        let is_from_proxy = proxies.trusts(peer);
        let request =
            Self::assemble(Version::Http2, method, authority, origin_form, headers, framing, is_from_proxy)?;
        Ok(Self { peer, origin, ..request })
    }

    fn assemble(
        version: Version,
        method: Method,
        authority: HeaderValue,
        origin_form: &str,
        mut headers: Headers,
        framing: Framing,
        is_from_proxy: bool,
    ) -> Result<Self, Denial> {
        let host = Host::parse(&authority)?;
        let split = memchr(b'?', origin_form.as_bytes()).and_then(|at| origin_form.split_at_checked(at));
        let (path, query) = match split {
            Some((path, query)) => (path, query.get(1..)),
            None => (origin_form, None),
        };
        let path = Path::parse(path)?;
        let query = Query::parse(query)?;
        if headers.all("expect").any(|value| !value.as_bytes().eq_ignore_ascii_case(b"100-continue")) {
            return Err(malformed("the header `expect` asks for something else than `100-continue`"));
        }
        headers.join_cookies()?;
        let (method, overridden) = match headers.take_override(&method)? {
            Some(named) => (named, Some(method)),
            None => (method, None),
        };
        let client_request_id = headers.client_request_id();
        let trace = headers.take_trace(is_from_proxy);
        headers.settle(is_from_proxy)?;
        let rpc = RpcProtocol::of(version, &headers);
        Ok(Self {
            version,
            method,
            overridden,
            host,
            authority,
            path,
            query,
            headers,
            rpc,
            framing,
            persists: true,
            peer: ConnectionPeer::Unknown,
            origin: ClientOrigin::default(),
            named_scheme: None,
            port: None,
            is_health_probe: false,
            channel: None,
            trace,
            client_request_id,
        })
    }

    /// The request, as it came over a connection with these TLS facts.
    ///
    /// # Errors
    /// 400 where it names a scheme that this connection does not have.
    pub fn over(self, channel: Option<Arc<Channel>>, proxies: &TrustedProxies) -> Result<Self, Denial> {
        let from_trusted_proxy = proxies.trusts(self.peer);
        request_line::fit_scheme(self.named_scheme, channel.is_some(), from_trusted_proxy)?;
        Ok(Self { channel, ..self })
    }

    /// The request, as a client has sent it that spoke this version with a proxy. It was judged by the rules of the version in
    /// which the proxy tells of it.
    pub fn spoken_in(self, version: Version) -> Self {
        Self { version, ..self }
    }

    /// Path and query as they were sent and will be sent.
    pub fn target(&self) -> Cow<'_, str> {
        match self.query.as_str() {
            None => Cow::Borrowed(self.path.as_str()),
            Some(query) => Cow::Owned(format!("{}?{query}", self.path.as_str())),
        }
    }

    /// Whether it reads exactly this path.
    fn reads(&self, path: &Path) -> bool {
        let is_read = matches!(self.method, Method::GET | Method::HEAD) && self.overridden.is_none();
        is_read && self.target() == path.as_str()
    }

    /// The method as it was sent.
    pub fn sent_method(&self) -> &Method {
        self.overridden.as_ref().unwrap_or(&self.method)
    }

    /// The scheme that the client used: as a trusted proxy says, else that of this connection.
    pub fn scheme(&self) -> Scheme {
        let ours = if self.channel.is_some() { Scheme::Https } else { Scheme::Http };
        self.origin.scheme.unwrap_or(ours)
    }

    /// Whether it is a call over gRPC.
    pub fn is_grpc(&self) -> bool {
        self.rpc == RpcProtocol::Grpc
    }

    /// Every value of `Authorization`.
    pub fn authorization(&self) -> impl Iterator<Item = &[u8]> {
        self.headers.all("authorization").map(HeaderValue::as_bytes)
    }

    /// Every value of `DPoP`.
    pub fn proofs(&self) -> impl Iterator<Item = &[u8]> {
        self.headers.all("dpop").map(HeaderValue::as_bytes)
    }

    /// Whether the client waits for `100 Continue` before it sends the body.
    pub fn expects_continue(&self) -> bool {
        self.version == Version::Http11 && self.headers.contains("expect")
    }
}

impl RawHead {
    /// How the body of an HTTP/1 message with this head is delimited.
    ///
    /// # Errors
    /// 400 where it is not clear.
    pub fn framing(&self) -> Result<Framing, Denial> {
        frame_http1(self.version, &self.headers)
    }

    /// Whether the connection goes on behind an HTTP/1 message with this head.
    pub fn persists(&self) -> bool {
        persists(self.version, &self.headers)
    }
}

/// Whether the client lets the connection go on: `close` ends it, `keep-alive` keeps one of HTTP/1.0.
fn persists(version: Version, headers: &Headers) -> bool {
    let says = |option: &str| {
        let values = headers.all("connection").flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
        values.map(<[u8]>::trim_ascii).any(|token| token.eq_ignore_ascii_case(option.as_bytes()))
    };
    !says("close") && (version == Version::Http11 || says("keep-alive"))
}

impl Host {
    /// Parses `host [":" port]` (RFC 9110, section 7.2). User information, a trailing dot and empty hosts are refused.
    ///
    /// # Errors
    /// 400.
    pub fn parse(authority: &HeaderValue) -> Result<Self, Denial> {
        let text = authority.to_str().map_err(|_| malformed("the host is not ASCII"))?;
        // An IPv6 literal keeps its brackets; its colons do not begin a port.
        let port_at = match memrchr(b']', text.as_bytes()) {
            Some(bracket) => text.get(bracket..).and_then(|rest| rest.find(':')).map(|at| bracket + at),
            None => memchr(b':', text.as_bytes()),
        };
        let (host, port) = match port_at {
            Some(at) => (text.get(..at).unwrap_or_default(), text.get(at + 1..)),
            None => (text, None),
        };
        let is_port =
            |port: &str| port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok();
        if port.is_some_and(|port| !is_port(port)) {
            return Err(malformed("the host's port is not a number up to 65535"));
        }
        let is_name = |byte: u8| {
            byte.is_ascii_alphabetic()
                | byte.is_ascii_digit()
                | (byte == b'-')
                | (byte == b'.')
                | (byte == b'_')
        };
        let is_literal = |byte: u8| byte.is_ascii_hexdigit() | (byte == b':') | (byte == b'.');
        let valid = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(literal) => !literal.is_empty() && bytewise::all(literal.as_bytes(), is_literal),
            None => !host.is_empty() && bytewise::all(host.as_bytes(), is_name),
        };
        if !valid {
            return Err(malformed("the host is not a name or an address"));
        }
        // RFC 1035, section 2.3.4.
        if host.len() > 255 {
            return Err(malformed("the host is longer than 255 bytes"));
        }
        if host.ends_with('.') || host.starts_with('.') || host.contains("..") {
            return Err(malformed("the host begins or ends with a dot, or has two in a row"));
        }
        Ok(Self(host.to_ascii_lowercase().into()))
    }

    /// The host in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// RFC 9112, section 6.3, without its repairs: a request with two delimitations is refused.
fn frame_http1(version: Version, headers: &Headers) -> Result<Framing, Denial> {
    let length = content_length(headers)?;
    let Some(coding) = headers.one("transfer-encoding")? else {
        return Ok(length.map_or(Framing::None, Framing::Length));
    };
    if headers.contains("content-length") {
        return Err(malformed("both `content-length` and `transfer-encoding` are sent"));
    }
    if version == Version::Http10 {
        return Err(malformed("`transfer-encoding` is sent over HTTP/1.0"));
    }
    // RFC 9112 lets the coding be written in any case; every client writes it like this.
    if coding != "chunked" {
        return Err(malformed("`transfer-encoding` is something else than `chunked`"));
    }
    Ok(Framing::Chunked)
}

/// RFC 9110, section 9.3.1: content in a GET has no meaning, and can hide a request from servers that do not look for
/// any. An announced body is refused here, an unannounced one by the body rule.
fn refuse_content(method: &Method, framing: Framing) -> Result<(), Denial> {
    let announced = match framing {
        Framing::Chunked => true,
        Framing::Length(length) | Framing::Stream(Some(length)) => length > 0,
        Framing::None | Framing::Stream(None) => false,
    };
    if announced && (method == Method::GET || method == Method::HEAD) {
        return Err(malformed(format!("a {method} request announces a body")));
    }
    Ok(())
}

/// `1*DIGIT`, once (RFC 9110, section 8.6): no sign, no list, no space.
fn content_length(headers: &Headers) -> Result<Option<u64>, Denial> {
    let Some(value) = headers.one("content-length")? else {
        return Ok(None);
    };
    let length = super::field_line::number(value.as_bytes());
    length.map(Some).ok_or_else(|| malformed("`content-length` is not a number of bytes"))
}

/// Scheme, authority and origin-form of an absolute-form target (RFC 9112, section 3.2.2), or `None` for an origin-form.
fn split_absolute_form(target: &str) -> Result<Option<(Scheme, &str, &str)>, Denial> {
    if target.starts_with('/') {
        return Ok(None);
    }
    let http = target.strip_prefix("http://").map(|rest| (Scheme::Http, rest));
    let https = || target.strip_prefix("https://").map(|rest| (Scheme::Https, rest));
    let (scheme, rest) = http
        .or_else(https)
        .ok_or_else(|| malformed("the request target is neither a path nor an http URL"))?;
    let slash = rest.find('/').ok_or_else(|| malformed("the request target has no path"))?;
    let (authority, origin_form) = rest.split_at(slash);
    Ok(Some((scheme, authority, origin_form)))
}

/// RFC 9113, section 8.2.2.
fn is_connection_specific(name: &str) -> bool {
    matches!(
        name,
        "connection" | "keep-alive" | "proxy-connection" | "transfer-encoding" | "upgrade" | "http2-settings"
    )
}

fn has_outer_whitespace(value: &HeaderValue) -> bool {
    let is_space = |byte: Option<&u8>| byte.is_some_and(|byte| matches!(byte, b' ' | b'\t'));
    is_space(value.as_bytes().first()) || is_space(value.as_bytes().last())
}

#[cfg(test)]
mod tests;
