//! The last decisions, in memory: so that a denial can be explained by its id, without a log at hand.
//!
//! The thread of the audit log hands over each line ([`Recent::observe`]); no request waits for it. Lines of denials have
//! a share of their own, so that many allowed calls do not push out the denials. Beside the lines, it counts who is
//! denied what (`DenialCounts`, at most 1,000 keys) and how many are denied at what time (`Timeline`, a day).

mod counts;
mod line;
mod ring;
mod timeline;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use self::counts::DenialCounts;
pub use self::counts::DeniedCaller;
pub use self::line::{DecisionFacts, DecisionFilter, DeniedLine, LineDecision, NewLine};
pub use self::ring::RecentLine;
use self::ring::Ring;
pub use self::timeline::DecisionShare;
use self::timeline::Timeline;

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecentLimits {
    /// Lines; half of them are kept for denials. Without any, nothing is kept.
    pub lines: usize,
    /// Bytes of all lines; half of them are kept for denials.
    pub bytes: usize,
}

impl Default for RecentLimits {
    fn default() -> Self {
        Self { lines: 2_000, bytes: 8 * 1024 * 1024 }
    }
}

/// Lines that came after a number.
#[derive(Debug)]
pub struct NewerLines {
    /// The newest of them, oldest first.
    pub lines: Vec<RecentLine>,
    /// How many came and are not among them.
    pub left_out: u64,
    /// The number of the last line: what to ask for next.
    pub last: u64,
}

/// The memory.
#[derive(Debug)]
pub struct Recent {
    limits: RecentLimits,
    state: Mutex<RecentState>,
}

#[derive(Debug)]
struct RecentState {
    denied: Ring,
    others: Ring,
    last: u64,
    counts: DenialCounts,
    timeline: Timeline,
}

impl Recent {
    /// An empty memory.
    pub fn new(limits: RecentLimits) -> Self {
        // An odd line, and an odd byte, is the denials'.
        let half = |most: usize| (most.div_ceil(2), most / 2);
        let ((denied_lines, other_lines), (denied_bytes, other_bytes)) =
            (half(limits.lines), half(limits.bytes));
        let state = RecentState {
            denied: Ring::new(denied_lines, denied_bytes),
            others: Ring::new(other_lines, other_bytes),
            last: 0,
            counts: DenialCounts::default(),
            timeline: Timeline::default(),
        };
        Self { limits, state: Mutex::new(state) }
    }

    /// How much it keeps.
    pub fn limits(&self) -> RecentLimits {
        self.limits
    }

    /// Takes a line of the audit log.
    pub fn observe(&self, line: NewLine<'_>, now: SystemTime) {
        if self.limits.lines == 0 {
            return;
        }
        let NewLine { text, decision } = line;
        let mut state = self.state();
        let number = state.last + 1;
        state.last = number;
        let line = RecentLine { number, text };
        match decision {
            Some(LineDecision::Denied(denied)) => {
                if denied.is_refusal() {
                    state.timeline.count(now, true);
                }
                state.counts.count(&denied, now);
                state.denied.push(line);
            }
            Some(LineDecision::Allowed) => {
                state.timeline.count(now, false);
                state.others.push(line);
            }
            None => state.others.push(line),
        }
    }

    /// The newest lines, newest first, that `filter` lets through: at most `most`.
    pub fn last(&self, filter: &DecisionFilter, most: usize) -> Vec<(RecentLine, DecisionFacts)> {
        let lines = self.newest_first();
        let told = lines.into_iter().filter_map(|line| {
            let facts = DecisionFacts::parse(&line.text)?;
            filter.lets(&facts).then_some((line, facts))
        });
        told.take(most).collect()
    }

    /// The lines after the one of this number: the newest `most` of them.
    pub fn newer(&self, number: u64, most: usize) -> NewerLines {
        let state = self.state();
        let last = state.last;
        let mut lines: Vec<RecentLine> =
            state.denied.newer(number, most).chain(state.others.newer(number, most)).cloned().collect();
        drop(state);
        lines.sort_by_key(|line| line.number);
        lines.drain(..lines.len().saturating_sub(most));
        let came = last.saturating_sub(number);
        NewerLines { left_out: came.saturating_sub(lines.len() as u64), lines, last }
    }

    /// The newest line that holds `text` and that `is_it` takes for the one.
    pub fn find(&self, text: &str, is_it: impl Fn(&str) -> bool) -> Option<RecentLine> {
        // Outside of the lock: the thread of the audit log does not wait for a search.
        self.newest_first().into_iter().find(|line| line.text.contains(text) && is_it(&line.text))
    }

    /// Who is denied what: those that were denied most of late first, at most `most`.
    pub fn denied(&self, most: usize) -> Vec<DeniedCaller> {
        self.state().counts.top(most)
    }

    /// How many were decided and denied from one time to another, in steps of ten seconds.
    pub fn share(&self, from: SystemTime, to: SystemTime) -> DecisionShare {
        self.state().timeline.share(from, to)
    }

    /// The number of the last line.
    pub fn last_number(&self) -> u64 {
        self.state().last
    }

    fn newest_first(&self) -> Vec<RecentLine> {
        let state = self.state();
        let mut lines: Vec<RecentLine> = state.denied.all().chain(state.others.all()).cloned().collect();
        drop(state);
        lines.sort_by_key(|line| std::cmp::Reverse(line.number));
        lines
    }

    fn state(&self) -> MutexGuard<'_, RecentState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
