//! Which requests are recorded.
//!
//! Whether a request that goes upstream is recorded is said before it goes there, in its `traceparent`. Refusals and faults are
//! known at the end, and a number of them in each second is recorded in any case. No client chooses: its flag is not read, and
//! that of a trusted proxy holds for so many requests in each second.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::settings::Sampling;
use crate::trace_context::{SentTrace, SpanId, TraceContext, TraceId, TraceParent};

/// How a request ended, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It was allowed, or the gate answered it by itself.
    Good,
    /// It was refused.
    Denied,
    /// It could not be decided, or the backend or the gate failed.
    Undecided,
}

/// What says which requests are recorded.
#[derive(Debug)]
pub struct Sampler {
    /// Of the last 56 bits of a trace id: what is below is not recorded.
    threshold: u64,
    proxied: Cap,
    denied: Cap,
    undecided: Cap,
}

impl Sampler {
    pub(super) fn new(sampling: Sampling) -> Self {
        let began = Instant::now();
        let cap = |most: usize| Cap { most: most as u64, began, taken: AtomicU64::new(0) };
        Self {
            threshold: threshold(sampling.allowed),
            proxied: cap(sampling.proxied),
            denied: cap(sampling.denied),
            undecided: cap(sampling.undecided),
        }
    }

    /// The trace of a request: that of a trusted proxy goes on, every other one begins here, as `fresh`.
    pub fn begin(&self, sent: Option<SentTrace>, fresh: TraceId) -> TraceContext {
        let span_id = SpanId::random();
        if let Some(SentTrace { parent, is_trusted: true }) = sent {
            let TraceParent { trace_id, span_id: parent, is_sampled, is_random } = parent;
            let is_sampled = is_sampled && self.proxied.takes_one();
            return TraceContext {
                trace_id,
                span_id,
                is_sampled,
                is_random,
                parent: Some(parent),
                link: None,
            };
        }
        TraceContext {
            trace_id: fresh,
            span_id,
            is_sampled: fresh.randomness() >= self.threshold,
            is_random: true,
            parent: None,
            link: sent.map(|sent| sent.parent),
        }
    }

    /// Whether a request that is over is recorded. `was_sent` says that a backend was told of the trace: what it was told
    /// holds.
    pub fn keeps(&self, context: &TraceContext, ending: Ending, was_sent: bool) -> bool {
        let is_promised = context.is_sampled && (was_sent || context.parent.is_some());
        is_promised
            || match ending {
                Ending::Good => context.is_sampled,
                Ending::Denied => self.denied.takes_one(),
                Ending::Undecided => self.undecided.takes_one(),
            }
    }
}

/// A share of all as a bound for 56 random bits (opentelemetry.io/docs/specs/otel/trace/tracestate-probability-sampling).
fn threshold(share: f64) -> u64 {
    const ALL: f64 = (1_u64 << 56) as f64;
    // In range: the share is from 0 to 1.
    ((1.0 - share.clamp(0.0, 1.0)) * ALL) as u64
}

/// So many in each second.
#[derive(Debug)]
struct Cap {
    most: u64,
    began: Instant,
    /// The second since `began`, above the lower 32 bits; and how many were taken in it.
    taken: AtomicU64,
}

impl Cap {
    fn takes_one(&self) -> bool {
        self.takes_one_at(self.began.elapsed().as_secs())
    }

    fn takes_one_at(&self, second: u64) -> bool {
        let next = |taken: u64| {
            let count = if taken >> 32 == second { taken & u64::from(u32::MAX) } else { 0 };
            (count < self.most).then_some((second << 32) | (count + 1))
        };
        self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Sampling = Sampling { allowed: 1.0, proxied: 2, denied: 2, undecided: 1 };
    const NONE: Sampling = Sampling { allowed: 0.0, proxied: 0, denied: 0, undecided: 0 };

    fn sent(is_trusted: bool) -> Option<SentTrace> {
        let parent = TraceParent::parse(b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").unwrap();
        Some(SentTrace { parent, is_trusted })
    }

    #[test]
    fn a_strangers_flag_records_nothing_and_its_trace_is_left_with_a_link() {
        let sampler = Sampler::new(NONE);
        let fresh = TraceId::random();
        let context = sampler.begin(sent(false), fresh);
        assert!(!context.is_sampled);
        assert_eq!((context.trace_id, context.parent), (fresh, None));
        assert_eq!(context.link, sent(false).map(|sent| sent.parent));
        for ending in [Ending::Good, Ending::Denied, Ending::Undecided] {
            assert!(!sampler.keeps(&context, ending, true));
        }
    }

    #[test]
    fn a_trusted_proxys_trace_goes_on_and_its_flag_holds_up_to_the_cap() {
        let parent = sent(true).unwrap().parent;
        let sampler = Sampler::new(Sampling { allowed: 0.0, ..ALL });
        let contexts: Vec<_> = (0..50).map(|_| sampler.begin(sent(true), TraceId::random())).collect();
        assert!(contexts.iter().all(|context| context.trace_id == parent.trace_id));
        assert!(contexts.iter().all(|context| context.parent == Some(parent.span_id)));
        // A second may begin in between.
        let sampled = contexts.iter().filter(|context| context.is_sampled).count();
        assert!((2..=4).contains(&sampled), "{sampled}");
        let unsampled = SentTrace { parent: TraceParent { is_sampled: false, ..parent }, is_trusted: true };
        let all = Sampler::new(ALL);
        assert!(!all.begin(Some(unsampled), TraceId::random()).is_sampled, "the proxy has decided");
    }

    #[test]
    fn a_share_of_traces_is_recorded() {
        let count = |share: f64| {
            let sampler = Sampler::new(Sampling { allowed: share, ..NONE });
            (0..20_000).filter(|_| sampler.begin(None, TraceId::random()).is_sampled).count()
        };
        assert_eq!((count(0.0), count(1.0)), (0, 20_000));
        // The deviation is 14: these are ten of it.
        let one_in_a_hundred = count(0.01);
        assert!((60..=340).contains(&one_in_a_hundred), "{one_in_a_hundred}");
    }

    #[test]
    fn refusals_are_recorded_up_to_the_cap_whatever_the_share() {
        let sampler = Sampler::new(Sampling { denied: 3, ..ALL });
        let context = sampler.begin(None, TraceId::random());
        assert!(context.is_sampled);
        let kept = (0..50).filter(|_| sampler.keeps(&context, Ending::Denied, false)).count();
        assert!((3..=6).contains(&kept), "{kept}");
        assert!(sampler.keeps(&context, Ending::Undecided, true), "the backend was told");
    }

    #[test]
    fn a_cap_counts_each_second_anew() {
        let cap = Cap { most: 2, began: Instant::now(), taken: AtomicU64::new(0) };
        let taken = |second| (0..5).filter(|_| cap.takes_one_at(second)).count();
        assert_eq!([taken(0), taken(0), taken(1), taken(7), taken(7)], [2, 0, 2, 2, 0]);
    }
}
