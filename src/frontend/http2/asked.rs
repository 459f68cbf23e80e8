//! A question of a proxy over HTTP/2: read whole, decided, answered.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};

use super::body::Http2Body;
use super::request::{Incoming, RequestConnection};
use super::stream::{Http2Stream, NotSent};
use crate::admission::PendingSlot;
use crate::engine::{Arrival, BodySource, Decision, Engine, Exchange};
use crate::frontend::authorizer::{AuthorizerRuling, judge};
use crate::frontend::{answer, authzen, ext_authz, forward_auth};
use crate::http::{RawHead, Request, Scheme, malformed};
use crate::listener::{Authorizer, AuthorizerProtocol, LINGER};
use crate::reason::{Denial, Reason};

/// Room for what Envoy tells beside the head and the body of a request.
const ATTRIBUTES: u64 = 64 * 1024;

impl Incoming {
    /// Answers a question in a task of its own.
    pub(super) async fn answer_question(mut self, authorizer: &Authorizer, pending: PendingSlot) {
        if self.is_health_probe() {
            return self.answer_probe().await;
        }
        let arrival = Arrival::now().asked(authorizer.protocol.as_str());
        let mut exchange = self.engine.receive(arrival, self.connection.peer.socket());
        match authorizer.protocol {
            AuthorizerProtocol::ExtAuthz => self.check(authorizer, &mut exchange, pending).await,
            AuthorizerProtocol::AuthZen => {
                drop(exchange);
                self.evaluate().await;
            }
            AuthorizerProtocol::ForwardAuth(shape) => {
                let ruling = self.forwarded(authorizer, shape, &mut exchange, pending).await;
                let (answer, status) = forward_auth::answer(shape, &mut exchange, ruling);
                exchange.begin_answer();
                let sent = self.stream.answer(answer, true).await;
                exchange.record(if sent.is_ok() { status } else { 0 });
                self.stream.linger().await;
            }
        }
    }

    /// Answers a question for which there is no slot to wait in.
    pub(super) fn refuse_question(mut self, authorizer: &Authorizer, full: Denial) {
        let arrival = Arrival::now().asked(authorizer.protocol.as_str());
        let mut exchange = self.engine.receive(arrival, self.connection.peer.socket());
        let (sent, status) = match authorizer.protocol {
            AuthorizerProtocol::ExtAuthz => {
                let ruling = AuthorizerRuling::Refused(full);
                let (message, status) = ext_authz::response(&mut exchange, ruling);
                (self.stream.send_unary_at_once(message), status)
            }
            AuthorizerProtocol::AuthZen => {
                let answer = answer::refusal(&exchange, &full);
                let status = answer.status.as_u16();
                exchange.denial = Some(full);
                (self.stream.answer_at_once(answer), status)
            }
            AuthorizerProtocol::ForwardAuth(shape) => {
                let ruling = AuthorizerRuling::Refused(full);
                let (answer, status) = forward_auth::answer(shape, &mut exchange, ruling);
                (self.stream.answer_at_once(answer), status)
            }
        };
        exchange.record(if sent.is_ok() { status } else { 0 });
    }

    async fn check(&mut self, authorizer: &Authorizer, exchange: &mut Exchange, pending: PendingSlot) {
        if let Err(denial) = self.is_check() {
            exchange.denial = Some(denial);
            let sent = self.stream.send_unimplemented();
            return exchange.record(if sent.is_ok() { 404 } else { 0 });
        }
        let limits = self.connection.limits;
        let most = ATTRIBUTES + 2 * limits.head.bytes as u64 + shown_body(&self.engine);
        let read = self.read(most).await.and_then(ext_authz::question);
        let described = read.and_then(|check| ext_authz::describe(check, authorizer.body));
        let described = described.and_then(|described| described.read(limits.head, &self.engine.proxies()));
        let peer = self.connection.peer_ip();
        let ruling = judge(&self.engine, exchange, described, Some(pending), peer).await;
        let (message, status) = ext_authz::response(exchange, ruling);
        exchange.begin_answer();
        let sent = self.stream.send_unary(message, LINGER).await;
        exchange.record(if sent.is_ok() { status } else { 0 });
    }

    /// Answers a question of AuthZEN.
    async fn evaluate(mut self) {
        let RequestConnection { peer, limits, .. } = self.connection.clone();
        let body = self.read(authzen::MOST_BYTES).await;
        let head = &self.stream.head;
        let head = RawHead::from_http2(&head.method, &head.uri, &head.headers, limits.head);
        let scheme = if self.connection.established.is_some() { Scheme::Https } else { Scheme::Http };
        let answer = match head.and_then(|head| Ok((head, body?))) {
            Ok((head, body)) => authzen::answer(&self.engine, &head, &body, peer, scheme),
            Err(denial) => authzen::refused(&self.engine, peer, denial),
        };
        // Each question has been recorded by now: a service that does not take the answer changes nothing of that.
        if let Err(error) = self.stream.answer(answer, true).await {
            tracing::debug!(%error, "cannot send the answer to a question");
        }
        self.stream.linger().await;
    }

