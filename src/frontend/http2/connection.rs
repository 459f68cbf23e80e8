//! One HTTP/2 connection: its requests, each in a task of its own, and its end.
//!
//! The h2 library reads the frames; which connection goes on is decided here. What the library refuses before it hands it on leaves an audit line and a count all the same: the [`StreamAccount`] knows which requests were
//! opened and which were handed on.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use h2::Reason as Code;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;

use super::account::StreamAccount;
use super::request::{Incoming, RequestConnection};
use super::stream::Http2Stream;
use crate::clock;
use crate::frontend::http::{HTTP2_PREFACE, Http};
use crate::http::ConnectionPeer;
use crate::listener::flood::{ConnectionStats, Flood, FloodGuard};
use crate::listener::window::{STREAM_WINDOW, UPLOAD_BYTES, WIDE_WINDOW, WideWindow};
use crate::listener::{
    Accepted, Authorizer, ClientStream, ConnectionSlot, LINGER, ListenerLimits, MADE_ROOM, WRITE_TIMEOUT,
    turned,
};
use crate::reason::{Denial, Reason};
use crate::tls::Established;

/// The bytes of an answer that may wait for the connection, once the client has room for them.
const SEND_BUFFER: usize = 64 * 1024;

/// The next event on a connection.
enum ConnectionEvent {
    Request(Box<Http2Stream>),
    /// The client has ended it, or broken it.
    Ended(Denial),
    Flood(Flood),
    /// It uploads, and may get a wide window.
    Upload,
}

/// A connection and what is under way on it.
struct Http2<'f> {
    front: &'f Http,
    peer: ConnectionPeer,
    slot: Arc<ConnectionSlot>,
    connection: H2Connection,
    established: Option<Arc<Established>>,
    account: StreamAccount,
    requests: JoinSet<()>,
    /// Whether the client was told to go.
    draining: bool,
    idle_since: Instant,
    /// The right to a wide window, where it has one.
    window: Option<WideWindow>,
    /// The bytes of bodies at which it asks for one.
    uploads_at: u64,
    shutdown: watch::Receiver<bool>,
}

/// Serves a connection whose preface is the next thing to read, to its end.
pub(in crate::frontend) async fn serve(front: &Http, accepted: Accepted, shutdown: watch::Receiver<bool>) {
    if let Some(connection) = Http2::greet(front, accepted, shutdown).await {
        connection.serve().await;
    }
}

impl<'f> Http2<'f> {
    /// Exchanges settings. `None` where the client does not in time.
    async fn greet(front: &'f Http, accepted: Accepted, shutdown: watch::Receiver<bool>) -> Option<Self> {
        let Accepted { mut stream, peer, slot, .. } = accepted;
        let limits = &front.limits;
        let stats = Arc::new(ConnectionStats::default());
        let preface = HTTP2_PREFACE.len();
        stream.watch(FloodGuard::new(stats.clone(), preface, limits.http2_resets, limits.head_timeout));
        let established = stream.established().cloned();
        let greeting = settings(limits).handshake(stream);
        let Ok(Ok(connection)) = tokio::time::timeout(limits.head_timeout, greeting).await else {
            return None;
        };
        Some(Self {
            front,
            peer,
            slot: Arc::new(slot),
            connection,
            established,
            account: StreamAccount::new(front.engine.clone(), stats, peer.socket()),
            requests: JoinSet::new(),
            draining: false,
            idle_since: Instant::now(),
            window: None,
            uploads_at: UPLOAD_BYTES,
            shutdown,
        })
    }

    async fn serve(mut self) {
        let end = self.until_end().await;
        let Self { front, connection, mut account, mut requests, .. } = self;
        // Requests under way learn that their client is gone.
        drop(connection);
        account.close(&end);
        while let Some(ended) = requests.join_next().await {
            note(front, ended);
        }
    }

