//! A question of a proxy over HTTP/1: read whole, decided, answered.

use bytes::{Buf, Bytes};
use http::Method;

use super::Http1;
use super::connection::Http1Connection;
use super::write::{WrittenAnswer, refuse, write_answer, write_unrecorded};
use crate::engine::{Arrival, Decision, Exchange};
use crate::frontend::authorizer::judge;
use crate::frontend::{answer, authzen, forward_auth};
use crate::http::{Framing, RawHead, Scheme, malformed};
use crate::listener::{Authorizer, AuthorizerProtocol};
use crate::reason::{Denial, Reason};

impl Http1<'_> {
    /// Answers the question whose head is the first `end` bytes of the buffer. Gives the connection back if it goes on.
    pub(super) async fn answer_question(
        &mut self,
        mut connection: Http1Connection,
        end: usize,
        authorizer: &Authorizer,
    ) -> Option<Http1Connection> {
        let front = self.front;
        let arrival = Arrival::now().asked(authorizer.protocol.as_str());
        let mut exchange = front.engine.receive(arrival, self.peer.socket());
        let head = self.buffer.get(..end).unwrap_or_default();
        let head = RawHead::parse(head, front.limits.head).and_then(|head| Ok((head.framing()?, head)));
        let (framing, head) = match head {
            Ok(head) => head,
            Err(denial) => return refuse(front, connection, exchange, denial, false).await,
        };
        if front.health_path.as_ref().is_some_and(|path| head.target == path.as_str()) {
            return self.answer_probe(connection, exchange, end).await;
        }
        let shape = match authorizer.protocol {
            AuthorizerProtocol::ForwardAuth(shape) => shape,
            AuthorizerProtocol::AuthZen => {
                drop(exchange);
                return self.evaluate(connection, head, framing, end).await;
            }
            AuthorizerProtocol::ExtAuthz => {
                let denial = malformed("this listener is asked over HTTP/2, by gRPC");
                return refuse(front, connection, exchange, denial, false).await;
            }
        };
        self.buffer.advance(end);
        let behind = std::mem::take(&mut self.buffer);
        connection.begin_body(framing, behind);
        self.slot.allowed();
        let persists = head.persists() && self.opened.elapsed() < front.limits.connection_lifetime;
        let is_head = head.method == Method::HEAD;
        let most = front.engine.limits().body.message.max(64 * 1024);
        let body = self.read_question(&mut connection, framing, most).await;
        let described =
            body.and_then(|body| forward_auth::describe(head, body, shape, authorizer.body, self.peer));
        let proxies = forward_auth::proxies(&front.engine.proxies(), self.peer);
        let described = described.and_then(|described| described.read(front.limits.head, &proxies));
        let ip = self.peer.socket().map_or([0, 0, 0, 0].into(), |address| address.ip());
        let ruling = Box::pin(judge(&front.engine, &mut exchange, described, None, ip)).await;
        let (answer, status) = forward_auth::answer(shape, &mut exchange, ruling);
        let is_unread = !connection.is_between_requests();
        let written = WrittenAnswer { answer: &answer, is_head, is_unread, recorded: status };
        write_answer(front, connection, exchange, written, persists).await
    }

    /// Answers a question of AuthZEN.
    async fn evaluate(
        &mut self,
        mut connection: Http1Connection,
        head: RawHead,
        framing: Framing,
        end: usize,
    ) -> Option<Http1Connection> {
        let front = self.front;
        self.buffer.advance(end);
        connection.begin_body(framing, std::mem::take(&mut self.buffer));
        self.slot.allowed();
        let persists = head.persists() && self.opened.elapsed() < front.limits.connection_lifetime;
        let scheme = if connection.established().is_some() { Scheme::Https } else { Scheme::Http };
        let answer = match self.read_question(&mut connection, framing, authzen::MOST_BYTES).await {
            Ok(body) => authzen::answer(&front.engine, &head, &body, self.peer, scheme),
            Err(denial) => authzen::refused(&front.engine, self.peer, denial),
        };
        let is_head = head.method == Method::HEAD;
        write_unrecorded(front, connection, &answer, is_head, persists).await
    }

    /// The body of a question.
    async fn read_question(
        &self,
        connection: &mut Http1Connection,
        framing: Framing,
        most: u64,
    ) -> Result<Bytes, Denial> {
        if framing.announced() == Some(0) {
            return Ok(Bytes::new());
        }
        let overflow =
            || Denial::new(Reason::BodyTooLarge, format!("the question has more than {most} bytes"));
        match tokio::time::timeout(self.front.limits.body_timeout, connection.collect(most)).await {
            Ok(Ok(data)) => Ok(data.into()),
            Ok(Err(error)) => Err(error.denial(overflow)),
            Err(_) => Err(Denial::new(Reason::BodyTimeout, "the question did not end in time")),
        }
    }

    /// Answers a balancer, by the rules of a listener that forwards.
    async fn answer_probe(
        &mut self,
        mut connection: Http1Connection,
        mut exchange: Exchange,
        end: usize,
    ) -> Option<Http1Connection> {
        let front = self.front;
        let request = match self.request(&connection, &exchange, end) {
            Ok(request) => request,
            Err(denial) => return refuse(front, connection, exchange, denial, false).await,
        };
        self.buffer.advance(end);
        connection.begin_body(request.framing, std::mem::take(&mut self.buffer));
        let persists = request.persists;
        match front.engine.decide(&mut exchange, request) {
            Decision::Answer(own) => {
                let answered = answer::own(&exchange, own);
                super::write::answer(front, connection, exchange, &answered, persists).await
            }
            _ => {
                let denial =
                    Denial::new(Reason::MethodNotFound, "a listener that decides for proxies serves nothing");
                refuse(front, connection, exchange, denial, persists).await
            }
        }
    }
}
