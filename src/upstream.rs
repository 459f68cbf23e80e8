//! The backends, and the one way to them: with a [`Permit`].
//!
//! [`Upstreams::choose`] and [`rewrite::outgoing`] both ask for a permit, which only policy can make: code that would
//! forward a request without a decision does not compile.
//!
//! Endpoints are used in turn: of those with the lowest priority (SRV records have one), each by its weight. One is left out while its health check fails (`check`) and for a while after it failed
//! several requests in a row (`outlier`). Checks may take out all: then there is no backend, which is 503. Ejection
//! never does. An outlier is worse than the others; where there are no others, leaving it out would turn a request that
//! may fail into one that must. So when every endpoint is ejected, they are used in turn as if none was.

pub mod backend;
mod health;
mod outlier;
pub mod response;
mod capacity;
mod connect_error;
mod connector;
mod either;
mod endpoint;
pub mod http1;
pub mod http2;
mod instruments;
mod kept;
pub mod names;
pub mod rewrite;
mod secured;
pub(crate) mod settings;
mod shared;
pub mod transcoded;
mod turns;
mod wire;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use foldhash::HashMap;

use self::capacity::{Capacity, Overflow};
use self::connector::BackendConnector;
use self::endpoint::Endpoint;
use self::kept::IdleConnections;
use self::names::{ResolvedEndpoint, ResolvedNames};
use self::outlier::OutlierState;
use self::secured::UpstreamConnector;
use self::shared::SharedConnections;
use self::turns::Turns;
use crate::policy::Permit;
use crate::reason::{Denial, Reason};

pub use self::capacity::UpstreamSlot;
pub use self::connect_error::{ConnectError, ConnectFault};
pub use self::either::Backend;
pub use self::endpoint::{Attempt, Connected};
pub use self::health::Checks;
pub use self::instruments::{ERROR_KINDS, Instruments, UpstreamInstruments};
pub use self::settings::{
    DnsSettings, EndpointAddress, HealthCheck, Outliers, Protocol, Timeouts, UpstreamLimits, UpstreamSettings,
};
pub use self::shared::StreamLease;
pub use self::wire::UpstreamConnection;

/// Every upstream by name.
pub struct Upstreams {
    by_name: HashMap<String, Arc<Pool>>,
}

struct Pool {
    settings: Arc<UpstreamSettings>,
    /// `None` for plain text.
    secured: Option<Arc<UpstreamConnector>>,
    endpoints: Vec<Arc<Endpoint>>,
    /// What the endpoints were made of.
    resolved: Vec<ResolvedEndpoint>,
    turns: Turns,
    /// Whose turn is next.
    turn: AtomicUsize,
    capacity: Arc<Capacity>,
}

/// The state of an endpoint, for metrics.
#[derive(Debug)]
pub struct EndpointStatus {
    /// The upstream's name.
    pub upstream: Arc<str>,
    /// The endpoint's address.
    pub address: SocketAddr,
    /// Whether it is used in turn: its checks do not fail, and it is not ejected.
    pub is_healthy: bool,
}

/// How full an upstream is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamRoom {
    /// Its name.
    pub upstream: String,
    /// Exchanges that are under way.
    pub in_flight: usize,
    /// How many there may be.
    pub limit: usize,
    /// Requests that wait for a place.
    pub pending: usize,
    /// How many may wait.
    pub pending_limit: usize,
}

impl Upstreams {
    /// Builds the pools, with the addresses that `names` are known to have. The state of endpoints that stay is kept
    /// from `previous`, and so are the places of an upstream whose limits stay: requests under way still count.
    pub fn new(settings: &[UpstreamSettings], names: &ResolvedNames, previous: Option<&Self>) -> Self {
        let pool = |upstream: &UpstreamSettings| {
            let previous = previous.and_then(|previous| Some(&**previous.by_name.get(&upstream.name)?));
            (upstream.name.clone(), Arc::new(Pool::new(upstream, names, previous)))
        };
        Self { by_name: settings.iter().map(pool).collect() }
    }

    /// The same upstreams with the addresses that `names` have now; `None` where all are the same. Endpoints that stay are the
    /// same ones, with their connections and their checks. Those that go are not chosen any more; exchanges with them go on.
    pub fn with_names(&self, names: &ResolvedNames) -> Option<Self> {
        let mut is_other = false;
        let pool = |(name, pool): (&String, &Arc<Pool>)| {
            let resolved = names.endpoints(&pool.settings.endpoints);
            if resolved == pool.resolved {
                return (name.clone(), pool.clone());
            }
            is_other = true;
            (name.clone(), Arc::new(pool.with_endpoints(resolved)))
        };
        let by_name = self.by_name.iter().map(pool).collect();
        is_other.then_some(Self { by_name })
    }