    /// Serves requests until the connection ends, and says why it does.
    async fn until_end(&mut self) -> Denial {
        let front = self.front;
        let limits = &front.limits;
        let slot = self.slot.clone();
        let mut retirement = pin!(tokio::time::sleep(limits.connection_lifetime));
        loop {
            // A client that was told to go and has nothing under way need not take its time.
            let patience = if self.draining {
                limits.idle_timeout.min(limits.head_timeout)
            } else {
                limits.idle_timeout
            };
            tokio::select! {
                biased;
                () = turned(&mut self.shutdown), if !self.draining => self.drain(),
                () = &mut retirement, if !self.draining => self.drain(),
                next = next(&mut self.connection, &mut self.account, self.uploads_at) => {
                    if let Some(end) = self.go_on(next).await {
                        return end;
                    }
                }
                Some(ended) = self.requests.join_next(), if !self.requests.is_empty() => {
                    note(front, ended);
                    self.idle_since = Instant::now();
                    self.rest();
                }
                () = slot.made_room() => {
                    front.count_cut(MADE_ROOM);
                    say_goodbye(&mut self.connection, Code::NO_ERROR).await;
                    return made_room();
                }
                () = tokio::time::sleep_until(self.idle_since + patience), if self.requests.is_empty() => {
                    say_goodbye(&mut self.connection, Code::NO_ERROR).await;
                    return Denial::new(Reason::ClientClosed, "the connection was idle");
                }
            }
        }
    }

    /// Tells the client to come back on another connection.
    fn drain(&mut self) {
        self.draining = true;
        self.connection.graceful_shutdown();
    }

    /// The connection may make room for another one while it has nothing under way.
    fn rest(&self) {
        if self.requests.is_empty() {
            self.slot.rest();
        }
    }

    /// Does what is due. `Some` where the connection ends with it.
    async fn go_on(&mut self, next: ConnectionEvent) -> Option<Denial> {
        match next {
            ConnectionEvent::Upload => {
                self.widen();
                None
            }
            ConnectionEvent::Flood(flood) => Some(self.cut(flood).await),
            ConnectionEvent::Ended(denial) => {
                if denial.reason() == Reason::AnswerNotTaken {
                    self.front.count_cut(WRITE_TIMEOUT);
                }
                Some(denial)
            }
            ConnectionEvent::Request(stream) => self.begin(*stream).await,
        }
    }

    async fn begin(&mut self, mut stream: Http2Stream) -> Option<Denial> {
        // It is answered with 421, and the client is told to come again over another connection.
        let is_refused = self
            .established
            .as_ref()
            .is_some_and(|established| established.channel(clock::now()).refused.is_some());
        if is_refused && !self.draining {
            self.drain();
        }
        // With a client that never pauses they would pile up.
        while let Some(ended) = self.requests.try_join_next() {
            note(self.front, ended);
        }
        if !self.slot.begin() {
            // The connection was closed for a newcomer just then: the client may send the request
            // again.
            stream.reset(Code::REFUSED_STREAM);
            say_goodbye(&mut self.connection, Code::NO_ERROR).await;
            self.account.not_handed();
            return Some(made_room());
        }
        self.spawn(stream);
        self.rest();
        None
    }

    /// Serves one request: in a task of its own, unless it ends at once.
    fn spawn(&mut self, stream: Http2Stream) {
        let request = Incoming {
            engine: self.front.engine.clone(),
            stream,
            connection: RequestConnection {
                peer: self.peer,
                port: self.front.port,
                health_path: self.front.health_path.clone(),
                established: self.established.clone(),
                stalled: self.account.stats().stalled().clone(),
                slot: self.slot.clone(),
                limits: self.front.limits,
            },
        };
        if let Some(authorizer) = &self.front.authorizer {
            return self.spawn_question(request, authorizer.clone());
        }
        match self.front.engine.pend() {
            Ok(pending) => {
                self.requests.spawn(request.serve(pending));
            }
            Err(full) => {
                if let Some(forwarding) = request.serve_at_once(full) {
                    self.requests.spawn(forwarding);
                }
            }
        }
    }

