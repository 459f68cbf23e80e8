//! One HTTP/2 request: decided, and answered where it goes no further, ahead of all that forwarding takes.
//!
//! What Pingora holds for one request is some 16 KiB, and a client opens a hundred with a few bytes each. So Pingora is
//! given none that is not admitted; until then there are the head, the exchange and this task. How many of those may wait,
//! for an issuer's answer or for a client that takes its own, is bounded ([`crate::admission`]). One more is decided as
//! well, by what is known, and waits for nothing: so strangers who fill the slots keep out no caller who is known.
//!
//! ```text
//! stream ─► request ─► decide ─► slots ─► body ─► Pingora
//!              └─────────┴─────────┴───────┴─► answer, END_STREAM, and RST_STREAM(NO_ERROR) if the body goes on
//! ```

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use pingora::apps::HttpServerApp;
use pingora::http::ResponseHeader;
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::HttpSession;
use pingora::proxy::HttpProxy;
use pingora::{Error, ErrorType, Result};
use tokio::sync::watch;

use super::body::Http2Body;
use crate::admission::PendingSlot;
use crate::engine::{Arrival, Decision, Engine, Exchange, FrontendAction, Pending};
use crate::frontend::answer;
use crate::http::{ConnectionPeer, Path, Peer, RawHead, Request};
use crate::listener::{ConnectionSlot, LINGER, ListenerLimits, StalledFlag};
use crate::proxy::{Proxy, carry_within_deadline};
use crate::reason::{Denial, Reason};
use crate::respond::ErrorResponse;
use crate::tls::Established;

/// A request, and everything that is needed to serve it.
pub(super) struct Incoming {
    pub(super) engine: Engine,
    /// What forwards it.
    pub(super) app: Arc<HttpProxy<Proxy>>,
    /// Its stream.
    pub(super) session: HttpSession,
    pub(super) connection: RequestConnection,
    /// Turns true when the process is to end.
    pub(super) shutdown: watch::Receiver<bool>,
}

/// What a request has to know of its connection, and lets it know.
#[derive(Clone, Debug)]
pub(super) struct RequestConnection {
    pub(super) peer: ConnectionPeer,
    /// The port that it came in at.
    pub(super) port: Option<u16>,
    /// Where its listener tells balancers how the gate is.
    pub(super) health_path: Option<Arc<Path>>,
    /// The facts of its handshake.
    pub(super) established: Option<Arc<Established>>,
    /// How it ended, once it has.
    pub(super) stalled: StalledFlag,
    pub(super) slot: Arc<ConnectionSlot>,
    pub(super) limits: ListenerLimits,
}

impl RequestConnection {
    /// The address that a request counts for whose client is not known. Those behind a Unix socket are one.
    fn peer_ip(&self) -> IpAddr {
        self.peer.socket().map_or(Ipv4Addr::UNSPECIFIED.into(), |address| address.ip())
    }
}

impl Incoming {
    /// Serves the request in a task of its own.
    pub(super) async fn serve(mut self, mut pending: PendingSlot) {
        let (mut exchange, received) = self.receive();
        let address = received.as_ref().ok().and_then(|request| request.origin.address);
        let counted = pending.count_for(address.unwrap_or(self.connection.peer_ip()));
        let is_patient = counted.is_ok();
        let decision = match received {
            Err(denial) => Decision::Refused(denial),
            Ok(request) => self.engine.decide(&mut exchange, request),
        };
        // A request beyond its address's share is decided by what is known.
        let decision = match (decision, counted) {
            (Decision::Wait(Pending::Issuer(_)), Err(full)) => Decision::Refused(full),
            (Decision::Wait(Pending::Issuer(unresolved)), Ok(())) => {
                self.engine.resolve(&mut exchange, unresolved).await
            }
            (decision, _) => decision,
        };
        if is_permitted(&decision) {
            drop(pending);
            return self.go_on(exchange, decision).await;
        }
        let (answer, denial) = answer_to(&exchange, decision);
        exchange.denial = denial;
        exchange.begin_answer();
        let sent = write(&mut self.session, answer, is_patient).await;
        self.finish(exchange, sent, is_patient);
    }

    /// Serves a request for which there is no slot to wait in. What is permitted goes on in the future that comes back; the
    /// others are answered, or reset, by then.
    pub(super) fn serve_at_once(mut self, full: Denial) -> Option<impl Future<Output = ()> + Send> {
        let (mut exchange, received) = self.receive();
        let decision = match received {
            Err(denial) => Decision::Refused(denial),
            Ok(request) => match self.engine.decide(&mut exchange, request) {
                Decision::Wait(Pending::Issuer(_)) => Decision::Refused(full),
                decision => decision,
            },
        };
        if is_permitted(&decision) {
            return Some(self.go_on(exchange, decision));
        }
        let (answer, denial) = answer_to(&exchange, decision);
        exchange.denial = denial;
        exchange.begin_answer();
        let sent = at_once(write(&mut self.session, answer, false)).unwrap_or(Ok(()));
        self.finish(exchange, sent, false);
        None
    }

