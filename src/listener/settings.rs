//! What the file says of connections: the `listeners`, and the bounds of what one client's connections take.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::address::ListenAddress;
use super::authorizer::{self, Authorizer};
use super::client_socket::TcpKeepAlive;
use super::proxy_protocol::ProxyProtocol;
use super::socket::SocketOptions;
use crate::diagnostic::{Report, Span};
use crate::document::location::located;
use crate::document::scalar::{count, duration, set};
use crate::document::{Fields, Node, Spelling, Value};
use crate::http::head::HeadLimits;
use crate::http::settings::peers;
use crate::tls::ListenerTls;
use crate::tls::settings::{self as tls, ReadListenerTls};

/// A socket that clients connect to.
#[derive(Clone, Debug)]
pub struct ListenerSettings {
    /// Address and port, of which port 0 takes a free one; or the path of a Unix socket.
    pub address: ListenAddress,
    /// How its socket is made.
    pub socket: SocketOptions,
    /// Whether HTTP/2 is spoken beside HTTP/1.1: agreed on by ALPN, or with prior knowledge where there is no TLS.
    pub http2: bool,
    /// The TLS settings; `None` for plain text.
    pub tls: Option<ListenerTls>,
    /// The proxies that say ahead of each connection whose it is; `None` where clients connect by themselves.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// How clients are found that are gone without a word; `None` where they are not looked for.
    pub keep_alive: Option<TcpKeepAlive>,
    /// Where balancers ask how the gate is, and where that is written; `None` for nowhere.
    pub health_path: Option<(crate::http::Path, Span)>,
    /// Where it decides for proxies, and forwards nothing; `None` where it forwards.
    pub authorizer: Option<Authorizer>,
}

/// Bounds of connections, and of what is read from them and written to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenerLimits {
    /// Of request heads.
    pub head: HeadLimits,
    /// From the first byte of a head to its last.
    pub head_timeout: Duration,
    /// For a TLS handshake, from the connection to its end.
    pub handshake_timeout: Duration,
    /// The time in which a client has to take a part of an answer.
    pub write_timeout: Duration,
    /// Requests under way at one time, of one HTTP/2 connection.
    pub http2_streams: usize,
    /// Streams of one HTTP/2 connection that may be reset ahead of any that is answered.
    pub http2_resets: usize,
    /// For a body to arrive in full.
    pub body_timeout: Duration,
    /// Between two requests of a connection.
    pub idle_timeout: Duration,
    /// Of clients, at one time.
    pub connections: usize,
    /// From one address, at one time.
    pub connections_per_address: usize,
    /// After which a connection takes no more requests.
    pub connection_lifetime: Duration,
    /// From SIGTERM until listeners close: balancers are told meanwhile.
    pub drain_delay: Duration,
    /// From the end of that until connections are cut.
    pub grace_period: Duration,
}

impl Default for ListenerLimits {
    fn default() -> Self {
        Self {
            head: HeadLimits::default(),
            head_timeout: Duration::from_secs(10),
            handshake_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(10),
            http2_streams: 100,
            http2_resets: 100,
            body_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(60),
            connections: 10_000,
            connections_per_address: 1_000,
            connection_lifetime: Duration::from_secs(3600),
            drain_delay: Duration::ZERO,
            grace_period: Duration::from_secs(30),
        }
    }
}

impl ListenerLimits {
    /// Reads the fields of `limits` about the beginning of a connection.
    pub(crate) fn read_beginning(&mut self, fields: &mut Fields<'_>, report: &mut Report) {
        self.head = HeadLimits::read(fields, report);
        set(fields, "head_timeout", &mut self.head_timeout, duration, report);
        set(fields, "handshake_timeout", &mut self.handshake_timeout, duration, report);
    }

    /// Reads the field of `limits` about answers.
    pub(crate) fn read_answers(&mut self, fields: &mut Fields<'_>, report: &mut Report) {
        set(fields, "write_timeout", &mut self.write_timeout, duration, report);
    }

    /// Reads the fields of `limits` about a connection as a whole, and about all of them.
    pub(crate) fn read_connections(&mut self, fields: &mut Fields<'_>, report: &mut Report) {
        let streams = |node: &Node, report: &mut Report| count(node, 10_000, report);
        set(fields, "http2_streams", &mut self.http2_streams, streams, report);
        set(fields, "http2_resets", &mut self.http2_resets, streams, report);
        set(fields, "body_timeout", &mut self.body_timeout, duration, report);
        set(fields, "idle_timeout", &mut self.idle_timeout, duration, report);
        let connections = |node: &Node, report: &mut Report| count(node, 1_000_000, report);
        set(fields, "connections", &mut self.connections, connections, report);
        set(fields, "connections_per_address", &mut self.connections_per_address, connections, report);
        set(fields, "connection_lifetime", &mut self.connection_lifetime, duration, report);
        let delay = |node: &Node, report: &mut Report| match &node.value {
            Value::String(text) if text == "0s" => Some(Duration::ZERO),
            _ => duration(node, report),
        };
        set(fields, "drain_delay", &mut self.drain_delay, delay, report);
        set(fields, "grace_period", &mut self.grace_period, duration, report);
    }
}

