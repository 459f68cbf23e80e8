//! Where the time of a request goes: to the gate, to an issuer, to the client's body, to the backend.

use std::time::{Duration, Instant};

use crate::decision::StageTimes;

/// The waits of a request so far, and its first byte.
#[derive(Clone, Debug, Default)]
pub struct Timing {
    /// The wait for an issuer.
    pub issuer: Duration,
    /// The wait for the client's body.
    pub body: Duration,
    /// The time at the backend, from the wait for a place there to the head of its answer, all attempts together.
    pub backend: Duration,
    /// Since when it has been at the backend.
    asking: Option<Instant>,
    /// When the first byte of its answer was ready.
    pub answering: Option<Instant>,
}

impl Timing {
    /// The backend has it from here on.
    pub fn asks(&mut self, now: Instant) {
        self.asking.get_or_insert(now);
    }

    /// The backend has answered or failed, or the gate goes on by itself for a moment.
    pub fn asked(&mut self, now: Instant) {
        if let Some(since) = self.asking.take() {
            self.backend += now.saturating_duration_since(since);
        }
    }

    /// The first byte of the answer is ready.
    pub fn answers(&mut self, now: Instant) {
        self.asked(now);
        self.answering.get_or_insert(now);
    }

    /// The time that the gate itself took of a request that came at `arrival`, up to the first byte of the answer. `None`
    /// where no answer was begun.
    pub fn overhead(&self, arrival: Instant) -> Option<Duration> {
        let whole = self.answering?.saturating_duration_since(arrival);
        Some(whole.saturating_sub(self.issuer + self.body + self.backend))
    }
}

/// A clock for the stages of a decision, which reads none by itself.
pub(super) fn stage_times() -> StageTimes {
    StageTimes::by(Instant::now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_take_is_not_the_gates() {
        let came = Instant::now();
        let at = |millis| came + Duration::from_millis(millis);
        let mut timing = Timing { issuer: Duration::from_millis(10), ..Timing::default() };
        assert_eq!(timing.overhead(came), None, "nothing was answered");
        timing.body += Duration::from_millis(20);
        timing.asks(at(31));
        timing.asked(at(131));
        // Between two attempts it is the gate's.
        timing.asks(at(132));
        timing.asks(at(140));
        timing.answers(at(232));
        timing.answers(at(900));
        assert_eq!(timing.backend, Duration::from_millis(200));
        assert_eq!(timing.overhead(came), Some(Duration::from_millis(2)));
    }
}
