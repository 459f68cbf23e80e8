//! A request over HTTP/2 before it is allowed: judged, and refused where it is to be, ahead of all that forwarding takes.
//!
//! What Pingora holds for one request is some 16 KiB, and a client opens a hundred with a few bytes each. So Pingora is
//! given none that is not allowed; until then there are the head, the exchange and this task. How many there may be at one
//! time is bounded ([`super::places`]).
//!
//! ```text
//! stream ─► pend ─► request ─► count_for ─► judge ─► take ─► Pingora
//!             │        │           │          │       │
//!             └────────┴───────────┴──────────┴───────┴─► answer, END_STREAM, RST_STREAM(NO_ERROR)
//! ```

use std::net::SocketAddr;
use std::sync::Arc;

use pingora::apps::HttpServerApp;
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::HttpSession;
use pingora::proxy::HttpProxy;
use tokio::sync::watch;

use super::answering::at_once;
use super::http2::request_of_http2;
use super::{EverAllowed, Exchange, NotTaken, Pending, Proxy, stream};
use crate::reason::Denial;

/// What a connection lets its requests know, and is let know.
#[derive(Clone, Debug)]
pub struct Carrier {
    /// The other end.
    pub peer: SocketAddr,
    /// How it ended, once it has.
    pub not_taken: NotTaken,
    /// Whether any request of it was allowed.
    pub ever_allowed: EverAllowed,
}

/// Serves one HTTP/2 request.
pub async fn serve_stream(
    gate: Proxy,
    app: Arc<HttpProxy<Proxy>>,
    mut session: HttpSession,
    mut pending: Pending,
    carrier: Carrier,
    shutdown: watch::Receiver<bool>,
) {
    let mut exchange = Exchange::new(gate.clone());
    exchange.ever_allowed = carrier.ever_allowed;
    let received = request_of_http2(&session, gate.0.limits, &gate.0.proxies);
    let address = received.as_ref().ok().and_then(|request| request.origin.address);
    let counted = pending.count_for(address.unwrap_or(carrier.peer.ip()));
    // Whose address has no place left is not waited for.
    let patient = counted.is_ok();
    let received = received.and_then(|request| {
        exchange.request = Some(request);
        counted
    });
    let judged = match received {
        Ok(()) => gate.admit(&mut exchange).await,
        Err(denial) => Err(denial),
    };
    let sent = match judged {
        Ok(false) => {
            drop(pending);
            let mut session = ServerSession::new_http2(session);
            // For each piece of the answer: a client may open no window for it, on a socket with room.
            session.set_write_timeout(Some(gate.0.limits.write_timeout));
            let serving = async {
                app.process_new_http(session, &shutdown).await;
            };
            return stream::forward(exchange, carrier.not_taken, serving).await;
        }
        Ok(true) => gate.publish_keys_http2(&mut session, &mut exchange).await,
        Err(denial) => {
            let sent = gate.refuse_http2(&mut session, &exchange, &denial, patient).await;
            exchange.denial = Some(denial);
            sent
        }
    };
    finish(&session, &mut exchange, carrier.peer, sent);
}

/// Answers a request for which there is no place, at once or not at all: it costs no task.
pub fn turn_away(gate: &Proxy, mut session: HttpSession, denial: Denial, peer: SocketAddr) {
    let mut exchange = Exchange::new(gate.clone());
    let answer = gate.refuse_http2(&mut session, &exchange, &denial, false);
    let sent = at_once(answer).unwrap_or(Ok(()));
    exchange.denial = Some(denial);
    finish(&session, &mut exchange, peer, sent);
}

fn finish(session: &HttpSession, exchange: &mut Exchange, peer: SocketAddr, sent: pingora::Result<()>) {
    if let Err(error) = sent {
        tracing::debug!(%error, "the answer to an HTTP/2 request could not be sent");
    }
    exchange.record(Some(peer), session.response_written().map_or(0, |head| head.status.as_u16()));
}
