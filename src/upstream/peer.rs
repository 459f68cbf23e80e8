//! The peer that Pingora connects to: an address with TLS, timeouts and protocol, made once for each endpoint.

use std::net::SocketAddr;
use std::sync::Arc;

use pingora::connectors::L4Connect;
use pingora::upstreams::peer::HttpPeer;

use super::connector::{Connector, Http1Connector};
use super::secured::UpstreamConnector;
use super::settings::{Protocol, UpstreamSettings};

/// The peer at an address. Over HTTP/1 its connections come from `http1`.
pub(super) fn peer(
    settings: &UpstreamSettings,
    secured: Option<&Arc<UpstreamConnector>>,
    address: SocketAddr,
    http1: Http1Connector,
) -> HttpPeer {
    let mut peer = HttpPeer::new(address, false, String::new());
    let connector = match settings.protocol {
        Protocol::H1 => {
            peer.options.set_http_version(1, 1);
            // Pingora sees no TLS here: it is done below the stream that Pingora sees.
            Connector::Http1(http1)
        }
        Protocol::H2c | Protocol::H2 => {
            if let Some(secured) = secured {
                // Pingora verifies the certificate if it has a name, which is its default: never leave the name out.
                peer = HttpPeer::new(address, true, secured.server_name().to_owned());
                peer.options.ca = secured.authorities();
                peer.client_cert_key = secured.identity();
            }
            peer.options.set_http_version(2, 2);
            Connector::Http2
        }
    };
    if let Some(secured) = secured {
        // Pingora does not tell connections apart by the CAs, nor by more of our certificate than its number: so this
        // key does.
        peer.group_key = secured.fingerprint();
    }
    let timeouts = &settings.timeouts;
    peer.options.connection_timeout = Some(timeouts.connect);
    peer.options.total_connection_timeout = Some(timeouts.connect);
    peer.options.read_timeout = Some(timeouts.response);
    peer.options.write_timeout = Some(timeouts.response);
    peer.options.idle_timeout = Some(timeouts.idle);
    let connector: Arc<dyn L4Connect + Send + Sync> = Arc::new(connector);
    peer.options.custom_l4 = Some(connector);
    // One exchange per connection: to cut an exchange cuts its connection, and must not affect another exchange.
    peer.options.max_h2_streams = 1;
    peer
}
