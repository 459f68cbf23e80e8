//! Whether an endpoint is used: by the results of its checks and of requests.
//!
//! Checks take an endpoint out and bring it back. Requests count beside them: an endpoint that fails several in a row
//! is ejected for a while, and then one request decides.
//!
//! ```text
//!              failures in a row               its time is over
//! in turn ──────────────────────────► ejected ──────────────────► trial: one request
//!    ▲                                   ▲                          │
//!    │                                   └── fails: twice as long ──┤
//!    └────────────────────────────────────────────── succeeds ──────┘
//! ```
//!
//! Everything here is atomics: a healthy endpoint costs a request two loads.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::settings::Outliers;

/// The state of one endpoint. Outlives reloads.
#[derive(Debug)]
pub(super) struct OutlierState {
    passes_checks: AtomicBool,
    /// In a row.
    failures: AtomicU32,
    /// In a row: the length of the next ejection follows from it.
    ejections: AtomicU32,
    /// Milliseconds after `epoch`; 0 where it is not ejected.
    ejected_until: AtomicU64,
    /// Whether a request is trying it.
    half_open: AtomicBool,
    epoch: Instant,
}

/// How an endpoint may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CircuitState {
    /// Like any other.
    Closed,
    /// To see whether it is healthy again.
    HalfOpen,
}

