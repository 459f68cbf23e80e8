//! Writes audit lines on threads of their own, so that a slow disk does not slow requests.
//!
//! ```text
//! request ─► line ─► collector ─┬─► observers
//!                               └─► writer ─► output
//! ```
//!
//! The queue is bounded, in lines and in bytes. A line that finds it full, or that cannot be written, is counted
//! (`opgate_audit_dropped_total`), and the log says how many are missing once it is written again: a gap is never silent. Where
//! the operator wants no gap (`when_full: refuse`), a request that is to go upstream takes a place for its line first. An output
//! that takes nothing keeps neither observers from seeing lines nor the process from ending.

mod backlog;
mod cancel_end;
mod codes;
mod collector;
mod compact;
mod entry;
mod expand;
mod frame;
mod full;
mod instruments;
mod json;
mod line;
mod line_maker;
mod output;
mod place;
mod redaction;
mod seen;
mod selection;
pub(crate) mod settings;
mod sink;
mod state;
mod syslog;
mod writer;

use std::io;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use self::backlog::{Backlog, QUEUE_LINES, SPARE_LINES};
pub use self::cancel_end::CancelEnd;
pub use self::collector::Observer;
use self::collector::{Collected, Collector};
pub use self::entry::{
    AuditLog, AuthenticationInfo, AuthorizationInfo, CallerIp, CancelOutcome, ClientCertificate,
    Confirmation, DecidingRule, Decision, HttpRequest, Log, LogEntry, LostLines, Metadata, Operation,
    Protocol, RequestMetadata, RulePlace, Severity, ShadowRuling, Status, ThirdParty, TraceIds, UpstreamCall,
};
pub use self::expand::full_form;
pub use self::instruments::Instruments;
use self::line_maker::{LONGEST_LINE, LineMaker};
pub use self::place::{LinePlace, NoPlace};
pub use self::redaction::{REDACTED, Redacted, Redaction};
pub use self::seen::{SeenDecision, SeenLine};
pub use self::selection::{Kind, Wanted};
pub use self::settings::{AuditFormat, AuditOutput, AuditSettings, Selection, WhenFull};
use self::sink::Sink;
pub use self::state::AuditStatus;
use self::state::State;
use self::writer::Writer;

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
    maker: Arc<LineMaker>,
    state: Arc<State>,
    when_full: WhenFull,
    selection: Selection,
    is_off: bool,
    is_observed: bool,
    /// Closed once the writer has ended. Behind a lock that only the end takes, so that the log can be shared.
    ended: Mutex<Receiver<()>>,
}

impl Audit {
    /// Opens the output and starts the threads. Each observer sees each line before the output does.
    ///
    /// # Errors
    /// Where the output cannot be opened or a thread cannot be started.
    pub fn open(
        settings: &AuditSettings,
        instruments: Instruments,
        observers: Vec<Observer>,
    ) -> io::Result<Self> {
        let host = rustix::system::uname();
        let host = host.nodename().to_str().unwrap_or_default();
        let instance = settings.instance.as_deref().unwrap_or(if host.is_empty() { "-" } else { host });
        let sink = output::open(&settings.output, instance)?;
        Self::start(sink, settings, instance, instruments, observers)
    }

    fn start(
        sink: Box<dyn Sink>,
        settings: &AuditSettings,
        instance: &str,
        instruments: Instruments,
        observers: Vec<Observer>,
    ) -> io::Result<Self> {
        let room = usize::try_from(QUEUE_LINES + SPARE_LINES).unwrap_or(usize::MAX);
        let (queue, lines) = sync_channel(room);
        let (output, to_write) = channel();
        let (end, ended) = channel();
        let backlog = Backlog::new();
        let maker = Arc::new(LineMaker::new(settings, instance));
        let state = Arc::new(State::default());
        let is_observed = !observers.is_empty();
        let collector = Collector {
            lines,
            observers,
            output,
            passing: Vec::new(),
            backlog: backlog.clone(),
            instruments: instruments.clone(),
            complained: None,
        };
        let writer = Writer {
            sink,
            lines: to_write,
            backlog: backlog.clone(),
            instruments: instruments.clone(),
            maker: maker.clone(),
            state: state.clone(),
            when_full: settings.when_full,
            told: LostLines::default(),
            complained: None,
        };
        let thread = |name: &str| std::thread::Builder::new().name(name.to_owned());
        thread("audit").spawn(move || collector.run())?;
        thread("audit-writer").spawn(move || {
            // Closed with the thread, also where it panics.
            let _end = end;
            writer.run();
        })?;
        Ok(Self {
            queue: Some(queue),
            backlog,
            instruments,
            maker,
            state,
            when_full: settings.when_full,
            selection: settings.selection.clone(),
            is_off: settings.output == AuditOutput::Off,
            is_observed,
            ended: Mutex::new(ended),
        })
    }

