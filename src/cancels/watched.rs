//! The cancels that are watched, with what is counted and remembered of them.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;

use super::cancel::{Asked, Cancel, CancelEnd, PendingCancel};
use super::instruments::{Instruments, ServiceInstruments};
use super::moment::Moment;
use super::operation::OperationSighting;
use super::outcome::CancelAnswer;
use super::settings::CancelSettings;
use super::skipped::Skipped;
use super::table::{Bounds, Sighted, Table, Ticket};

/// How many ends are remembered for the operator.
const REMEMBERED_ENDS: usize = 100;

/// The cancels that are watched. Cheap to clone: all of it is shared.
#[derive(Clone, Debug)]
pub struct Cancels(Arc<CancelsState>);

#[derive(Debug)]
struct CancelsState {
    table: Table,
    instruments: Instruments,
    services: ArcSwap<HashMap<Box<str>, Arc<ServiceInstruments>>>,
    ends: Mutex<VecDeque<Arc<CancelEnd>>>,
}

/// A cancel on its way: what [`Cancels::answered`] takes.
#[derive(Debug)]
pub struct SentCancel(Ticket);

impl SentCancel {
    /// The cancel.
    pub fn cancel(&self) -> &Arc<Cancel> {
        self.0.cancel()
    }
}

impl Cancels {
    /// Watches as many as the settings say. Services are named by [`Cancels::serve`].
    pub fn new(settings: CancelSettings, instruments: Instruments) -> Self {
        Self(Arc::new(CancelsState {
            table: Table::new(Bounds::of(settings)),
            instruments,
            services: ArcSwap::default(),
            ends: Mutex::default(),
        }))
    }

    /// The services whose cancels are watched from here on, each with the names of its methods that cancel. Their series are
    /// there from now on, at zero. Those of other services go, with the cancels that were pending there.
    pub fn serve<'s>(&self, methods: impl Iterator<Item = (&'s str, &'s str)>) {
        let mut wanted: HashMap<&str, Vec<&str>> = HashMap::new();
        for (service, method) in methods {
            wanted.entry(service).or_default().push(method);
        }
        let before = self.0.services.load_full();
        let made = |(service, methods): (&str, Vec<&str>)| {
            let kept = before.get(service).filter(|kept| kept.has(&methods)).cloned();
            let own = kept.unwrap_or_else(|| Arc::new(self.0.instruments.of_service(service, &methods)));
            (Box::from(service), own)
        };
        let services: HashMap<Box<str>, Arc<ServiceInstruments>> = wanted.into_iter().map(made).collect();
        let services = Arc::new(services);
        self.0.services.store(services.clone());
        for gone in before.keys().filter(|name| !services.contains_key(*name)) {
            self.0.table.forget(gone);
            self.0.instruments.remove(gone);
        }
    }

    /// Whether the outcome of any cancel is awaited. Costs one load of an atomic.
    pub fn is_any_pending(&self) -> bool {
        !self.0.table.is_empty()
    }

    /// Whether the outcome of a cancel of this operation is awaited.
    pub fn is_pending(&self, service: &str, name: &str) -> bool {
        self.is_any_pending() && self.0.table.holds(service, name)
    }

    /// A cancel is about to be forwarded. `None` where its service is no longer served.
    pub fn sent(&self, asked: Asked<'_>) -> Option<SentCancel> {
        let services = self.0.services.load();
        let service = services.get(asked.service)?;
        let now = asked.at;
        let cancel = Arc::new(Cancel::new(service.clone(), asked)?);
        let (ticket, gone) = self.0.table.sent(cancel, now);
        for end in gone {
            self.note(end);
        }
        Some(SentCancel(ticket))
    }

    /// What came of forwarding it. The result is the end of the operation, where that was seen before the answer.
    pub fn answered(&self, sent: SentCancel, answer: CancelAnswer, now: Moment) -> Option<Arc<CancelEnd>> {
        sent.cancel().service.answered(answer);
        self.0.table.answered(sent.0, answer, now).map(|end| self.note(end))
    }

    /// An answer told of an operation. The result is the end, where it is the end of a cancelled one. `by` is the full
    /// name of the method that was answered.
    pub fn seen(
        &self,
        service: &str,
        name: &str,
        sighting: OperationSighting,
        by: &str,
        now: Moment,
    ) -> Option<Arc<CancelEnd>> {
        if !self.is_any_pending() {
            return None;
        }
        match self.0.table.seen(service, name, Sighted { sighting, by, now }) {
            Some(end) => {
                let end = self.note(end);
                end.outcome.is_observed().then_some(end)
            }
            None => None,
        }
    }

    /// Ends what was not seen for too long, and brings `opgate_cancels_pending` up to date: before a scrape.
    pub fn update(&self, now: Moment) {
        for end in self.0.table.expire(now) {
            self.note(end);
        }
        let mut counts: HashMap<Box<str>, i64> = HashMap::new();
        self.0.table.each(|pending| *counts.entry(pending.service().into()).or_default() += 1);
        for (name, service) in self.0.services.load().iter() {
            service.pending(counts.get(name).copied().unwrap_or_default());
        }
    }

    /// Up to `limit` cancels whose outcome is awaited, the newest first.
    pub fn pending(&self, limit: usize) -> Vec<PendingCancel> {
        self.0.table.newest(limit)
    }

    /// The last ends, the newest first; at most 100.
    pub fn ends(&self) -> Vec<Arc<CancelEnd>> {
        self.remembered().iter().rev().cloned().collect()
    }

    /// How many bytes the pending cancels take, as they are counted against the bound.
    pub fn held_bytes(&self) -> usize {
        self.0.table.bytes()
    }

    /// Counts an answer that was not read.
    pub(super) fn skipped(&self, why: Skipped) {
        self.0.instruments.skipped(why);
    }

    fn note(&self, end: CancelEnd) -> Arc<CancelEnd> {
        let end = Arc::new(end);
        end.cancel.service.ended(end.outcome, end.took());
        let mut ends = self.remembered();
        if ends.len() >= REMEMBERED_ENDS {
            ends.pop_front();
        }
        ends.push_back(end.clone());
        end
    }

    fn remembered(&self) -> MutexGuard<'_, VecDeque<Arc<CancelEnd>>> {
        self.0.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