    async fn forwarded(
        &mut self,
        authorizer: &Authorizer,
        shape: crate::listener::ForwardAuthShape,
        exchange: &mut Exchange,
        pending: PendingSlot,
    ) -> AuthorizerRuling {
        let limits = self.connection.limits;
        let body = self.read(shown_body(&self.engine)).await;
        let head = &self.stream.head;
        let head = RawHead::from_http2(&head.method, &head.uri, &head.headers, limits.head);
        let described = head.and_then(|head| {
            let peer = self.connection.peer;
            forward_auth::describe(head, body?, shape, authorizer.body, peer)
        });
        let proxies = forward_auth::proxies(&self.engine.proxies(), self.connection.peer);
        let described = described.and_then(|described| described.read(limits.head, &proxies));
        judge(&self.engine, exchange, described, Some(pending), self.connection.peer_ip()).await
    }

    /// The body of the question.
    async fn read(&mut self, most: u64) -> Result<Bytes, Denial> {
        let slot = self.connection.slot.clone();
        let timeout = self.connection.limits.body_timeout;
        let mut body = Http2Body::new(&mut self.stream, &slot, timeout);
        // A proxy that may ask uses its connection.
        body.permitted();
        let overflow =
            || Denial::new(Reason::BodyTooLarge, format!("the question has more than {most} bytes"));
        body.collect(most, overflow).await
    }

    fn is_check(&self) -> Result<(), Denial> {
        let head = &self.stream.head;
        let media_type =
            head.headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
        let is_grpc = media_type == b"application/grpc" || media_type == b"application/grpc+proto";
        if head.method != Method::POST || head.uri.path() != ext_authz::CHECK_PATH || !is_grpc {
            return Err(malformed(format!("what is asked is not `{}` of gRPC", ext_authz::CHECK_PATH)));
        }
        Ok(())
    }

    fn is_health_probe(&self) -> bool {
        let path = self.connection.health_path.as_ref();
        path.is_some_and(|path| self.stream.head.uri.path() == path.as_str())
    }

    /// Answers a balancer, by the rules of a listener that forwards.
    async fn answer_probe(mut self) {
        let (mut exchange, received) = self.receive();
        let answer = match received.map(|request: Request| self.engine.decide(&mut exchange, request)) {
            Ok(Decision::Answer(own)) => answer::own(&exchange, own),
            _ => {
                let denial =
                    Denial::new(Reason::MethodNotFound, "a listener that decides for proxies serves nothing");
                let refusal = answer::refusal(&exchange, &denial);
                exchange.denial = Some(denial);
                refusal
            }
        };
        let status = answer.status.as_u16();
        let sent = self.stream.answer(answer, true).await;
        exchange.record(if sent.is_ok() { status } else { 0 });
    }
}

/// The most bytes of a body that a question may show: those that any rule holds by default, or as the operator says.
fn shown_body(engine: &Engine) -> u64 {
    engine.limits().body.message.max(64 * 1024)
}

impl Http2Stream {
    /// Answers a call of gRPC with one message.
    async fn send_unary(&mut self, message: Bytes, patience: Duration) -> Result<(), NotSent> {
        let written = self.write_unary(message);
        tokio::time::timeout(patience, written).await.unwrap_or(Err(NotSent::NotTaken))
    }

    fn send_unary_at_once(&mut self, message: Bytes) -> Result<(), NotSent> {
        super::stream::at_once(self.write_unary(message)).unwrap_or(Err(NotSent::NotTaken))
    }

    async fn write_unary(&mut self, mut message: Bytes) -> Result<(), NotSent> {
        self.send_head(StatusCode::OK, grpc_head(), false)?;
        while !message.is_empty() {
            let wanted = message.len();
            let room = std::future::poll_fn(|context| self.poll_room(context, wanted)).await?;
            let piece = message.split_to(room.min(wanted));
            self.send_data(piece, false)?;
        }
        let mut trailers = HeaderMap::with_capacity(1);
        trailers.insert(GRPC_STATUS, HeaderValue::from_static("0"));
        self.send_trailers(trailers)
    }

    /// Answers a call of a method that is not there.
    fn send_unimplemented(&mut self) -> Result<(), NotSent> {
        let mut head = grpc_head();
        head.insert(GRPC_STATUS, HeaderValue::from_static("12"));
        let message = "only envoy.service.auth.v3.Authorization/Check is answered here";
        head.insert(HeaderName::from_static("grpc-message"), HeaderValue::from_static(message));
        Ok(self.send_head(StatusCode::OK, head, true)?)
    }
}

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

fn grpc_head() -> HeaderMap {
    let mut head = HeaderMap::with_capacity(4);
    head.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    head
}