    /// Whether a request of this kind leaves a line.
    pub fn wants(&self, kind: Kind<'_>) -> Wanted {
        if self.is_off {
            let is_seen = self.is_observed && kind == Kind::Refused;
            return if is_seen { Wanted::Seen } else { Wanted::Not };
        }
        if self.selection.takes(kind) { Wanted::Written } else { Wanted::Not }
    }

    /// Whether `auditConfigs` of the policy tree say which lines are written.
    pub fn asks_audit_configs(&self) -> bool {
        self.selection.by_audit_configs && !self.is_off
    }

    /// A place for the line of a request that is to go upstream. `None` where none is needed.
    ///
    /// # Errors
    /// Where the operator wants no gap in the log, and there would be one.
    pub fn reserve(&self) -> Result<Option<LinePlace>, NoPlace> {
        if self.when_full == WhenFull::Drop || self.is_off {
            return Ok(None);
        }
        if self.state.is_failing() {
            return Err(NoPlace::Failing);
        }
        LinePlace::take(&self.backlog).map(Some).ok_or(NoPlace::Full)
    }

    /// Queues an entry, in the place that was taken for it. Never blocks.
    pub fn record(&self, mut entry: LogEntry<'_>, wanted: Wanted, place: Option<LinePlace>) {
        if wanted == Wanted::Not {
            return;
        }
        if !self.maker.redacted.is_empty() {
            self.maker.redacted.apply(&mut entry);
        }
        let full = self.maker.full(&entry);
        if full.text.len() > LONGEST_LINE {
            return self.instruments.encode.inc();
        }
        let other = if wanted == Wanted::Written { self.maker.compact(&entry) } else { None };
        self.queue(full, other, &entry, wanted, place);
    }

    /// Queues the line that says what became of a cancel.
    pub fn record_cancel_end(&self, end: &CancelEnd<'_>) {
        let wanted = if self.is_off { Wanted::Not } else { Wanted::Written };
        self.record(end.log_entry(), wanted, None);
    }

    /// Has the output opened again: logrotate has moved the file, or a socket is another one.
    pub fn reopen(&self) {
        self.state.reopen.store(true, Ordering::Release);
    }

    /// How the log is.
    pub fn status(&self) -> AuditStatus {
        let failure = self.state.failure();
        let is_full = self.backlog.is_full();
        AuditStatus {
            written: self.instruments.lines.get(),
            lost: self.instruments.lost_lines(),
            queued: self.backlog.lines(),
            is_refusing: self.when_full == WhenFull::Refuse && (failure.is_some() || is_full),
            failure,
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

    fn queue(
        &self,
        full: SeenLine,
        other: Option<Arc<str>>,
        entry: &LogEntry<'_>,
        wanted: Wanted,
        place: Option<LinePlace>,
    ) {
        let counted = full.text.len() + other.as_ref().map_or(0, |other| other.len());
        let has_place = match place {
            Some(place) if wanted == Wanted::Written => {
                place.fill(counted);
                true
            }
            _ => wanted == Wanted::Written && self.backlog.add(counted),
        };
        if wanted == Wanted::Written && !has_place {
            self.instruments.queue_full.inc();
        }
        if !has_place && (!self.is_observed || !self.backlog.add_spare(counted)) {
            return;
        }
        let (time, severity) = (entry.time, entry.severity);
        let line = has_place.then_some(other).map(|other| (other, time, severity));
        let collected = Collected { full, line, counted };
        let is_queued = self.queue.as_ref().is_some_and(|queue| queue.try_send(collected).is_ok());
        if !is_queued {
            self.backlog.take(counted);
            if has_place {
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
