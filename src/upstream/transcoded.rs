//! An exchange that is HTTP with JSON for the client, and gRPC for the backend ([`crate::transcode`]).
//!
//! The message is made and judged before an endpoint is chosen. Here are its fields, and its answer: what the relay sees of
//! the backend is an answer of HTTP.

use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::backend::{AnswerSink, BackendFailure, BackendSide};
use super::http2::BackendStream;
use super::rewrite::OutgoingFields;
use crate::http::answer::{AnswerBody, AnswerHead};
use crate::transcode::{AnswerProblem, AnswerTranscoder, JsonSink};

/// The fields of a call of gRPC, made of those of the request (gRPC over HTTP/2, "Requests"). `time` is what is left of the
/// exchange's.
pub fn call_fields(fields: OutgoingFields, time: Option<Duration>) -> OutgoingFields {
    let mut fields = fields;
    fields.retain(|(name, _)| !describes_the_http_request(name.as_str()));
    fields.push((header::CONTENT_TYPE, HeaderValue::from_static("application/grpc")));
    fields.push((header::TE, HeaderValue::from_static("trailers")));
    let timeout = time.and_then(|time| HeaderValue::from_str(&timeout(time)).ok());
    fields.extend(timeout.map(|timeout| (HeaderName::from_static("grpc-timeout"), timeout)));
    fields
}

/// What is about the body or the answer as HTTP has them, and what gRPC would read: a client of HTTP has no say in the
/// framing of a message, nor may it name the resource a second time.
fn describes_the_http_request(name: &str) -> bool {
    name.starts_with("grpc-")
        || matches!(
            name,
            "accept"
                | "accept-encoding"
                | "content-encoding"
                | "content-length"
                | "content-type"
                | "range"
                | "te"
                | "transfer-encoding"
                | "x-goog-request-params"
        )
}

/// `Timeout`: at most eight digits, and a unit.
fn timeout(time: Duration) -> String {
    let (milliseconds, seconds) = (time.as_millis().max(1), time.as_secs().min(99_999_999));
    if milliseconds < 100_000_000 { format!("{milliseconds}m") } else { format!("{seconds}S") }
}

/// A stream of gRPC whose answer becomes one of HTTP.
#[derive(Debug)]
pub struct TranscodedStream {
    stream: BackendStream,
    answer: AnswerTranscoder,
    is_head_only: bool,
}

impl TranscodedStream {
    /// An exchange on a stream that has its request. `is_head_only` says that the client asked for the head alone.
    pub fn new(stream: BackendStream, answer: AnswerTranscoder, is_head_only: bool) -> Self {
        Self { stream, answer, is_head_only }
    }

    pub(super) fn fell_silent(&mut self) {
        self.stream.fell_silent();
    }

    pub(super) fn release(&mut self) {
        self.stream.release();
    }
}

impl BackendSide for TranscodedStream {
    type Connection = ();

    fn send_data(&mut self, data: &[u8]) {
        self.stream.send_data(data);
    }

    fn send_end(&mut self) {
        self.stream.send_end();
    }

    fn is_request_whole(&self) -> bool {
        self.stream.is_request_whole()
    }

    fn is_unsent(&self) -> bool {
        self.stream.is_unsent()
    }

    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BackendFailure>> {
        self.stream.poll_send(context)
    }

    fn taken(&self) -> u64 {
        self.stream.taken()
    }

    fn poll_answer(
        &mut self,
        context: &mut Context<'_>,
        sink: &mut impl AnswerSink,
    ) -> Poll<Result<(), BackendFailure>> {
        let out = TranscodedAnswer { sink, is_head_only: self.is_head_only };
        let mut incoming = IncomingCall { answer: &mut self.answer, out, problem: None };
        let polled = self.stream.poll_answer(context, &mut incoming);
        match incoming.problem {
            // None of it will come any more: what follows has no meaning.
            Some(problem) => Poll::Ready(Err(problem.into())),
            None => polled,
        }
    }

