//! Connections to a backend that speaks HTTP/2: each carries many exchanges at the same time.
//!
//! A connection is driven by a task of its own, so that what the backend says of it (GOAWAY, its end) is known at once. It gets
//! no more streams once the backend has said so, or said nothing for too long, and ends with its last stream. One that is idle
//! ends with its time, or at once where enough are kept.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::{Connection, SendRequest};

use super::connect_error::ConnectError;
use super::connector::BackendConnector;
use super::kept::Counted;
use super::wire::UpstreamTransport;
use crate::http::answer::{MAX_FIELDS, MAX_HEAD_BYTES};

/// The most streams of a connection, whatever the backend allows.
const MOST_STREAMS: usize = 100;
/// The bytes of an answer that may wait for its client.
const STREAM_WINDOW: u32 = 64 * 1024;
/// The bytes of a request that may wait for the connection.
const SEND_BUFFER: usize = 64 * 1024;
/// So much of all answers of a connection may wait: an answer that is not taken holds up no other one.
const CONNECTION_WINDOW: u32 = STREAM_WINDOW * (MOST_STREAMS as u32 + 28);
/// How often an idle connection is looked at.
const SWEEP: Duration = Duration::from_secs(1);

/// The connections of an endpoint.
#[derive(Debug)]
pub(super) struct SharedConnections {
    open: Mutex<Vec<Arc<SharedConnection>>>,
    /// Held by what opens a connection: those that come meanwhile wait for it, and share it.
    opening: tokio::sync::Mutex<()>,
    /// How long a connection may be idle.
    lifetime: Duration,
}

/// A connection, as its exchanges see it.
#[derive(Debug)]
struct SharedConnection {
    is_secured: bool,
    sender: SendRequest<Bytes>,
    usage: Mutex<Usage>,
}

/// What a connection carries.
#[derive(Debug)]
struct Usage {
    streams: usize,
    /// Whether it has carried an exchange.
    is_used: bool,
    /// Whether it gets no more streams.
    is_retired: bool,
    /// While it is idle: since when, and its place among the connections that are kept.
    idle: Option<(Instant, Counted)>,
}

/// The right to one stream of a connection.
#[derive(Debug)]
pub struct StreamLease {
    sender: SendRequest<Bytes>,
    connection: Arc<SharedConnection>,
    is_used: bool,
}

impl SharedConnections {
    pub(super) fn new(lifetime: Duration) -> Self {
        Self { open: Mutex::default(), opening: tokio::sync::Mutex::new(()), lifetime }
    }

    /// A stream on a connection that has room for one, or on a new connection.
    ///
    /// # Errors
    /// Where none can be had.
    pub(super) async fn stream(
        self: &Arc<Self>,
        connector: &BackendConnector,
        address: SocketAddr,
    ) -> Result<StreamLease, ConnectError> {
        if let Some(lease) = self.lease() {
            return Ok(lease);
        }
        let _opening = self.opening.lock().await;
        if let Some(lease) = self.lease() {
            return Ok(lease);
        }
        let wire = connector.open(address).await?;
        let is_secured = wire.is_secured();
        let (sender, connection) =
            greet(wire).await.map_err(|error| ConnectError::greeting(address, &error))?;
        let usage = Usage { streams: 0, is_used: false, is_retired: false, idle: None };
        let shared = Arc::new(SharedConnection { is_secured, sender, usage: Mutex::new(usage) });
        let lease = shared.clone().lease().ok_or_else(|| ConnectError::gone(address))?;
        self.connections().push(shared.clone());
        tokio::spawn(self.clone().drive(connection, shared));
        Ok(lease)
    }

    /// A stream on an open connection that has room: on the one that carries most already, so that idle ones may end.
    fn lease(&self) -> Option<StreamLease> {
        let mut connections = self.connections();
        connections.retain(|connection| connection.is_open());
        let rooms = connections.iter().filter(|connection| connection.has_room());
        rooms.max_by_key(|connection| connection.usage().streams).cloned()?.lease()
    }

