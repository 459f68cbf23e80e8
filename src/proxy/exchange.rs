//! An admitted exchange with a backend.
//!
//! ```text
//! choose ─► connect ─► request ─► relay ─┬─► Whole: the client has the answer, and it is recorded
//!    ▲         │                    │    ├─► Broken: a part of it, and it is recorded
//!    └── once ─┴────────────────────┘    └─► Refused: nothing of it; the front end answers and records
//! ```

mod client;
mod grpc_call;
mod relay;
mod request;

use std::future::poll_fn;
use std::time::Instant;

use http::{HeaderMap, HeaderValue};
use tracing::Instrument;

pub use self::client::{ClientSide, SentAnswer};
use self::grpc_call::end_call;
pub use self::relay::{Relay, RelayFailure, RelaySteps, RelayTimer, RelayTimes};
use self::request::request_head;
use super::attempts::no_permit;
use super::failure::{BrokenAttempt, BrokenKind, UpstreamError};
use super::steps::is_about_pages;
use crate::decision::{Admitted, JudgedBody, TranscodedCall};
use crate::engine::Exchange;
use crate::grpc;
use crate::http::answer::{AnswerFault, AnswerHead, PassedHead};
use crate::reason::{Denial, Reason};
use crate::respond::REQUEST_ID;
use crate::transcode::AnswerTranscoder;
use crate::upstream::backend::{BackendFailure, BackendSide};
use crate::upstream::http1::{BackendExchange, COPIED};
use crate::upstream::http2::{self, BackendStream};
use crate::upstream::rewrite::OutgoingFields;
use crate::upstream::transcoded::{TranscodedStream, call_fields};
use crate::upstream::{Backend, Connected, StreamLease, UpstreamConnection, response};

/// What became of an exchange.
#[derive(Debug)]
pub enum Forwarded {
    /// The client has the answer. It is recorded.
    Whole,
    /// The client is gone, or has a part of the answer: its connection must not go on. It is recorded.
    Broken,
    /// No answer has begun. It is to be refused and recorded.
    Refused(Denial),
}

/// Why an attempt was not the last one, or was.
enum AttemptEnd {
    /// The request is sent once more.
    Again,
    Denied(Denial),
}

impl From<Denial> for AttemptEnd {
    fn from(denial: Denial) -> Self {
        Self::Denied(denial)
    }
}

/// Forwards an admitted exchange to a backend, and its answer to `client`.
pub async fn forward(exchange: &mut Exchange, client: &mut impl ClientSide) -> Forwarded {
    let lines = exchange.log_span();
    let carried = carry(exchange, client).instrument(lines).await;
    let sent = client.sent();
    match carried {
        Ok(()) => {
            exchange.note_success();
            // Where nothing said before that the answer ends, it has no body.
            exchange.watch_ended();
            exchange.response_size = Some(sent.size);
            exchange.record(sent.status);
            Forwarded::Whole
        }
        Err(denial) => {
            let denial = exchange.denial.take().unwrap_or(denial);
            // An answer that has begun cannot be replaced; the broken connection tells the client.
            if denial.reason() != Reason::ClientClosed && !client.has_begun() {
                return Forwarded::Refused(denial);
            }
            let denial = exchange.worded(denial);
            if exchange.is_grpc() {
                end_call(exchange, client, &denial).await;
            }
            exchange.denial = Some(denial);
            exchange.response_size = Some(sent.size);
            exchange.record(sent.status);
            Forwarded::Broken
        }
    }
}

/// Makes attempts until one is the last.
async fn carry(exchange: &mut Exchange, client: &mut impl ClientSide) -> Result<(), Denial> {
    exchange.forward().ok_or_else(no_permit)?;
    exchange.begin_cancel();
    let mut timer = RelayTimer::default();
    loop {
        exchange.choose().await?;
        match attempt(exchange, client, &mut timer).await {
            Ok(()) => return Ok(()),
            Err(AttemptEnd::Again) => {}
            Err(AttemptEnd::Denied(denial)) => return Err(denial),
        }
    }
}

/// One attempt at the endpoint that was chosen.
async fn attempt(
    exchange: &mut Exchange,
    client: &mut impl ClientSide,
    timer: &mut RelayTimer,
) -> Result<(), AttemptEnd> {
    let connected = connect(exchange).await?;
    let mut backend = exchange.begin_attempt(connected)?;
    let forwarding = exchange.forwarding().ok_or_else(no_permit)?;
    let attempted = forwarding.attempt.as_ref().ok_or_else(no_permit)?;
    let times = RelayTimes {
        until: exchange.until(),
        body_until: forwarding.body_until,
        patience: if exchange.is_grpc_stream() {
            attempted.attempt.stream_patience()
        } else {
            attempted.attempt.patience()
        },
        ends_with_answer: exchange.is_grpc(),
    };
    let mut relay = Relay::new(client, &mut backend, exchange, timer, times);
    let Err(failure) = poll_fn(|context| relay.poll(context)).await else { return Ok(()) };
    let is_unsent = backend.is_unsent();
    // A client that waits for a moment alone says nothing of the connection.
    let is_clients = exchange.deadline.is_some() && exchange.deadline == times.until;
    if matches!(failure, RelayFailure::Silent) || matches!(failure, RelayFailure::Cut) && !is_clients {
        backend.fell_silent();
    }
    drop(backend);
    Err(exchange.broke(failure, is_unsent))
}