impl OutlierState {
    /// An endpoint without a known fault.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            passes_checks: AtomicBool::new(true),
            failures: AtomicU32::new(0),
            ejections: AtomicU32::new(0),
            ejected_until: AtomicU64::new(0),
            half_open: AtomicBool::new(false),
            epoch: now,
        }
    }

    /// The result of the last checks. Before the first, that it is healthy.
    pub(super) fn passes_checks(&self) -> bool {
        self.passes_checks.load(Ordering::Acquire)
    }

    /// Notes the result of checks.
    pub(super) fn checked(&self, passes: bool) {
        self.passes_checks.store(passes, Ordering::Release);
    }

    /// Whether it is ejected, be its time over or not.
    pub(super) fn is_ejected(&self) -> bool {
        self.ejected_until.load(Ordering::Acquire) != 0
    }

    /// Whether it is left out now: an ejection ends with its time, though the endpoint has to stand a trial then.
    pub(super) fn is_left_out(&self, now: Instant) -> bool {
        let until = self.ejected_until.load(Ordering::Acquire);
        until != 0 && self.milliseconds(now) < until
    }

    /// Its turn, if it has one. Only one request at a time makes the trial, until it succeeds, fails or is dropped.
    pub(super) fn turn(&self, now: impl FnOnce() -> Instant) -> Option<CircuitState> {
        let until = self.ejected_until.load(Ordering::Acquire);
        if until == 0 {
            return Some(CircuitState::Closed);
        }
        let is_over = self.milliseconds(now()) >= until;
        (is_over && !self.half_open.swap(true, Ordering::AcqRel)).then_some(CircuitState::HalfOpen)
    }

    /// A request had its answer: all failures so far are forgiven.
    pub(super) fn succeeded(&self) {
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
        if self.is_ejected() || self.ejections.load(Ordering::Relaxed) != 0 {
            self.ejections.store(0, Ordering::Relaxed);
            self.ejected_until.store(0, Ordering::Release);
        }
    }

    /// A request failed. Returns how long the endpoint is ejected for it.
    pub(super) fn failed(&self, turn: CircuitState, outliers: &Outliers, now: Instant) -> Option<Duration> {
        let until = self.ejected_until.load(Ordering::Acquire);
        let ejects = match turn {
            // Unless a request that began before has succeeded meanwhile.
            CircuitState::HalfOpen => until != 0,
            // A request that began before the ejection, or that came here because all endpoints were ejected, says
            // nothing new.
            CircuitState::Closed if until != 0 => false,
            CircuitState::Closed => {
                let failures = self.failures.fetch_add(1, Ordering::Relaxed) as usize + 1;
                failures >= outliers.failures
            }
        };
        if !ejects {
            return None;
        }
        let doublings = self.ejections.load(Ordering::Relaxed).min(20);
        let length = outliers.ejection.saturating_mul(1 << doublings).min(outliers.longest_ejection);
        let end = self.milliseconds(now).saturating_add(milliseconds(length)).max(1);
        // Of several that fail at one time, one ejects.
        self.ejected_until.compare_exchange(until, end, Ordering::AcqRel, Ordering::Acquire).ok()?;
        self.ejections.fetch_add(1, Ordering::Relaxed);
        self.failures.store(0, Ordering::Relaxed);
        Some(length)
    }

    /// The trial is over, however it went: the next one may begin when its time comes.
    pub(super) fn let_go(&self) {
        self.half_open.store(false, Ordering::Release);
    }

    fn milliseconds(&self, now: Instant) -> u64 {
        milliseconds(now.saturating_duration_since(self.epoch))
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTLIERS: Outliers = Outliers {
        failures: 3,
        ejection: Duration::from_secs(10),
        longest_ejection: Duration::from_secs(35),
    };

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn ejected(start: Instant) -> OutlierState {
        let outlier_state = OutlierState::new(start);
        for _ in 0..2 {
            assert_eq!(outlier_state.failed(CircuitState::Closed, &OUTLIERS, start), None);
            assert_eq!(outlier_state.turn(|| start), Some(CircuitState::Closed));
        }
        assert_eq!(outlier_state.failed(CircuitState::Closed, &OUTLIERS, start), Some(seconds(10)));
        outlier_state
    }

    #[test]
    fn failures_in_a_row_eject_and_others_do_not() {
        let start = Instant::now();
        let outlier_state = OutlierState::new(start);
        for _ in 0..10 {
            assert_eq!(outlier_state.failed(CircuitState::Closed, &OUTLIERS, start), None);
            assert_eq!(outlier_state.failed(CircuitState::Closed, &OUTLIERS, start), None);
            outlier_state.succeeded();
        }
        assert!(!outlier_state.is_ejected());
        let outlier_state = ejected(start);
        assert!(outlier_state.is_ejected());
        assert_eq!(outlier_state.turn(|| start + seconds(9)), None);
    }

    /// Without traffic, it was told of as left out for ever.
    #[test]
    fn an_ejection_ends_with_its_time_though_no_request_comes() {
        let start = Instant::now();
        let outlier_state = ejected(start);
        assert!(outlier_state.is_left_out(start) && outlier_state.is_left_out(start + seconds(9)));
        assert!(!outlier_state.is_left_out(start + seconds(10)));
        // A trial that fails begins another one.
        let now = start + seconds(11);
        assert_eq!(outlier_state.failed(CircuitState::HalfOpen, &OUTLIERS, now), Some(seconds(20)));
        assert!(outlier_state.is_left_out(now) && !outlier_state.is_left_out(now + seconds(20)));
    }

    #[test]
    fn after_its_time_one_request_tries_it() {
        let start = Instant::now();
        let outlier_state = ejected(start);
        let later = start + seconds(11);
        assert_eq!(outlier_state.turn(|| later), Some(CircuitState::HalfOpen));
        assert_eq!(outlier_state.turn(|| later), None, "one at a time");
        outlier_state.let_go();
        assert_eq!(
            outlier_state.turn(|| later),
            Some(CircuitState::HalfOpen),
            "a trial that told nothing is made again"
        );
        outlier_state.succeeded();
        outlier_state.let_go();
        assert_eq!(outlier_state.turn(|| later), Some(CircuitState::Closed));
        assert_eq!(outlier_state.turn(|| later), Some(CircuitState::Closed));
    }

    #[test]
    fn an_ejection_grows_within_its_bound_and_a_success_ends_that() {
        let start = Instant::now();
        let outlier_state = ejected(start);
        let mut now = start;
        for length in [20, 35, 35] {
            now += seconds(36);
            assert_eq!(outlier_state.turn(|| now), Some(CircuitState::HalfOpen));
            assert_eq!(outlier_state.failed(CircuitState::HalfOpen, &OUTLIERS, now), Some(seconds(length)));
            outlier_state.let_go();
            assert_eq!(outlier_state.turn(|| now + seconds(length - 1)), None);
        }
        now += seconds(36);
        assert_eq!(outlier_state.turn(|| now), Some(CircuitState::HalfOpen));
        outlier_state.succeeded();
        outlier_state.let_go();
        for _ in 0..2 {
            assert_eq!(outlier_state.failed(CircuitState::Closed, &OUTLIERS, now), None);
        }
        assert_eq!(
            outlier_state.failed(CircuitState::Closed, &OUTLIERS, now),
            Some(seconds(10)),
            "as the first time"
        );
    }

    #[test]
    fn a_trial_that_fails_after_another_request_has_succeeded_ejects_no_endpoint() {
        let start = Instant::now();
        let outlier_state = ejected(start);
        let now = start + seconds(11);
        assert_eq!(outlier_state.turn(|| now), Some(CircuitState::HalfOpen));
        outlier_state.succeeded();
        assert_eq!(outlier_state.failed(CircuitState::HalfOpen, &OUTLIERS, now), None);
        outlier_state.let_go();
        assert_eq!(outlier_state.turn(|| now), Some(CircuitState::Closed));
    }

    #[test]
    fn a_request_from_before_an_ejection_does_not_prolong_it() {
        let start = Instant::now();
        let outlier_state = ejected(start);
        for _ in 0..10 {
            assert_eq!(outlier_state.failed(CircuitState::Closed, &OUTLIERS, start + seconds(5)), None);
        }
        assert_eq!(outlier_state.turn(|| start + seconds(10)), Some(CircuitState::HalfOpen));
    }
}
