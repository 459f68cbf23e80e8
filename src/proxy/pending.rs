//! A request over HTTP/2 before it is allowed: judged, and refused where it is to be, ahead of all that forwarding takes.
//!
//! What Pingora holds for one request is some 16 KiB, and a client opens a hundred with a few bytes each. So Pingora is
//! given none that is not allowed; until then there are the head, the exchange and this task. How many of those may wait,
//! for an issuer's word or for a client that takes its answer, is bounded ([`crate::admission`]). One more is judged as well,
//! by what is known, and waits for nothing: so strangers who fill the places keep out no caller who is known.
//!
//! ```text
//! stream ─► request ─► judge ─► take a place ─► Pingora
//!              └─────────┴───────────┴─► answer, END_STREAM, and RST_STREAM(NO_ERROR) if the body goes on
//! ```

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use pingora::apps::HttpServerApp;
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::HttpSession;
use pingora::proxy::HttpProxy;
use tokio::sync::watch;

use super::answering::at_once;
use super::http2::request_of_http2;
use super::{Exchange, NotTaken, Proxy, stream};
use crate::admission::Pending;
use crate::http::Request;
use crate::listener::EverAllowed;
use crate::reason::Denial;

/// A request, and what it takes to serve it.
pub struct Incoming {
    /// What judges it.
    pub gate: Proxy,
    /// What forwards it.
    pub app: Arc<HttpProxy<Proxy>>,
    /// Its stream.
    pub session: HttpSession,
    /// Its connection.
    pub carrier: Carrier,
    /// Turns true when the process is to end.
    pub shutdown: watch::Receiver<bool>,
}

/// What a connection lets its requests know, and is let know.
#[derive(Clone, Debug)]
pub struct Carrier {
    /// The other end.
    pub peer: SocketAddr,
    /// The port that it came in at.
    pub port: u16,
    /// How it ended, once it has.
    pub not_taken: NotTaken,
    /// Whether any request of it was allowed.
    pub ever_allowed: EverAllowed,
}

/// Serves one HTTP/2 request.
pub async fn serve_stream(request: Incoming, mut pending: Pending) {
    let Incoming { gate, mut session, carrier, .. } = request;
    let mut exchange = Exchange::new(gate.clone());
    let received = receive(&gate, &session, &mut exchange, &carrier);
    let address = exchange.request.as_ref().and_then(|request| request.origin.address);
    let counted = pending.count_for(address.unwrap_or(carrier.peer.ip()));
    let patient = counted.is_ok();
    let judged = match received {
        Err(denial) => Err(denial),
        Ok(()) => match counted {
            Ok(()) => gate.admit(&mut exchange).await,
            Err(full) => at_once(gate.admit(&mut exchange)).unwrap_or(Err(full)),
        },
    };
    if let Ok(false) = judged {
        drop(pending);
        return forward(gate, request.app, session, exchange, carrier, request.shutdown).await;
    }
    let sent = answer(&gate, &mut session, &mut exchange, judged, patient).await;
    finish(&session, &mut exchange, carrier.peer, sent, patient);
}

/// Serves a request for which there is no place to wait in. What goes on is forwarded by the future that comes back; the
/// others are answered, or reset, by then.
pub fn serve_at_once(request: Incoming, full: Denial) -> Option<impl Future<Output = ()> + Send> {
    let Incoming { gate, mut session, carrier, .. } = request;
    let mut exchange = Exchange::new(gate.clone());
    let judged = receive(&gate, &session, &mut exchange, &carrier)
        .and_then(|()| at_once(gate.admit(&mut exchange)).unwrap_or(Err(full)));
    if let Ok(false) = judged {
        return Some(forward(gate, request.app, session, exchange, carrier, request.shutdown));
    }
    let sent = at_once(answer(&gate, &mut session, &mut exchange, judged, false)).unwrap_or(Ok(()));
    finish(&session, &mut exchange, carrier.peer, sent, false);
    None
}

fn receive(
    gate: &Proxy,
    session: &HttpSession,
    exchange: &mut Exchange,
    carrier: &Carrier,
) -> Result<(), Denial> {
    exchange.ever_allowed = carrier.ever_allowed.clone();
    let request = request_of_http2(session, exchange.arrival.time, gate.0.limits, &gate.0.proxies.load())?;
    exchange.request = Some(Request { port: Some(carrier.port), ..request });
    Ok(())
}

async fn forward(
    gate: Proxy,
    app: Arc<HttpProxy<Proxy>>,
    session: HttpSession,
    exchange: Exchange,
    carrier: Carrier,
    shutdown: watch::Receiver<bool>,
) {
    let mut session = ServerSession::new_http2(session);
    // For each piece of the answer: a client may open no window for it, on a socket with room.
    session.set_write_timeout(Some(gate.0.limits.write_timeout));
    let serving = async {
        app.process_new_http(session, &shutdown).await;
    };
    stream::forward(exchange, carrier.not_taken, serving).await;
}

/// Answers a request that goes no further. Who is not `patient` waits for no window.
async fn answer(
    gate: &Proxy,
    session: &mut HttpSession,
    exchange: &mut Exchange,
    judged: Result<bool, Denial>,
    patient: bool,
) -> pingora::Result<()> {
    match judged {
        Ok(_) => gate.publish_keys_http2(session, exchange, patient).await,
        Err(denial) => {
            let sent = gate.refuse_http2(session, exchange, &denial, patient).await;
            exchange.denial = Some(denial);
            sent
        }
    }
}

fn finish(
    session: &HttpSession,
    exchange: &mut Exchange,
    peer: SocketAddr,
    sent: pingora::Result<()>,
    patient: bool,
) {
    let written = session.response_written().map_or(0, |head| head.status.as_u16());
    // A reset takes back what the library has not written yet.
    let status = if sent.is_err() && !patient { 0 } else { written };
    if let Err(error) = sent {
        tracing::debug!(%error, "the answer to an HTTP/2 request could not be sent");
    }
    exchange.record(Some(peer), status);
}
