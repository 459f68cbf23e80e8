//! Writes audit lines on threads of their own, so that a slow disk does not slow requests.
//!
//! ```text
//! request ─► line ─► collector ─┬─► observers
//!                               └─► writer ─► output
//! ```
//!
//! The queue is bounded, in lines and in bytes. A line that finds it full, or that cannot be written, is counted
//! (`opgate_audit_dropped_total`): a gap in the log is never silent. An output that takes nothing keeps neither observers from
//! seeing lines nor the process from ending.

mod backlog;
mod cancel_end;
mod collector;
mod entry;
mod instruments;
pub(crate) mod settings;
mod writer;

use std::io;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, channel, sync_channel};
use std::time::{Duration, Instant};

use self::backlog::{Backlog, QUEUE_LINES, SPARE_LINES};
pub use self::cancel_end::CancelEnd;
pub use self::collector::Observer;
use self::collector::{Collected, Collector};
pub(crate) use self::entry::timestamp;
pub use self::entry::{
    AuditLog, AuthenticationInfo, AuthorizationInfo, Bounded, CancelOutcome, ClientCertificate, Confirmation,
    DecidingRule, Decision, HttpRequest, LogEntry, Metadata, Operation, RequestAttributes, RequestMetadata,
    ShadowRuling, Status, UpstreamCall,
};
pub use self::instruments::Instruments;
pub use self::settings::AuditOutput;
use self::writer::{Sink, Writer};

/// At the end, how long to wait for a writer that makes no progress.
const STALLED: Duration = Duration::from_secs(1);
/// At the end, how long to wait for one that makes some.
const LAST_LINES: Duration = Duration::from_secs(5);

/// The log. Dropping it writes the queue, as far as the output takes it.
#[derive(Debug)]
pub struct Audit {
    queue: Option<SyncSender<Collected>>,
    backlog: Backlog,
    instruments: Instruments,
    /// Closed once the writer has ended. Behind a lock that only the end takes, so that the log can be shared.
    ended: Mutex<Receiver<()>>,
}

impl Audit {
    /// Opens the output and starts the threads. Each observer sees each line before the output does.
    ///
    /// # Errors
    /// Where the file cannot be opened or a thread cannot be started.
    pub fn open(
        output: &AuditOutput,
        instruments: Instruments,
        observers: Vec<Observer>,
    ) -> io::Result<Self> {
        let sink = match output {
            AuditOutput::Stdout => Sink::standard(&io::stdout())?,
            AuditOutput::Stderr => Sink::standard(&io::stderr())?,
            AuditOutput::File(path) => Sink::file(path)?,
        };
        Self::start(sink, instruments, observers)
    }

    fn start(sink: Sink, instruments: Instruments, observers: Vec<Observer>) -> io::Result<Self> {
        let room = usize::try_from(QUEUE_LINES + SPARE_LINES).unwrap_or(usize::MAX);
        let (queue, lines) = sync_channel(room);
        let (output, to_write) = channel();
        let (end, ended) = channel();
        let backlog = Backlog::new();
        let collector = Collector {
            lines,
            observers,
            output,
            backlog: backlog.clone(),
            instruments: instruments.clone(),
            complained: None,
        };
        let writer = Writer {
            sink,
            lines: to_write,
            backlog: backlog.clone(),
            instruments: instruments.clone(),
            is_torn: false,
            complained: None,
        };
        let thread = |name: &str| std::thread::Builder::new().name(name.to_owned());
        thread("audit").spawn(move || collector.run())?;
        thread("audit-writer").spawn(move || {
            // Closed with the thread, also where it panics.
            let _end = end;
            writer.run();
        })?;
        Ok(Self { queue: Some(queue), backlog, instruments, ended: Mutex::new(ended) })
    }

    /// Queues an entry. Never blocks.
    pub fn record(&self, entry: &LogEntry<'_>) {
        match serde_json::to_string(entry) {
            Ok(line) => self.queue(line),
            Err(error) => {
                self.instruments.encode.inc();
                tracing::error!(%error, "cannot write an audit entry as JSON");
            }
        }
    }

    /// Queues the line that says what became of a cancel.
    pub fn record_cancel_end(&self, end: &CancelEnd<'_>) {
        self.record(&end.log_entry());
    }

    /// Waits until everything queued so far is written, as far as the output takes it: for the end of the process,
    /// which other threads do not wait for.
    pub fn flush(&self) {
        let begun = Instant::now();
        while self.backlog.bytes() > 0 {
            let now = Instant::now();
            let progress = self.backlog.last_progress().max(begun);
            if now > begun + LAST_LINES || now > progress + STALLED {
                return;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn queue(&self, line: String) {
        let bytes = line.len();
        let is_written = self.backlog.add(bytes);
        if !is_written {
            self.instruments.queue_full.inc();
            if !self.backlog.add_spare(bytes) {
                return;
            }
        }
        let collected = Collected { line: line.into(), is_written };
        let is_queued = self.queue.as_ref().is_some_and(|queue| queue.try_send(collected).is_ok());
        if !is_queued {
            self.backlog.take(bytes);
            if is_written {
                self.instruments.queue_full.inc();
            }
        }
    }

    /// Waits until the writer has ended, for as long as it makes progress. Returns whether it has.
    fn wait(&self) -> bool {
        let Ok(ended) = self.ended.lock() else { return false };
        let began = Instant::now();
        loop {
            match ended.recv_timeout(Duration::from_millis(50)) {
                Ok(()) | Err(RecvTimeoutError::Disconnected) => return true,
                Err(RecvTimeoutError::Timeout) => {}
            }
            let since_progress = self.backlog.last_progress().max(began).elapsed();
            if since_progress > STALLED || began.elapsed() > LAST_LINES {
                return false;
            }
        }
    }
}

impl Drop for Audit {
    fn drop(&mut self) {
        self.queue = None;
        if !self.wait() {
            let bytes = self.backlog.bytes();
            tracing::error!(bytes, "the output of the audit log takes nothing: the queue is lost");
        }
    }
}

#[cfg(test)]
mod tests;
