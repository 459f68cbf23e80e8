//! The names that endpoints are written with: looked up again and again, and what is kept while that fails.
//!
//! Nothing waits for a look-up: a name has the addresses that were last found. It is looked up again when the shortest
//! lifetime (TTL) of its records is over, and at the latest after `dns.refresh`. While DNS fails, what was found last stays
//! in use, however old it is: a backend seldom moves at the moment in which DNS breaks. That holds for "there is no such name" as
//! well, which is what a broken DNS server most often says.

mod known;
mod query;
mod resolved;
mod resolver;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::task::{Id, JoinSet};

pub use self::known::{KnownNames, ToldNames};
use self::query::{NameAnswer, look_up};
use self::resolved::KnownHosts;
pub use self::resolved::{ResolvedEndpoint, ResolvedNames};
use super::settings::{DnsSettings, EndpointAddress, UpstreamSettings};

/// The shortest time between two look-ups of a name. Records may say 0: "do not keep this".
const SHORTEST: Duration = Duration::from_secs(1);

/// Looks names up, each in a task of its own, and remembers their addresses.
#[derive(Debug)]
pub struct Lookups {
    names: ResolvedNames,
    wanted: BTreeMap<EndpointAddress, WantedName>,
    tasks: JoinSet<NameAnswer>,
    under_way: HashMap<Id, EndpointAddress>,
    settings: DnsSettings,
    clock: fn() -> SystemTime,
    /// For others to read.
    told: ToldNames,
}

/// A name that upstreams are written with.
#[derive(Debug, Default)]
struct WantedName {
    /// When it is looked up again; `None` while it is.
    due: Option<Instant>,
    /// Why the last look-up failed, where it did.
    error: Option<String>,
    /// Look-ups that failed in a row.
    failures: u32,
    /// When its addresses were last found.
    found_at: Option<SystemTime>,
    /// What was last found of each host.
    hosts: KnownHosts,
}

/// How the last look-up of a name went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameStatus {
    /// The name, with its port; or `srv:` and the name of the service.
    pub name: Arc<str>,
    /// Why it failed, where it did.
    pub error: Option<String>,
    /// When one last succeeded.
    pub last_success: Option<SystemTime>,
}

impl Default for Lookups {
    fn default() -> Self {
        Self {
            names: ResolvedNames::default(),
            wanted: BTreeMap::new(),
            tasks: JoinSet::new(),
            under_way: HashMap::new(),
            settings: DnsSettings::default(),
            clock: || SystemTime::UNIX_EPOCH,
            told: ToldNames::default(),
        }
    }
}

impl Lookups {
    /// Remembers by this clock when a name was found.
    pub fn by(clock: fn() -> SystemTime) -> Self {
        Self { clock, ..Self::default() }
    }

    /// How the last look-up of each name went.
    pub fn status(&self) -> Vec<NameStatus> {
        let status = |(name, state): (&EndpointAddress, &WantedName)| NameStatus {
            name: name.to_string().into(),
            error: state.error.clone(),
            last_success: state.found_at,
        };
        self.wanted.iter().map(status).collect()
    }

    /// The addresses so far.
    pub fn names(&self) -> &ResolvedNames {
        &self.names
    }

    /// Names whose last look-up failed, and why.
    pub fn failures(&self) -> impl Iterator<Item = (&EndpointAddress, &str)> {
        self.wanted.iter().filter_map(|(name, state)| Some((name, state.error.as_deref()?)))
    }

    /// Names without any known address, and why.
    pub fn unknown(&self) -> Vec<(&EndpointAddress, &str)> {
        let unknown = self.wanted.iter().filter(|(name, _)| !self.names.knows(name));
        unknown.map(|(name, state)| (name, state.error.as_deref().unwrap_or("no answer in time"))).collect()
    }

