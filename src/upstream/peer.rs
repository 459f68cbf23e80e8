//! What Pingora connects to: an address with TLS, timeouts and protocol, made once for each endpoint.

use std::net::SocketAddr;
use std::sync::Arc;

use pingora::upstreams::peer::HttpPeer;
use pingora::utils::tls::{CertKey, WrappedX509, parse_x509};

use super::line::Lines;
use crate::config::{Protocol, Upstream};
use crate::tls::{Authority, ClientTls};

/// TLS in Pingora's types, made once for each upstream.
#[derive(Clone)]
pub(super) struct Secured {
    server_name: String,
    authorities: Option<Arc<[WrappedX509]>>,
    identity: Option<Arc<CertKey>>,
    fingerprint: u64,
}

impl Secured {
    pub(super) fn new(tls: &ClientTls) -> Self {
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

    pub(super) fn server_name(&self) -> &str {
        &self.server_name
    }
}

/// The peer at an address.
pub(super) fn peer(settings: &Upstream, secured: Option<&Secured>, address: SocketAddr) -> HttpPeer {
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
    let timeouts = &settings.timeouts;
    peer.options.connection_timeout = Some(timeouts.connect);
    peer.options.total_connection_timeout = Some(timeouts.connect);
    peer.options.read_timeout = Some(timeouts.response);
    peer.options.write_timeout = Some(timeouts.response);
    peer.options.idle_timeout = Some(timeouts.idle);
    peer.options.custom_l4 = Some(Arc::new(Lines));
    // An exchange is cut by cutting its connection; and what goes wrong on one is nobody else's trouble.
    peer.options.max_h2_streams = 1;
    match settings.protocol {
        Protocol::H1 => peer.options.set_http_version(1, 1),
        Protocol::H2c | Protocol::H2 => peer.options.set_http_version(2, 2),
    }
    peer
}
