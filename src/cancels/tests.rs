//! The table of cancels against a naive list of them, and what is read of answers.

mod model;
mod watching;

use std::time::{Duration, Instant, SystemTime};

use crate::metrics::{Exposition, Metrics, Names};

use super::*;
use crate::principal::Principal;

const SERVICE: &str = "s.example.com";
const METHOD: &str = "google.longrunning.Operations.CancelOperation";

/// The metrics of two services.
fn told(metrics: &Metrics) -> String {
    let services = [SERVICE, "t.example.com"].map(str::to_owned).into();
    metrics.scrape(|| Names { services, ..Names::default() }).text(Exposition::Prometheus, &[])
}

/// Cancels with their registry, and a clock.
struct Bench {
    cancels: Cancels,
    metrics: Metrics,
    start: Moment,
}

impl Bench {
    fn new(tracked: usize) -> Self {
        let metrics = Metrics::new().unwrap();
        let instruments = Instruments::register(metrics.registry()).unwrap();
        let cancels = Cancels::new(CancelSettings { tracked }, instruments);
        cancels.serve([(SERVICE, METHOD)].into_iter());
        Self { cancels, metrics, start: Moment { time: SystemTime::UNIX_EPOCH, instant: Instant::now() } }
    }

    fn at(&self, seconds: u64) -> Moment {
        let after = Duration::from_secs(seconds);
        Moment { time: self.start.time + after, instant: self.start.instant + after }
    }

    fn send(&self, name: &str, seconds: u64) -> SentCancel {
        self.send_as(name, &format!("cancel-of-{name}"), seconds)
    }

    fn send_as(&self, name: &str, request_id: &str, seconds: u64) -> SentCancel {
        let at = self.at(seconds);
        let asked = Asked { service: SERVICE, method: METHOD, name, principal: None, request_id, at };
        self.cancels.sent(asked).unwrap()
    }

    fn accept_of(&self, caller: Option<&Principal>, name: &str, seconds: u64) {
        let at = self.at(seconds);
        let asked = Asked { service: SERVICE, method: METHOD, name, principal: caller, request_id: name, at };
        let sent = self.cancels.sent(asked).unwrap();
        self.cancels.answered(sent, CancelAnswer::Accepted, at);
    }

    fn accept(&self, name: &str, seconds: u64) {
        let sent = self.send(name, seconds);
        self.cancels.answered(sent, CancelAnswer::Accepted, self.at(seconds));
    }

    fn see(&self, name: &str, sighting: OperationSighting, seconds: u64) -> Option<CancelOutcome> {
        let end = self.cancels.seen(SERVICE, name, sighting, "reader", self.at(seconds));
        end.map(|end| end.outcome)
    }

    /// A sample of the metrics.
    fn sample(&self, series: &str) -> Option<u64> {
        let text = told(&self.metrics);
        let found = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        found.map(|value| value.parse().unwrap())
    }

    fn outcome(&self, outcome: CancelOutcome) -> u64 {
        let labels = format!("{{outcome=\"{}\",service=\"{SERVICE}\"}}", outcome.label());
        self.sample(&format!("opgate_cancel_outcomes_total{labels}")).unwrap()
    }
}

const ENDED: OperationSighting = OperationSighting::Ended(CancelOutcome::Cancelled);

#[test]
fn an_end_that_is_seen_before_the_answer_waits_for_it() {
    let bench = Bench::new(10);
    let sent = bench.send("a/b", 0);
    assert_eq!(bench.see("a/b", ENDED, 1), None);
    assert_eq!(bench.outcome(CancelOutcome::Cancelled), 0);
    let end = bench.cancels.answered(sent, CancelAnswer::Accepted, bench.at(5)).unwrap();
    assert_eq!((end.outcome, end.seen_by.as_deref()), (CancelOutcome::Cancelled, Some("reader")));
    assert_eq!((end.took(), &*end.cancel.request_id), (Duration::from_secs(1), "cancel-of-a/b"));
    assert_eq!(bench.outcome(CancelOutcome::Cancelled), 1);
    assert!(!bench.cancels.is_any_pending());

    // If the cancel is refused, it is not its end.
    let sent = bench.send("a/b", 10);
    assert_eq!(bench.see("a/b", ENDED, 11), None);
    assert!(bench.cancels.answered(sent, CancelAnswer::NotFound, bench.at(12)).is_none());
    assert_eq!(bench.outcome(CancelOutcome::Cancelled), 1);
    assert!(!bench.cancels.is_any_pending());
}

