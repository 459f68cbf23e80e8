//! Reports on parts that do not load.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;

use super::Instruments;
use super::reading::TRYING_AGAIN;
use crate::config::ConfigPart;
use crate::tls::CertificateExpiry;
use crate::upstream::names::NameStatus;

/// Where a fault of a part was found: each kind is fixed separately.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum FaultOrigin {
    Configuration,
    Tree,
    Names,
}

/// How many of the last reloads are kept.
const CHANGES: usize = 10;

/// Parts that are loaded within this time by one cause are one reload.
const TOGETHER: Duration = Duration::from_secs(1);

/// Parts that were loaded together, or that failed to be.
#[derive(Clone, Debug)]
pub struct Change {
    /// When they were in force, or were found not to load.
    pub time: SystemTime,
    /// The parts.
    pub parts: Vec<ConfigPart>,
    /// What had them loaded.
    pub cause: String,
    /// From the change of a file until it was in force, where that is known.
    pub lag: Option<Duration>,
    /// Why they were not loaded; `None` where they were.
    pub fault: Option<Arc<str>>,
}

/// Why parts are not as the files say, the last reloads, and settings that need a restart.
#[derive(Clone, Debug, Default)]
pub struct ReloadStatus {
    faults: BTreeMap<(ConfigPart, FaultOrigin), Arc<str>>,
    changes: VecDeque<Change>,
    /// Settings whose change needs a restart of the process.
    pub restart: Vec<&'static str>,
    /// When the certificates in force end.
    pub certificates: Vec<CertificateExpiry>,
    /// How the names of upstreams were last looked up.
    pub names: Vec<NameStatus>,
}

impl ReloadStatus {
    /// Why each part that failed keeps its last good state.
    pub fn failures(&self) -> BTreeMap<ConfigPart, String> {
        let mut failures: BTreeMap<ConfigPart, String> = BTreeMap::new();
        for ((part, _), why) in &self.faults {
            let text = failures.entry(*part).or_default();
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str(why);
        }
        failures
    }

    /// The last reloads, newest first.
    pub fn changes(&self) -> impl Iterator<Item = &Change> {
        self.changes.iter().rev()
    }

    fn change(&mut self, part: ConfigPart, cause: &str, fault: Option<Arc<str>>, now: SystemTime) {
        let is_one = |last: &&mut Change| {
            let since = now.duration_since(last.time).unwrap_or_default();
            since < TOGETHER && last.cause == cause && last.fault == fault && !last.parts.contains(&part)
        };
        if let Some(last) = self.changes.back_mut().filter(is_one) {
            return last.parts.push(part);
        }
        if self.changes.len() >= CHANGES {
            self.changes.pop_front();
        }
        let change = Change { time: now, parts: vec![part], cause: cause.to_owned(), lag: None, fault };
        self.changes.push_back(change);
    }

    fn is_good(&self, part: ConfigPart) -> bool {
        !self.faults.keys().any(|(failed, _)| *failed == part)
    }

    /// All failures as one text; `None` where every part is as its files say.
    pub fn failure(&self) -> Option<String> {
        let texts: Vec<String> = self.failures().into_values().collect();
        (!texts.is_empty()).then(|| texts.join("\n"))
    }
}

/// The status, shared with its readers, and the log of it.
#[derive(Debug, Default)]
pub(super) struct Telling {
    shared: Arc<ArcSwap<ReloadStatus>>,
}

impl Telling {
    pub(super) fn shared(&self) -> Arc<ArcSwap<ReloadStatus>> {
        self.shared.clone()
    }

