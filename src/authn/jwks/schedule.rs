//! When an issuer is asked for its keys. Time and chance are passed in; nothing is waited for here.
//!
//! ```text
//!            ┌── the set is nearly out of date ─────────┐
//!   waiting ─┤                                          ├─► fetch ─► good: wait until it is nearly out of date
//!            ├── unknown key, cool-down elapsed ────────┤        └─► bad: keep the old set, wait for the back-off
//!            └── the set has ended, or is about to ─────┘
//! ```
//!
//! Strangers can ask for keys. A fetch that only such a wish has brought neither lengthens the back-off nor delays the
//! next fetch on schedule.

use std::time::{Duration, Instant};

use crate::authn::settings::RemoteKeys;

/// How often an issuer is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::authn) struct FetchIntervals {
    /// How long a set is good that does not say.
    pub(in crate::authn) interval: Duration,
    /// From one fetch that an unknown key asks for to the next: a flood of invented keys drives one fetch per cool-down.
    pub(in crate::authn) cool_down: Duration,
    /// From the first failure to the next try; doubles with each further failure.
    pub(in crate::authn) first_retry: Duration,
    /// Where the doubling ends.
    pub(in crate::authn) last_retry: Duration,
}

/// When the next fetch is due.
#[derive(Clone, Debug)]
pub(in crate::authn) struct Schedule {
    intervals: FetchIntervals,
    due: Instant,
    failures: u32,
    /// Whether a request named a key that the set lacks, and no fetch has begun since.
    wished: bool,
    /// When the last cool-down ends.
    cool: Instant,
    /// When the last fetch began, and whether only a wish had brought it.
    begun: Option<Instant>,
    wish_alone: bool,
}

/// From one fetch to the next where a set has ended or is about to, at the most.
const HURRY: Duration = Duration::from_secs(10);

/// Spreads waits between their bounds: of many gates, each asks in a second of its own.
#[derive(Clone, Copy, Debug)]
pub(in crate::authn) struct Spread(pub(in crate::authn) u8);

impl FetchIntervals {
    /// The pace in the operator's settings.
    pub(in crate::authn) fn of(keys: &RemoteKeys) -> Self {
        Self {
            interval: keys.refresh,
            cool_down: keys.cool_down,
            first_retry: Duration::from_secs(1),
            last_retry: keys.refresh.min(Duration::from_secs(60)),
        }
    }

    /// The wait after so many failures in a row, before it is spread.
    fn retry(self, failures: u32) -> Duration {
        let doubled = 2u32.checked_pow(failures.saturating_sub(1)).unwrap_or(u32::MAX);
        self.first_retry.saturating_mul(doubled).min(self.last_retry)
    }

    /// How long a set is good whose answer allows it `fresh_for`: no longer than the operator says, and long enough not
    /// to burden the issuer.
    fn lifetime(self, fresh_for: Option<Duration>) -> Duration {
        fresh_for.map_or(self.interval, |fresh_for| fresh_for.max(RemoteKeys::MIN_REFRESH).min(self.interval))
    }
}

impl Schedule {
    /// Due as after a failure: a gate that starts fetches once by itself, and this is for what that does not reach.
    pub(in crate::authn) fn new(intervals: FetchIntervals, now: Instant) -> Self {
        Self {
            intervals,
            due: now + intervals.first_retry,
            failures: 0,
            wished: false,
            cool: now,
            begun: None,
            wish_alone: false,
        }
    }

    /// When the next fetch begins, if nothing else happens.
    pub(in crate::authn) fn next(&self) -> Instant {
        if self.wished { self.due.min(self.cool) } else { self.due }
    }

    /// Notes that a request named a key that the set lacks. Returns whether it is the first such wish.
    pub(in crate::authn) fn wish(&mut self) -> bool {
        !std::mem::replace(&mut self.wished, true)
    }

    /// Notes that the set has ended or is about to: the next fetch begins soon, however long the back-off. Whether that
    /// changes anything.
    pub(in crate::authn) fn hurry(&mut self, now: Instant) -> bool {
        let soon = self.begun.map_or(now, |begun| begun + HURRY.min(self.intervals.last_retry));
        let changes = soon < self.due;
        self.due = self.due.min(soon);
        changes
    }

    /// Sets other intervals.
    pub(in crate::authn) fn adopt(&mut self, intervals: FetchIntervals, now: Instant) {
        if self.intervals != intervals {
            self.intervals = intervals;
            self.due = self.due.min(now + intervals.interval.saturating_sub(intervals.interval / 10));
            self.cool = self.cool.min(now + intervals.cool_down);
        }
    }

    /// Notes that a fetch begins, which answers every wish so far.
    pub(in crate::authn) fn begin(&mut self, now: Instant) {
        self.begun = Some(now);
        self.wish_alone = self.wished && now < self.due;
        if std::mem::take(&mut self.wished) {
            self.cool = now + self.intervals.cool_down;
        }
    }

    /// Notes that a fetch brought a set, which is good for `fresh_for` where the answer says. The next one begins after
    /// eight to nine tenths of that. Returns how many before it failed.
    pub(in crate::authn) fn succeed(
        &mut self,
        now: Instant,
        fresh_for: Option<Duration>,
        spread: Spread,
    ) -> u32 {
        let lifetime = self.intervals.lifetime(fresh_for);
        self.due = now + spread.shorten(lifetime.saturating_sub(lifetime / 10));
        std::mem::take(&mut self.failures)
    }

