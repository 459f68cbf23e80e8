//! Sends spans to a collector: OTLP over HTTP, in protobuf (opentelemetry.io/docs/specs/otlp).
//!
//! ```text
//! request ─► record ─► queue ─► thread ─► POST endpoint/v1/traces
//! ```
//!
//! A request never waits for the collector: its spans are made once it is over, and the queue is bounded. Spans that find it
//! full, or that the collector does not take, are counted (`opgate_spans_dropped_total`) and lost; nothing else is.

mod collector;
mod instruments;
mod sampler;
mod sender;
pub(crate) mod settings;
mod span;

use std::io;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, channel, sync_channel};
use std::thread::Thread;
use std::time::Duration;

use self::collector::Collector;
pub use self::instruments::Instruments;
pub use self::sampler::{Ending, Sampler};
use self::sender::Sender;
pub use self::settings::{OtlpSettings, Sampling};
pub use self::span::{Span, SpanKind};

/// Most requests whose spans wait (`OTEL_BSP_MAX_QUEUE_SIZE` has the same default).
const QUEUE: usize = 2048;
/// How long the end of the process waits for the last spans.
const LAST_SPANS: Duration = Duration::from_secs(3);

/// The way of spans to the collector. Dropping it sends what is queued, if the collector takes it in time.
#[derive(Debug)]
pub struct Spans {
    sampler: Sampler,
    queue: SyncSender<Vec<Span>>,
    instruments: Instruments,
    closing: Arc<AtomicBool>,
    thread: Thread,
    /// Closed once the thread has ended. Behind a lock that only the end takes.
    ended: Mutex<Receiver<()>>,
}

impl Spans {
    /// Starts the thread that sends.
    ///
    /// # Errors
    /// Where the thread or its client cannot be made.
    pub fn start(settings: &OtlpSettings, instruments: Instruments) -> io::Result<Self> {
        let (queue, spans) = sync_channel(QUEUE);
        let (end, ended) = channel();
        let closing = Arc::new(AtomicBool::new(false));
        let sender = Sender {
            spans,
            collector: Collector::new(settings, "/v1/traces").map_err(io::Error::other)?,
            resource: settings.resource(),
            instruments: instruments.clone(),
            closing: closing.clone(),
            complained: None,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new().name("otlp".to_owned()).spawn(move || {
            // Closed with the thread, also where it panics.
            let _end = end;
            sender.run(&runtime);
        })?;
        let sampler = Sampler::new(settings.sampling);
        let thread = thread.thread().clone();
        Ok(Self { sampler, queue, instruments, closing, thread, ended: Mutex::new(ended) })
    }

    /// What says which requests are recorded.
    pub fn sampler(&self) -> &Sampler {
        &self.sampler
    }

    /// Queues the spans of a request. Never blocks.
    pub fn record(&self, spans: Vec<Span>) {
        if let Err(TrySendError::Full(spans) | TrySendError::Disconnected(spans)) = self.queue.try_send(spans)
        {
            self.instruments.queue_full.inc_by(spans.len() as u64);
        }
    }

    /// Sends what is queued, as far as the collector takes it in time: for the end of the process.
    pub fn flush(&self) {
        self.closing.store(true, Ordering::Release);
        self.thread.unpark();
        let Ok(ended) = self.ended.lock() else { return };
        if let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(LAST_SPANS) {
            tracing::warn!("the collector does not take the last spans: they are lost");
        }
    }
}
