//! From a listening socket to connections that may speak: accepted within their limits, and secured.
//!
//! Where a listener speaks TLS, the handshake comes first, within a deadline. Then a [`Handler`] serves the connection: the
//! front end, which reads heads and answers what is refused. What an HTTP/2 connection may cost is watched here.

mod complaint;
mod connection_limits;
mod connection_slot;
pub(crate) mod flood;
mod frames;
mod handshake;
mod instruments;
pub(crate) mod settings;
mod minimum_rate;
mod socket;
mod stalled;
mod stream;
mod timer;
pub(crate) mod window;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use prometheus::IntGauge;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;

pub(crate) use self::complaint::Complaint;
pub use self::connection_limits::{ConnectionLimits, affordable};
pub(crate) use self::connection_slot::ConnectionSlot;
use self::handshake::shake_hands;
pub use self::instruments::Instruments;
use self::instruments::ListenerInstruments;
pub(crate) use self::instruments::{MADE_ROOM, WRITE_TIMEOUT};
pub(crate) use self::minimum_rate::MinimumRate;
pub use self::settings::{ListenerLimits, ListenerSettings};
pub use self::socket::ListenSocket;
pub use self::stalled::StalledFlag;
use self::stream::bound_unsent;
pub(crate) use self::stream::{ClientStream, LINGER, LINGER_BYTES};
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
    /// The other end.
    pub(crate) peer: SocketAddr,
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
    limits: ListenerLimits,
    connection_limits: ConnectionLimits,
    instruments: Instruments,
    own: ListenerInstruments,
    handler: H,
}

impl<H: Handler> Listener<H> {
    /// A listener at `address`.
    pub fn new(
        address: SocketAddr,
        tls: Option<Arc<ArcSwap<ServerTls>>>,
        limits: ListenerLimits,
        connection_limits: ConnectionLimits,
        instruments: Instruments,
        handler: H,
    ) -> Self {
        let name = address.to_string();
        instruments.limit(connection_limits.most());
        let own = instruments.of(&name, tls.is_some());
        Self { name, tls, limits, connection_limits, instruments, own, handler }
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
        stream: TcpStream,
        peer: SocketAddr,
        shutdown: &watch::Receiver<bool>,
        connections: &mut JoinSet<()>,
    ) {
        match self.connection_limits.admit(peer.ip()) {
            Ok(slot) => {
                self.own.accepted.inc();
                connections.spawn(self.clone().connection(stream, peer, slot, shutdown.clone()));
            }
            // Dropped, and so closed: no answer, no state.
            Err(full) => self.count_refused(full.label()),
        }
    }

    async fn connection(
        self: Arc<Self>,
        tcp: TcpStream,
        peer: SocketAddr,
        slot: ConnectionSlot,
        mut shutdown: watch::Receiver<bool>,
    ) {
        let opened = Instant::now();
        let _open = OpenConnection::count(self.own.open.clone());
        if let Err(error) = tcp.set_nodelay(true) {
            tracing::debug!(%error, "cannot set TCP_NODELAY");
        }
        if let Err(error) = bound_unsent(&tcp) {
            tracing::debug!(%error, "cannot set TCP_NOTSENT_LOWAT");
        }
        let stream = match &self.tls {
            None => ClientStream::plain(tcp, self.limits.write_timeout),
            Some(tls) => {
                let secured = tokio::select! {
                    biased;
                    // By itself: its state is larger than all that an idle connection has to keep.
                    secured = Box::pin(self.secure(tcp, peer, tls, opened, &mut shutdown)) => secured,
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

    /// The connection with TLS, or `None` where it has ended.
    async fn secure(
        &self,
        tcp: TcpStream,
        peer: SocketAddr,
        tls: &Arc<ArcSwap<ServerTls>>,
        opened: Instant,
        shutdown: &mut watch::Receiver<bool>,
    ) -> Option<ClientStream> {
        let deadline = Instant::now() + self.limits.handshake_timeout;
        tokio::select! {
            biased;
            // A client that says nothing at all runs out of time below.
            _ = tokio::time::timeout_at(deadline.into(), tcp.readable()) => {}
            // A connection on which nothing was said yet may end with the process.
            () = last_call(shutdown, opened) => return None,
        }
        match shake_hands(tcp, tls, deadline, self.limits.write_timeout).await {
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