#[test]
fn a_second_cancel_keeps_the_time_of_the_first() {
    let bench = Bench::new(10);
    bench.accept("a/b", 0);
    let second = bench.send_as("a/b", "second", 100);
    bench.cancels.answered(second, CancelAnswer::Accepted, bench.at(101));
    assert_eq!(bench.see("a/b", ENDED, 110), Some(CancelOutcome::Cancelled));
    let ends = bench.cancels.ends();
    assert_eq!(ends.len(), 1);
    assert_eq!((&*ends[0].cancel.request_id, ends[0].took().as_secs()), ("cancel-of-a/b", 110));
}

#[test]
fn where_the_first_of_two_cancels_is_refused_the_second_is_watched() {
    let bench = Bench::new(10);
    let first = bench.send_as("a/b", "first", 0);
    let second = bench.send_as("a/b", "second", 1);
    bench.cancels.answered(first, CancelAnswer::Failed, bench.at(2));
    assert!(bench.cancels.is_pending(SERVICE, "a/b"));
    bench.cancels.answered(second, CancelAnswer::Accepted, bench.at(3));
    bench.see("a/b", ENDED, 4).unwrap();
    assert_eq!(&*bench.cancels.ends()[0].cancel.request_id, "second");
}

#[test]
fn what_is_not_seen_for_an_hour_or_not_done_in_a_day_is_unobserved() {
    let bench = Bench::new(10);
    bench.accept("unseen", 0);
    bench.accept("polled", 0);
    for seconds in (0..24 * 3600).step_by(3599) {
        assert_eq!(bench.see("polled", OperationSighting::Running, seconds), None);
        bench.cancels.update(bench.at(seconds));
        assert_eq!(bench.cancels.is_pending(SERVICE, "unseen"), seconds < 3600);
        assert!(bench.cancels.is_pending(SERVICE, "polled"), "{seconds}");
    }
    assert_eq!(bench.sample(&format!("opgate_cancels_pending{{service=\"{SERVICE}\"}}")), Some(1));
    bench.cancels.update(bench.at(24 * 3600));
    assert!(!bench.cancels.is_any_pending());
    assert_eq!(bench.outcome(CancelOutcome::Unobserved), 2);
    // An end that is seen too late is not counted.
    bench.accept("late", 0);
    assert_eq!(bench.see("late", ENDED, 3600), None);
    assert_eq!((bench.outcome(CancelOutcome::Unobserved), bench.outcome(CancelOutcome::Cancelled)), (3, 0));
    assert_eq!(bench.cancels.held_bytes(), 0);
}

#[test]
fn of_10001_cancels_the_oldest_is_evicted() {
    let bench = Bench::new(CancelSettings::default().tracked);
    let name = |number: u32| format!("projects/demo/locations/us-central1/operations/{number:08}");
    for number in 0..10_000 {
        bench.accept(&name(number), 0);
    }
    assert_eq!(bench.outcome(CancelOutcome::Evicted), 0);
    bench.accept(&name(10_000), 0);
    assert_eq!(bench.outcome(CancelOutcome::Evicted), 1);
    assert!(!bench.cancels.is_pending(SERVICE, &name(0)));
    assert!(bench.cancels.is_pending(SERVICE, &name(1)) && bench.cancels.is_pending(SERVICE, &name(10_000)));
    assert!(bench.cancels.held_bytes() <= 4 << 20, "{}", bench.cancels.held_bytes());
}

/// Ten thousand names that one caller made up once pushed the cancels of all others out.
#[test]
fn a_caller_pushes_out_their_own_cancels_and_no_other() {
    let bench = Bench::new(100);
    let caller = |email: &str| Principal::user(email).unwrap();
    let (victim, flooder) = (caller("vic@example.com"), caller("flo@example.com"));
    for number in 0..20 {
        bench.accept_of(Some(&victim), &format!("v{number}"), number);
    }
    for number in 0..1_000 {
        bench.accept_of(Some(&flooder), &format!("f{number}"), 20 + number);
    }
    let pending = |prefix: char| {
        let pending = bench.cancels.pending(usize::MAX);
        pending.iter().filter(|pending| pending.cancel.name.starts_with(prefix)).count()
    };
    assert_eq!((pending('v'), pending('f')), (20, 80));
    // The newest are kept, and a caller without a credential is one more.
    assert!(bench.cancels.is_pending(SERVICE, "f999") && !bench.cancels.is_pending(SERVICE, "f919"));
    for number in 0..1_000 {
        bench.accept_of(None, &format!("a{number}"), 2_000);
    }
    assert_eq!((pending('v'), pending('f') + pending('a')), (20, 80));
    assert!((39..=41).contains(&pending('f')), "{}", pending('f'));
    for number in 0..20 {
        bench.see(&format!("v{number}"), ENDED, 2_001).unwrap();
    }
}

