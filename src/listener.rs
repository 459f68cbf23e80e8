//! From an accepted connection to requests that are judged: the door in front of Pingora.
//!
//! Pingora repairs heads before any filter sees them and answers malformed ones by itself, unseen by audit and metrics
//! (ARCHITECTURE.md, "Pingora"). So every HTTP/1 head is read here first, from the raw stream, within a total deadline, and
//! parsed by [`Head`]. A refused one is answered and recorded here; a good one is handed to Pingora together with the
//! [`Request`] it was parsed into. Where a listener speaks TLS, the handshake comes before all of it. HTTP/2 requests are
//! parsed by Pingora and judged in [`crate::proxy`]; what their connection may cost is watched here.

mod connection;
mod frames;
mod handshake;
mod http2;
mod connection_limits;
mod connection_slot;
mod flood;
mod minimum_rate;
pub(crate) mod read_limit;
mod socket;
mod stream;
mod timer;

pub use self::read_limit::Allowance;
pub use self::read_limit::EverAllowed;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use bytes::{Buf, BytesMut};
use pingora::apps::HttpServerApp;
use pingora::protocols::http::ServerSession;
use pingora::proxy::HttpProxy;
use prometheus::IntGauge;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;

use self::connection::Connection;
pub use self::connection_limits::{Admission, affordable};
use self::connection_slot::Seat;
use self::handshake::shake_hands;
pub use self::socket::Listening;
use self::stream::{Transport, bound_unsent};
use crate::config::Limits;
use crate::http::Request;
use crate::http::head::{Head, find_end};
use crate::proxy::{Arrival, LINGER, LINGER_BYTES, Proxy};
use crate::reason::{Denial, Reason};
use crate::respond;
use crate::tls::ServerTls;

/// What an HTTP/2 connection begins with (RFC 9113, section 3.4).
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How long a connection stays open without a request once the process is ending, from its last answer or from its
/// beginning. A client that is about to send on it cannot know that it is closing, and may not send a cancel again
/// when it fails (RFC 9112, section 9.5): one that is in use gets the time to be told, by `Connection: close`. Who has been
/// silent for longer is as likely to send in this moment as in any other.
const LAST_CALL: Duration = Duration::from_secs(1);

/// A listening socket and what serves its connections.
pub struct Door {
    /// The address, for metrics.
    name: String,
    port: u16,
    http2: bool,
    /// Read anew for each handshake: a reload swaps it.
    tls: Option<Arc<ArcSwap<ServerTls>>>,
    limits: Limits,
    admission: Admission,
    proxy: Arc<HttpProxy<Proxy>>,
    gate: Proxy,
}

impl Door {
    /// A door for the listener at `address`.
    pub fn new(
        address: SocketAddr,
        http2: bool,
        tls: Option<Arc<ArcSwap<ServerTls>>>,
        limits: Limits,
        admission: Admission,
        proxy: Arc<HttpProxy<Proxy>>,
        gate: Proxy,
    ) -> Self {
        Self { name: address.to_string(), port: address.port(), http2, tls, limits, admission, proxy, gate }
    }

