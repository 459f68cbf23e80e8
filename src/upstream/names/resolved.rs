//! What is known of names: the endpoints behind each.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::super::settings::EndpointAddress;
use super::query::{AddressFamily, NameAnswer};

/// An endpoint as a look-up found it, or as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ResolvedEndpoint {
    /// Endpoints of a lower number are used first: of SRV records (RFC 2782), otherwise 0.
    pub priority: u16,
    /// Where it is.
    pub address: SocketAddr,
    /// Its share among those of its priority: of SRV records, otherwise 1.
    pub weight: u16,
}

impl ResolvedEndpoint {
    /// An endpoint that is like all others.
    pub fn plain(address: SocketAddr) -> Self {
        Self { priority: 0, address, weight: 1 }
    }
}

/// The endpoints of names, as they were last found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResolvedNames(HashMap<EndpointAddress, Arc<[ResolvedEndpoint]>>);

impl ResolvedNames {
    /// The endpoints of an upstream, each address once: two names of one address are one endpoint. A name that was never
    /// found has none.
    pub fn endpoints(&self, written: &[EndpointAddress]) -> Vec<ResolvedEndpoint> {
        let mut endpoints: Vec<ResolvedEndpoint> = Vec::new();
        for endpoint in written {
            let plain;
            let found = match endpoint {
                EndpointAddress::Socket(address) => {
                    plain = [ResolvedEndpoint::plain(*address)];
                    plain.as_slice()
                }
                name => self.of(name).unwrap_or_default(),
            };
            for new in found {
                if endpoints.iter().all(|known| known.address != new.address) {
                    endpoints.push(*new);
                }
            }
        }
        endpoints
    }

    /// Whether a name has ever been found.
    pub(super) fn knows(&self, name: &EndpointAddress) -> bool {
        self.0.contains_key(name)
    }

    /// The endpoints of a name, if it has ever been found.
    pub(super) fn of(&self, name: &EndpointAddress) -> Option<&[ResolvedEndpoint]> {
        self.0.get(name).map(|found| &**found)
    }

    /// The addresses of a name as a text, for the log.
    pub(super) fn addresses_of(&self, name: &EndpointAddress) -> String {
        let endpoints = self.of(name).unwrap_or_default();
        endpoints.iter().map(|endpoint| endpoint.address.to_string()).collect::<Vec<_>>().join(", ")
    }

    /// Notes the endpoints of a name. Whether they have changed.
    pub fn learn(&mut self, name: EndpointAddress, mut endpoints: Vec<ResolvedEndpoint>) -> bool {
        // DNS servers answer in another order each time.
        endpoints.sort_unstable();
        endpoints.dedup_by_key(|endpoint| endpoint.address);
        let endpoints: Arc<[_]> = endpoints.into();
        let before = self.0.insert(name, endpoints.clone());
        before.as_ref() != Some(&endpoints)
    }
}

/// The addresses of each host of a name, one for each family, as they were last found.
#[derive(Debug, Default)]
pub(super) struct KnownHosts(HashMap<HostFamily, Vec<IpAddr>>);

/// One family of the addresses of a host.
type HostFamily = (Arc<str>, AddressFamily);

impl KnownHosts {
    /// As another process has found them.
    pub(super) fn of(known: impl Iterator<Item = (HostFamily, Vec<IpAddr>)>) -> Self {
        Self(known.collect())
    }

    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = (&HostFamily, &Vec<IpAddr>)> {
        self.0.iter()
    }

    /// Takes what was found. Gives the endpoints now, and why not all is known, where it is not. What a look-up did not tell is
    /// as it was told last: a server that answers for IPv4 alone does not take the endpoints of IPv6 away.
    pub(super) fn learn(&mut self, answer: NameAnswer) -> (Vec<ResolvedEndpoint>, Option<String>) {
        let NameAnswer { hosts, mut error, .. } = answer;
        let (mut endpoints, mut known) = (Vec::new(), HashMap::new());
        for host in hosts {
            for (family, found) in host.found {
                let key = (host.name.clone(), family);
                let addresses = match found {
                    Ok(addresses) => addresses,
                    Err(why) => {
                        error.get_or_insert(why);
                        self.0.get(&key).cloned().unwrap_or_default()
                    }
                };
                endpoints.extend(addresses.iter().map(|address| ResolvedEndpoint {
                    address: SocketAddr::new(*address, host.port),
                    priority: host.priority,
                    weight: host.weight,
                }));
                known.insert(key, addresses);
            }
        }
        if endpoints.is_empty() {
            error.get_or_insert_with(|| "the name has no address".to_owned());
        } else {
            self.0 = known;
        }
        (endpoints, error)
    }
}