/// A listener, as far as it is good.
#[derive(Debug)]
pub(crate) struct ReadListener {
    address: Option<ListenAddress>,
    whole: Option<ListenerSettings>,
    /// Its `tls`, where the rest is good.
    tls: Option<ReadListenerTls>,
}

impl ReadListener {
    /// All of it.
    pub(crate) fn whole(&self) -> Option<ListenerSettings> {
        self.whole.clone()
    }
}

/// Takes of each listener what is good: a mistake in one must not keep others as they are, and a broken certificate must
/// not keep a rule for clients in force.
pub(crate) fn update(listeners: &mut [ListenerSettings], read: Vec<ReadListener>) {
    for (place, new) in read.into_iter().enumerate() {
        let Some(address) = new.address else { continue };
        let place = match listeners.get(place) {
            // Several listeners may take a free port: each is matched by its place.
            Some(known) if known.address == address => Some(place),
            _ => listeners.iter().position(|known| known.address == address),
        };
        let Some(known) = place.and_then(|place| listeners.get_mut(place)) else { continue };
        match (new.whole, new.tls, &mut known.tls) {
            (Some(whole), ..) => *known = whole,
            (None, Some(ReadListenerTls { clients: Some(clients), files, .. }), Some(tls)) => {
                // The report says already that something is wrong with this listener.
                if let Ok(server) = tls.server.with_clients(clients) {
                    tls.server = Arc::new(server);
                    tls.files.extend(files);
                    tls.files.sort_unstable();
                    tls.files.dedup();
                }
            }
            _ => {}
        }
    }
}

/// Reads `listeners`, each as far as it is good.
pub(crate) fn listeners(node: &Node, base: &Path, report: &mut Report) -> Vec<ReadListener> {
    let items = node.list(report).unwrap_or_default();
    if items.is_empty() {
        report.error(&node.span, "there is no listener").help("add one: `- address: 127.0.0.1:8080`");
    }
    let mut read: Vec<ReadListener> = Vec::new();
    for item in items {
        let Some(listener) = listener(item, base, report) else { continue };
        let known = read.iter().filter_map(|known| known.address.as_ref());
        let takes_free = listener.address.as_ref().is_none_or(|address| address.port() == Some(0));
        if !takes_free && known.into_iter().any(|known| listener.address.as_ref() == Some(known)) {
            report
                .error(&item.span, "another listener has this address")
                .help("remove one of the two, or give it another port");
        }
        read.push(listener);
    }
    read
}

fn listener(item: &Node, base: &Path, report: &mut Report) -> Option<ReadListener> {
    let mut fields = item.fields("a listener", Spelling::Exact, report)?;
    let address = fields.required("address", report).and_then(|node| address(node, base, report));
    let http2 = fields.optional("http2").and_then(|node| node.boolean(report)).unwrap_or(true);
    let tls = fields.optional("tls").map(|node| tls::listener(node, base, http2, report));
    // What this is about must not be served without: a mistake in it is one of the whole.
    let mut own = Report::new();
    let socket = socket_options(&mut fields, address.as_ref(), &mut own);
    let proxy_protocol =
        fields.optional("proxy_protocol").map(|node| proxy_protocol(node, address.as_ref(), &mut own));
    let keep_alive = fields.optional("tcp_keep_alive").map(|node| keep_alive(node, &mut own));
    let health_path = fields.optional("health_path").and_then(|node| health_path(node, &mut own));
    let authorizer = authorizer::authorizer(&mut fields, &mut own);
    if let Some((authorizer, at)) = &authorizer {
        // Where TLS has a mistake, that is reported, and enough.
        let requires = match &tls {
            None => false,
            Some(None) => true,
            Some(Some(read)) => read.whole.as_ref().is_none_or(|tls| tls.server.requires_certificates()),
        };
        authorizer::judge_reach(
            authorizer,
            at,
            address.as_ref(),
            requires,
            proxy_protocol.is_some(),
            &mut own,
        );
    }
    let authorizer = authorizer.map(|(authorizer, _)| authorizer);
    fields.finish(&mut own);
    let is_known = !own.is_fatal();
    report.absorb(own);
    // The listener must not serve without the TLS that is written.
    let (read, whole_tls) = match tls {
        None => (None, Some(None)),
        Some(None) => (None, None),
        Some(Some(mut read)) => {
            let whole = read.whole.take();
            (Some(read), whole.map(Some))
        }
    };
    let whole = address.clone().zip(whole_tls).filter(|_| is_known);
    let whole = whole.map(|(address, tls)| ListenerSettings {
        address,
        socket,
        http2,
        tls,
        proxy_protocol,
        keep_alive,
        health_path,
        authorizer,
    });
    Some(ReadListener { address, whole, tls: read.filter(|_| is_known) })
}

/// The longest path of a Unix socket (unix(7)).
const LONGEST_PATH: usize = 107;

