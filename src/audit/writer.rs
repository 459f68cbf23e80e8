//! The thread that writes lines.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::backlog::Backlog;
use super::entry::LostLines;
use super::instruments::Instruments;
use super::line::Line;
use super::line_maker::LineMaker;
use super::settings::WhenFull;
use super::sink::Sink;
use super::state::State;

/// How long it waits for a line, and how often an output that has failed is tried again.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Lines are written together up to this many bytes.
const BATCH_BYTES: usize = 64 * 1024;
/// How often a log that cannot be written is reported.
const COMPLAIN_EVERY: Duration = Duration::from_secs(60);

/// Writes lines until their queue is closed and empty.
pub(super) struct Writer {
    pub(super) sink: Box<dyn Sink>,
    pub(super) lines: Receiver<Vec<Line>>,
    pub(super) backlog: Backlog,
    pub(super) instruments: Instruments,
    pub(super) maker: Arc<LineMaker>,
    pub(super) state: Arc<State>,
    pub(super) when_full: WhenFull,
    /// What the log has said that it lacks.
    pub(super) told: LostLines,
    pub(super) complained: Option<Instant>,
}

impl Writer {
    pub(super) fn run(mut self) {
        let mut batch = Vec::new();
        loop {
            let ended = self.collect(&mut batch);
            self.follow();
            self.tell_of_gap();
            self.write(&mut batch);
            if ended && batch.is_empty() {
                return;
            }
            if !batch.is_empty() {
                std::thread::sleep(LOOK_EVERY);
            }
        }
    }

    /// Takes lines off the queue, up to a batch. Returns whether there will be no more.
    fn collect(&self, batch: &mut Vec<Line>) -> bool {
        if !batch.is_empty() {
            // What could not be written comes first.
            return false;
        }
        match self.lines.recv_timeout(LOOK_EVERY) {
            Ok(lines) => *batch = lines,
            Err(RecvTimeoutError::Timeout) => return false,
            Err(RecvTimeoutError::Disconnected) => return true,
        }
        let mut bytes: usize = batch.iter().map(|line| line.text.len()).sum();
        while bytes < BATCH_BYTES {
            let Ok(mut lines) = self.lines.try_recv() else { break };
            bytes += lines.iter().map(|line| line.text.len()).sum::<usize>();
            batch.append(&mut lines);
        }
        false
    }

    fn follow(&mut self) {
        let again = self.state.reopen.swap(false, Ordering::AcqRel);
        if let Err(error) = self.sink.follow(again) {
            // Lines still go to what is open.
            self.complain(&error, "cannot open the audit log again");
        }
    }

    /// Writes lines. Those that the output does not take are lost, or stay for the next time.
    fn write(&mut self, batch: &mut Vec<Line>) {
        if batch.is_empty() {
            // Nothing shows whether the output takes lines.
            return;
        }
        let mut failure = None;
        // The second time is for a connection that has broken, and begins a line anew that was written in half.
        for _ in 0..2 {
            if batch.is_empty() {
                break;
            }
            let (written, failed) = self.sink.write(batch);
            self.count_written(batch, written);
            failure = failed;
            if failure.is_none() {
                break;
            }
        }
        let Some(error) = failure else {
            return self.state.writes();
        };
        self.state.fails(&error);
        self.complain(&error, "cannot write audit lines");
        if self.when_full == WhenFull::Refuse {
            return;
        }
        for line in batch.drain(..) {
            self.backlog.take(line.counted);
            self.instruments.write.inc();
        }
    }

    /// Drops the first lines of a batch, which are written.
    fn count_written(&self, batch: &mut Vec<Line>, written: usize) {
        let lines = written.min(batch.len());
        if lines > 0 {
            let bytes = batch.drain(..lines).map(|line| line.counted).sum();
            self.backlog.take_lines(lines, bytes);
            self.instruments.lines.inc_by(lines as u64);
            self.backlog.progressed();
        }
    }

    /// Where lines were lost, the log says how many: once it takes lines again, and before the next one.
    fn tell_of_gap(&mut self) {
        let lost = self.instruments.lost_lines();
        let missing = LostLines {
            queue_full: lost.queue_full.saturating_sub(self.told.queue_full),
            write: lost.write.saturating_sub(self.told.write),
            encode: lost.encode.saturating_sub(self.told.encode),
        };
        if missing.total() == 0 {
            return;
        }
        let line = self.maker.gap(missing);
        // Lines that fail are counted by `write`; this one is tried again.
        match self.sink.write(std::slice::from_ref(&line)) {
            (1.., _) => {
                self.told = lost;
                self.state.writes();
            }
            (0, Some(error)) => self.state.fails(&error),
            (0, None) => {}
        }
    }

    /// Reports to the operator, now and then: a log line for each lost line would fill the other disk.
    fn complain(&mut self, error: &io::Error, message: &str) {
        if self.complained.is_some_and(|last| last.elapsed() < COMPLAIN_EVERY) {
            return;
        }
        self.complained = Some(Instant::now());
        tracing::error!(%error, lost = self.instruments.lost(), "{message}");
    }
}