    /// Accepts until `shutdown` turns true, then waits for open connections, at most for the grace period.
    pub async fn serve(self, listening: Arc<Listening>, mut shutdown: watch::Receiver<bool>) {
        let door = Arc::new(self);
        let mut connections = JoinSet::new();
        while !*shutdown.borrow() {
            tokio::select! {
                accepted = listening.accept() => match accepted {
                    Ok((stream, peer)) => door.let_in(stream, peer, &shutdown, &mut connections),
                    Err(error) => {
                        tracing::error!(%error, listener = door.name, "a connection could not be accepted");
                        // Out of file descriptors, most likely: let some close.
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                },
                Some(ended) = connections.join_next(), if !connections.is_empty() => {
                    if let Err(error) = ended {
                        tracing::error!(%error, listener = door.name, "a connection broke off");
                    }
                }
                _ = shutdown.changed() => {}
            }
        }
        for (stream, peer) in listening.waiting() {
            door.let_in(stream, peer, &shutdown, &mut connections);
        }
        drop(listening);
        let drained = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(door.limits.grace_period, drained).await.is_err() {
            tracing::warn!(listener = door.name, "connections were still open when the grace period ended");
            // What they have to record is recorded before anything else ends.
            connections.shutdown().await;
        }
    }

    /// Serves a connection, if there may be one more.
    fn let_in(
        self: &Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        shutdown: &watch::Receiver<bool>,
        connections: &mut JoinSet<()>,
    ) {
        match self.admission.admit(peer.ip()) {
            Ok(seat) => {
                connections.spawn(self.clone().connection(stream, peer, seat, shutdown.clone()));
            }
            // Closed with this: nothing is said to it, nothing kept of it.
            Err(full) => self.count_refused(full.label()),
        }
    }

    async fn connection(
        self: Arc<Self>,
        tcp: TcpStream,
        peer: SocketAddr,
        seat: Seat,
        mut shutdown: watch::Receiver<bool>,
    ) {
        let opened = Instant::now();
        let _open = Open::count(self.gate.metrics().connections.with_label_values(&[self.name.as_str()]));
        if let Err(error) = tcp.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY could not be set");
        }
        if let Err(error) = bound_unsent(&tcp) {
            tracing::debug!(%error, "TCP_NOTSENT_LOWAT could not be set");
        }
        let transport = match &self.tls {
            None => Transport::plain(tcp, self.limits.write_timeout),
            Some(tls) => {
                let secured = tokio::select! {
                    biased;
                    secured = self.secure(tcp, peer, tls, opened, &mut shutdown) => secured,
                    () = seat.made_room() => return self.count_cut("made_room"),
                };
                match secured {
                    Some(transport) => transport,
                    None => return,
                }
            }
        };
        self.speak(transport, peer, opened, &seat, shutdown).await;
    }

    fn count_refused(&self, reason: &str) {
        self.gate.metrics().refused_connections.with_label_values(&[reason]).inc();
    }

    /// The connection with TLS, or `None` where there is nothing more to say on it.
    async fn secure(
        &self,
        tcp: TcpStream,
        peer: SocketAddr,
        tls: &Arc<ArcSwap<ServerTls>>,
        opened: Instant,
        shutdown: &mut watch::Receiver<bool>,
    ) -> Option<Transport> {
        let deadline = Instant::now() + self.limits.handshake_timeout;
        tokio::select! {
            biased;
            // A client that says nothing at all runs out of time below.
            _ = tokio::time::timeout_at(deadline.into(), tcp.readable()) => {}
            // As in `speak_http1`: a connection on which nothing was said yet may end.
            () = last_call(shutdown, opened) => return None,
        }
        match shake_hands(tcp, tls, deadline, self.limits.write_timeout).await {
            Ok(transport) => Some(transport),
            Err((failure, error)) => {
                self.count_refused(failure.label());
                // Scanners and strangers: nothing that an operator can do about each.
                tracing::debug!(%peer, listener = self.name, ?failure, error, "no TLS handshake");
                None
            }
        }
    }

    async fn speak(
        &self,
        mut transport: Transport,
        peer: SocketAddr,
        opened: Instant,
        seat: &Seat,
        mut shutdown: watch::Receiver<bool>,
    ) {
        let mut buffer = BytesMut::with_capacity(4096);
        let deadline = Instant::now() + self.limits.head_timeout;
        let agreed = transport.agreed_http2();
        if agreed.unwrap_or(self.http2) {
            let mut draining = false;
            let preface = loop {
                tokio::select! {
                    biased;
                    read = tokio::time::timeout_at(deadline.into(), read_preface(&mut transport, &mut buffer)) => {
                        break read;
                    }
                    () = seat.made_room() => return self.count_cut("made_room"),
                    () = last_call(&mut shutdown, opened), if !draining => {
                        // A connection on which nothing was said yet may end, as in `speak_http1`.
                        if buffer.is_empty() {
                            return transport.close().await;
                        }
                        draining = true;
                    }
                }
            };
            match preface {
                Ok(Ok(true)) => {
                    transport.rewind(buffer);
                    return self.speak_http2(transport, peer, seat, shutdown).await;
                }
                // Who has agreed on HTTP/2 and speaks something else is not listened to.
                _ if agreed.is_some() => return transport.close().await,
                Ok(Ok(false)) => {}
                Ok(Err(_)) => return,
                // The first head's deadline is the same one: reading it will say so.
                Err(_) => {}
            }
        }
        self.speak_http1(Connection::new(transport), buffer, (opened, deadline), peer, seat, shutdown).await;
    }

