//! What is asked about names: the DNS servers of the settings, or those of the machine; and its file of hosts.
//!
//! It is made anew for each look-up, so a change of these files needs nothing of the gate.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::Name;
use hickory_resolver::system_conf::read_system_conf;
use hickory_resolver::{Hosts, TokioResolver};

use super::super::settings::DnsSettings;

/// How long one server may say nothing before it is asked again, or another one is. Several times within a look-up.
const PATIENCE: Duration = Duration::from_secs(2);

/// What answers about names.
pub(super) struct SystemResolver {
    pub(super) dns: TokioResolver,
    pub(super) hosts: Hosts,
    /// When the look-up ends, whatever has been answered.
    pub(super) until: Instant,
    search: Vec<Name>,
    /// A name with so many dots is tried as it is before the search list is.
    ndots: usize,
}

impl SystemResolver {
    /// Reads the files of the machine, unless the settings name servers: then names are complete as they are written.
    pub(super) fn read(settings: &DnsSettings, until: Instant) -> Result<Self, String> {
        let (mut config, mut options) = match settings.servers.as_slice() {
            [] => match read_system_conf() {
                Ok(read) => read,
                // As resolv.conf(5) says for a file that is missing or names no server.
                Err(_) => (of_servers(&[(Ipv4Addr::LOCALHOST, 53).into()]), ResolverOpts::default()),
            },
            servers => (of_servers(servers), ResolverOpts::default()),
        };
        let mut search = std::mem::take(&mut config.search);
        search.extend(config.domain.take().filter(|_| search.is_empty()));
        options.timeout = options.timeout.min(PATIENCE);
        // What is remembered, and for how long, is decided by `Lookups`.
        options.cache_size = 0;
        // The file is asked first, and only about the name as it is written.
        options.use_hosts_file = ResolveHosts::Never;
        let ndots = options.ndots;
        let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        *builder.options_mut() = options;
        let dns = builder.build().map_err(|error| error.to_string())?;
        let hosts = Hosts::from_system().unwrap_or_default();
        Ok(Self { dns, hosts, until, search, ndots })
    }

    /// The complete names that a name may stand for, in the order in which they are asked for.
    pub(super) fn candidates(&self, name: &Name) -> Vec<Name> {
        let mut complete = name.clone();
        complete.set_fqdn(true);
        if name.is_fqdn() {
            return vec![complete];
        }
        let mut candidates: Vec<Name> =
            self.search.iter().filter_map(|domain| name.clone().append_domain(domain).ok()).collect();
        candidates.iter_mut().for_each(|candidate| candidate.set_fqdn(true));
        let dots = usize::from(name.num_labels()).saturating_sub(1);
        let place = if dots >= self.ndots { 0 } else { candidates.len() };
        candidates.insert(place, complete);
        candidates
    }
}

fn of_servers(servers: &[SocketAddr]) -> ResolverConfig {
    let servers = servers.iter().map(|server| {
        let mut connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
        connections.iter_mut().for_each(|connection| connection.port = server.port());
        NameServerConfig::new(server.ip(), true, connections.to_vec())
    });
    ResolverConfig::from_parts(None, Vec::new(), servers.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates(name: &str, search: &[&str], ndots: usize) -> Vec<String> {
        let settings = DnsSettings { servers: vec![([127, 0, 0, 1], 1).into()], ..DnsSettings::default() };
        let mut resolver = SystemResolver::read(&settings, Instant::now()).unwrap();
        resolver.search = search.iter().map(|domain| Name::from_ascii(domain).unwrap()).collect();
        resolver.ndots = ndots;
        let names = resolver.candidates(&Name::from_ascii(name).unwrap());
        names.iter().map(Name::to_ascii).collect()
    }

    /// As in a container of Kubernetes: the search list goes first for most names.
    #[test]
    fn a_name_is_completed_by_the_search_list() {
        let search = ["a.test", "b.test."];
        assert_eq!(candidates("gate", &search, 1), ["gate.a.test.", "gate.b.test.", "gate."]);
        assert_eq!(candidates("gate.x", &search, 1), ["gate.x.", "gate.x.a.test.", "gate.x.b.test."]);
        assert_eq!(candidates("gate.x", &search, 5), ["gate.x.a.test.", "gate.x.b.test.", "gate.x."]);
        assert_eq!(candidates("gate.x.", &search, 5), ["gate.x."]);
        assert_eq!(candidates("gate", &[], 5), ["gate."]);
    }
}