    /// Looks up every name of these upstreams, and from now on only those. It needs a runtime with I/O and time.
    pub fn look_up(&mut self, upstreams: &[UpstreamSettings], settings: &DnsSettings) {
        self.settings = settings.clone();
        let endpoints = upstreams.iter().flat_map(|upstream| &upstream.endpoints);
        let names = endpoints.filter(|endpoint| !matches!(endpoint, EndpointAddress::Socket(_)));
        let mut before = std::mem::take(&mut self.wanted);
        self.wanted = names.map(|name| (name.clone(), before.remove(name).unwrap_or_default())).collect();
        for name in self.wanted.keys().cloned().collect::<Vec<_>>() {
            self.begin(name);
        }
        self.tell();
    }

    /// When the next look-up is due; `None` while no name waits for one.
    pub fn next(&self) -> Option<Instant> {
        self.wanted.values().filter_map(|state| state.due).min()
    }

    /// Begins the look-ups that are due.
    pub fn begin_due(&mut self, now: Instant) {
        let due = self.wanted.iter().filter(|(_, state)| state.due.is_some_and(|due| due <= now));
        for name in due.map(|(name, _)| name.clone()).collect::<Vec<_>>() {
            self.begin(name);
        }
    }

    fn begin(&mut self, name: EndpointAddress) {
        if let Some(state) = self.wanted.get_mut(&name) {
            state.due = None;
        }
        if self.under_way.values().any(|other| *other == name) {
            return;
        }
        let task = self.tasks.spawn(look_up(name.clone(), self.settings.clone()));
        self.under_way.insert(task.id(), name);
    }

    /// Waits for a look-up to end. Whether the addresses of its name have changed.
    pub async fn found(&mut self) -> bool {
        let Some(ended) = self.tasks.join_next_with_id().await else { return std::future::pending().await };
        let (id, answer) = match ended {
            Ok((id, answer)) => (id, answer),
            Err(error) => (error.id(), NameAnswer::failed(format!("the look-up broke off: {error}"))),
        };
        let Some(name) = self.under_way.remove(&id) else { return false };
        let Some(state) = self.wanted.get_mut(&name) else { return false };
        let lifetime = answer.lifetime;
        let (endpoints, error) = state.hosts.learn(answer);
        let wait = if error.is_none() {
            state.failures = 0;
            state.found_at = Some((self.clock)());
            lifetime.unwrap_or(self.settings.refresh)
        } else {
            let doubled = SHORTEST.saturating_mul(1 << state.failures.min(16));
            state.failures = state.failures.saturating_add(1);
            // One family or one host may have been answered for: what was said of it does not count for longer.
            lifetime.map_or(doubled, |lifetime| lifetime.min(doubled))
        };
        // Within this, an answer that is good for a year is asked for again.
        state.due = Instant::now().checked_add(wait.clamp(SHORTEST, self.settings.refresh.max(SHORTEST)));
        state.error = error;
        let is_learned = !endpoints.is_empty();
        let is_other = !endpoints.is_empty() && self.names.learn(name.clone(), endpoints);
        if is_other {
            let addresses = self.names.addresses_of(&name);
            tracing::info!(%name, addresses, "the addresses of a name have changed");
        }
        if is_learned {
            self.tell();
        }
        is_other
    }

    /// Waits until every name is looked up, or the time is over.
    pub async fn all_found(&mut self, longest: Duration) {
        let all = async {
            while !self.under_way.is_empty() {
                self.found().await;
            }
        };
        // A name that is not found by then is found later.
        let _ = tokio::time::timeout(longest, all).await;
    }

    /// Waits until every name has an address, and asks again for those that have none, or until the time is over.
    pub async fn all_known(&mut self, longest: Duration) {
        let all = async {
            while !self.unknown().is_empty() {
                let due = self.next();
                let again = async {
                    match due {
                        Some(due) => tokio::time::sleep_until(due.into()).await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    _ = self.found() => {}
                    () = again => self.begin_due(Instant::now()),
                }
            }
        };
        // As above.
        let _ = tokio::time::timeout(longest, all).await;
    }
}

#[cfg(test)]
mod tests;