    /// Takes a place at the upstream that the call goes to, or waits for one. Returns the deadline of the exchange;
    /// `None` for no limit.
    ///
    /// # Errors
    /// 503 where too many wait already, or none becomes free in time.
    pub async fn take_place(&self, permit: &Permit) -> Result<(UpstreamSlot, Option<Instant>), Denial> {
        let pool = self.pool(permit)?;
        match pool.capacity.take().await {
            Ok(place) => {
                let total = permit.call().method.limits.total(pool.settings.timeouts.total);
                Ok((place, Instant::now().checked_add(total)))
            }
            Err(full) => {
                let (name, limits) = (name(permit), &pool.capacity.limits);
                let detail = match full {
                    Overflow::TooManyPending => {
                        format!("upstream `{name}` is full, and {} requests wait already", limits.pending)
                    }
                    Overflow::WaitedInVain => {
                        format!("upstream `{name}` was full for {:?}", limits.pending_timeout)
                    }
                };
                Err(Denial::new(Reason::UpstreamOverloaded, detail))
            }
        }
    }

    /// Takes the next endpoint in turn, other than the one that has failed already.
    ///
    /// # Errors
    /// 503 where there is none (left).
    pub fn choose(&self, permit: &Permit, failed: Option<SocketAddr>) -> Result<Attempt, Denial> {
        let pool = self.pool(permit)?;
        pool.next(failed).ok_or_else(|| {
            let denial = unavailable(format!("upstream `{}` has no endpoint to try", name(permit)));
            match &pool.settings.health_check {
                // Before the next check, nothing changes.
                Some(check) if !pool.endpoints.is_empty() => denial.retry_after(check.interval),
                _ => denial,
            }
        })
    }

    /// Whether an upstream has another endpoint to try when this one fails.
    pub fn has_alternative(&self, permit: &Permit, failed: SocketAddr) -> bool {
        self.pool(permit).is_ok_and(|pool| pool.candidates(0, Some(failed)).next().is_some())
    }

    /// Keeps the upstreams of `previous` that are still in use beside its own: a catalogue in force must find every
    /// upstream that it names.
    pub fn keep(&mut self, previous: &Self, is_used: impl Fn(&str) -> bool) {
        for (name, pool) in previous.by_name.iter().filter(|(name, _)| is_used(name)) {
            self.by_name.entry(name.clone()).or_insert_with(|| pool.clone());
        }
    }

    /// Without those that are not `wanted`; `None` where all are.
    pub fn only(&self, wanted: impl Fn(&str) -> bool) -> Option<Self> {
        let is_needless = self.by_name.keys().any(|name| !wanted(name));
        is_needless.then(|| {
            let wanted = self.by_name.iter().filter(|(name, _)| wanted(name));
            Self { by_name: wanted.map(|(name, pool)| (name.clone(), pool.clone())).collect() }
        })
    }

    /// The upstreams whose TLS settings do not work, and why.
    pub fn faults(&self) -> Vec<(&str, &str)> {
        let pools = self.by_name.iter();
        let mut faults: Vec<_> =
            pools.filter_map(|(name, pool)| Some((name.as_str(), pool.secured.as_ref()?.fault()?))).collect();
        faults.sort_unstable();
        faults
    }

    /// The state of each endpoint, for the metrics.
    pub fn status(&self) -> Vec<EndpointStatus> {
        let now = Instant::now();
        let status = |endpoint: &Arc<Endpoint>| EndpointStatus {
            upstream: endpoint.upstream.clone(),
            address: endpoint.address,
            is_healthy: endpoint.passes_checks() && !endpoint.outlier_state.is_left_out(now),
        };
        self.pools().flat_map(|pool| pool.endpoints.iter().map(status)).collect()
    }

    /// The name of each.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }

    /// How full each of them is.
    pub fn rooms(&self) -> Vec<UpstreamRoom> {
        let room = |(name, pool): (&String, &Arc<Pool>)| UpstreamRoom {
            upstream: name.clone(),
            in_flight: pool.capacity.in_flight(),
            limit: pool.capacity.limits.requests,
            pending: pool.capacity.pending(),
            pending_limit: pool.capacity.limits.pending,
        };
        self.by_name.iter().map(room).collect()
    }

    fn pool(&self, permit: &Permit) -> Result<&Pool, Denial> {
        let name = name(permit);
        self.by_name
            .get(name)
            .map(|pool| &**pool)
            .ok_or_else(|| unavailable(format!("there is no upstream `{name}`")))
    }

    fn pools(&self) -> impl Iterator<Item = &Pool> {
        self.by_name.values().map(|pool| &**pool)
    }
}