    /// Notes that a fetch failed. A wish that brought it stays one.
    pub(in crate::authn) fn fail(&mut self, now: Instant, spread: Spread) {
        if std::mem::take(&mut self.wish_alone) {
            self.wished = true;
            return;
        }
        self.failures = self.failures.saturating_add(1);
        self.due = now + spread.shorten(self.intervals.retry(self.failures));
    }
}

impl Schedule {
    /// Notes that the result of the last fetch is to be checked by another one soon.
    pub(in crate::authn) fn check_again(&mut self, now: Instant) {
        self.due = self.due.min(now + self.intervals.first_retry);
    }
}

impl Spread {
    /// Eight ninths to all of a wait.
    fn shorten(self, wait: Duration) -> Duration {
        wait.saturating_sub(wait / 9 * u32::from(self.0) / 255)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Spread = Spread(255);
    const LAST: Spread = Spread(0);

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn schedule() -> (Schedule, Instant) {
        let now = Instant::now();
        let intervals = FetchIntervals::of(&RemoteKeys::at(crate::authn::KeyLocation::Url(String::new())));
        (Schedule::new(intervals, now), now)
    }

    #[test]
    fn a_good_set_is_renewed_before_its_time_is_over() {
        for (fresh_for, earliest, latest) in [
            (None, 480, 540),
            (Some(100), 80, 90),
            // The operator's bounds hold, whatever the issuer says.
            (Some(0), 24, 27),
            (Some(86_400), 480, 540),
            (Some(u64::MAX), 480, 540),
        ] {
            let (mut schedule, now) = schedule();
            schedule.succeed(now, fresh_for.map(seconds), FIRST);
            assert_eq!((schedule.next() - now).as_secs(), earliest, "{fresh_for:?}");
            schedule.succeed(now, fresh_for.map(seconds), LAST);
            assert_eq!((schedule.next() - now).as_secs(), latest, "{fresh_for:?}");
        }
    }

    #[test]
    fn the_wait_after_failures_doubles_up_to_a_bound_and_ends_with_a_success() {
        let (mut schedule, now) = schedule();
        let mut waits = Vec::new();
        for _ in 0..40 {
            schedule.fail(now, LAST);
            waits.push((schedule.next() - now).as_secs());
        }
        assert_eq!(waits[..8], [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(waits[39], 60);
        schedule.fail(now, FIRST);
        assert_eq!((schedule.next() - now).as_secs(), 53);
        assert_eq!(schedule.succeed(now, None, LAST), 41);
        assert_eq!(schedule.succeed(now, None, LAST), 0);
        schedule.fail(now, LAST);
        assert_eq!((schedule.next() - now).as_secs(), 1);
    }

    #[test]
    fn wishes_bring_one_fetch_per_cool_down() {
        let (mut schedule, start) = schedule();
        schedule.begin(start);
        schedule.succeed(start, None, LAST);
        let mut fetches = Vec::new();
        // A wish every second for a minute.
        for second in 0..60 {
            let now = start + seconds(second);
            assert!(schedule.wish() || fetches.last() != Some(&(second - 1)));
            if schedule.next() <= now {
                schedule.begin(now);
                schedule.succeed(now, None, LAST);
                fetches.push(second);
            }
        }
        assert_eq!(fetches, [0, 10, 20, 30, 40, 50]);
    }

    #[test]
    fn a_fetch_on_schedule_costs_no_cool_down() {
        let (mut schedule, now) = schedule();
        schedule.begin(now);
        schedule.succeed(now, None, LAST);
        assert!(schedule.wish());
        assert!(!schedule.wish());
        assert_eq!(schedule.next(), now);
    }

    /// As strangers do who invent keys while the issuer is down.
    #[test]
    fn wishes_never_lengthen_the_back_off() {
        let counted = |wishing: bool| {
            let (mut schedule, start) = schedule();
            schedule.begin(start);
            schedule.succeed(start, None, LAST);
            let mut scheduled = Vec::new();
            while scheduled.len() < 15 {
                if wishing {
                    schedule.wish();
                }
                let now = schedule.next();
                if now == schedule.due {
                    scheduled.push((now - start).as_secs());
                }
                schedule.begin(now);
                schedule.fail(now, LAST);
            }
            scheduled
        };
        assert_eq!(counted(true), counted(false));
    }

    #[test]
    fn keys_near_their_end_are_fetched_for_in_the_longest_back_off() {
        let (mut schedule, now) = schedule();
        schedule.begin(now);
        (0..10).for_each(|_| schedule.fail(now, LAST));
        assert_eq!((schedule.next() - now).as_secs(), 60);
        assert!(schedule.hurry(now));
        assert!(!schedule.hurry(now));
        assert_eq!((schedule.next() - now).as_secs(), 10);
    }

    #[test]
    fn another_pace_shortens_the_wait_under_way() {
        let (mut schedule, now) = schedule();
        schedule.succeed(now, None, LAST);
        schedule.adopt(FetchIntervals { interval: seconds(100), ..schedule.intervals }, now);
        assert_eq!((schedule.next() - now).as_secs(), 90);
    }

    #[test]
    fn while_an_issuer_is_down_wishes_do_not_have_it_asked_more_often() {
        let (mut schedule, now) = schedule();
        schedule.wish();
        schedule.begin(now);
        schedule.fail(now, LAST);
        schedule.wish();
        // The back-off, which is sooner than the end of the cool-down.
        assert_eq!((schedule.next() - now).as_secs(), 1);
        let later = now + seconds(1);
        schedule.begin(later);
        assert_eq!((schedule.cool - now).as_secs(), 11);
    }
}
