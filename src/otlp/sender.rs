//! The thread that sends spans. It looks for them now and then, and is not woken for each: to wake a thread costs a request
//! more than its spans.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span as Written};
use prost::Message;
use tokio::runtime::Runtime;

use super::collector::{Collector, SendError};
use super::instruments::Instruments;
use super::span::Span;

/// The longest that a span waits before it is sent.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Most spans of one message (`OTEL_BSP_MAX_EXPORT_BATCH_SIZE` has the same default).
const MOST_OF_A_MESSAGE: usize = 512;
/// How often a message is sent before its spans are given up.
const TRIES: u32 = 5;
/// The pause after the first failure. It doubles with each.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// How long the last messages of the process may take.
const LAST_MESSAGE: Duration = Duration::from_secs(2);
/// How often a collector that takes nothing is reported.
const COMPLAIN_EVERY: Duration = Duration::from_secs(60);

/// Takes spans until the end of the process.
pub(super) struct Sender {
    pub(super) spans: Receiver<Vec<Span>>,
    pub(super) collector: Collector,
    pub(super) resource: Resource,
    pub(super) instruments: Instruments,
    /// Whether the process ends: what is queued is sent once, and nothing is waited for.
    pub(super) closing: Arc<AtomicBool>,
    pub(super) complained: Option<Instant>,
}

impl Sender {
    pub(super) fn run(mut self, runtime: &Runtime) {
        loop {
            let is_closing = self.closing.load(Ordering::Acquire);
            let spans = match self.gather() {
                Ok(spans) => spans,
                Err(Gone) => return,
            };
            if !spans.is_empty() {
                self.send(spans, runtime);
            } else if is_closing {
                return;
            } else {
                std::thread::park_timeout(LOOK_EVERY);
            }
        }
    }

    /// What is queued, up to one message.
    fn gather(&self) -> Result<Vec<Written>, Gone> {
        let mut spans = Vec::new();
        while spans.len() < MOST_OF_A_MESSAGE {
            match self.spans.try_recv() {
                Ok(of_request) => spans.extend(of_request.into_iter().map(Span::into_written)),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) if spans.is_empty() => return Err(Gone),
                Err(TryRecvError::Disconnected) => break,
            }
        }
        Ok(spans)
    }

    fn send(&mut self, spans: Vec<Written>, runtime: &Runtime) {
        let count = spans.len() as u64;
        let message = self.message(spans).encode_to_vec();
        let mut pause = FIRST_PAUSE;
        for number in 1..=TRIES {
            let is_closing = self.closing.load(Ordering::Acquire);
            let sending = async {
                let sending = self.collector.send(message.clone());
                if !is_closing {
                    return sending.await;
                }
                let late = || SendError::Later { why: "it does not answer in time".to_owned(), pause: None };
                tokio::time::timeout(LAST_MESSAGE, sending).await.unwrap_or_else(|_| Err(late()))
            };
            let error = match runtime.block_on(sending) {
                Ok(answer) => return self.sent(count, &answer),
                Err(error) => error,
            };
            self.complain(&error);
            match error {
                SendError::Never(_) => return self.instruments.rejected.inc_by(count),
                SendError::Later { .. } if number == TRIES => break,
                SendError::Later { pause: asked, .. } => {
                    if self.rest(asked.unwrap_or(pause)) {
                        break;
                    }
                    pause *= 2;
                }
            }
        }
        self.instruments.unreachable.inc_by(count);
    }

    /// Waits, unless the process ends. Returns whether it does.
    fn rest(&self, pause: Duration) -> bool {
        let until = Instant::now() + pause;
        loop {
            if self.closing.load(Ordering::Acquire) {
                return true;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            std::thread::park_timeout(left);
        }
    }

    fn message(&self, spans: Vec<Written>) -> ExportTraceServiceRequest {
        let scope = InstrumentationScope {
            name: "opgate".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..InstrumentationScope::default()
        };
        let of_scope = ScopeSpans { scope: Some(scope), spans, ..ScopeSpans::default() };
        let of_resource = ResourceSpans {
            resource: Some(self.resource.clone()),
            scope_spans: vec![of_scope],
            ..ResourceSpans::default()
        };
        ExportTraceServiceRequest { resource_spans: vec![of_resource] }
    }

    /// Counts what was taken. A collector may take some of a message alone.
    fn sent(&mut self, count: u64, answer: &[u8]) {
        let partial =
            ExportTraceServiceResponse::decode(answer).ok().and_then(|answer| answer.partial_success);
        let rejected = partial.as_ref().and_then(|partial| u64::try_from(partial.rejected_spans).ok());
        let rejected = rejected.unwrap_or_default().min(count);
        if rejected > 0 {
            let why = partial.map(|partial| partial.error_message).unwrap_or_default();
            self.complain(&SendError::Never(format!("the collector rejects {rejected} spans: {why}")));
        }
        self.instruments.rejected.inc_by(rejected);
        self.instruments.exported.inc_by(count - rejected);
    }

    fn complain(&mut self, error: &SendError) {
        if self.complained.is_none_or(|last| last.elapsed() >= COMPLAIN_EVERY) {
            self.complained = Some(Instant::now());
            tracing::warn!(%error, "spans cannot be sent");
        }
    }
}

/// No more spans will come.
struct Gone;
