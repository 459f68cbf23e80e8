//! One HTTP/2 connection: its requests, each in a task of its own, and its end.
//!
//! Pingora parses the requests and serves each; which connection goes on is decided here. What the library refuses
//! before it hands it on leaves an audit line and a count all the same: the [`StreamAccount`] knows which requests were
//! opened and which were handed on.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use h2::Reason as Code;
use pingora::apps::HttpServerApp;
use pingora::protocols::http::v2::server::{H2Accept, HttpSession, handshake};
use pingora::protocols::{
    Digest, GetProxyDigest, GetSocketDigest, GetTimingDigest, Ssl, Stream as BoxedStream,
};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;

use super::account::StreamAccount;
use super::request::{Incoming, RequestConnection};
use crate::clock;
use crate::frontend::http::{HTTP2_PREFACE, Http};
use crate::http::ConnectionPeer;
use crate::listener::flood::{ConnectionStats, Flood, FloodGuard};
use crate::listener::window::{UPLOAD_BYTES, WIDE_WINDOW, WideWindow};
use crate::listener::{Accepted, ConnectionSlot, LINGER, MADE_ROOM, WRITE_TIMEOUT, turned};
use crate::reason::{Denial, Reason};
use crate::tls::Established;

/// The next event on a connection.
enum ConnectionEvent {
    Request(Box<HttpSession>),
    /// Pingora has refused one.
    Rejected,
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
    digest: Arc<Digest>,
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
        let digest = Arc::new(Digest {
            ssl_digest: stream.get_ssl_digest(),
            timing_digest: stream.get_timing_digest(),
            proxy_digest: stream.get_proxy_digest(),
            socket_digest: stream.get_socket_digest(),
        });
        let established = stream.established().cloned();
        let greeting = handshake(Box::new(stream), front.proxy.h2_options());
        let Ok(Ok(connection)) = tokio::time::timeout(limits.head_timeout, greeting).await else {
            return None;
        };
        Some(Self {
            front,
            peer,
            slot: Arc::new(slot),
            connection,
            digest,
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
                next = next(&mut self.connection, &self.digest, &mut self.account, self.uploads_at) => {
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
            ConnectionEvent::Rejected => None,
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
            ConnectionEvent::Request(session) => self.begin(*session).await,
        }
    }

    async fn begin(&mut self, mut session: HttpSession) -> Option<Denial> {
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
            session.shutdown_with_reason(Code::REFUSED_STREAM);
            say_goodbye(&mut self.connection, Code::NO_ERROR).await;
            self.account.not_handed();
            return Some(made_room());
        }
        self.spawn(session);
        self.rest();
        None
    }

    /// Serves one request: in a task of its own, unless it ends at once.
    fn spawn(&mut self, session: HttpSession) {
        let request = Incoming {
            engine: self.front.engine.clone(),
            app: self.front.proxy.clone(),
            session,
            connection: RequestConnection {
                peer: self.peer,
                port: self.front.port,
                health_path: self.front.health_path.clone(),
                established: self.established.clone(),
                stalled: self.account.stats().stalled().clone(),
                slot: self.slot.clone(),
                limits: self.front.limits,
            },
            shutdown: self.shutdown.clone(),
        };
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

type H2Connection = h2::server::Connection<BoxedStream, Bytes>;

/// Drives the connection until there is something to do. Can be cancelled and called again.
async fn next(
    connection: &mut H2Connection,
    digest: &Arc<Digest>,
    account: &mut StreamAccount,
    uploads_at: u64,
) -> ConnectionEvent {
    let mut accepting = pin!(HttpSession::from_h2_conn(connection, digest.clone()));
    poll_fn(|context| {
        let accepted = accepting.as_mut().poll(context);
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
            Poll::Ready(Ok(Some(H2Accept::Session(session)))) => {
                account.handed();
                ConnectionEvent::Request(Box::new(session))
            }
            Poll::Ready(Ok(Some(H2Accept::Rejected))) => {
                account.rejected();
                ConnectionEvent::Rejected
            }
            Poll::Ready(Ok(None)) => {
                ConnectionEvent::Ended(Denial::new(Reason::ClientClosed, "the client left"))
            }
            Poll::Ready(Err(error)) if account.stats().stalled().is_told() => {
                ConnectionEvent::Ended(Denial::new(Reason::AnswerNotTaken, error.to_string()))
            }
            Poll::Ready(Err(error)) => {
                let cause = error.cause.as_ref().and_then(|cause| cause.downcast_ref::<h2::Error>());
                let broke_rule = cause.is_some_and(h2::Error::is_library);
                let reason = if broke_rule { Reason::RequestMalformed } else { Reason::ClientClosed };
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
