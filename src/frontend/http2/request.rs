//! One HTTP/2 request: decided, and answered where it goes no further, ahead of all that forwarding takes.
//!
//! What forwarding holds for one request is more than what a refusal does, and a client opens a hundred streams with a few
//! bytes each. So nothing is forwarded that is not admitted; until then there are the head, the exchange and this task. How many
//! of those may wait, for an issuer's answer or for a client that takes its own, is bounded ([`crate::admission`]). One more is
//! decided as well, by what is known, and waits for nothing: so strangers who fill the slots keep out no caller who is known.
//!
//! ```text
//! stream ─► request ─► decide ─► slots ─► body ─► proxy
//!              └─────────┴─────────┴───────┴─► answer, END_STREAM, and RST_STREAM(NO_ERROR) if the body goes on
//! ```

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use super::body::Http2Body;
use super::client::Http2Client;
use super::stream::{Http2Stream, NotSent};
use crate::admission::PendingSlot;
use crate::engine::{Arrival, Decision, Engine, Exchange, FrontendAction, Pending};
use crate::frontend::answer;
use crate::http::{ConnectionPeer, Path, Peer, RawHead, Request};
use crate::listener::{ConnectionSlot, ListenerLimits, StalledFlag};
use crate::proxy::{Forwarded, forward};
use crate::reason::{Denial, Reason};
use crate::respond::ErrorResponse;
use crate::tls::Established;

/// A request, and everything that is needed to serve it.
pub(super) struct Incoming {
    pub(super) engine: Engine,
    pub(super) stream: Http2Stream,
    pub(super) connection: RequestConnection,
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
    pub(super) fn peer_ip(&self) -> IpAddr {
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
            // By itself, as what follows it: a task is moved several times when it begins, with all the room that it may need.
            return Box::pin(self.go_on(exchange, decision)).await;
        }
        let (answer, denial) = answer_to(&exchange, decision);
        exchange.denial = denial;
        exchange.begin_answer();
        let sent = self.stream.answer(answer, is_patient).await;
        self.finish(exchange, sent, is_patient);
        if is_patient {
            self.stream.linger().await;
        }
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
            return Some(Box::pin(self.go_on(exchange, decision)));
        }
        let (answer, denial) = answer_to(&exchange, decision);
        exchange.denial = denial;
        exchange.begin_answer();
        let sent = self.stream.answer_at_once(answer);
        self.finish(exchange, sent, false);
        None
    }

    pub(super) fn receive(&self) -> (Exchange, Result<Request, Denial>) {
        let RequestConnection { peer, port, health_path, established, limits, .. } = &self.connection;
        let mut exchange = self.engine.receive(Arrival::now(), peer.socket());
        let head = &self.stream.head;
        let head = RawHead::from_http2(&head.method, &head.uri, &head.headers, limits.head);
        let request = head.and_then(|head| {
            let channel = established.as_ref().map(|established| established.channel(exchange.arrival.time));
            let peer = Peer { address: *peer, port: *port, health_path: health_path.clone(), channel };
            Request::new(head, &peer, &self.engine.proxies())
        });
        if request.is_err() {
            exchange.has_grpc_type = self.stream.has_grpc_type();
        }
        (exchange, request)
    }

    /// Reads the body of a request that is permitted, and forwards it.
    async fn go_on(mut self, mut exchange: Exchange, decision: Decision) {
        let timeout = self.connection.limits.body_timeout;
        let slot = self.connection.slot.clone();
        let mut body = Http2Body::new(&mut self.stream, &slot, timeout);
        let decided = self.engine.go_on(&mut exchange, decision, &mut body).await;
        let answer = match decided {
            Ok(FrontendAction::Forward) => return Box::pin(self.forward(exchange)).await,
            Ok(FrontendAction::Answer(ours)) => answer::own(&exchange, ours),
            Err(denial) => refusal(&mut exchange, denial),
        };
        self.answer(exchange, answer).await;
    }

    async fn forward(mut self, mut exchange: Exchange) {
        let RequestConnection { stalled, limits, .. } = &self.connection;
        let mut client = Http2Client::new(&mut self.stream, stalled.clone(), limits);
        let forwarded = forward(&mut exchange, &mut client).await;
        if let Forwarded::Refused(denial) = forwarded {
            let answer = refusal(&mut exchange, denial);
            return self.answer(exchange, answer).await;
        }
        drop(exchange);
        self.stream.linger().await;
    }

    async fn answer(mut self, mut exchange: Exchange, answer: ErrorResponse) {
        exchange.begin_answer();
        let sent = self.stream.answer(answer, true).await;
        self.finish(exchange, sent, true);
        self.stream.linger().await;
    }

    fn finish(&self, mut exchange: Exchange, sent: Result<(), NotSent>, is_patient: bool) {
        let written = self.stream.sent();
        // A reset takes back what the library has not written yet.
        let status = if sent.is_err() && !is_patient { 0 } else { written.status };
        if let Err(error) = sent {
            let request_id = exchange.arrival.request_id.as_str();
            tracing::debug!(%error, request_id, "cannot send the answer to an HTTP/2 request");
        }
        exchange.response_size = (status != 0).then_some(written.size);
        exchange.record(status);
    }
}

/// The answer to a request that goes no further.
fn refusal(exchange: &mut Exchange, denial: Denial) -> ErrorResponse {
    let denial = exchange.worded(denial);
    let refusal = answer::refusal(exchange, &denial);
    exchange.denial = Some(denial);
    refusal
}

/// Whether it goes on: it is permitted, or it is a gRPC call of a known caller that holds slots, up to its first message.
fn is_permitted(decision: &Decision) -> bool {
    matches!(decision, Decision::Admitted(_) | Decision::Wait(Pending::Body(_) | Pending::Message(..)))
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
