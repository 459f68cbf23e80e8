//! The proxies in front of the gate, and what they say about the client behind them.
//!
//! Any sender can write anything into `X-Forwarded-For` and `Forwarded`. They are read only where the other end of the
//! connection is a configured proxy, and only as far as configured proxies have written them: from the right, past the
//! addresses of such proxies, to the first other address. That is the client; the client itself has written what stands
//! left of it. Everywhere else these fields end here unread, like every field that claims to know the caller.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use http::HeaderValue;
use ipnet::IpNet;

use super::headers::Headers;
use super::{is_token_byte, malformed};
use crate::reason::Denial;

/// The trusted proxies, and the field that they write. The default trusts no proxy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies {
    /// Where their connections come from.
    pub networks: Vec<IpNet>,
    /// Whether those at the other end of Unix sockets are some of them.
    pub unix: bool,
    /// The one field that all of them write. Another one that a client writes is not read.
    pub field: HopField,
    /// The scheme of clients, where the field does not say.
    pub scheme: Option<Scheme>,
}

/// The other end of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConnectionPeer {
    /// An address.
    Ip(SocketAddr),
    /// A process of this machine, over a Unix socket.
    Unix,
    /// It is not known, as when a proxy does not say which client it has opened a connection for.
    #[default]
    Unknown,
}

impl ConnectionPeer {
    /// Its address, if it has one.
    pub fn socket(self) -> Option<SocketAddr> {
        match self {
            Self::Ip(address) => Some(address),
            Self::Unix | Self::Unknown => None,
        }
    }
}

impl From<SocketAddr> for ConnectionPeer {
    fn from(address: SocketAddr) -> Self {
        Self::Ip(address)
    }
}

impl std::fmt::Display for ConnectionPeer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(formatter),
            Self::Unix => formatter.write_str("unix"),
            Self::Unknown => formatter.write_str("unknown"),
        }
    }
}

/// The field that proxies append the address of their client to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HopField {
    /// `X-Forwarded-For`, with `X-Forwarded-Proto` for the scheme.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239), with its `for` and `proto`.
    Forwarded,
}

/// What counts as one address: of IPv6, the 64 bits that one customer is given.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

/// Most parameters of one element of `Forwarded`.
const MOST_PARAMETERS: usize = 16;

/// Where a request began, as far as that is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClientOrigin {
    /// The client's address, IPv4 in its own form; `None` where it is not known, or a proxy hides it.
    pub address: Option<IpAddr>,
    /// The scheme that the client used to the first proxy, where that says.
    pub scheme: Option<Scheme>,
}

/// The scheme of a request's URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Without TLS.
    Http,
    /// Over TLS.
    Https,
}

/// One entry: the client that a proxy had a request from.
struct Hop {
    /// `None` for `unknown` and for names that hide it (RFC 7239, sections 6.2 and 6.3).
    address: Option<IpAddr>,
    scheme: Option<Scheme>,
}

impl TrustedProxies {
    /// Where a request over a connection from `peer` began.
    ///
    /// # Errors
    /// 400 for a field that a trusted proxy cannot have written.
    pub fn origin(&self, peer: ConnectionPeer, headers: &Headers) -> Result<ClientOrigin, Denial> {
        let address = peer.socket().map(|address| address.ip().to_canonical());
        if !self.trusts(peer) {
            return Ok(ClientOrigin { address, scheme: None });
        }
        match self.field {
            HopField::XForwardedFor => {
                let values: Vec<&str> = headers.all("x-forwarded-for").map(text).collect::<Result<_, _>>()?;
                let entries = values.iter().rev().flat_map(|value| value.rsplit(','));
                let hops = entries.map(|entry| Ok(Hop { address: node(trim(entry))?, scheme: None }));
                let mut passed = 0;
                let hops = hops.inspect(|_| passed += 1);
                let origin = self.nearest_stranger(Hop { address, scheme: None }, hops)?;
                let scheme = listed_scheme(headers, passed)?;
                Ok(ClientOrigin { scheme: scheme.or(origin.scheme), ..origin })
            }
            HopField::Forwarded => {
                let mut hops = Vec::new();
                for value in headers.all("forwarded") {
                    elements(text(value)?, &mut hops)?;
                }
                let hops = hops.into_iter().rev().map(Ok);
                self.nearest_stranger(Hop { address, scheme: None }, hops)
            }
        }
    }