    /// Drives a connection to its end.
    async fn drive(
        self: Arc<Self>,
        connection: Connection<UpstreamTransport, Bytes>,
        shared: Arc<SharedConnection>,
    ) {
        // The task must not keep a connection open that has neither streams nor a place among those of the endpoint.
        let shared_by_streams = Arc::downgrade(&shared);
        drop(shared);
        let connections = Arc::downgrade(&self);
        drop(self);
        let mut connection = pin!(connection);
        let mut is_left = false;
        loop {
            tokio::select! {
                ended = &mut connection => {
                    if let Err(error) = ended {
                        tracing::debug!(%error, "a connection to a backend ended");
                    }
                    break;
                }
                () = tokio::time::sleep(SWEEP) => match shared_by_streams.upgrade() {
                    Some(shared) => {
                        if let Some(all) = connections.upgrade()
                            && !shared.may_stay(all.lifetime)
                        {
                            all.forget(&shared);
                        }
                    }
                    // It had its time to say goodbye.
                    None if is_left => break,
                    None => is_left = true,
                },
            }
        }
        if let (Some(shared), Some(all)) = (shared_by_streams.upgrade(), connections.upgrade()) {
            shared.retire();
            all.forget(&shared);
        }
    }

    fn forget(&self, ended: &Arc<SharedConnection>) {
        self.connections().retain(|connection| !Arc::ptr_eq(connection, ended));
    }

    fn connections(&self) -> MutexGuard<'_, Vec<Arc<SharedConnection>>> {
        // Another thread that panicked has left it valid: each change is a single step.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Begins to speak HTTP/2.
async fn greet(
    wire: UpstreamTransport,
) -> Result<(SendRequest<Bytes>, Connection<UpstreamTransport, Bytes>), h2::Error> {
    // The library counts 32 bytes for each field. The gate's own limits are lower, and the same for both versions.
    let list = MAX_HEAD_BYTES.saturating_add(MAX_FIELDS.saturating_mul(64));
    h2::client::Builder::new()
        .enable_push(false)
        .max_header_list_size(u32::try_from(list).unwrap_or(u32::MAX))
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(SEND_BUFFER)
        .handshake(wire)
        .await
}

impl SharedConnection {
    /// Whether the backend takes more requests on it, as far as it has said.
    fn is_open(&self) -> bool {
        let mut sender = self.sender.clone();
        let is_ready = sender.poll_ready(&mut Context::from_waker(Waker::noop()));
        !self.usage().is_retired && matches!(is_ready, Poll::Ready(Ok(())))
    }

    fn has_room(&self) -> bool {
        let most = self.sender.current_max_send_streams().min(MOST_STREAMS);
        self.usage().streams < most
    }

    /// One more stream. `None` where it gets no more.
    fn lease(self: Arc<Self>) -> Option<StreamLease> {
        let is_used = {
            let mut usage = self.usage();
            if usage.is_retired {
                return None;
            }
            usage.streams += 1;
            usage.idle = None;
            std::mem::replace(&mut usage.is_used, true)
        };
        Some(StreamLease { sender: self.sender.clone(), connection: self, is_used })
    }

    fn give_back(&self) {
        let mut usage = self.usage();
        usage.streams = usage.streams.saturating_sub(1);
        if usage.streams == 0 && !usage.is_retired {
            match Counted::one_more() {
                Some(counted) => usage.idle = Some((Instant::now(), counted)),
                None => usage.is_retired = true,
            }
        }
    }

    fn retire(&self) {
        let mut usage = self.usage();
        usage.is_retired = true;
        usage.idle = None;
    }

    /// Whether it may go on: it is in use, or has not been idle for too long.
    fn may_stay(&self, lifetime: Duration) -> bool {
        let mut usage = self.usage();
        if usage.idle.as_ref().is_some_and(|(since, _)| since.elapsed() >= lifetime) {
            usage.is_retired = true;
            usage.idle = None;
        }
        !usage.is_retired
    }

    fn usage(&self) -> MutexGuard<'_, Usage> {
        self.usage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StreamLease {
    /// What begins the stream.
    pub(super) fn sender(&mut self) -> &mut SendRequest<Bytes> {
        &mut self.sender
    }

    /// Whether the connection has carried an exchange before.
    pub fn is_used(&self) -> bool {
        self.is_used
    }

    /// Whether TLS is spoken on the connection.
    pub fn is_secured(&self) -> bool {
        self.connection.is_secured
    }

    /// The connection gets no more streams.
    pub(super) fn retire(&self) {
        self.connection.retire();
    }
}

impl Drop for StreamLease {
    fn drop(&mut self) {
        self.connection.give_back();
    }
}