async fn connect(exchange: &mut Exchange) -> Result<Connected, AttemptEnd> {
    let forwarding = exchange.forwarding().ok_or_else(no_permit)?;
    let attempted = forwarding.attempt.as_ref().ok_or_else(no_permit)?;
    if exchange.is_grpc() && !attempted.attempt.takes_grpc() {
        let detail = "the upstream's `protocol` is HTTP/1, and gRPC needs HTTP/2";
        return Err(Denial::new(Reason::GrpcNotForwarded, detail).into());
    }
    attempted.attempt.connect().await.map_err(|error| {
        let detail = error.to_string();
        if exchange.failed_to_connect(UpstreamError::of_connect(&error), &detail) {
            AttemptEnd::Again
        } else {
            AttemptEnd::Denied(Denial::new(Reason::UpstreamUnavailable, detail))
        }
    })
}

impl Exchange {
    /// Writes the judged request for a connection.
    fn begin_attempt(&mut self, connected: Connected) -> Result<Backend, Denial> {
        let fields = self.outgoing_fields()?;
        let forwarding = self.forwarding_mut().ok_or_else(no_permit)?;
        if let Some(attempted) = &mut forwarding.attempt {
            attempted.reused = connected.is_used();
            let (upstream, address) = (attempted.attempt.upstream(), attempted.attempt.address());
            tracing::debug!(upstream, %address, reused = attempted.reused, "the request goes to a backend");
        }
        let until = forwarding.slot.as_ref().and_then(|(_, until)| *until);
        let admitted = &forwarding.admitted;
        match (connected, admitted.body()) {
            (Connected::Http2(lease), JudgedBody::Transcoded(call)) => {
                let authority = &admitted.request().authority;
                let time_left = until.map(|until| until.saturating_duration_since(Instant::now()));
                begin_call(lease, authority, call, call_fields(fields, time_left))
            }
            // The configuration is checked for it. It is read part by part, and one part may be older.
            (Connected::Http1(_), JudgedBody::Transcoded(_)) => {
                let detail = "the upstream does not speak HTTP/2, which gRPC needs";
                Err(Denial::new(Reason::UpstreamUnavailable, detail))
            }
            (Connected::Http1(connection), _) => Ok(begin_on_connection(connection, admitted, &fields)),
            (Connected::Http2(lease), _) => begin_on_stream(lease, admitted, fields),
        }
    }

    /// An attempt with a connection has failed.
    fn broke(&mut self, failure: RelayFailure, is_unsent: bool) -> AttemptEnd {
        let (kind, was_cut) = match &failure {
            RelayFailure::Denied(_) => (BrokenKind::Other, false),
            RelayFailure::Backend(failure) => (BrokenKind::of(failure), false),
            RelayFailure::Silent => (BrokenKind::Timeout, false),
            RelayFailure::Cut => (BrokenKind::Timeout, true),
        };
        let denial = match failure {
            RelayFailure::Denied(denial) => return AttemptEnd::Denied(denial),
            RelayFailure::Backend(failure) => {
                let denial = Denial::new(Reason::UpstreamInvalid, failure.to_string());
                match failure {
                    BackendFailure::NotGrpc(status) => {
                        denial.with_grpc_code(grpc::status::code_of_answer(status))
                    }
                    _ => denial,
                }
            }
            RelayFailure::Silent => {
                Denial::new(Reason::UpstreamTimeout, "the backend did nothing within `timeouts.response`")
            }
            RelayFailure::Cut => Denial::new(Reason::UpstreamTimeout, "the exchange was cut"),
        };
        let Some(forwarding) = self.forwarding() else { return AttemptEnd::Denied(no_permit()) };
        let Some(attempted) = &forwarding.attempt else { return AttemptEnd::Denied(no_permit()) };
        let broken = BrokenAttempt {
            kind,
            is_unsent: is_unsent || kind == BrokenKind::Refused,
            is_answered: forwarding.begun > 0,
            was_cut,
            // What was passed on of a body is not held.
            has_whole_request: attempted.passed == 0,
            is_worth_a_retry: attempted.reused
                && matches!(kind, BrokenKind::Connection | BrokenKind::Answer(AnswerFault::Unasked)),
        };
        if self.failed_on_connection(&broken, denial.detail()) {
            AttemptEnd::Again
        } else {
            AttemptEnd::Denied(self.denial.take().unwrap_or(denial))
        }
    }
}

