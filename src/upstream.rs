//! The backends, and the one way to them: with a [`Permit`].
//!
//! [`Upstreams::choose`] and [`rewrite::outgoing`] both ask for a permit, which only policy can make: code that would
//! forward a request without a decision does not compile.

pub mod rewrite;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use pingora::lb::LoadBalancer;
use pingora::lb::selection::RoundRobin;
use pingora::protocols::l4::socket::SocketAddr as PingoraAddr;
use pingora::upstreams::peer::HttpPeer;
use pingora::utils::tls::{CertKey, WrappedX509, parse_x509};

use crate::config::{Protocol, Upstream};
use crate::policy::Permit;
use crate::reason::{Denial, Reason};
use crate::tls::{Authority, ClientTls};

/// Every upstream by name.
pub struct Upstreams {
    by_name: HashMap<String, Pool>,
}

struct Pool {
    settings: Upstream,
    secured: Option<Secured>,
    endpoints: LoadBalancer<RoundRobin>,
}

/// TLS in Pingora's types, made once.
#[derive(Clone)]
struct Secured {
    server_name: String,
    authorities: Option<Arc<[WrappedX509]>>,
    identity: Option<Arc<CertKey>>,
    fingerprint: u64,
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
            let secured = upstream.tls.as_ref().map(|tls| Secured::new(&tls.client));
            let endpoints = LoadBalancer::try_from_iter(upstream.endpoints.iter().copied())?;
            by_name.insert(upstream.name.clone(), Pool { settings: upstream.clone(), secured, endpoints });
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
        Ok(Endpoint { upstream: name.clone(), address: chosen, peer: peer(pool, chosen) })
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

impl Secured {
    fn new(tls: &ClientTls) -> Self {
        // Pingora parses what was parsed when it was loaded, with the same library.
        let parsed = |der: &Authority| WrappedX509::new(der.to_vec(), parse_x509);
        let authorities =
            tls.authorities.as_ref().map(|authorities| authorities.iter().map(parsed).collect());
        let identity = tls.identity.as_ref().map(|identity| {
            let chain = identity.chain().iter().map(|certificate| certificate.to_vec()).collect();
            Arc::new(CertKey::new(chain, identity.key().to_vec()))
        });
        Self { server_name: tls.server_name.clone(), authorities, identity, fingerprint: tls.fingerprint }
    }
}

fn peer(pool: &Pool, address: SocketAddr) -> HttpPeer {
    let Pool { settings, secured, .. } = pool;
    let mut peer = match secured {
        None => HttpPeer::new(address, false, String::new()),
        Some(secured) => {
            // Pingora verifies what it has a name for, and its defaults do: never without one.
            let mut peer = HttpPeer::new(address, true, secured.server_name.clone());
            peer.options.ca = secured.authorities.clone();
            peer.client_cert_key = secured.identity.clone();
            // The CAs are no part of what Pingora keeps connections apart by, nor is more of our certificate than its
            // number.
            peer.group_key = secured.fingerprint;
            peer
        }
    };
    peer.options.connection_timeout = Some(settings.connect_timeout);
    peer.options.total_connection_timeout = Some(settings.connect_timeout);
    peer.options.read_timeout = Some(settings.response_timeout);
    peer.options.write_timeout = Some(settings.response_timeout);
    peer.options.idle_timeout = Some(settings.idle_timeout);
    match settings.protocol {
        Protocol::H1 => peer.options.set_http_version(1, 1),
        Protocol::H2c | Protocol::H2 => peer.options.set_http_version(2, 2),
    }
    peer
}

impl std::fmt::Debug for Upstreams {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_set().entries(self.by_name.keys()).finish()
    }
}
