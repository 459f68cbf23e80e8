//! Where audit lines are written: by a thread of its own, so that a slow disk does not slow requests.
//!
//! The queue is bounded. A line that finds it full, or that cannot be written, is counted
//! (`opgate_audit_dropped_total`): a gap in the log is never silent.

mod entry;

use std::io::{self, BufWriter, Write};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use prometheus::IntCounter;

pub use self::entry::{
    AuditLog, AuthenticationInfo, AuthorizationInfo, ClientCertificate, Confirmation, DecidingRule, Decision,
    HttpRequest, LogEntry, RequestAttributes, RequestMetadata, Status, UpstreamCall,
};
use crate::config::AuditOutput;

/// Lines that wait to be written.
const QUEUE: usize = 16 * 1024;
/// The longest a line waits before it is written.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The log. Dropping it writes what is queued.
#[derive(Debug)]
pub struct Audit {
    queue: Option<SyncSender<String>>,
    dropped: IntCounter,
    writer: Option<JoinHandle<()>>,
}

impl Audit {
    /// Opens the output and starts the writer.
    ///
    /// # Errors
    /// Where the file cannot be opened or the thread cannot be started.
    pub fn open(output: &AuditOutput, dropped: IntCounter) -> io::Result<Self> {
        let sink: Box<dyn Write + Send> = match output {
            AuditOutput::Stdout => Box::new(io::stdout()),
            AuditOutput::Stderr => Box::new(io::stderr()),
            AuditOutput::File(path) => {
                Box::new(std::fs::OpenOptions::new().create(true).append(true).open(path)?)
            }
        };
        let (queue, lines) = sync_channel(QUEUE);
        let counter = dropped.clone();
        let writer = std::thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || write_lines(&lines, BufWriter::new(sink), &counter))?;
        Ok(Self { queue: Some(queue), dropped, writer: Some(writer) })
    }

    /// Queues an entry. Never blocks.
    pub fn record(&self, entry: &LogEntry<'_>) {
        match serde_json::to_string(entry) {
            Ok(line) => self.write(line + "\n"),
            Err(error) => {
                self.dropped.inc();
                tracing::error!(%error, "an audit entry could not be written as JSON");
            }
        }
    }

    fn write(&self, line: String) {
        let queued = self.queue.as_ref().is_some_and(|queue| queue.try_send(line).is_ok());
        if !queued {
            self.dropped.inc();
        }
    }
}

impl Drop for Audit {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the audit writer panicked");
        }
    }
}

/// Writes what has come since the last look, then looks away: a thread that waited for each line would be woken for
/// each, and that would cost a request more than its line.
fn write_lines(lines: &Receiver<String>, mut sink: BufWriter<Box<dyn Write + Send>>, dropped: &IntCounter) {
    loop {
        let mut written = false;
        let ended = loop {
            match lines.try_recv() {
                // A line and its end are one piece: the buffer never parts them, and another process that appends to
                // the file (an upgrade) cannot come between.
                Ok(line) => {
                    written = true;
                    if let Err(error) = sink.write_all(line.as_bytes()) {
                        dropped.inc();
                        tracing::error!(%error, "an audit line could not be written");
                    }
                }
                Err(TryRecvError::Empty) => break false,
                Err(TryRecvError::Disconnected) => break true,
            }
        };
        if written {
            flush(&mut sink);
        }
        if ended {
            return;
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

fn flush(sink: &mut BufWriter<Box<dyn Write + Send>>) {
    if let Err(error) = sink.flush() {
        tracing::error!(%error, "audit lines could not be flushed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_queued_line_is_written_before_the_log_is_gone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("audit.jsonl");
        let dropped = IntCounter::new("dropped", "for the test").unwrap();
        let audit = Audit::open(&AuditOutput::File(path.clone()), dropped.clone()).unwrap();
        for number in 0..1000 {
            audit.write(format!("{{\"number\":{number}}}\n"));
        }
        drop(audit);
        assert_eq!(std::fs::read_to_string(path).unwrap().lines().count(), 1000);
        assert_eq!(dropped.get(), 0);
    }

    /// As while one process takes over from another.
    #[test]
    fn two_that_append_to_one_file_tear_no_line_of_each_other() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("audit.jsonl");
        let dropped = IntCounter::new("dropped", "for the test").unwrap();
        let output = AuditOutput::File(path.clone());
        // Longer than what is buffered, and many, so that both write at the same time.
        let lines = ["a", "b"].map(|letter| letter.repeat(9000));
        let writers = lines.each_ref().map(|line| (line, Audit::open(&output, dropped.clone()).unwrap()));
        for _ in 0..3000 {
            for (line, audit) in &writers {
                audit.write(format!("{line}\n"));
            }
        }
        drop(writers);
        let text = std::fs::read_to_string(path).unwrap();
        assert_eq!(text.lines().filter(|line| lines.iter().any(|whole| whole == line)).count(), 6000);
        assert_eq!(dropped.get(), 0);
    }

    #[test]
    fn a_full_disk_is_counted() {
        let dropped = IntCounter::new("dropped", "for the test").unwrap();
        let full = AuditOutput::File("/dev/full".into());
        let audit = Audit::open(&full, dropped.clone()).unwrap();
        for _ in 0..2000 {
            audit.write("x".repeat(100));
        }
        drop(audit);
        assert!(dropped.get() > 0);
    }
}