/// The request for a connection over HTTP/1.
fn begin_on_connection(
    connection: UpstreamConnection,
    admitted: &Admitted,
    fields: &OutgoingFields,
) -> Backend {
    let request = admitted.request();
    let held = match admitted.body() {
        JudgedBody::Held(body) => body.len(),
        JudgedBody::Transcoded(_) | JudgedBody::Passed | JudgedBody::Messages(_) => 0,
    };
    let (head, has_chunks) = request_head(request, fields, held.min(COPIED));
    let is_secured = connection.is_secured();
    let to_head = request.method == http::Method::HEAD;
    let mut backend = BackendExchange::new(connection, is_secured, head, to_head, has_chunks);
    if let JudgedBody::Held(body) = admitted.body() {
        backend.send_held(body.clone());
    }
    Backend::Http1(Box::new(backend))
}

/// The request for a stream over HTTP/2.
fn begin_on_stream(
    lease: StreamLease,
    admitted: &Admitted,
    fields: OutgoingFields,
) -> Result<Backend, Denial> {
    let request = admitted.request();
    let (method, authority, target) = (&request.method, &request.authority, request.target());
    let head = http2::request_head(method, lease.is_secured(), authority, &target, fields);
    let head = head.map_err(|error| {
        Denial::new(Reason::Internal, format!("the request cannot be written in HTTP/2: {error}"))
    })?;
    let mut backend = BackendStream::new(lease, head);
    match admitted.body() {
        JudgedBody::Held(body) => backend.send_held(body.clone()),
        JudgedBody::Passed => {}
        JudgedBody::Transcoded(_) => {
            let why = "a call that becomes one of gRPC would have left as it came";
            return Err(Denial::new(Reason::Internal, why));
        }
        JudgedBody::Messages(messages) => {
            backend = backend.over_grpc();
            match messages.rest {
                None => backend.send_held(messages.initial.clone()),
                Some(_) => backend.send_data(&messages.initial),
            }
        }
    }
    Ok(Backend::Http2(Box::new(backend)))
}

/// The call of gRPC that a request has become, for a stream.
fn begin_call(
    lease: StreamLease,
    authority: &HeaderValue,
    call: &TranscodedCall,
    fields: OutgoingFields,
) -> Result<Backend, Denial> {
    let TranscodedCall { method, frame, format } = call;
    let head = http2::request_head(&http::Method::POST, lease.is_secured(), authority, method.path(), fields);
    let head = head.map_err(|error| {
        Denial::new(Reason::Internal, format!("the call cannot be written in HTTP/2: {error}"))
    })?;
    let mut stream = BackendStream::new(lease, head);
    stream.send_held(frame.clone());
    let answer = AnswerTranscoder::new(method.clone(), *format);
    Ok(Backend::Transcoded(Box::new(TranscodedStream::new(stream, answer, format.is_head_only))))
}

impl RelaySteps<UpstreamConnection> for Exchange {
    fn body_came(&mut self, data: &[u8], send: &mut dyn FnMut(&[u8])) {
        self.message_came(data, send);
    }

    fn passes(&mut self, data: usize, ends: bool) -> Result<(), Denial> {
        Self::passes(self, data, ends)
    }

    fn head_came<'h>(&mut self, head: &AnswerHead<'h>) -> PassedHead<'h> {
        let (is_interim, has_cors) = (head.is_interim(), self.has_cors());
        let fields = response::passing(head, |name| match name {
            "date" | REQUEST_ID => !is_interim,
            name => has_cors && is_about_pages(name),
        });
        let mut passed = PassedHead::new(head, fields);
        if !is_interim {
            let field = |name| passed.field(name).and_then(|value| std::str::from_utf8(value).ok());
            self.final_head_came(head.status, field("content-type"), field("content-encoding"));
            self.grpc_ended(passed.field(grpc::status::STATUS));
        }
        passed.added = self.fields_for_client(head.status);
        self.answer_passes(head.status);
        passed
    }

    fn data_came(&mut self, data: &[u8]) {
        self.watch_body(data, false);
    }

    fn trailers_came(&mut self, fields: &HeaderMap) {
        self.grpc_ended(fields.get(grpc::status::STATUS).map(HeaderValue::as_bytes));
    }

    fn answer_ended(&mut self) -> Option<HeaderMap> {
        self.watch_ended();
        self.missing_status()
    }

    fn keep(&mut self, connection: UpstreamConnection) {
        if let Some(attempted) = self.forwarding().and_then(|forwarding| forwarding.attempt.as_ref()) {
            attempted.attempt.keep(connection);
        }
    }
}