fn name(permit: &Permit) -> &str {
    &permit.call().method.service.upstream
}

fn unavailable(detail: String) -> Denial {
    Denial::new(Reason::UpstreamUnavailable, detail)
}

impl Pool {
    fn new(settings: &UpstreamSettings, names: &ResolvedNames, previous: Option<&Self>) -> Self {
        let secured =
            settings.tls.as_ref().map(|tls| Arc::new(UpstreamConnector::new(&tls.client, settings.protocol)));
        let resolved = names.endpoints(&settings.endpoints);
        // The same semaphore: requests that began before the reload still count.
        let capacity = previous.map(|pool| &pool.capacity).filter(|known| known.limits == settings.limits);
        let capacity = capacity.cloned().unwrap_or_else(|| Arc::new(Capacity::new(settings.limits)));
        let endpoint = |new: &ResolvedEndpoint| endpoint(settings, secured.as_ref(), new.address, previous);
        Self {
            endpoints: resolved.iter().map(endpoint).collect(),
            turns: Turns::of(&resolved),
            resolved,
            settings: Arc::new(settings.clone()),
            secured,
            turn: AtomicUsize::new(0),
            capacity,
        }
    }

    /// The same pool with other endpoints. Those that stay are the same ones.
    fn with_endpoints(&self, resolved: Vec<ResolvedEndpoint>) -> Self {
        let endpoint = |new: &ResolvedEndpoint| {
            let known = self.endpoints.iter().find(|known| known.address == new.address);
            let made = || endpoint(&self.settings, self.secured.as_ref(), new.address, None);
            known.cloned().unwrap_or_else(made)
        };
        Self {
            endpoints: resolved.iter().map(endpoint).collect(),
            turns: Turns::of(&resolved),
            resolved,
            settings: self.settings.clone(),
            secured: self.secured.clone(),
            turn: AtomicUsize::new(self.turn.load(Ordering::Relaxed)),
            capacity: self.capacity.clone(),
        }
    }

    fn next(&self, failed: Option<SocketAddr>) -> Option<Attempt> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        // All that are left are ejected: one of them is used all the same, since a refusal is certain to fail.
        self.candidates(turn, failed)
            .find_map(Endpoint::visit)
            .or_else(|| self.candidates(turn, failed).next().map(Endpoint::visit_anyway))
    }

    /// Endpoints that checks let pass, from the one whose turn it is. One of a higher weight may come more than once.
    fn candidates(&self, turn: usize, failed: Option<SocketAddr>) -> impl Iterator<Item = &Arc<Endpoint>> {
        self.turns
            .from(turn)
            .filter_map(|place| self.endpoints.get(place))
            .filter(move |endpoint| Some(endpoint.address) != failed && endpoint.passes_checks())
    }
}

/// An endpoint, with what is known of it in `previous`.
fn endpoint(
    settings: &UpstreamSettings,
    secured: Option<&Arc<UpstreamConnector>>,
    address: SocketAddr,
    previous: Option<&Pool>,
) -> Arc<Endpoint> {
    let fingerprint = secured.map(|secured| secured.fingerprint());
    let known = previous.and_then(|pool| pool.endpoints.iter().find(|known| known.address == address));
    let outlier_state = known.map(|known| known.outlier_state.clone());
    let outlier_state = outlier_state.unwrap_or_else(|| Arc::new(OutlierState::new(Instant::now())));
    if previous.is_some_and(|pool| pool.settings.health_check.is_none()) {
        // Where checks are turned on again, the results of earlier ones no longer count.
        outlier_state.checked(true);
    }
    // An open connection was verified under the old TLS settings: it may only be used if they are the same.
    let kept = known
        .filter(|known| known.fingerprint == fingerprint && known.kept.lifetime() == settings.timeouts.idle);
    let shared = kept.map(|known| known.shared.clone());
    let shared = shared.unwrap_or_else(|| Arc::new(SharedConnections::new(settings.timeouts.idle)));
    let kept = kept.map(|known| known.kept.clone());
    let kept = kept.unwrap_or_else(|| Arc::new(IdleConnections::new(settings.timeouts.idle)));
    Arc::new(Endpoint {
        upstream: settings.name.as_str().into(),
        address,
        authority: secured.map_or_else(|| address.to_string(), |secured| secured.server_name().to_owned()),
        outliers: settings.outliers,
        is_checked: settings.health_check.is_some(),
        outlier_state,
        fingerprint,
        timeouts: settings.timeouts,
        connector: BackendConnector { secured: secured.cloned(), protocol: settings.protocol },
        kept,
        shared,
    })
}

impl std::fmt::Debug for Upstreams {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_set().entries(self.by_name.keys()).finish()
    }
}

#[cfg(test)]
mod tests;
