//! One HTTP/2 connection: its requests, each in a task of its own, and its end.
//!
//! Pingora parses the requests and serves each; which connection goes on is decided here. What the library refuses
//! before anybody is handed it leaves an audit line and a count all the same: the books know which requests were opened
//! and which were handed on.

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use h2::Reason as Code;
use pingora::apps::HttpServerApp;
use pingora::protocols::http::v2::server::{H2Accept, HttpSession, handshake};
use pingora::protocols::{
    Digest, GetProxyDigest, GetSocketDigest, GetTimingDigest, Ssl, Stream as BoxedTransport,
};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;

use super::flood::{Flood, Ledger, Lookout};
use super::stream::Transport;
use super::{Door, HTTP2_PREFACE, Seat, turned};
use crate::clock;
use crate::proxy::{Arrival, Carrier, Incoming, LINGER, Proxy, serve_at_once, serve_stream};
use crate::reason::{Denial, Reason};

/// What a connection comes to next.
enum Next {
    Request(Box<HttpSession>),
    /// Pingora has refused one.
    Rejected,
    /// The client has ended it, or broken it.
    Ended(Denial),
    Flood(Flood),
}

impl Door {
    /// Serves a connection whose preface is the next thing to read, to its end.
    pub(super) async fn speak_http2(
        &self,
        mut transport: Transport,
        peer: SocketAddr,
        seat: &Seat,
        mut shutdown: watch::Receiver<bool>,
    ) {
        let limits = &self.limits;
        let ledger = Arc::new(Ledger::default());
        let preface = HTTP2_PREFACE.len();
        transport.watch(Lookout::new(ledger.clone(), preface, limits.http2_resets, limits.head_timeout));
        let digest = Arc::new(Digest {
            ssl_digest: transport.get_ssl_digest(),
            timing_digest: transport.get_timing_digest(),
            proxy_digest: transport.get_proxy_digest(),
            socket_digest: transport.get_socket_digest(),
        });
        let established = transport.established().cloned();
        let greeting = handshake(Box::new(transport), self.proxy.h2_options());
        let Ok(Ok(mut connection)) = tokio::time::timeout(limits.head_timeout, greeting).await else {
            return;
        };
        let mut books = Books::new(self.gate.clone(), ledger, peer);
        let carrier = Carrier {
            peer,
            port: self.port,
            not_taken: books.ledger.not_taken().clone(),
            ever_allowed: seat.ever_allowed().clone(),
        };
        let mut requests = JoinSet::new();
        let mut retirement = pin!(tokio::time::sleep(limits.connection_lifetime));
        let mut idle_since = Instant::now();
        let mut draining = false;
        let end = loop {
            // A client that was told to go and has nothing under way need not take its time.
            let patience =
                if draining { limits.idle_timeout.min(limits.head_timeout) } else { limits.idle_timeout };
            tokio::select! {
                biased;
                () = turned(&mut shutdown), if !draining => draining = true,
                () = &mut retirement, if !draining => draining = true,
                next = next(&mut connection, &digest, &mut books) => {
                    match next {
                        Next::Request(mut session) => {
                            // It is answered with 421, and the client is told to come again over another one.
                            let refused = established.as_ref().is_some_and(|established| {
                                established.channel(clock::now()).refused.is_some()
                            });
                            if refused && !draining {
                                draining = true;
                                connection.graceful_shutdown();
                            }
                            // A client that never pauses would have them pile up.
                            while let Some(ended) = requests.try_join_next() {
                                self.note(ended);
                            }
                            if !seat.begin() {
                                // It was to end just then, for others: the client may send it again.
                                session.shutdown_with_reason(Code::REFUSED_STREAM);
                                say_goodbye(&mut connection, Code::NO_ERROR).await;
                                books.handed -= 1;
                                break made_room();
                            }
                            self.take_up(*session, &carrier, &shutdown, &mut requests);
                            if requests.is_empty() {
                                seat.rest();
                            }
                        }
                        Next::Rejected => {}
                        Next::Ended(denial) => {
                            if denial.reason() == Reason::AnswerNotTaken {
                                self.count_cut("write_timeout");
                            }
                            break denial;
                        }
                        Next::Flood(flood) => break self.cut(&mut connection, flood, peer).await,
                    }
                    continue;
                }
                Some(ended) = requests.join_next(), if !requests.is_empty() => {
                    self.note(ended);
                    idle_since = Instant::now();
                    if requests.is_empty() {
                        seat.rest();
                    }
                    continue;
                }
                () = seat.made_room() => {
                    self.count_cut("made_room");
                    say_goodbye(&mut connection, Code::NO_ERROR).await;
                    break made_room();
                }
                () = tokio::time::sleep_until(idle_since + patience), if requests.is_empty() => {
                    say_goodbye(&mut connection, Code::NO_ERROR).await;
                    break Denial::new(Reason::ClientClosed, "the connection was idle");
                }
            }
            connection.graceful_shutdown();
        };
        // Requests under way learn that their client is gone.
        drop(connection);
        books.close(&end);
        while let Some(ended) = requests.join_next().await {
            self.note(ended);
        }
    }

    /// Serves one request: in a task of its own, unless it ends at once.
    fn take_up(
        &self,
        session: HttpSession,
        carrier: &Carrier,
        shutdown: &watch::Receiver<bool>,
        requests: &mut JoinSet<()>,
    ) {
        let (carrier, shutdown) = (carrier.clone(), shutdown.clone());
        let request =
            Incoming { gate: self.gate.clone(), app: self.proxy.clone(), session, carrier, shutdown };
        match self.gate.pend() {
            Ok(pending) => {
                requests.spawn(serve_stream(request, pending));
            }
            Err(full) => {
                if let Some(forwarding) = serve_at_once(request, full) {
                    requests.spawn(forwarding);
                }
            }
        }
    }