    async fn speak_http1(
        &self,
        mut connection: Connection,
        mut buffer: BytesMut,
        (opened, first_deadline): (Instant, Instant),
        peer: SocketAddr,
        seat: &Seat,
        mut shutdown: watch::Receiver<bool>,
    ) {
        let mut deadline = Some(first_deadline);
        let mut used = opened;
        let mut draining = false;
        loop {
            let read = tokio::select! {
                biased;
                read = self.read_head(&mut connection, &mut buffer, &mut deadline) => read,
                () = seat.made_room() => return self.count_cut("made_room"),
                () = last_call(&mut shutdown, used), if !draining => {
                    // An idle connection holds no request and may end; one that has begun is still read.
                    if buffer.is_empty() {
                        return connection.close().await;
                    }
                    draining = true;
                    continue;
                }
            };
            let (arrival, end) = match read {
                HeadRead::Complete(end) => (Arrival::now(), end),
                HeadRead::Closed => return connection.close().await,
                HeadRead::Refused(denial) => return self.refuse(connection, &denial, peer).await,
            };
            if !seat.begin() {
                let denial = Denial::new(
                    Reason::Overloaded,
                    "the connection was idle, and others waited for its place",
                );
                return self.refuse(connection, &denial, peer).await;
            }
            let head = buffer.get(..end).unwrap_or_default();
            let request = Head::parse(head, self.limits.head)
                .and_then(|head| Request::from_head(head, Some(peer), &self.gate.proxies()))
                .map(|request| Request { port: Some(self.port), ..request })
                .and_then(|request| {
                    let channel =
                        connection.established().map(|established| established.channel(arrival.time));
                    request.over(channel, &self.gate.proxies())
                });
            let request = match request {
                Ok(request) => request,
                Err(denial) => return self.refuse(connection, &denial, peer).await,
            };
            // Pingora parses the same bytes again, and reads the body after them from the connection: no more than that.
            let mut shown = std::mem::take(&mut buffer);
            // Most often there is nothing behind it, and nothing to allocate for.
            let behind = if shown.len() > end { shown.split_off(end) } else { BytesMut::new() };
            connection.begin_body(request.framing, behind);
            let mut exchange =
                self.gate.begin(arrival, request, connection.allowance(), seat.ever_allowed().clone());
            exchange.is_last = opened.elapsed() >= self.limits.connection_lifetime;
            let is_http10 = exchange.is_http10();
            let mut session = ServerSession::new_http1(Box::new(connection));
            session.set_pipelined_prefix(shown);
            session.set_read_timeout(Some(self.limits.body_timeout));
            session.set_keepalive(Some(self.limits.idle_timeout.as_secs().max(1)));
            // RFC 9110, section 15.2: not to a client that does not know them.
            session.set_ignore_info_resp(is_http10);
            session.set_connection_user_context(Some(Box::new(exchange)));
            let Some(reusable) = self.proxy.process_new_http(session, &shutdown).await else {
                return;
            };
            let (stream, _) = reusable.consume();
            // Also where the process began to end with this answer half written: it has not said so then.
            match stream.into_any().downcast::<Connection>() {
                Ok(returned) => connection = *returned,
                Err(_) => return,
            }
            // Two readers who do not agree where a body ends: what comes next is a request to one of them alone.
            if !connection.is_between_requests() {
                tracing::error!("a connection was handed back within a request's body");
                return connection.close().await;
            }
            seat.rest();
            used = Instant::now();
            deadline = None;
        }
    }

