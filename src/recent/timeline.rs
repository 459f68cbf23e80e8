//! How many requests were decided, and how many of them refused, in steps of ten seconds over a day: what a change of
//! the policy did to the share of denials.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

/// Seconds of a step.
const STEP: u64 = 10;

/// Steps of a day.
const STEPS: u64 = 24 * 60 * 60 / STEP;

/// Decisions of a span of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DecisionShare {
    /// Requests that were allowed or refused. Those that could not be decided (5xx) are not among them.
    pub decided: u64,
    /// Those of them that were refused.
    pub denied: u64,
}

impl DecisionShare {
    /// The share of refusals, in percent; `None` where nothing was decided.
    pub fn percent(self) -> Option<f64> {
        (self.decided > 0).then(|| 100.0 * self.denied as f64 / self.decided as f64)
    }
}

/// The steps with at least one decision, oldest first.
#[derive(Debug, Default)]
pub(super) struct Timeline(VecDeque<(u64, DecisionShare)>);

impl Timeline {
    pub(super) fn count(&mut self, now: SystemTime, is_denied: bool) {
        let step = step(now);
        while self.0.front().is_some_and(|(first, _)| first + STEPS <= step) {
            self.0.pop_front();
        }
        // A clock that was set back counts in the last step.
        if self.0.back().is_none_or(|(last, _)| *last < step) {
            self.0.push_back((step, DecisionShare::default()));
        }
        if let Some((_, share)) = self.0.back_mut() {
            share.decided += 1;
            share.denied += u64::from(is_denied);
        }
    }

    pub(super) fn share(&self, from: SystemTime, to: SystemTime) -> DecisionShare {
        let (from, to) = (step(from), step(to));
        let within = self.0.iter().filter(|(step, _)| (from..to).contains(step));
        within.fold(DecisionShare::default(), |sum, (_, share)| DecisionShare {
            decided: sum.decided + share.decided,
            denied: sum.denied + share.denied,
        })
    }
}

fn step(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs() / STEP
}