    fn is_answered(&self) -> bool {
        self.answer.is_done() && self.stream.is_answered()
    }

    fn release(&mut self) -> Option<()> {
        Self::release(self);
        None
    }
}

/// The answer of gRPC as it comes.
struct IncomingCall<'c, S> {
    answer: &'c mut AnswerTranscoder,
    out: TranscodedAnswer<'c, S>,
    problem: Option<AnswerProblem>,
}

impl<S: AnswerSink> IncomingCall<'_, S> {
    fn note(&mut self, result: Result<(), AnswerProblem>) {
        if let Err(problem) = result {
            self.problem.get_or_insert(problem);
        }
    }
}

impl<S: AnswerSink> AnswerSink for IncomingCall<'_, S> {
    fn head(&mut self, head: &AnswerHead<'_>) {
        // gRPC has no interim answers, and a client of HTTP was not told of any.
        if self.problem.is_some() || head.is_interim() {
            return;
        }
        let pair = |(name, value): (&[u8], &[u8])| {
            Some((HeaderName::from_bytes(name).ok()?, HeaderValue::from_bytes(value).ok()?))
        };
        let fields: HeaderMap = head.fields().filter_map(pair).collect();
        let result = self.answer.head(head.status, &fields);
        self.note(result);
    }

    fn data(&mut self, bytes: &[u8]) {
        if self.problem.is_none() {
            let result = self.answer.data(bytes, &mut self.out);
            self.note(result);
        }
    }

    fn trailers(&mut self, fields: HeaderMap) {
        if self.problem.is_none() {
            self.answer.trailers(fields);
        }
    }

    fn end(&mut self) {
        if self.problem.is_none() {
            let result = self.answer.end(&mut self.out);
            self.note(result);
        }
    }
}

/// The answer of HTTP on its way on.
struct TranscodedAnswer<'c, S> {
    sink: &'c mut S,
    is_head_only: bool,
}

impl<S: AnswerSink> JsonSink for TranscodedAnswer<'_, S> {
    fn head(&mut self, status: u16, fields: &HeaderMap, length: Option<u64>) {
        let body = match length {
            _ if self.is_head_only => AnswerBody::Nothing,
            Some(0) => AnswerBody::Nothing,
            Some(length) => AnswerBody::Length(length),
            None => AnswerBody::Chunked,
        };
        self.sink.head(&AnswerHead::of_http2(status, fields, body));
    }

    fn data(&mut self, data: &[u8]) {
        self.sink.data(data);
    }

    fn end(&mut self) {
        self.sink.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_has_at_most_eight_digits() {
        for (time, expected) in [
            (Duration::ZERO, "1m"),
            (Duration::from_micros(1_500), "1m"),
            (Duration::from_secs(30), "30000m"),
            (Duration::from_secs(99_999), "99999000m"),
            (Duration::from_secs(100_000), "100000S"),
            (Duration::MAX, "99999999S"),
        ] {
            assert_eq!(timeout(time), expected);
        }
    }

    #[test]
    fn a_call_has_no_field_that_speaks_of_another_body_or_resource() {
        let sent = [
            ("host", "a"),
            ("authorization", "Bearer t"),
            ("content-type", "application/json"),
            ("content-length", "2"),
            ("accept", "application/json"),
            ("accept-encoding", "gzip"),
            ("grpc-encoding", "gzip"),
            ("grpc-timeout", "9H"),
            ("x-goog-request-params", "name=other"),
            ("x-own", "1"),
        ];
        let field = |(name, value): (&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        let made = call_fields(sent.map(field).to_vec(), Some(Duration::from_secs(5)));
        let expected = [
            ("host", "a"),
            ("authorization", "Bearer t"),
            ("x-own", "1"),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
            ("grpc-timeout", "5000m"),
        ];
        assert_eq!(made, expected.map(field));
    }
}
