//! Writes audit lines on a thread of its own, so that a slow disk does not slow requests.
//!
//! The queue is bounded, in lines and in bytes. A line that finds it full, or that cannot be written, is counted
//! (`opgate_audit_dropped_total`): a gap in the log is never silent. An output that takes nothing does not keep the
//! process from ending.

mod backlog;
mod entry;
mod instruments;
pub(crate) mod settings;
mod writer;

use std::io;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, channel, sync_channel};
use std::time::{Duration, Instant};

use prometheus::IntCounter;

use self::backlog::Backlog;
pub use self::entry::{
    AuditLog, AuthenticationInfo, AuthorizationInfo, Bounded, ClientCertificate, Confirmation, DecidingRule,
    Decision, HttpRequest, LogEntry, RequestAttributes, RequestMetadata, ShadowRuling, Status, UpstreamCall,
};
pub use self::instruments::Instruments;
pub use self::settings::AuditOutput;
use self::writer::{Sink, Writer};

/// Lines that wait to be written.
const QUEUE: usize = 16 * 1024;
/// At the end, how long to wait for a writer that makes no progress.
const STALLED: Duration = Duration::from_secs(1);
/// At the end, how long to wait for one that makes some.
const LAST_LINES: Duration = Duration::from_secs(5);

/// The log. Dropping it writes the queue, as far as the output takes it.
#[derive(Debug)]
pub struct Audit {
    queue: Option<SyncSender<String>>,
    backlog: Backlog,
    dropped: IntCounter,
    /// Closed once the writer has ended. Behind a lock that only the end takes, so that the log can be shared.
    ended: Mutex<Receiver<()>>,
}

impl Audit {
    /// Opens the output and starts the writer.
    ///
    /// # Errors
    /// Where the file cannot be opened or the thread cannot be started.
    pub fn open(output: &AuditOutput, instruments: Instruments) -> io::Result<Self> {
        let Instruments { dropped } = instruments;
        Self::start(
            match output {
                AuditOutput::Stdout => Sink::standard(&io::stdout())?,
                AuditOutput::Stderr => Sink::standard(&io::stderr())?,
                AuditOutput::File(path) => Sink::file(path)?,
            },
            dropped,
        )
    }

    fn start(sink: Sink, dropped: IntCounter) -> io::Result<Self> {
        let (queue, lines) = sync_channel(QUEUE);
        let (end, ended) = channel();
        let backlog = Backlog::new();
        let writer = Writer {
            sink,
            lines,
            backlog: backlog.clone(),
            dropped: dropped.clone(),
            is_torn: false,
            complained: None,
        };
        std::thread::Builder::new().name("audit".to_owned()).spawn(move || {
            // Closed with the thread, also where it panics.
            let _end = end;
            writer.run();
        })?;
        Ok(Self { queue: Some(queue), backlog, dropped, ended: Mutex::new(ended) })
    }

    /// Queues an entry. Never blocks.
    pub fn record(&self, entry: &LogEntry<'_>) {
        match serde_json::to_string(entry) {
            Ok(line) => self.write(line + "\n"),
            Err(error) => {
                self.dropped.inc();
                tracing::error!(%error, "cannot write an audit entry as JSON");
            }
        }
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

    fn write(&self, line: String) {
        let bytes = line.len();
        if !self.backlog.add(bytes) {
            return self.dropped.inc();
        }
        let is_queued = self.queue.as_ref().is_some_and(|queue| queue.try_send(line).is_ok());
        if !is_queued {
            self.backlog.take(bytes);
            self.dropped.inc();
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
