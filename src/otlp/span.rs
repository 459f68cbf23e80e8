//! A span, as OTLP writes it (opentelemetry/proto/trace/v1/trace.proto).

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::span::Link;
use opentelemetry_proto::tonic::trace::v1::{Span as Written, Status, status::StatusCode};

pub use opentelemetry_proto::tonic::trace::v1::span::SpanKind;

use crate::trace_context::{SpanId, TraceContext, TraceParent};

/// Says in a span's flags that it is known whether the parent is of another process, and that it is.
const PARENT_IS_REMOTE: u32 = 0x300;
/// Says in a span's flags that the parent is of this process.
const PARENT_IS_LOCAL: u32 = 0x100;
/// The flag of a trace that is recorded.
const SAMPLED: u32 = 1;
/// The flag of a trace with a random id.
const RANDOM: u32 = 2;

/// A span that is over.
#[derive(Clone, Debug)]
pub struct Span(Written);

impl Span {
    /// The span of the request itself, which began at this time and lasted so long.
    pub fn of_request(name: String, context: &TraceContext, begun: SystemTime, lasted: Duration) -> Self {
        let flags = SAMPLED | (u32::from(context.is_random) * RANDOM);
        Self(Written {
            trace_id: context.trace_id.bytes().to_vec(),
            span_id: context.span_id.bytes().to_vec(),
            parent_span_id: context.parent.map(|parent| parent.bytes().to_vec()).unwrap_or_default(),
            flags: flags | if context.parent.is_some() { PARENT_IS_REMOTE } else { 0 },
            links: context.link.iter().map(link).collect(),
            name,
            kind: SpanKind::Server.into(),
            start_time_unix_nano: nanoseconds(begun),
            end_time_unix_nano: nanoseconds(begun + lasted),
            ..Written::default()
        })
    }

    /// A part of a request's span.
    pub fn within(
        name: String,
        kind: SpanKind,
        context: &TraceContext,
        span_id: SpanId,
        begun: SystemTime,
        lasted: Duration,
    ) -> Self {
        let of_request = TraceContext { span_id, parent: Some(context.span_id), link: None, ..*context };
        let Self(mut span) = Self::of_request(name, &of_request, begun, lasted);
        span.kind = kind.into();
        span.flags = (span.flags & !PARENT_IS_REMOTE) | PARENT_IS_LOCAL;
        Self(span)
    }

    /// Adds an attribute.
    pub fn with(mut self, key: &str, value: impl Into<String>) -> Self {
        self.0.attributes.push(attribute(key, Value::StringValue(value.into())));
        self
    }

    /// Adds an attribute that is there or not.
    pub fn with_any(self, key: &str, value: Option<impl Into<String>>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }

    /// Adds an attribute that is a number.
    pub fn with_number(mut self, key: &str, value: impl Into<i64>) -> Self {
        self.0.attributes.push(attribute(key, Value::IntValue(value.into())));
        self
    }

    /// Adds the attributes of the other end: `server.address` and `server.port`.
    pub fn with_server(self, endpoint: SocketAddr) -> Self {
        self.with("server.address", endpoint.ip().to_string()).with_number("server.port", endpoint.port())
    }

    /// Marks it as failed, for this reason.
    pub fn failed(mut self, reason: &str) -> Self {
        self.0.status = Some(Status { code: StatusCode::Error.into(), message: String::new() });
        self.with("error.type", reason)
    }

    pub(super) fn into_written(self) -> Written {
        self.0
    }
}

/// An attribute.
pub(super) fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

fn link(sent: &TraceParent) -> Link {
    Link {
        trace_id: sent.trace_id.bytes().to_vec(),
        span_id: sent.span_id.bytes().to_vec(),
        flags: PARENT_IS_REMOTE | (u32::from(sent.is_sampled) * SAMPLED),
        ..Link::default()
    }
}

/// Since the epoch, OTLP's unit of instants.
pub(super) fn nanoseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
