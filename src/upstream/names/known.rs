//! What one process knows of names, for the next one: an upgrade while DNS fails must not cost the addresses.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};

use super::query::AddressFamily;
use super::resolved::{KnownHosts, ResolvedEndpoint};
use super::{Lookups, WantedName};

/// What is known of each name, by how it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownNames(BTreeMap<String, KnownName>);

/// What is known of names now, for those that ask while they are looked up.
#[derive(Clone, Debug, Default)]
pub struct ToldNames(Arc<ArcSwap<KnownNames>>);

impl ToldNames {
    /// What is known.
    pub fn now(&self) -> Arc<KnownNames> {
        self.0.load_full()
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct KnownName {
    endpoints: Vec<ResolvedEndpoint>,
    hosts: Vec<KnownHost>,
}

/// The addresses of one family of a host: those that stay if the next look-up does not tell of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct KnownHost {
    name: Arc<str>,
    family: AddressFamily,
    addresses: Vec<IpAddr>,
}

impl Lookups {
    /// What is known, also after later look-ups.
    pub fn told(&self) -> ToldNames {
        self.told.clone()
    }

    /// Takes what another process knows of the names that are looked up here. What was found here goes before.
    pub fn remember(&mut self, known: &KnownNames) {
        for (name, state) in &mut self.wanted {
            let Some(known) = known.0.get(&name.to_string()).filter(|known| !known.endpoints.is_empty())
            else {
                continue;
            };
            if !self.names.knows(name) {
                state.hosts = KnownHosts::of(
                    known.hosts.iter().map(|host| ((host.name.clone(), host.family), host.addresses.clone())),
                );
                self.names.learn(name.clone(), known.endpoints.clone());
            }
        }
        self.tell();
    }

    pub(super) fn tell(&self) {
        let known = |state: &WantedName, endpoints: &[ResolvedEndpoint]| KnownName {
            endpoints: endpoints.to_vec(),
            hosts: state
                .hosts
                .all()
                .map(|((name, family), addresses)| KnownHost {
                    name: name.clone(),
                    family: *family,
                    addresses: addresses.clone(),
                })
                .collect(),
        };
        let names = self
            .wanted
            .iter()
            .filter_map(|(name, state)| Some((name.to_string(), known(state, self.names.of(name)?))));
        self.told.0.store(Arc::new(KnownNames(names.collect())));
    }
}