    /// Answers a question of a proxy, in a task of its own unless there is no room for it.
    fn spawn_question(&mut self, request: Incoming, authorizer: Arc<Authorizer>) {
        match self.front.engine.pend() {
            Ok(pending) => {
                self.requests
                    .spawn(async move { Box::pin(request.answer_question(&authorizer, pending)).await });
            }
            Err(full) => request.refuse_question(&authorizer, full),
        }
    }

    /// Lets an upload send more ahead. Where all wide windows are taken, it asks again later.
    fn widen(&mut self) {
        self.window = self.slot.wide_window();
        self.uploads_at = if self.window.is_some() {
            self.connection.set_target_window_size(WIDE_WINDOW);
            u64::MAX
        } else {
            self.account.stats().body_bytes() + UPLOAD_BYTES
        };
    }

    async fn cut(&mut self, flood: Flood) -> Denial {
        let reason = flood.label();
        self.front.count_cut(reason);
        let (peer, listener) = (self.peer, &self.front.name);
        tracing::debug!(%peer, listener, reason, "an HTTP/2 connection is cut");
        say_goodbye(&mut self.connection, Code::ENHANCE_YOUR_CALM).await;
        Denial::new(Reason::CutOff, format!("the connection was cut: {reason}"))
    }
}

fn note(front: &Http, ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, listener = front.name, "a request broke off");
    }
}

type H2Connection = h2::server::Connection<ClientStream, Bytes>;

/// What the client is told, and what a connection of it may hold.
fn settings(limits: &ListenerLimits) -> h2::server::Builder {
    let mut http2 = h2::server::Builder::new();
    // The library counts 32 bytes for each field, and pseudo-headers as fields (RFC 9113, section 6.5.2). The gate's
    // own limit is lower and the same for both versions.
    let list = limits.head.bytes.saturating_add(limits.head.fields.saturating_add(5).saturating_mul(64));
    http2.max_header_list_size(u32::try_from(list).unwrap_or(u32::MAX));
    // Memory that one connection may hold, and streams that a client may reset, before the connection is ended.
    http2.max_concurrent_streams(u32::try_from(limits.http2_streams).unwrap_or(u32::MAX));
    http2.max_send_buffer_size(SEND_BUFFER);
    // That of the connection bounds all of them together.
    http2.initial_window_size(STREAM_WINDOW);
    http2.max_concurrent_reset_streams(20);
    http2.max_pending_accept_reset_streams(20);
    http2.max_local_error_reset_streams(Some(1000));
    http2
}

/// Drives the connection until there is something to do. Can be cancelled and called again.
async fn next(
    connection: &mut H2Connection,
    account: &mut StreamAccount,
    uploads_at: u64,
) -> ConnectionEvent {
    poll_fn(|context| {
        let accepted = connection.poll_accept(context);
        if let Some(flood) = account.stats().flood() {
            return Poll::Ready(ConnectionEvent::Flood(flood));
        }
        Poll::Ready(match accepted {
            Poll::Pending => {
                // All that has come is read.
                account.settle();
                if account.stats().body_bytes() < uploads_at {
                    return Poll::Pending;
                }
                ConnectionEvent::Upload
            }
            Poll::Ready(Some(Ok((request, respond)))) => {
                account.handed();
                ConnectionEvent::Request(Box::new(Http2Stream::new(request, respond)))
            }
            Poll::Ready(None) => ConnectionEvent::Ended(Denial::new(Reason::ClientClosed, "the client left")),
            Poll::Ready(Some(Err(error))) => {
                let reason = if account.stats().stalled().is_told() {
                    Reason::AnswerNotTaken
                } else if error.is_library() {
                    Reason::RequestMalformed
                } else {
                    Reason::ClientClosed
                };
                ConnectionEvent::Ended(Denial::new(reason, error.to_string()))
            }
        })
    })
    .await
}

fn made_room() -> Denial {
    Denial::new(Reason::CutOff, "the connection was idle, and others waited for its place")
}

/// Sends GOAWAY and ends the connection, whether or not the client takes it.
async fn say_goodbye(connection: &mut H2Connection, code: Code) {
    connection.abrupt_shutdown(code);
    let _ = tokio::time::timeout(LINGER, poll_fn(|context| connection.poll_closed(context))).await;
}
