//! What Prometheus reads of cancels. Each service with a method that cancels has all its series from the start.

use std::sync::Arc;
use std::time::Duration;

use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use super::outcome::{CancelAnswer, CancelOutcome};
use super::skipped::Skipped;
use crate::metrics::{Registry, counters, gauges, histograms};

/// From half a second to an hour: operations take long.
const SETTLING: [f64; 11] = [0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0];

/// The instruments of cancels.
#[derive(Clone, Debug)]
pub struct Instruments {
    answers: IntCounterVec,
    outcomes: IntCounterVec,
    pending: IntGaugeVec,
    settle: HistogramVec,
    skipped: [IntCounter; Skipped::ALL.len()],
}

/// Those of one service, and the names of its methods that cancel.
#[derive(Debug)]
pub(super) struct ServiceInstruments {
    name: Box<str>,
    methods: Vec<Arc<str>>,
    answers: [IntCounter; CancelAnswer::ALL.len()],
    outcomes: [IntCounter; CancelOutcome::ALL.len()],
    pending: IntGauge,
    settle: Histogram,
}

impl Instruments {
    /// Makes and registers the instruments.
    ///
    /// # Errors
    /// Where another one has the name: a fault of ours.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let skipped = counters(
            registry,
            "opgate_cancel_watch_skipped_total",
            "Answers that could have told what became of a cancel and were not read, by reason.",
            &["why"],
        )?;
        Ok(Self {
            answers: counters(
                registry,
                "opgate_cancels_total",
                "Cancels of operations that were forwarded, by what the backend answered.",
                &["service", "answer"],
            )?,
            outcomes: counters(
                registry,
                "opgate_cancel_outcomes_total",
                "What became of cancelled operations, as the answers that passed through told.",
                &["service", "outcome"],
            )?,
            pending: gauges(
                registry,
                "opgate_cancels_pending",
                "Cancels whose outcome is awaited.",
                &["service"],
            )?,
            settle: histograms(
                registry,
                "opgate_cancel_settle_seconds",
                "Time from a cancel to the first answer that says the operation is done: at most so long did it take.",
                &["service"],
                &SETTLING,
            )?,
            skipped: Skipped::ALL.map(|why| skipped.with_label_values(&[why.label()])),
        })
    }

    /// The instruments of a service, at zero if they are new.
    pub(super) fn of_service(&self, service: &str, methods: &[&str]) -> ServiceInstruments {
        ServiceInstruments {
            name: service.into(),
            methods: methods.iter().map(|method| Arc::from(*method)).collect(),
            answers: CancelAnswer::ALL
                .map(|answer| self.answers.with_label_values(&[service, answer.label()])),
            outcomes: CancelOutcome::ALL
                .map(|outcome| self.outcomes.with_label_values(&[service, outcome.label()])),
            pending: self.pending.with_label_values(&[service]),
            settle: self.settle.with_label_values(&[service]),
        }
    }

    /// Removes the series of a service.
    pub(super) fn remove(&self, service: &str) {
        // An error means that the series does not exist: nothing is to be removed.
        for answer in CancelAnswer::ALL {
            let _ = self.answers.remove_label_values(&[service, answer.label()]);
        }
        for outcome in CancelOutcome::ALL {
            let _ = self.outcomes.remove_label_values(&[service, outcome.label()]);
        }
        let _ = self.pending.remove_label_values(&[service]);
        let _ = self.settle.remove_label_values(&[service]);
    }

    /// Counts an answer that was not read.
    pub(super) fn skipped(&self, why: Skipped) {
        if let Some((_, counter)) = Skipped::ALL.iter().zip(&self.skipped).find(|(known, _)| **known == why) {
            counter.inc();
        }
    }
}

impl ServiceInstruments {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The name of a method, shared.
    pub(super) fn method(&self, name: &str) -> Option<Arc<str>> {
        self.methods.iter().find(|method| ***method == *name).cloned()
    }

    /// Whether these are its methods.
    pub(super) fn has(&self, methods: &[&str]) -> bool {
        self.methods.iter().map(|method| &**method).eq(methods.iter().copied())
    }

    /// Counts the answer to a cancel.
    pub(super) fn answered(&self, answer: CancelAnswer) {
        if let Some((_, counter)) = CancelAnswer::ALL.iter().zip(&self.answers).find(|(of, _)| **of == answer)
        {
            counter.inc();
        }
    }

    /// Counts the end of a cancel.
    pub(super) fn ended(&self, outcome: CancelOutcome, took: Duration) {
        let counters = CancelOutcome::ALL.iter().zip(&self.outcomes);
        if let Some((_, counter)) = counters.into_iter().find(|(of, _)| **of == outcome) {
            counter.inc();
        }
        if outcome.is_done() {
            self.settle.observe(took.as_secs_f64());
        }
    }

    /// Says how many are pending.
    pub(super) fn pending(&self, count: i64) {
        self.pending.set(count);
    }
}