    fn receive(&self) -> (Exchange, std::result::Result<Request, Denial>) {
        let RequestConnection { peer, port, health_path, established, limits, .. } = &self.connection;
        let exchange = self.engine.receive(Arrival::now(), peer.socket());
        let header = self.session.req_header();
        let head = RawHead::from_http2(&header.method, &header.uri, &header.headers, limits.head);
        let request = head.and_then(|head| {
            let channel = established.as_ref().map(|established| established.channel(exchange.arrival.time));
            let peer = Peer { address: *peer, port: *port, health_path: health_path.clone(), channel };
            Request::new(head, &peer, &self.engine.proxies())
        });
        (exchange, request)
    }

    /// Reads the body of a request that is permitted, and forwards it.
    async fn go_on(mut self, mut exchange: Exchange, decision: Decision) {
        let timeout = self.connection.limits.body_timeout;
        let slot = self.connection.slot.clone();
        let mut body = Http2Body::new(&mut self.session, &slot, timeout);
        let decided = self.engine.go_on(&mut exchange, decision, &mut body).await;
        let answer = match decided {
            Ok(FrontendAction::Forward) => return self.forward(exchange).await,
            Ok(FrontendAction::Answer(ours)) => answer::own(&exchange, ours),
            Err(denial) => {
                let denial = exchange.worded(denial);
                let refusal = answer::refusal(&exchange, &denial);
                exchange.denial = Some(denial);
                refusal
            }
        };
        exchange.begin_answer();
        let sent = write(&mut self.session, answer, true).await;
        self.finish(exchange, sent, true);
    }

    async fn forward(self, exchange: Exchange) {
        let Self { app, session, connection, shutdown, .. } = self;
        let mut session = ServerSession::new_http2(session);
        // For each piece of the answer: a client may open no window for it, on a socket with room.
        session.set_write_timeout(Some(connection.limits.write_timeout));
        let forwarding = async {
            app.process_new_http(session, &shutdown).await;
        };
        // An exchange whose body does not come in time has recorded that when it was dropped.
        let _ = carry_within_deadline(exchange, connection.stalled, forwarding).await;
    }

    fn finish(&self, mut exchange: Exchange, sent: Result<()>, is_patient: bool) {
        let written = self.session.response_written().map_or(0, |head| head.status.as_u16());
        // A reset takes back what the library has not written yet.
        let status = if sent.is_err() && !is_patient { 0 } else { written };
        if let Err(error) = sent {
            let request_id = exchange.arrival.request_id.as_str();
            tracing::debug!(%error, request_id, "cannot send the answer to an HTTP/2 request");
        }
        exchange.response_size = (status != 0).then(|| self.session.body_bytes_sent() as u64);
        exchange.record(status);
    }
}

fn is_permitted(decision: &Decision) -> bool {
    matches!(decision, Decision::Admitted(_) | Decision::Wait(Pending::Body(_)))
}

/// The answer to a request that is not permitted.
fn answer_to(exchange: &Exchange, decision: Decision) -> (ErrorResponse, Option<Denial>) {
    let denial = match decision {
        Decision::Answer(ours) => return (answer::own(exchange, ours), None),
        Decision::Refused(denial) => denial,
        // An issuer is asked once, and what is admitted is forwarded.
        Decision::Admitted(_) | Decision::Wait(_) => {
            Denial::new(Reason::Internal, "a decision was not followed")
        }
    };
    let denial = exchange.worded(denial);
    (answer::refusal(exchange, &denial), Some(denial))
}

/// Writes an answer and the end of the stream. The client may still be sending: dropping the session resets the stream
/// with NO_ERROR then (RFC 9113, section 8.1). One that is not patient waits for no window.
///
/// # Errors
/// Where the client does not take it: the stream is reset then, and counts among the resets that its connection may have.
async fn write(session: &mut HttpSession, answer: ErrorResponse, is_patient: bool) -> Result<()> {
    let mut head = ResponseHeader::build(answer.status, Some(answer.headers.len()))?;
    for (name, value) in answer.headers {
        head.append_header(name, value)?;
    }
    let is_head = session.req_header().method == http::Method::HEAD;
    session.write_response_header(Box::new(head), is_head)?;
    if is_head {
        return Ok(());
    }
    let body: Bytes = answer.body;
    let written = session.write_body(body, true);
    let taken = if is_patient { tokio::time::timeout(LINGER, written).await.ok() } else { at_once(written) };
    taken.unwrap_or_else(|| {
        session.shutdown_with_reason(h2::Reason::ENHANCE_YOUR_CALM);
        Error::e_explain(ErrorType::WriteTimedout, "the client does not take the answer")
    })
}

/// The result of a future that does not wait; `None` where it does.
fn at_once<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => Some(outcome),
        Poll::Pending => None,
    }
}