#[test]
fn a_hundred_thousand_cancels_that_are_never_asked_about_stay_within_the_bound() {
    let bench = Bench::new(CancelSettings::default().tracked);
    for number in 0..100_000_u64 {
        bench.accept(&format!("projects/demo/locations/us-central1/operations/{number:036}"), number / 100);
        assert!(bench.cancels.held_bytes() <= 4 << 20);
    }
    let pending = bench.cancels.pending(usize::MAX);
    assert!((9_000..=10_000).contains(&pending.len()), "{}", pending.len());
    assert_eq!(bench.outcome(CancelOutcome::Evicted), 100_000 - pending.len() as u64);
    // The newest are kept.
    let kept = |number: usize| format!("projects/demo/locations/us-central1/operations/{number:036}");
    assert_eq!(*pending[0].cancel.name, kept(99_999));
    assert_eq!(*pending[pending.len() - 1].cancel.name, kept(100_000 - pending.len()));
    bench.cancels.update(bench.at(1_000 + 3_600));
    assert_eq!((bench.cancels.held_bytes(), bench.cancels.is_any_pending()), (0, false));
}

#[test]
fn the_bound_is_one_of_bytes_too() {
    let bench = Bench::new(CancelSettings::default().tracked);
    for number in 0..2_000 {
        bench.accept(&format!("{number}{}", "x".repeat(8 * 1024)), 0);
        assert!(bench.cancels.held_bytes() <= 4 << 20);
    }
    let evicted = bench.outcome(CancelOutcome::Evicted);
    let pending = bench.cancels.pending(usize::MAX).len() as u64;
    assert_eq!(evicted + pending, 2_000);
    assert!((450..550).contains(&pending), "{pending}");
    // Where few are watched, one of any length is.
    let bench = Bench::new(1);
    bench.accept(&"x".repeat(8 * 1024), 0);
    assert!(bench.cancels.is_any_pending());
}

#[test]
fn with_none_to_be_watched_answers_are_counted_alone() {
    let bench = Bench::new(0);
    bench.accept("a", 0);
    assert!(!bench.cancels.is_any_pending() && bench.cancels.ends().is_empty());
    let accepted = format!("opgate_cancels_total{{answer=\"accepted\",service=\"{SERVICE}\"}}");
    assert_eq!(bench.sample(&accepted), Some(1));
}

#[test]
fn the_newest_are_told_first_with_their_state() {
    let bench = Bench::new(1000);
    for number in 0..200 {
        bench.accept(&number.to_string(), number);
    }
    let uncertain = bench.send("uncertain", 300);
    bench.cancels.answered(uncertain, CancelAnswer::Uncertain, bench.at(301));
    let _sent = bench.send("sent", 301);
    let pending = bench.cancels.pending(4);
    let told: Vec<(&str, &str)> =
        pending.iter().map(|pending| (&*pending.cancel.name, pending.state.as_str())).collect();
    assert_eq!(
        told,
        [("sent", "sent"), ("uncertain", "uncertain"), ("199", "accepted"), ("198", "accepted")]
    );
    for number in 0..200 {
        bench.see(&number.to_string(), ENDED, 400).unwrap();
    }
    let ends = bench.cancels.ends();
    assert_eq!((ends.len(), &*ends[0].cancel.name), (100, "199"));
}

#[test]
fn series_are_there_from_the_start_and_go_with_their_service() {
    let bench = Bench::new(10);
    let text = || told(&bench.metrics);
    let series = |service: &str| text().lines().filter(|line| line.contains(service)).count();
    // Answers, outcomes, pending; eleven buckets and one more, sum and count.
    assert_eq!(series(SERVICE), 5 + 6 + 1 + 14);
    assert!(text().contains("opgate_cancel_watch_skipped_total{why=\"mask\"} 0"));
    bench.accept("a", 0);
    bench.cancels.serve([("t.example.com", METHOD)].into_iter());
    assert_eq!((series(SERVICE), series("t.example.com")), (0, 26));
    assert!(!bench.cancels.is_any_pending());
    let asked = Asked {
        service: SERVICE,
        method: METHOD,
        name: "a",
        principal: None,
        request_id: "",
        at: bench.at(0),
    };
    assert!(bench.cancels.sent(asked).is_none());
    // A service that stays keeps what it has.
    let asked = Asked { service: "t.example.com", ..asked };
    let sent = bench.cancels.sent(asked).unwrap();
    bench.cancels.answered(sent, CancelAnswer::Accepted, bench.at(0));
    bench.cancels.serve([("t.example.com", METHOD), (SERVICE, METHOD)].into_iter());
    let accepted = |service: &str| {
        bench.sample(&format!("opgate_cancels_total{{answer=\"accepted\",service=\"{service}\"}}"))
    };
    assert_eq!((accepted("t.example.com"), accepted(SERVICE)), (Some(1), Some(0)));
    assert!(bench.cancels.is_pending("t.example.com", "a"));
}
