//! What the file says of connections: the `listeners`, and the bounds of what one client's connections take.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::diagnostic::Report;
use crate::document::scalar::{count, duration, set, socket_address};
use crate::document::{Fields, Node, Spelling};
use crate::http::head::HeadLimits;
use crate::tls::ListenerTls;
use crate::tls::settings::{self as tls, ReadListenerTls};

/// A socket that clients connect to.
#[derive(Clone, Debug)]
pub struct ListenerSettings {
    /// Address and port; port 0 takes a free one.
    pub address: SocketAddr,
    /// Whether HTTP/2 is spoken beside HTTP/1.1: agreed on by ALPN, or with prior knowledge where there is no TLS.
    pub http2: bool,
    /// The TLS settings; `None` for plain text.
    pub tls: Option<ListenerTls>,
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
    /// From SIGTERM until connections are cut.
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
        set(fields, "grace_period", &mut self.grace_period, duration, report);
    }
}

/// A listener, as far as it is good.
#[derive(Debug)]
pub(crate) struct ReadListener {
    address: Option<SocketAddr>,
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
    let listener = |item: &Node| {
        let mut fields = item.fields("a listener", Spelling::Exact, report)?;
        let address = fields.required("address", report).and_then(|node| socket_address(node, report));
        let http2 = fields.optional("http2").and_then(|node| node.boolean(report)).unwrap_or(true);
        let tls = fields.optional("tls").map(|node| tls::listener(node, base, http2, report));
        let mut unknown = Report::new();
        fields.finish(&mut unknown);
        let is_known = !unknown.is_fatal();
        report.absorb(unknown);
        // The listener must not serve without the TLS that is written.
        let (read, whole_tls) = match tls {
            None => (None, Some(None)),
            Some(None) => (None, None),
            Some(Some(mut read)) => {
                let whole = read.whole.take();
                (Some(read), whole.map(Some))
            }
        };
        let whole = address.zip(whole_tls).filter(|_| is_known);
        let whole = whole.map(|(address, tls)| ListenerSettings { address, http2, tls });
        Some(ReadListener { address, whole, tls: read.filter(|_| is_known) })
    };
    items.iter().filter_map(listener).collect()
}
