//! A receiver of OTLP over HTTP: a real server, which decodes what comes.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span as Written;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use prost::Message;

/// What it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    Takes,
    /// It has no use for so many of each message.
    RejectsSome(i64),
    Answers(u16),
}

/// A span, as it came.
#[derive(Clone, Debug)]
pub struct Span {
    pub name: String,
    pub kind: SpanKind,
    pub trace_id: String,
    pub span_id: String,
    /// Empty where there is none.
    pub parent: String,
    pub attributes: BTreeMap<String, String>,
    pub is_failed: bool,
    pub links: Vec<(String, String)>,
    pub nanoseconds: (u64, u64),
    pub flags: u32,
}

impl Span {
    pub fn get(&self, key: &str) -> &str {
        self.attributes.get(key).map_or("", String::as_str)
    }
}

#[derive(Debug)]
struct Seen {
    mood: Mutex<Mood>,
    spans: Mutex<Vec<Span>>,
    messages: Mutex<Vec<(HeaderMap, BTreeMap<String, String>)>>,
}

pub struct Receiver {
    pub address: SocketAddr,
    seen: Arc<Seen>,
    task: tokio::task::JoinHandle<()>,
}

impl Receiver {
    pub async fn start(mood: Mood) -> Self {
        let seen =
            Arc::new(Seen { mood: Mutex::new(mood), spans: Mutex::default(), messages: Mutex::default() });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let routes = Router::new().route("/v1/traces", post(take)).with_state(seen.clone());
        let task = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { address, seen, task }
    }

    /// What the configuration has to say to use it.
    pub fn setting(&self, traces: &str) -> String {
        format!("telemetry.otlp={{endpoint: 'http://{}', traces: {traces}}}", self.address)
    }

    pub fn turn(&self, mood: Mood) {
        *self.seen.mood.lock().unwrap() = mood;
    }

    pub fn spans(&self) -> Vec<Span> {
        self.seen.spans.lock().unwrap().clone()
    }

    /// The spans of requests, once there are exactly so many.
    pub async fn requests(&self, count: usize) -> Vec<Span> {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let spans = self.spans();
            let of_requests: Vec<Span> =
                spans.into_iter().filter(|span| span.kind == SpanKind::Server).collect();
            assert!(of_requests.len() <= count, "{} requests: {of_requests:#?}", of_requests.len());
            if of_requests.len() == count {
                return of_requests;
            }
            assert!(Instant::now() < deadline, "{} of {count} requests were recorded", of_requests.len());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Header fields and resource attributes of each message.
    pub fn messages(&self) -> Vec<(HeaderMap, BTreeMap<String, String>)> {
        self.seen.messages.lock().unwrap().clone()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn take(State(seen): State<Arc<Seen>>, headers: HeaderMap, body: Bytes) -> Response {
    let mood = *seen.mood.lock().unwrap();
    if let Mood::Answers(status) = mood {
        return StatusCode::from_u16(status).unwrap().into_response();
    }
    assert_eq!(headers["content-type"], "application/x-protobuf");
    let message = ExportTraceServiceRequest::decode(body).unwrap();
    for of_resource in message.resource_spans {
        let resource = of_resource.resource.unwrap().attributes;
        seen.messages.lock().unwrap().push((headers.clone(), table(&resource)));
        for of_scope in of_resource.scope_spans {
            assert_eq!(of_scope.scope.unwrap().name, "opgate");
            seen.spans.lock().unwrap().extend(of_scope.spans.into_iter().map(read));
        }
    }
    let partial_success = match mood {
        Mood::RejectsSome(rejected_spans) => {
            Some(ExportTracePartialSuccess { rejected_spans, error_message: "too many".to_owned() })
        }
        _ => None,
    };
    ExportTraceServiceResponse { partial_success }.encode_to_vec().into_response()
}

fn read(written: Written) -> Span {
    assert_eq!((written.trace_id.len(), written.span_id.len()), (16, 8));
    let failed = written.status.as_ref().map_or(0, |status| status.code);
    assert!(matches!(failed, 0 | 2), "a server sets no `Ok`");
    Span {
        kind: written.kind(),
        name: written.name,
        trace_id: hex(&written.trace_id),
        span_id: hex(&written.span_id),
        parent: hex(&written.parent_span_id),
        attributes: table(&written.attributes),
        is_failed: failed == 2,
        links: written.links.iter().map(|link| (hex(&link.trace_id), hex(&link.span_id))).collect(),
        nanoseconds: (written.start_time_unix_nano, written.end_time_unix_nano),
        flags: written.flags,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn table(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let value = |attribute: &KeyValue| match attribute.value.clone().unwrap().value.unwrap() {
        Value::StringValue(text) => text,
        Value::IntValue(number) => number.to_string(),
        other => panic!("{other:?}"),
    };
    let table: BTreeMap<_, _> =
        attributes.iter().map(|attribute| (attribute.key.clone(), value(attribute))).collect();
    assert_eq!(table.len(), attributes.len(), "a key is there twice: {attributes:?}");
    table
}
