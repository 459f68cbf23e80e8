//! Forwards what the engine has admitted: HTTP/1 to HTTP/1 by itself ([`forward()`]), and where HTTP/2 is on one side, by Pingora
//! ([`Proxy`], the one `impl ProxyHttp`).
//!
//! What gets here is an [`Exchange`] in its admitted phase; the request that goes upstream is rebuilt from the judged one, and
//! the body is the judged one too. An exchange that is not admitted is not forwarded. For Pingora, the task carries it
//! ([`carry`]).

mod answering;
mod attempts;
mod cancels;
mod exchange;
mod failure;
mod forward;
mod gather;
mod http10;
mod steps;
mod task;

use std::os::fd::RawFd;
use std::time::Duration;

use ::http::HeaderMap;
use async_trait::async_trait;
use bytes::Bytes;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::modules::http::HttpModules;
use pingora::protocols::Digest;
use pingora::proxy::{FailToProxy, ProxyHttp, Session};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, Result};

pub use self::exchange::{
    ClientSide, Forwarded, Relay, RelayFailure, RelaySteps, RelayTimer, RelayTimes, SentAnswer, forward,
};
use self::failure::denial_of;
use self::forward::no_permit;
use self::gather::gather;
use self::http10::Http10Builder;
pub use self::task::{carry, carry_within_deadline};
use crate::engine::{Engine, Exchange};
use crate::reason::Reason;

/// The proxy. Cheap to clone: all of it is shared.
#[derive(Clone, Debug)]
pub struct Proxy(Engine);

impl Proxy {
    /// A proxy for what `engine` admits.
    pub fn new(engine: Engine) -> Self {
        Self(engine)
    }
}

#[async_trait]
impl ProxyHttp for Proxy {
    /// `None` where Pingora serves a request that was not handed over: it goes nowhere.
    type CTX = Option<Exchange>;

    fn new_ctx(&self) -> Option<Exchange> {
        task::take_exchange()
    }

    fn init_downstream_modules(&self, modules: &mut HttpModules) {
        modules.add_module(Box::new(Http10Builder));
    }

    async fn request_filter(&self, _session: &mut Session, exchange: &mut Option<Exchange>) -> Result<bool> {
        let exchange = admitted(exchange)?;
        let forwarding = exchange.forward().ok_or_else(no_permit)?;
        task::set_deadline(forwarding.body_until);
        exchange.begin_cancel();
        Ok(false)
    }

    async fn upstream_peer(
        &self,
        _session: &mut Session,
        exchange: &mut Option<Exchange>,
    ) -> Result<Box<HttpPeer>> {
        admitted(exchange)?.choose_peer().await.map(Box::new)
    }

    async fn connected_to_upstream(
        &self,
        _session: &mut Session,
        reused: bool,
        _peer: &HttpPeer,
        _descriptor: RawFd,
        digest: Option<&Digest>,
        exchange: &mut Option<Exchange>,
    ) -> Result<()> {
        admitted(exchange)?.connected(reused, digest)
    }

    async fn upstream_request_filter(
        &self,
        _session: &mut Session,
        outgoing: &mut RequestHeader,
        exchange: &mut Option<Exchange>,
    ) -> Result<()> {
        admitted(exchange)?.rewrite(outgoing)
    }

    async fn request_body_filter(
        &self,
        session: &mut Session,
        chunk: &mut Option<Bytes>,
        end_of_stream: bool,
        exchange: &mut Option<Exchange>,
    ) -> Result<()> {
        if !end_of_stream {
            gather(&mut session.downstream_session, chunk).await?;
        }
        admitted(exchange)?.send_body(chunk, end_of_stream)
    }

    async fn upstream_response_filter(
        &self,
        _session: &mut Session,
        response: &mut ResponseHeader,
        exchange: &mut Option<Exchange>,
    ) -> Result<()> {
        admitted(exchange)?.judge_answer(response)
    }

