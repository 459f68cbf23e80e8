//! The thread that takes lines from requests. It shows each to the observers, and passes it on to the thread that writes.
//!
//! It looks for lines now and then and is not woken for each: to wake a thread costs a request more than the line
//! itself. It never waits for the output: what observers see does not depend on a disk or on a reader.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SendError, Sender, TryRecvError};
use std::time::{Duration, Instant, SystemTime};

use super::backlog::Backlog;
use super::entry::Severity;
use super::instruments::Instruments;
use super::line::Line;
use super::seen::SeenLine;

/// The longest that a line waits before it is seen.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Lines that the output is sent at once, at the most.
const MOST_AT_ONCE: usize = 64;
/// How often a log that loses lines is reported.
const COMPLAIN_EVERY: Duration = Duration::from_secs(60);

/// What sees each line in its full form, before the output does. It runs on the thread that
/// takes lines from requests: it must be quick, and wait for nothing.
///
/// It sees what is written, and refusals in any case: also where nothing is written (`audit.output: off`), where the output is
/// stuck, and where its queue is full.
pub struct Observer(Box<dyn FnMut(&SeenLine) + Send>);

impl Observer {
    /// An observer that calls this.
    pub fn new(see: impl FnMut(&SeenLine) + Send + 'static) -> Self {
        Self(Box::new(see))
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Observer")
    }
}

/// A line on its way from a request.
#[derive(Debug)]
pub(super) struct Collected {
    /// In full form.
    pub(super) full: SeenLine,
    /// What the output is to write, where it is to: another form if there is one, and time and severity.
    pub(super) line: Option<(Option<Arc<str>>, SystemTime, Severity)>,
    /// How much it takes of the backlog.
    pub(super) counted: usize,
}

/// Takes lines until their queue is closed and empty.
pub(super) struct Collector {
    pub(super) lines: Receiver<Collected>,
    pub(super) observers: Vec<Observer>,
    pub(super) output: Sender<Vec<Line>>,
    /// What the output is sent next: many lines at once.
    pub(super) passing: Vec<Line>,
    pub(super) backlog: Backlog,
    pub(super) instruments: Instruments,
    /// Lines that were reported as lost, and when.
    pub(super) complained: Option<(u64, Instant)>,
}

impl Collector {
    pub(super) fn run(mut self) {
        loop {
            match self.lines.try_recv() {
                Ok(collected) => self.see(collected),
                Err(TryRecvError::Disconnected) => {
                    self.pass_on();
                    return self.complain();
                }
                Err(TryRecvError::Empty) => {
                    self.pass_on();
                    self.instruments.show(&self.backlog);
                    self.complain_now_and_then();
                    std::thread::sleep(LOOK_EVERY);
                }
            }
        }
    }

    /// Shows a line to the observers, and puts it with those that the output is to be sent.
    fn see(&mut self, collected: Collected) {
        let Collected { full, line, counted } = collected;
        self.observers.retain_mut(|observer| {
            let seen = catch_unwind(AssertUnwindSafe(|| (observer.0)(&full)));
            if seen.is_err() {
                tracing::error!("an observer of the audit log has failed, and sees no more lines");
            }
            seen.is_ok()
        });
        let Some((other, time, severity)) = line else { return self.backlog.take(counted) };
        self.passing.push(Line { text: other.unwrap_or(full.text), time, severity, counted });
        if self.passing.len() >= MOST_AT_ONCE {
            self.pass_on();
        }
    }

    /// Sends the output what has come.
    fn pass_on(&mut self) {
        if self.passing.is_empty() {
            return;
        }
        if let Err(SendError(lost)) = self.output.send(std::mem::take(&mut self.passing)) {
            for line in lost {
                self.instruments.write.inc();
                self.backlog.take(line.counted);
            }
        }
    }

    /// Reports to the operator that lines are lost. A log line for each would fill the other disk.
    fn complain_now_and_then(&mut self) {
        if self.complained.is_none_or(|(_, last)| last.elapsed() >= COMPLAIN_EVERY) {
            self.complain();
        }
    }

    fn complain(&mut self) {
        let lost = self.instruments.lost();
        let told = self.complained.map_or(0, |(told, _)| told);
        if lost == told {
            return;
        }
        self.complained = Some((lost, Instant::now()));
        let Instruments { queue_full, write, encode, .. } = &self.instruments;
        tracing::error!(
            lost = lost - told,
            queue_full = queue_full.get(),
            write = write.get(),
            encode = encode.get(),
            "audit lines are lost"
        );
    }
}
