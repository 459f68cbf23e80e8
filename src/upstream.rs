//! The backends, and the one way to them: with a [`Permit`].
//!
//! [`Upstreams::choose`] and [`rewrite::outgoing`] both ask for a permit, which only policy can make: code that would
//! forward a request without a decision does not compile.

pub mod rewrite;

use std::collections::HashMap;
use std::net::SocketAddr;

use pingora::lb::LoadBalancer;
use pingora::lb::selection::RoundRobin;
use pingora::protocols::l4::socket::SocketAddr as PingoraAddr;
use pingora::upstreams::peer::HttpPeer;

use crate::config::{Protocol, Upstream};
use crate::policy::Permit;
use crate::reason::{Denial, Reason};

/// Every upstream by name.
pub struct Upstreams {
    by_name: HashMap<String, Pool>,
}

struct Pool {
    settings: Upstream,
    endpoints: LoadBalancer<RoundRobin>,
}

/// An endpoint that was chosen for a request.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// The upstream's name.
    pub upstream: String,
    /// The address.
    pub address: SocketAddr,
    peer: HttpPeer,
}

/// How many endpoints one choice looks at.
const MAX_LOOKS: usize = 256;

impl Upstreams {
    /// Builds the pools.
    ///
    /// # Errors
    /// Where Pingora cannot use an address.
    pub fn new(settings: &[Upstream]) -> std::io::Result<Self> {
        let mut by_name = HashMap::new();
        for upstream in settings {
            let endpoints = LoadBalancer::try_from_iter(upstream.endpoints.iter().copied())?;
            by_name.insert(upstream.name.clone(), Pool { settings: upstream.clone(), endpoints });
        }
        Ok(Self { by_name })
    }

    /// Takes the next endpoint in turn, other than the one that has failed already.
    ///
    /// # Errors
    /// 503 where there is none (left).
    pub fn choose(&self, permit: &Permit, failed: Option<SocketAddr>) -> Result<Endpoint, Denial> {
        let name = &permit.call().method.service.upstream;
        let unavailable = |detail: String| Denial::new(Reason::UpstreamUnavailable, detail);
        let pool =
            self.by_name.get(name).ok_or_else(|| unavailable(format!("there is no upstream `{name}`")))?;
        let address_of = |address: &PingoraAddr| address.as_inet().copied();
        let chosen = pool
            .endpoints
            .select_with(b"", MAX_LOOKS, |backend, healthy| {
                healthy && (failed.is_none() || address_of(&backend.addr) != failed)
            })
            .and_then(|backend| address_of(&backend.addr))
            .ok_or_else(|| unavailable(format!("upstream `{name}` has no endpoint to try")))?;
        Ok(Endpoint { upstream: name.clone(), address: chosen, peer: peer(&pool.settings, chosen) })
    }

    /// Whether an upstream has another endpoint to try when one fails.
    pub fn has_alternative(&self, permit: &Permit) -> bool {
        self.by_name
            .get(&permit.call().method.service.upstream)
            .is_some_and(|pool| pool.settings.endpoints.len() > 1)
    }
}

impl Endpoint {
    /// What Pingora connects to.
    pub fn into_peer(self) -> HttpPeer {
        self.peer
    }
}

fn peer(settings: &Upstream, address: SocketAddr) -> HttpPeer {
    let mut peer = HttpPeer::new(address, false, String::new());
    peer.options.connection_timeout = Some(settings.connect_timeout);
    peer.options.total_connection_timeout = Some(settings.connect_timeout);
    peer.options.read_timeout = Some(settings.response_timeout);
    peer.options.write_timeout = Some(settings.response_timeout);
    peer.options.idle_timeout = Some(settings.idle_timeout);
    match settings.protocol {
        Protocol::H1 => peer.options.set_http_version(1, 1),
        Protocol::H2c => peer.options.set_http_version(2, 2),
    }
    peer
}

impl std::fmt::Debug for Upstreams {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_set().entries(self.by_name.keys()).finish()
    }
}