    fn upstream_response_body_filter(
        &self,
        _session: &mut Session,
        chunk: &mut Option<Bytes>,
        end_of_stream: bool,
        exchange: &mut Option<Exchange>,
    ) -> Result<Option<Duration>> {
        let exchange = admitted(exchange)?;
        exchange.judge_answer_body(end_of_stream)?;
        exchange.watch_body(chunk.as_deref().unwrap_or_default(), end_of_stream);
        Ok(None)
    }

    fn upstream_response_trailer_filter(
        &self,
        _session: &mut Session,
        trailers: &mut HeaderMap,
        exchange: &mut Option<Exchange>,
    ) -> Result<()> {
        forward::judge_trailers(trailers);
        // They end the answer (RFC 9113, section 8.1), in place of the last piece of the body.
        admitted(exchange)?.watch_ended();
        Ok(())
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        exchange: &mut Option<Exchange>,
    ) -> Result<()> {
        admitted(exchange)?.pass_answer(response)?;
        if self.0.is_draining() || http10::ends_the_connection(session.req_header(), response) {
            session.set_keepalive(None);
        }
        Ok(())
    }

    fn fail_to_connect(
        &self,
        _session: &mut Session,
        _peer: &HttpPeer,
        exchange: &mut Option<Exchange>,
        mut error: Box<Error>,
    ) -> Box<Error> {
        match exchange {
            Some(exchange) => exchange.failed_at_connect(&mut error),
            None => error.set_retry(false),
        }
        error
    }

    fn error_while_proxy(
        &self,
        _peer: &HttpPeer,
        session: &mut Session,
        mut error: Box<Error>,
        exchange: &mut Option<Exchange>,
        _reused: bool,
    ) -> Box<Error> {
        match exchange {
            Some(exchange) => exchange.failed_in_exchange(&mut error, session),
            None => error.set_retry(false),
        }
        error
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        exchange: &mut Option<Exchange>,
    ) -> FailToProxy {
        session.set_keepalive(None);
        let failed = FailToProxy { error_code: 0, can_reuse_downstream: false };
        let Some(exchange) = exchange else {
            tracing::error!(%error, "a request came to the proxy that the engine did not admit");
            return failed;
        };
        let denial = exchange.denial.take().unwrap_or_else(|| denial_of(error));
        let denial = exchange.worded(denial);
        let mut error_code = 0;
        // An interim answer (1xx) does not count as one.
        let is_answered =
            session.response_written().is_some_and(|written| !written.status.is_informational());
        // An answer that has begun cannot be replaced; the broken connection tells the client.
        if denial.reason() != Reason::ClientClosed && !is_answered {
            exchange.begin_answer();
            match answering::refuse(session, exchange, &denial).await {
                Ok(()) => error_code = denial.reason().entry().status,
                Err(error) => tracing::debug!(%error, "cannot send the answer"),
            }
        }
        exchange.denial = Some(denial);
        FailToProxy { error_code, ..failed }
    }

    /// The audit line says what failed, together with the request.
    fn suppress_error_log(&self, _session: &Session, _exchange: &Option<Exchange>, _error: &Error) -> bool {
        true
    }

    async fn logging(&self, session: &mut Session, error: Option<&Error>, exchange: &mut Option<Exchange>) {
        let Some(exchange) = exchange else { return };
        if exchange.denial.is_none() {
            exchange.denial = error.map(denial_of);
        }
        if exchange.denial.is_none() {
            exchange.note_success();
            // Where nothing said before that the answer ends, it has no body.
            exchange.watch_ended();
        }
        exchange.response_size = Some(session.body_bytes_sent() as u64);
        exchange.record(session.response_written().map_or(0, |response| response.status.as_u16()));
    }
}

/// Nothing goes upstream without a permit.
fn admitted(exchange: &mut Option<Exchange>) -> Result<&mut Exchange> {
    exchange.as_mut().ok_or_else(no_permit)
}