fn address(node: &Node, base: &Path, report: &mut Report) -> Option<ListenAddress> {
    let text = node.string(report)?;
    let path = match text.parse() {
        Ok(ListenAddress::Unix(path)) => located(base, &path.to_string_lossy()),
        Ok(address) => return Some(address),
        Err(_) => {
            report
                .error(&node.span, format!("`{text}` is not an address to listen on"))
                .help("write IP and port, like `127.0.0.1:8080`, `0.0.0.0:8080` or `[::]:8080`; or `unix:/run/opgate/gate.sock`");
            return None;
        }
    };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !folder.is_dir() {
        report
            .error(&node.span, format!("there is no directory `{}`", folder.display()))
            .help("paths are relative to the configuration file; the directory must be there, the socket is made in it");
        return None;
    }
    if path.as_os_str().as_bytes().len() > LONGEST_PATH {
        report
            .error(&node.span, format!("the path of a socket has at most {LONGEST_PATH} bytes"))
            .help("choose a shorter one, for example below /run");
        return None;
    }
    Some(ListenAddress::Unix(path))
}

fn socket_options(
    fields: &mut Fields<'_>,
    address: Option<&ListenAddress>,
    report: &mut Report,
) -> SocketOptions {
    let mut options = SocketOptions::default();
    if let Some(node) = fields.optional("ipv6_only") {
        options.ipv6_only = node.boolean(report).unwrap_or_default();
        let is_ipv6 = address.is_none_or(|address| address.socket().is_some_and(|address| address.is_ipv6()));
        if options.ipv6_only && !is_ipv6 {
            report
                .error(&node.span, "`ipv6_only` is for an address of IPv6")
                .help("leave it out, or listen on one: `[::]:8080` takes clients of IPv4 as well without it");
        }
    }
    if let Some(node) = fields.optional("mode") {
        options.mode = mode(node, report);
        if matches!(address, Some(ListenAddress::Ip(_))) {
            report
                .error(&node.span, "`mode` is for a Unix socket")
                .help("leave it out, or listen on one: `address: unix:/run/opgate/gate.sock`");
        }
    }
    options
}

/// `'0660'`, as chmod takes it.
fn mode(node: &Node, report: &mut Report) -> Option<u32> {
    let text = node.string(report)?;
    let is_octal = (3..=4).contains(&text.len()) && text.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| is_octal && *mode <= 0o777);
    if mode.is_none() {
        report
            .error(&node.span, format!("`{text}` is not a mode"))
            .help("write three octal digits with quotes, as for chmod: '0660' lets the group connect");
    }
    mode
}

fn health_path(node: &Node, report: &mut Report) -> Option<(crate::http::Path, Span)> {
    let text = node.string(report)?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'/');
    let path = crate::http::Path::parse(text).ok().filter(|_| text.len() > 1 && text.bytes().all(plain));
    // The gate itself publishes there.
    let path = path.filter(|_| !text.starts_with("/.well-known/"));
    if path.is_none() {
        report
            .error(&node.span, format!("`{text}` is not a path to be asked at"))
            .help("write letters, digits, `-`, `.`, `_` and `~` between slashes, not below `/.well-known`: `/healthz`");
    }
    Some((path?, node.span.clone()))
}

fn proxy_protocol(node: &Node, address: Option<&ListenAddress>, report: &mut Report) -> ProxyProtocol {
    let mut trusted = ProxyProtocol::default();
    let Some(mut fields) = node.fields("`proxy_protocol`", Spelling::Exact, report) else { return trusted };
    if let Some(node) = fields.required("addresses", report) {
        (trusted.networks, trusted.unix) = peers(node, report);
        let help = match address {
            Some(ListenAddress::Unix(_)) if !trusted.unix => "write `addresses: [unix]` for a Unix socket",
            Some(ListenAddress::Ip(_)) if trusted.unix && trusted.networks.is_empty() => {
                "write the addresses that they connect from, like `10.0.0.0/8`: `unix` is for a Unix socket"
            }
            _ => "",
        };
        if !help.is_empty() {
            report.error(&node.span, "none of these proxies can connect to this listener").help(help);
        }
    }
    fields.finish(report);
    trusted
}

fn keep_alive(node: &Node, report: &mut Report) -> TcpKeepAlive {
    let mut keep_alive = TcpKeepAlive::default();
    let Some(mut fields) = node.fields("`tcp_keep_alive`", Spelling::Exact, report) else {
        return keep_alive;
    };
    // The kernel counts seconds, in 15 bits.
    let seconds = |node: &Node, report: &mut Report| {
        let length = duration(node, report)?;
        let fits = length.subsec_nanos() == 0 && length <= Duration::from_secs(32_767);
        if !fits {
            report.error(&node.span, "the kernel takes whole seconds, up to 32767").help("write `60s`");
        }
        fits.then_some(length)
    };
    set(&mut fields, "idle", &mut keep_alive.idle, seconds, report);
    set(&mut fields, "interval", &mut keep_alive.interval, seconds, report);
    let probes = |node: &Node, report: &mut Report| {
        count(node, 127, report).and_then(|probes| u32::try_from(probes).ok())
    };
    set(&mut fields, "probes", &mut keep_alive.probes, probes, report);
    fields.finish(report);
    keep_alive
}