    /// Notes the outcome of an attempt at a part. The log has each fault once, however often it is tried again.
    pub(super) fn tell(
        &self,
        part: ConfigPart,
        found: FaultOrigin,
        cause: &str,
        fault: Option<String>,
        instruments: &Instruments,
    ) {
        let mut status = ReloadStatus::clone(&self.shared.load());
        let fault: Option<Arc<str>> = fault.map(Into::into);
        let before = match &fault {
            Some(why) => status.faults.insert((part, found), why.clone()),
            None => status.faults.remove(&(part, found)),
        };
        // A name that is looked up again is not a reload, nor is the same failure again.
        let is_news = before.as_deref() != fault.as_deref();
        if is_news || (fault.is_none() && found != FaultOrigin::Names && cause != TRYING_AGAIN) {
            status.change(part, cause, fault.clone(), crate::clock::now());
        }
        match (&fault, before) {
            (Some(why), before) if before.as_ref() != Some(why) => {
                tracing::error!(
                    part = part.as_str(),
                    cause,
                    "the files are not loaded, the last good state stays in force:\n{why}"
                );
            }
            (None, Some(_)) => tracing::info!(part = part.as_str(), cause, "loaded again"),
            _ => {}
        }
        instruments.part_loaded(part, fault.is_none(), crate::clock::now());
        instruments.part_is_good(part, status.is_good(part));
        self.shared.store(Arc::new(status));
    }

    /// Notes how long a change of files took to be in force.
    pub(super) fn lagged(&self, part: ConfigPart, lag: Duration) {
        let mut status = ReloadStatus::clone(&self.shared.load());
        let of_part = status.changes.iter_mut().rev().find(|change| change.parts.contains(&part));
        if let Some(change) = of_part.filter(|change| change.fault.is_none()) {
            change.lag = Some(change.lag.map_or(lag, |longest| longest.max(lag)));
            self.shared.store(Arc::new(status));
        }
    }

    /// Clears the fault of a part where nothing was attempted.
    pub(super) fn forget(&self, part: ConfigPart, found: FaultOrigin, instruments: &Instruments) {
        let mut status = ReloadStatus::clone(&self.shared.load());
        if status.faults.remove(&(part, found)).is_some() {
            instruments.part_is_good(part, status.is_good(part));
            self.shared.store(Arc::new(status));
        }
    }

    /// The parts that have a fault of this kind.
    pub(super) fn failing(&self, found: FaultOrigin) -> BTreeSet<ConfigPart> {
        let status = self.shared.load();
        let of_kind = status.faults.keys().filter(|(_, kind)| *kind == found);
        of_kind.map(|(part, _)| *part).collect()
    }

    /// Notes when the certificates in force end.
    pub(super) fn certificates(&self, mut certificates: Vec<CertificateExpiry>) {
        // Of two of one name, the one that ends first.
        certificates.sort_unstable();
        certificates.dedup_by(|later, first| (later.usage, &later.name) == (first.usage, &first.name));
        let status = ReloadStatus::clone(&self.shared.load());
        for renewed in &certificates {
            let before = status
                .certificates
                .iter()
                .find(|one| (one.usage, &one.name) == (renewed.usage, &renewed.name));
            if before.is_some_and(|before| before.until != renewed.until) {
                let until = jiff::Timestamp::try_from(renewed.until)
                    .map_or_else(|_| String::new(), |at| at.to_string());
                tracing::info!(name = renewed.name, until, "a certificate was renewed");
            }
        }
        self.shared.store(Arc::new(ReloadStatus { certificates, ..status }));
    }

    /// Notes how names were last looked up.
    pub(super) fn names(&self, names: Vec<NameStatus>) {
        let status = ReloadStatus::clone(&self.shared.load());
        self.shared.store(Arc::new(ReloadStatus { names, ..status }));
    }

    /// Notes which settings need a restart.
    pub(super) fn restart(&self, settings: Vec<&'static str>) {
        let mut status = ReloadStatus::clone(&self.shared.load());
        if settings == status.restart {
            return;
        }
        if !settings.is_empty() {
            tracing::warn!(
                settings = settings.join(", "),
                "the configuration was changed where a reload has no effect: restart the process, or upgrade it"
            );
        }
        status.restart = settings;
        self.shared.store(Arc::new(status));
    }
}