    /// The first hop, from this end, that is not a trusted proxy; the last one where all are.
    fn nearest_stranger(
        &self,
        mut nearest: Hop,
        hops: impl Iterator<Item = Result<Hop, Denial>>,
    ) -> Result<ClientOrigin, Denial> {
        for hop in hops {
            nearest = hop?;
            if !nearest.address.is_some_and(|address| self.trust(address)) {
                break;
            }
        }
        Ok(ClientOrigin { address: nearest.address, scheme: nearest.scheme.or(self.scheme) })
    }

    /// Whether the other end of a connection is one of them.
    pub fn trusts(&self, peer: ConnectionPeer) -> bool {
        match peer {
            ConnectionPeer::Ip(address) => self.trust(address.ip().to_canonical()),
            ConnectionPeer::Unix => self.unix,
            ConnectionPeer::Unknown => false,
        }
    }

    fn trust(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(&address))
    }
}

impl Scheme {
    /// As a URI has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    fn parse(text: &str) -> Result<Self, Denial> {
        [Self::Http, Self::Https]
            .into_iter()
            .find(|scheme| text.eq_ignore_ascii_case(scheme.as_str()))
            .ok_or_else(|| malformed("a proxy names a scheme that is neither http nor https"))
    }
}

/// The scheme that stands for the client in `X-Forwarded-Proto`, which proxies replace or append to. The client's entry of
/// `X-Forwarded-For` is number `place` from the right, from 1. It has the same place here, or the leftmost one where not every
/// proxy has appended: so what the client wrote itself is read only if no proxy wrote any.
fn listed_scheme(headers: &Headers, place: usize) -> Result<Option<Scheme>, Denial> {
    let values: Vec<&str> = headers.all("x-forwarded-proto").map(text).collect::<Result<_, _>>()?;
    let entries = values.iter().rev().flat_map(|value| value.rsplit(','));
    // All that proxies have written has to be right.
    entries.take(place.max(1)).try_fold(None, |_, entry| Scheme::parse(trim(entry)).map(Some))
}

fn text(value: &HeaderValue) -> Result<&str, Denial> {
    value.to_str().map_err(|_| malformed("a proxy's description of its client is not ASCII"))
}

fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

/// `192.0.2.1`, `2001:db8::1`, either with a port, IPv6 then in brackets (RFC 7239, section 6).
fn node(text: &str) -> Result<Option<IpAddr>, Denial> {
    if text.eq_ignore_ascii_case("unknown") || text.starts_with('_') {
        return Ok(None);
    }
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<std::net::Ipv6Addr>().ok();
    let address = text
        .parse::<IpAddr>()
        .ok()
        .or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
        .or_else(|| bracketed().map(IpAddr::V6));
    match address {
        Some(address) => Ok(Some(address.to_canonical())),
        None => Err(malformed("a proxy names its client with a text that is not an address")),
    }
}

/// Adds the elements of a `Forwarded` value, left to right (RFC 7239, section 4).
///
/// Read whole and to the letter: a client's unfinished part (an open quoted string, say) must not swallow what a proxy
/// has put behind it.
fn elements(value: &str, hops: &mut Vec<Hop>) -> Result<(), Denial> {
    let broken = || malformed("the header `forwarded` is not what RFC 7239 says");
    let mut rest = value;
    loop {
        let mut hop = Hop { address: None, scheme: None };
        let mut seen: Vec<String> = Vec::new();
        loop {
            let (name, after) = rest.split_once('=').ok_or_else(broken)?;
            let name = trim(name).to_ascii_lowercase();
            // RFC 7239 has four. A client writes into this too, and each is compared with all others.
            if seen.len() == MOST_PARAMETERS {
                return Err(broken());
            }
            if name.is_empty() || !name.bytes().all(is_token_byte) || seen.contains(&name) {
                return Err(broken());
            }
            let (written, after) = pair_value(after).ok_or_else(broken)?;
            match name.as_str() {
                "for" => hop.address = node(&written)?,
                "proto" => hop.scheme = Some(Scheme::parse(&written)?),
                _ => {}
            }
            seen.push(name);
            rest = after.trim_start_matches([' ', '\t']);
            match rest.strip_prefix(';') {
                Some(next) => rest = next,
                None => break,
            }
        }
        hops.push(hop);
        match rest.strip_prefix(',') {
            Some(next) => rest = next,
            None if rest.is_empty() => return Ok(()),
            None => return Err(broken()),
        }
    }
}