    /// Reads until a head is complete. The deadline is set at the head's first byte where it is not set yet, as it is
    /// at the start of a connection. Can be cancelled and called again.
    async fn read_head(
        &self,
        connection: &mut Connection,
        buffer: &mut BytesMut,
        deadline: &mut Option<Instant>,
    ) -> HeadRead {
        let mut scanned = 0;
        let first = deadline.is_some();
        loop {
            // RFC 9112, section 2.2: some clients end a request's body with a CRLF that belongs to nothing.
            while !first && buffer.starts_with(b"\r\n") {
                buffer.advance(2);
                scanned = 0;
            }
            if let Some(end) = find_end(buffer, scanned) {
                return HeadRead::Complete(end);
            }
            // A head over the limit is never complete: refused before more of it is held.
            if buffer.len() > self.limits.head.bytes {
                return HeadRead::Refused(
                    Denial::new(Reason::HeadTooLarge, "the head did not end within its limit").told(),
                );
            }
            scanned = buffer.len();
            let until = deadline.unwrap_or_else(|| Instant::now() + self.limits.idle_timeout);
            match tokio::time::timeout_at(until.into(), connection.read_head(buffer)).await {
                Ok(Ok(0) | Err(_)) => return HeadRead::Closed,
                Ok(Ok(_)) => {
                    deadline.get_or_insert_with(|| Instant::now() + self.limits.head_timeout);
                }
                Err(_) if buffer.is_empty() => return HeadRead::Closed,
                Err(_) => {
                    return HeadRead::Refused(Denial::new(
                        Reason::HeadTimeout,
                        "the head did not end in time",
                    ));
                }
            }
        }
    }

    /// Answers a head that is no request, records it, and closes.
    async fn refuse(&self, mut connection: Connection, denial: &Denial, peer: SocketAddr) {
        let arrival = Arrival::now();
        let message = respond::answer(denial, &arrival.request_id).to_http1();
        let sent = async {
            connection.write_all(&message).await?;
            connection.flush().await
        };
        let status = match tokio::time::timeout(self.limits.head_timeout, sent).await {
            Ok(Ok(())) => denial.reason().entry().status,
            _ => 0,
        };
        self.gate.record_refused_head(&arrival, denial, peer, status);
        if AsyncWriteExt::shutdown(&mut connection).await.is_ok() {
            connection.linger();
            let mut rest = BytesMut::with_capacity(4096);
            let mut seen = 0;
            let linger = async {
                while seen < LINGER_BYTES {
                    rest.clear();
                    match connection.read_buf(&mut rest).await {
                        Ok(0) | Err(_) => break,
                        Ok(length) => seen += length,
                    }
                }
            };
            // Whether the client stops in time or not, the connection is over.
            let _ = tokio::time::timeout(LINGER, linger).await;
        }
    }
}

/// Counts a connection as open for as long as it lives, however it ends.
struct Open(IntGauge);

impl Open {
    fn count(gauge: IntGauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

enum HeadRead {
    /// The head ends at this offset.
    Complete(usize),
    /// The client went away, or stayed idle.
    Closed,
    /// The head is too long or too slow.
    Refused(Denial),
}

/// Reads as much as it takes to tell whether the connection begins with the HTTP/2 preface.
async fn read_preface(transport: &mut Transport, buffer: &mut BytesMut) -> std::io::Result<bool> {
    loop {
        let seen = buffer.len().min(HTTP2_PREFACE.len());
        if buffer.get(..seen) != HTTP2_PREFACE.get(..seen) {
            return Ok(false);
        }
        if seen == HTTP2_PREFACE.len() {
            return Ok(true);
        }
        if transport.read_buf(buffer).await? == 0 {
            return if buffer.is_empty() { Err(std::io::ErrorKind::UnexpectedEof.into()) } else { Ok(false) };
        }
    }
}

async fn turned(shutdown: &mut watch::Receiver<bool>) {
    // An error means that nobody can ask for a shutdown any more: the process is ending.
    let _ = shutdown.wait_for(|shutting_down| *shutting_down).await;
}

/// Turns once the process is ending and nothing was said on a connection since `used` for long enough.
async fn last_call(shutdown: &mut watch::Receiver<bool>, used: Instant) {
    turned(shutdown).await;
    tokio::time::sleep_until((used + LAST_CALL).into()).await;
}
