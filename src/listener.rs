//! From a listening socket to connections that may speak: accepted within their limits, and secured.
//!
//! Where a listener speaks TLS, the handshake comes first, within a deadline. Then a [`Handler`] serves the connection: the
//! front end, which reads heads and answers what is refused. What an HTTP/2 connection may cost is watched here.

mod address;
mod authorizer;
mod client_socket;
mod complaint;
mod connection_limits;
mod connection_slot;
pub(crate) mod flood;
mod frames;
mod handshake;
mod instruments;
pub(crate) mod settings;
mod minimum_rate;
mod proxy_protocol;
mod socket;
mod stalled;
mod stream;
mod timer;
pub(crate) mod window;

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use prometheus::IntGauge;
use tokio::sync::watch;
use tokio::task::JoinSet;

pub use self::address::ListenAddress;
pub use self::authorizer::{AskingPeers, Authorizer, AuthorizerProtocol, ForwardAuthShape, ToldBody};
pub use self::client_socket::{ClientSocket, TcpKeepAlive};
pub(crate) use self::complaint::Complaint;
pub use self::connection_limits::{ConnectionLimits, affordable};
pub(crate) use self::connection_slot::ConnectionSlot;
use self::handshake::shake_hands;
pub use self::instruments::Instruments;
use self::instruments::{AUTHORIZER_UNTRUSTED, ListenerInstruments};
pub(crate) use self::instruments::{MADE_ROOM, WRITE_TIMEOUT};
pub(crate) use self::minimum_rate::MinimumRate;
pub use self::proxy_protocol::ProxyProtocol;
#[cfg(fuzzing)]
pub use self::proxy_protocol::read_proxy_header;
use self::proxy_protocol::{HeaderError, read_header};
pub use self::settings::{ListenerLimits, ListenerSettings};
pub use self::socket::{ListenSocket, SocketOptions};
pub use self::stalled::StalledFlag;
pub(crate) use self::stream::{ClientStream, LINGER, LINGER_BYTES};
use crate::http::ConnectionPeer;
use crate::tls::ServerTls;

/// How long a connection stays open without a request once the process is ending, from its last answer or from its
/// beginning. A client that is about to send on it cannot know that it is closing, and may not send a cancel again
/// when it fails (RFC 9112, section 9.5): one that is in use gets the time to be told, by `Connection: close`. A client that
/// has been silent for longer is as likely to send in this moment as in any other.
const LAST_CALL: Duration = Duration::from_secs(1);

/// What speaks with a client.
pub trait Handler: Send + Sync + 'static {
    /// Serves a connection to its end.
    fn serve(&self, connection: Accepted, shutdown: watch::Receiver<bool>)
    -> impl Future<Output = ()> + Send;
}

/// A connection on which nothing was said yet, but the TLS handshake.
#[derive(Debug)]
pub struct Accepted {
    /// What comes and goes.
    pub(crate) stream: ClientStream,
    /// The client: the other end, or the one that its proxy has named by the PROXY protocol.
    pub(crate) peer: ConnectionPeer,
    /// When it was accepted.
    pub(crate) opened: Instant,
    /// Its slot among the connections that there may be.
    pub(crate) slot: ConnectionSlot,
}

/// A listening socket and what serves its connections.
#[derive(Debug)]
pub struct Listener<H> {
    /// The address, for metrics.
    name: String,
    /// Read anew for each handshake: a reload swaps it.
    tls: Option<Arc<ArcSwap<ServerTls>>>,
    proxy_protocol: Option<ProxyProtocol>,
    authorizer: Option<Authorizer>,
    keep_alive: Option<TcpKeepAlive>,
    limits: ListenerLimits,
    connection_limits: ConnectionLimits,
    instruments: Instruments,
    own: ListenerInstruments,
    handler: H,
}