/// A token or a quoted string, and the text behind it.
fn pair_value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.bytes().position(|byte| !is_token_byte(byte)).unwrap_or(text.len());
        return (end > 0).then_some((text.get(..end)?.to_owned(), text.get(end..)?));
    };
    let mut value = String::new();
    let mut letters = quoted.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((value, quoted.get(at + 1..)?)),
            '\\' => value.push(letters.next()?.1),
            letter => value.push(letter),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    const PROXY: &str = "10.0.0.1:4000";

    fn origin(field: HopField, peer: &str, fields: &[(&str, &str)]) -> Result<ClientOrigin, Denial> {
        let networks = ["10.0.0.0/8", "2001:db8:1::/48"].map(|network| network.parse().unwrap()).to_vec();
        let mut headers = Headers::default();
        for (name, value) in fields {
            headers.push(HeaderName::try_from(*name).unwrap(), HeaderValue::from_str(value).unwrap());
        }
        let proxies = TrustedProxies { networks, field, ..TrustedProxies::default() };
        proxies.origin(peer.parse::<SocketAddr>().unwrap().into(), &headers)
    }

    fn of_list(values: &[&str]) -> Option<IpAddr> {
        let fields: Vec<_> = values.iter().map(|value| ("x-forwarded-for", *value)).collect();
        origin(HopField::XForwardedFor, PROXY, &fields).unwrap().address
    }

    fn of_forwarded(values: &[&str]) -> Result<ClientOrigin, Denial> {
        let fields: Vec<_> = values.iter().map(|value| ("forwarded", *value)).collect();
        origin(HopField::Forwarded, PROXY, &fields)
    }

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn a_stranger_is_not_listened_to() {
        let fields = [
            ("x-forwarded-for", "192.0.2.1"),
            ("x-forwarded-proto", "https"),
            ("forwarded", "for=192.0.2.1"),
        ];
        for field in [HopField::XForwardedFor, HopField::Forwarded] {
            let found = origin(field, "203.0.113.9:1", &fields).unwrap();
            assert_eq!(found, ClientOrigin { address: ip("203.0.113.9"), scheme: None });
        }
        let peer = PROXY.parse::<SocketAddr>().unwrap().into();
        let unknown = TrustedProxies::default().origin(peer, &Headers::default());
        assert_eq!(unknown.unwrap().address, ip("10.0.0.1"));
    }

    #[test]
    fn the_client_is_the_nearest_hop_that_is_not_a_proxy() {
        assert_eq!(of_list(&["192.0.2.1"]), ip("192.0.2.1"));
        assert_eq!(of_list(&["127.0.0.1, 192.0.2.1"]), ip("192.0.2.1"), "the client wrote the rest");
        assert_eq!(of_list(&["1.1.1.1, 192.0.2.1, 10.3.0.1 ,10.0.0.2"]), ip("192.0.2.1"));
        assert_eq!(of_list(&["garbage, 192.0.2.1"]), ip("192.0.2.1"), "what the client wrote is not read");
        assert_eq!(of_list(&["1.1.1.1", "192.0.2.1", "10.0.0.2"]), ip("192.0.2.1"), "lines are one list");
        assert_eq!(of_list(&["10.9.9.9, 10.0.0.2"]), ip("10.9.9.9"), "all of them are proxies");
        assert_eq!(of_list(&[]), ip("10.0.0.1"), "the proxy itself asks");
    }

    #[test]
    fn a_proxy_that_says_no_scheme_is_spoken_to_as_the_operator_says() {
        let proxies = TrustedProxies {
            networks: vec!["10.0.0.0/8".parse().unwrap()],
            scheme: Some(Scheme::Https),
            ..TrustedProxies::default()
        };
        let scheme = |peer: &str, fields: &[(&str, &str)]| {
            let mut headers = Headers::default();
            for (name, value) in fields {
                headers.push(HeaderName::try_from(*name).unwrap(), HeaderValue::from_str(value).unwrap());
            }
            proxies.origin(peer.parse::<SocketAddr>().unwrap().into(), &headers).unwrap().scheme
        };
        assert_eq!(scheme(PROXY, &[]), Some(Scheme::Https));
        assert_eq!(scheme(PROXY, &[("x-forwarded-for", "192.0.2.1")]), Some(Scheme::Https));
        assert_eq!(scheme(PROXY, &[("x-forwarded-proto", "http")]), Some(Scheme::Http));
        assert_eq!(scheme("203.0.113.9:1", &[("x-forwarded-proto", "https")]), None);
    }

    #[test]
    fn addresses_are_read_in_every_spelling_of_theirs() {
        for (written, meant) in [
            ("192.0.2.1:4711", "192.0.2.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:80", "2001:db8::1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
        ] {
            assert_eq!(of_list(&[written]), ip(meant), "{written}");
        }
        assert_eq!(of_list(&["192.0.2.1, unknown"]), None, "it is unknown, and nothing is guessed");
        let mapped =
            origin(HopField::XForwardedFor, "[::ffff:10.0.0.1]:1", &[("x-forwarded-for", "192.0.2.1")]);
        assert_eq!(mapped.unwrap().address, ip("192.0.2.1"));
    }

    #[test]
    fn fields_that_a_proxy_cannot_have_meant_are_refused() {
        for value in ["", "192.0.2.1,", "192.0.2", "host.example", "[192.0.2.1]", "192.0.2.1 10.0.0.2", "é"]
        {
            let fields = [("x-forwarded-for", value)];
            assert!(origin(HopField::XForwardedFor, PROXY, &fields).is_err(), "{value:?}");
        }
        for value in ["gopher", "https, gopher", "https,", ""] {
            let fields = [("x-forwarded-for", "192.0.2.1"), ("x-forwarded-proto", value)];
            assert!(origin(HopField::XForwardedFor, PROXY, &fields).is_err(), "{value:?}");
        }
    }

    /// Each proxy may append the scheme of its own client, or write one for all.
    #[test]
    fn the_scheme_of_the_client_stands_where_its_address_stands() {
        let scheme = |addresses: &str, schemes: &[&str]| {
            let mut fields = vec![("x-forwarded-for", addresses)];
            fields.extend(schemes.iter().map(|value| ("x-forwarded-proto", *value)));
            origin(HopField::XForwardedFor, PROXY, &fields).unwrap().scheme
        };
        let (http, https) = (Some(Scheme::Http), Some(Scheme::Https));
        assert_eq!(scheme("192.0.2.1, 10.0.0.2", &["https, http"]), https);
        assert_eq!(scheme("192.0.2.1, 10.0.0.2", &["https", "http"]), https, "lines are one list");
        assert_eq!(scheme("192.0.2.1, 10.0.0.2", &["HTTPS"]), https, "one for all");
        assert_eq!(scheme("192.0.2.1, 10.0.0.2, 10.0.0.3", &["https, http"]), https, "one has not appended");
        assert_eq!(scheme("192.0.2.1", &["https, http"]), http, "the client wrote the first");
        assert_eq!(scheme("10.0.0.9, 192.0.2.1, 10.0.0.2", &["https, http, http"]), http, "so it did here");
        assert_eq!(scheme("192.0.2.1", &["gopher, http"]), http, "what the client wrote is not read");
        assert_eq!(scheme("192.0.2.1", &[]), None);
        let alone = [("x-forwarded-proto", "http, https")];
        assert_eq!(origin(HopField::XForwardedFor, PROXY, &alone).unwrap().scheme, https, "the proxy's own");
    }

    /// Google's external load balancers append two addresses: the client's and their own.
    #[test]
    fn the_load_balancer_of_google_appends_two_addresses() {
        let networks = ["35.191.0.0/16", "130.211.0.0/22", "203.0.113.7/32"];
        let networks = networks.map(|network| network.parse().unwrap()).to_vec();
        let proxies = TrustedProxies { networks, ..TrustedProxies::default() };
        let client = |value: &str| {
            let mut headers = Headers::default();
            headers.push(HeaderName::from_static("x-forwarded-for"), HeaderValue::from_str(value).unwrap());
            let peer = "35.191.8.9:4000".parse::<SocketAddr>().unwrap();
            proxies.origin(peer.into(), &headers).unwrap().address
        };
        assert_eq!(client("192.0.2.1,203.0.113.7"), ip("192.0.2.1"));
        assert_eq!(
            client("198.51.100.1,203.0.113.7, 192.0.2.1,203.0.113.7"),
            ip("192.0.2.1"),
            "it wrote the rest"
        );
    }

    #[test]
    fn a_unix_socket_is_trusted_if_it_is_named_and_an_unknown_peer_never_is() {
        let mut headers = Headers::default();
        headers.push(HeaderName::from_static("x-forwarded-for"), HeaderValue::from_static("192.0.2.1"));
        for (unix, peer, address) in [
            (true, ConnectionPeer::Unix, ip("192.0.2.1")),
            (false, ConnectionPeer::Unix, None),
            (true, ConnectionPeer::Unknown, None),
        ] {
            let proxies = TrustedProxies { unix, ..TrustedProxies::default() };
            assert_eq!(proxies.origin(peer, &headers).unwrap().address, address, "{unix} {peer}");
        }
    }

    #[test]
    fn forwarded_is_read_by_rfc_7239() {
        for (value, address, scheme) in [
            ("for=192.0.2.1", ip("192.0.2.1"), None),
            ("For=\"[2001:db8::1]:80\";PROTO=https;by=_gate", ip("2001:db8::1"), Some(Scheme::Https)),
            ("for=1.1.1.1, for=192.0.2.1;proto=http, for=10.0.0.2", ip("192.0.2.1"), Some(Scheme::Http)),
            ("for=_hidden, for=10.0.0.2", None, None),
            ("for=unknown", None, None),
            ("proto=https", None, Some(Scheme::Https)),
            ("for=\"1.1.1.1\" , for=192.0.2.1;host=\"a, b\"", ip("192.0.2.1"), None),
        ] {
            assert_eq!(of_forwarded(&[value]).unwrap(), ClientOrigin { address, scheme }, "{value}");
        }
    }

    /// A client that opens a quote must not hide what its proxy adds.
    #[test]
    fn a_client_cannot_swallow_what_its_proxy_adds() {
        for begun in
            ["for=\"x", "for=\"x\\", "for=1.1.1.1;x=\"", "for", "for=", "for=1.1.1.1;", ";", "for=a b"]
        {
            for added in ["for=192.0.2.1", "for=\"[2001:db8::1]:4711\"", "for=\"[2001:db8::1]\";proto=https"]
            {
                let joined = of_forwarded(&[&format!("{begun}, {added}")]);
                assert!(joined.is_err(), "{begun}, {added}");
            }
        }
        let many: Vec<String> = (0..17).map(|number| format!("p{number}=1")).collect();
        assert!(of_forwarded(&[&many.join(";")]).is_err());
        assert!(of_forwarded(&[&many[1..].join(";")]).is_ok());
        for value in ["for=1.1.1.1;for=2.2.2.2", "for=1.1.1.1,", "", "f(=1.1.1.1", "for=\"1.1.1.1\"x"] {
            assert!(of_forwarded(&[value]).is_err(), "{value:?}");
        }
    }
}