    async fn cut(&self, connection: &mut Connection, flood: Flood, peer: SocketAddr) -> Denial {
        let reason = flood.label();
        self.count_cut(reason);
        tracing::debug!(%peer, listener = self.name, reason, "an HTTP/2 connection is cut");
        say_goodbye(connection, Code::ENHANCE_YOUR_CALM).await;
        Denial::new(Reason::CutOff, format!("the connection was cut: {reason}"))
    }

    pub(super) fn count_cut(&self, reason: &str) {
        self.gate.metrics().cut_connections.with_label_values(&[reason]).inc();
    }

    fn note(&self, ended: Result<(), JoinError>) {
        if let Err(error) = ended {
            tracing::error!(%error, listener = self.name, "a request broke off");
        }
    }
}

type Connection = h2::server::Connection<BoxedTransport, Bytes>;

/// Drives the connection until something is to be done. Can be cancelled and called again.
async fn next(connection: &mut Connection, digest: &Arc<Digest>, books: &mut Books) -> Next {
    let mut accepting = pin!(HttpSession::from_h2_conn(connection, digest.clone()));
    poll_fn(|context| {
        let accepted = accepting.as_mut().poll(context);
        if let Some(flood) = books.ledger.flood() {
            return Poll::Ready(Next::Flood(flood));
        }
        Poll::Ready(match accepted {
            Poll::Pending => {
                // All that has come is read.
                books.settle();
                return Poll::Pending;
            }
            Poll::Ready(Ok(Some(H2Accept::Session(session)))) => {
                books.handed += 1;
                Next::Request(Box::new(session))
            }
            Poll::Ready(Ok(Some(H2Accept::Rejected))) => {
                books.rejected += 1;
                Next::Rejected
            }
            Poll::Ready(Ok(None)) => Next::Ended(Denial::new(Reason::ClientClosed, "the client left")),
            Poll::Ready(Err(error)) if books.ledger.not_taken().is_told() => {
                Next::Ended(Denial::new(Reason::AnswerNotTaken, error.to_string()))
            }
            Poll::Ready(Err(error)) => {
                let cause = error.cause.as_ref().and_then(|cause| cause.downcast_ref::<h2::Error>());
                let broke_rule = cause.is_some_and(h2::Error::is_library);
                let reason = if broke_rule { Reason::RequestMalformed } else { Reason::ClientClosed };
                Next::Ended(Denial::new(reason, error.to_string()))
            }
        })
    })
    .await
}

fn made_room() -> Denial {
    Denial::new(Reason::CutOff, "the connection was idle, and others waited for its place")
}

/// GOAWAY, and the end. A client that does not take it ends without.
async fn say_goodbye(connection: &mut Connection, code: Code) {
    connection.abrupt_shutdown(code);
    let _ = tokio::time::timeout(LINGER, poll_fn(|context| connection.poll_closed(context))).await;
}

/// Which requests of a connection were opened, and what became of those that nobody was handed.
struct Books {
    gate: Proxy,
    ledger: Arc<Ledger>,
    peer: SocketAddr,
    /// Handed on: from there on, they leave their own line.
    handed: u64,
    /// Refused by Pingora, and not told of yet.
    rejected: u64,
    told: u64,
    /// What the ledger said last time.
    malformed: u64,
    refused: u64,
}

impl Books {
    fn new(gate: Proxy, ledger: Arc<Ledger>, peer: SocketAddr) -> Self {
        Self { gate, ledger, peer, handed: 0, rejected: 0, told: 0, malformed: 0, refused: 0 }
    }

    fn unheard(&self) -> u64 {
        self.ledger.opened().saturating_sub(self.handed + self.told)
    }

    /// Tells of every request that was refused before it was handed on. Right once all that has come is read, and all
    /// that is to be said is written.
    fn settle(&mut self) {
        let mut unheard = self.unheard();
        if unheard > 0 && self.ledger.is_blocked() {
            return;
        }
        let (malformed, refused) = (self.ledger.malformed(), self.ledger.refused());
        let (newly_malformed, newly_refused) = (malformed - self.malformed, refused - self.refused);
        (self.malformed, self.refused) = (malformed, refused);
        if unheard == 0 {
            return;
        }
        if self.ledger.has_gone_away() {
            // Opened after the client was told that no more would be served: it knows to come back.
            self.told += unheard;
            return;
        }
        for _ in 0..newly_refused.min(unheard) {
            unheard -= 1;
            self.tell(&Denial::new(Reason::TooManyStreams, "one stream more than there may be"), 0);
        }
        let malformed =
            Denial::new(Reason::RequestMalformed, "a rule of HTTP/2 is broken (RFC 9113, section 8)");
        for _ in 0..newly_malformed.min(unheard) {
            unheard -= 1;
            self.tell(&malformed, 0);
        }
        // What is left was answered.
        let rejected = self.rejected.min(unheard);
        for _ in 0..rejected {
            self.tell(&malformed, malformed.reason().entry().status);
        }
        self.rejected = 0;
        let too_large = Denial::new(Reason::HeadTooLarge, "the head is larger than its limit");
        for _ in rejected..unheard {
            self.tell(&too_large, too_large.reason().entry().status);
        }
    }

    /// The connection is over: so are the requests that it has not come to.
    fn close(&mut self, end: &Denial) {
        for _ in 0..self.unheard() {
            self.tell(end, 0);
        }
    }

    fn tell(&mut self, denial: &Denial, status: u16) {
        self.told += 1;
        self.gate.record_refused_head(&Arrival::now(), denial, self.peer, status);
    }
}