impl<H: Handler> Listener<H> {
    /// A listener at `address`, which is the one of `settings` or the one that the socket was given.
    pub fn new(
        address: &ListenAddress,
        settings: &ListenerSettings,
        tls: Option<Arc<ArcSwap<ServerTls>>>,
        limits: ListenerLimits,
        connection_limits: ConnectionLimits,
        instruments: Instruments,
        handler: H,
    ) -> Self {
        let name = address.to_string();
        instruments.limit(connection_limits.most());
        let own = instruments.of(&name, tls.is_some());
        let ListenerSettings { proxy_protocol, authorizer, keep_alive, .. } = settings.clone();
        Self {
            name,
            tls,
            proxy_protocol,
            authorizer,
            keep_alive,
            limits,
            connection_limits,
            instruments,
            own,
            handler,
        }
    }

    /// Accepts until `shutdown` turns true, then waits for open connections, at most for the grace period.
    pub async fn serve(self, socket: Arc<ListenSocket>, mut shutdown: watch::Receiver<bool>) {
        let listener = Arc::new(self);
        let mut connections = JoinSet::new();
        while !*shutdown.borrow() {
            tokio::select! {
                accepted = socket.accept() => match accepted {
                    Ok((stream, peer)) => listener.accept(stream, peer, &shutdown, &mut connections),
                    Err(error) => {
                        tracing::error!(%error, listener = listener.name, "a connection could not be accepted");
                        // Out of file descriptors, most likely: let some close.
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                },
                Some(ended) = connections.join_next(), if !connections.is_empty() => {
                    if let Err(error) = ended {
                        tracing::error!(%error, listener = listener.name, "a connection broke off");
                    }
                }
                _ = shutdown.changed() => {}
            }
        }
        for (stream, peer) in socket.waiting() {
            listener.accept(stream, peer, &shutdown, &mut connections);
        }
        drop(socket);
        let drained = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(listener.limits.grace_period, drained).await.is_err() {
            tracing::warn!(
                listener = listener.name,
                "connections were still open when the grace period ended"
            );
            // Dropping the tasks records their requests, which must happen before the audit log ends.
            connections.shutdown().await;
        }
    }

    /// Serves a connection, if there may be one more.
    fn accept(
        self: &Arc<Self>,
        socket: ClientSocket,
        peer: ConnectionPeer,
        shutdown: &watch::Receiver<bool>,
        connections: &mut JoinSet<()>,
    ) {
        // What an answer tells is for the proxies that are named.
        if self.authorizer.as_ref().is_some_and(|authorizer| !authorizer.trusts(peer)) {
            tracing::debug!(%peer, listener = self.name, "not a proxy that may ask");
            return self.count_refused(AUTHORIZER_UNTRUSTED);
        }
        let address = match &self.proxy_protocol {
            // It costs no place among those of others.
            Some(trusted) if !trusted.trusts(peer) => {
                tracing::debug!(%peer, listener = self.name, "not a trusted proxy");
                return self.count_refused(HeaderError::Untrusted.label());
            }
            // The other end is a proxy, which has many clients.
            Some(_) => None,
            None => peer.socket().map(|address| address.ip()),
        };
        match self.connection_limits.admit(address) {
            Ok(slot) => {
                self.own.accepted.inc();
                connections.spawn(self.clone().connection(socket, peer, slot, shutdown.clone()));
            }
            // Dropped, and so closed: no answer, no state.
            Err(full) => self.count_refused(full.label()),
        }
    }

    async fn connection(
        self: Arc<Self>,
        mut socket: ClientSocket,
        mut peer: ConnectionPeer,
        slot: ConnectionSlot,
        mut shutdown: watch::Receiver<bool>,
    ) {
        let opened = Instant::now();
        let _open = OpenConnection::count(self.own.open.clone());
        socket.prepare(self.keep_alive.as_ref());
        if self.proxy_protocol.is_some() {
            peer = tokio::select! {
                biased;
                client = Box::pin(self.client(&mut socket, peer, &slot, opened, &mut shutdown)) => match client {
                    Some(client) => client,
                    None => return,
                },
                () = slot.made_room() => {
                    self.instruments.cut(MADE_ROOM);
                    return;
                }
            };
        }
        let stream = match &self.tls {
            None => ClientStream::plain(socket, self.limits.write_timeout),
            Some(tls) => {
                let secured = tokio::select! {
                    biased;
                    // By itself: its state is larger than all that an idle connection has to keep.
                    secured = Box::pin(self.secure(socket, peer, tls, opened, &mut shutdown)) => secured,
                    () = slot.made_room() => {
                        self.instruments.cut(MADE_ROOM);
                        return;
                    }
                };
                match secured {
                    Some(stream) => stream,
                    None => return,
                }
            }
        };
        self.handler.serve(Accepted { stream, peer, opened, slot }, shutdown).await;
    }

    fn count_refused(&self, reason: &str) {
        self.instruments.refused(reason);
    }

    /// The client that the proxy at the other end names, or `None` where the connection has ended.
    async fn client(
        &self,
        socket: &mut ClientSocket,
        proxy: ConnectionPeer,
        slot: &ConnectionSlot,
        opened: Instant,
        shutdown: &mut watch::Receiver<bool>,
    ) -> Option<ConnectionPeer> {
        let deadline = opened + self.limits.handshake_timeout;
        tokio::select! {
            biased;
            // A proxy that says nothing at all runs out of time below.
            _ = tokio::time::timeout_at(deadline.into(), socket.readable()) => {}
            // A connection on which nothing was said yet may end with the process.
            () = last_call(shutdown, opened) => return None,
        }
        let read = tokio::time::timeout_at(deadline.into(), read_header(socket)).await;
        let client = match read.unwrap_or(Err(HeaderError::Timeout)) {
            Ok(client) => client,
            Err(failure) => {
                self.count_refused(failure.label());
                tracing::debug!(%proxy, listener = self.name, ?failure, "no header of the PROXY protocol");
                return None;
            }
        };
        if let Some(address) = client.socket()
            && let Err(full) = self.connection_limits.admit_client(slot, address.ip())
        {
            self.count_refused(full.label());
            return None;
        }
        Some(client)
    }

    /// The connection with TLS, or `None` where it has ended.
    async fn secure(
        &self,
        socket: ClientSocket,
        peer: ConnectionPeer,
        tls: &Arc<ArcSwap<ServerTls>>,
        opened: Instant,
        shutdown: &mut watch::Receiver<bool>,
    ) -> Option<ClientStream> {
        let deadline = Instant::now() + self.limits.handshake_timeout;
        tokio::select! {
            biased;
            // A client that says nothing at all runs out of time below.
            _ = tokio::time::timeout_at(deadline.into(), socket.readable()) => {}
            // A connection on which nothing was said yet may end with the process.
            () = last_call(shutdown, opened) => return None,
        }
        match shake_hands(socket, tls, deadline, self.limits.write_timeout).await {
            Ok(stream) => {
                self.instruments.shook_hands(&self.name, None);
                Some(stream)
            }
            Err((failure, error)) => {
                self.instruments.shook_hands(&self.name, Some(failure));
                self.count_refused(failure.label());
                // Scanners and strangers: an operator can do nothing about each of them.
                tracing::debug!(%peer, listener = self.name, ?failure, error, "no TLS handshake");
                None
            }
        }
    }
}

/// Counts a connection as open for as long as it lives, however it ends.
struct OpenConnection(IntGauge);

impl OpenConnection {
    fn count(gauge: IntGauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Waits until the process is to end.
pub(crate) async fn turned(shutdown: &mut watch::Receiver<bool>) {
    // An error means that the sender is gone: the process is ending.
    let _ = shutdown.wait_for(|shutting_down| *shutting_down).await;
}

/// Ends once the process is ending and nothing was said on a connection since `used` for long enough.
pub(crate) async fn last_call(shutdown: &mut watch::Receiver<bool>, used: Instant) {
    turned(shutdown).await;
    tokio::time::sleep_until((used + LAST_CALL).into()).await;
}
