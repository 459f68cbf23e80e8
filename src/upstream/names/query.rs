//! What is asked about one name: the addresses of a host, or the hosts of a service and their addresses.
//!
//! Addresses of both families are asked for at the same time, and each answer counts for itself. Names are completed by the
//! search list of `/etc/resolv.conf` as other programs do it, but for one thing: where DNS fails for one candidate, the next
//! one is not asked. It may be another host.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use hickory_resolver::Hosts;
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::{Query, ResponseCode};
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use serde::{Deserialize, Serialize};

use super::super::settings::{DnsSettings, EndpointAddress};
use super::resolver::SystemResolver;

/// Hosts of one service that are looked up.
const MOST_HOSTS: usize = 100;
/// Addresses of one host that are used.
const MOST_ADDRESSES: usize = 100;

/// What a look-up told of a name.
#[derive(Debug, Default)]
pub(super) struct NameAnswer {
    pub(super) hosts: Vec<FoundHost>,
    /// How long it is good for; `None` where no record said so.
    pub(super) lifetime: Option<Duration>,
    /// Why nothing was told at all.
    pub(super) error: Option<String>,
}

/// A host behind a name.
#[derive(Debug)]
pub(super) struct FoundHost {
    pub(super) name: Arc<str>,
    pub(super) port: u16,
    pub(super) priority: u16,
    pub(super) weight: u16,
    /// Its addresses of each family that was asked for, or why that is not known.
    pub(super) found: FoundAddresses,
}

/// Addresses by family, or why they are not known.
type FoundAddresses = Vec<(AddressFamily, Result<Vec<IpAddr>, String>)>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum AddressFamily {
    V4,
    V6,
}

impl NameAnswer {
    /// A look-up that told nothing.
    pub(super) fn failed(why: String) -> Self {
        Self { error: Some(why), ..Self::default() }
    }
}

/// Looks a name up, within the time that the settings give it. What was answered by then counts.
pub(super) async fn look_up(name: EndpointAddress, settings: DnsSettings) -> NameAnswer {
    let until = Instant::now() + settings.timeout;
    let asked = async {
        // It reads files.
        let reading = tokio::task::spawn_blocking(move || SystemResolver::read(&settings, until));
        let read = tokio::time::timeout_at(until.into(), reading).await.map_err(|_| NO_ANSWER)?;
        let resolver = read.map_err(|error| error.to_string())??;
        match &name {
            EndpointAddress::Named(text) => {
                let (host, port) = text.rsplit_once(':').ok_or("there is no port")?;
                let port = port.parse().map_err(|_| "the port is not a number")?;
                let (addresses, lifetime) = resolver.host(host).await?;
                let host = FoundHost { name: host.into(), port, priority: 0, weight: 1, found: addresses };
                Ok(NameAnswer { hosts: vec![host], lifetime, error: None })
            }
            EndpointAddress::Service(service) => resolver.service(service).await,
            EndpointAddress::Socket(_) => Err("an address is not looked up".to_owned()),
        }
    };
    let answer: Result<_, String> = asked.await;
    answer.unwrap_or_else(NameAnswer::failed)
}

const NO_ANSWER: &str = "no answer in time";
const NO_NAME: &str = "there is no such name (NXDOMAIN)";

/// The addresses of a host, and how long they are good for.
type Addresses = (FoundAddresses, Option<Duration>);

impl SystemResolver {
    /// The addresses of a host.
    async fn host(&self, host: &str) -> Result<Addresses, String> {
        let name = Name::from_ascii(host).map_err(|error| error.to_string())?;
        if let Some(addresses) = of_file(&self.hosts, &name) {
            return Ok((addresses, None));
        }
        let mut error = NO_NAME.to_owned();
        for candidate in self.candidates(&name) {
            match self.addresses(&candidate).await {
                Ok(found) => return Ok(found),
                Err(NoAddress::Absent(why)) => error = why,
                Err(NoAddress::Failed(why)) => return Err(why),
            }
        }
        Err(error)
    }

    /// The hosts of a service (RFC 2782), and their addresses.
    async fn service(&self, service: &str) -> Result<NameAnswer, String> {
        let name = Name::from_ascii(service).map_err(|error| error.to_string())?;
        let mut error = NO_NAME.to_owned();
        for candidate in self.candidates(&name) {
            let answer = match self.ask(&candidate, RecordType::SRV).await {
                Ok(answer) => answer,
                Err(refused) => match absence(&refused) {
                    Some(_) => {
                        error = describe(&refused);
                        continue;
                    }
                    None => return Err(describe(&refused)),
                },
            };
            let mut records: Vec<_> = answer
                .answers()
                .iter()
                .filter_map(|record| match &record.data {
                    // A target of `.` says that there is no such service here.
                    RData::SRV(srv) if !srv.target.is_root() && srv.port != 0 => Some(srv),
                    _ => None,
                })
                .collect();
            if records.is_empty() {
                return Err("the service is not available: it has no host (SRV)".to_owned());
            }
            records.sort_unstable_by_key(|srv| (srv.priority, srv.target.to_ascii(), srv.port));
            if records.len() > MOST_HOSTS {
                tracing::warn!(
                    service,
                    used = MOST_HOSTS,
                    hosts = records.len(),
                    "a service has too many hosts"
                );
                records.truncate(MOST_HOSTS);
            }
            let lifetime = remaining(answer.valid_until());
            let asked = records.iter().map(|srv| async {
                let mut target = srv.target.clone();
                target.set_fqdn(true);
                let (found, lifetime) = match self.addresses(&target).await {
                    Ok(found) => found,
                    Err(NoAddress::Absent(why) | NoAddress::Failed(why)) => {
                        let why = format!("its host `{}`: {why}", srv.target);
                        let families = [AddressFamily::V4, AddressFamily::V6];
                        (families.map(|family| (family, Err(why.clone()))).to_vec(), None)
                    }
                };
                let name = srv.target.to_ascii().into();
                let (port, priority, weight) = (srv.port, srv.priority, srv.weight);
                (FoundHost { name, port, priority, weight, found }, lifetime)
            });
            let (hosts, lifetimes): (Vec<_>, Vec<_>) = join_all(asked).await.into_iter().unzip();
            let lifetime = lifetimes.into_iter().flatten().fold(lifetime, Duration::min);
            return Ok(NameAnswer { hosts, lifetime: Some(lifetime), error: None });
        }
        Err(error)
    }
}

/// Why a candidate has no address.
enum NoAddress {
    /// DNS says that it has none: the next candidate is asked.
    Absent(String),
    /// It is not known.
    Failed(String),
}

impl SystemResolver {
    /// Asks for the records of a complete name. A server that says nothing about one kind of record must not cost what was
    /// said of another: each question ends by itself when the time of the look-up is over.
    async fn ask(&self, name: &Name, kind: RecordType) -> Result<Lookup, NetError> {
        let asked = tokio::time::timeout_at(self.until.into(), self.dns.lookup(name.clone(), kind));
        asked.await.unwrap_or(Err(NetError::Timeout))
    }

    /// The addresses of a complete name.
    async fn addresses(&self, name: &Name) -> Result<Addresses, NoAddress> {
        let families = [(AddressFamily::V4, RecordType::A), (AddressFamily::V6, RecordType::AAAA)];
        let asked = families.map(|(family, kind)| async move { (family, self.ask(name, kind).await) });
        let mut lifetime: Option<Duration> = None;
        let (mut found, mut absent, mut failed, mut any) = (Vec::new(), None, None, false);
        for (family, answer) in join_all(asked).await {
            let addresses = match answer {
                Ok(answer) => {
                    let left = remaining(answer.valid_until());
                    lifetime = Some(lifetime.map_or(left, |least| least.min(left)));
                    let addresses = answer.answers().iter().filter_map(|record| record.data.ip_addr());
                    // Some filters answer 0.0.0.0 for a name that they block; a connection there goes to this machine.
                    let usable =
                        addresses.filter(|address| !address.is_unspecified() && !address.is_multicast());
                    Ok(usable.take(MOST_ADDRESSES).collect::<Vec<_>>())
                }
                Err(error) => match absence(&error) {
                    Some(ResponseCode::NXDomain) => {
                        absent = Some(describe(&error));
                        Ok(Vec::new())
                    }
                    Some(_) => Ok(Vec::new()),
                    None => {
                        failed = Some(describe(&error));
                        Err(describe(&error))
                    }
                },
            };
            any |= addresses.as_ref().is_ok_and(|addresses| !addresses.is_empty());
            found.push((family, addresses));
        }
        match (any, failed) {
            (true, _) => Ok((found, lifetime)),
            (false, Some(why)) => Err(NoAddress::Failed(why)),
            (false, None) => {
                Err(NoAddress::Absent(absent.unwrap_or_else(|| "the name has no address".to_owned())))
            }
        }
    }
}

/// What the file of hosts says, which goes before DNS.
fn of_file(hosts: &Hosts, name: &Name) -> Option<FoundAddresses> {
    let families = [(AddressFamily::V4, RecordType::A), (AddressFamily::V6, RecordType::AAAA)];
    let found = families.map(|(family, kind)| {
        let found = hosts.lookup_static_host(&Query::query(name.clone(), kind));
        let answers = found.iter().flat_map(|found| found.answers());
        (family, answers.filter_map(|record| record.data.ip_addr()).collect::<Vec<_>>())
    });
    let any = found.iter().any(|(_, addresses)| !addresses.is_empty());
    any.then(|| found.map(|(family, addresses)| (family, Ok(addresses))).to_vec())
}

fn remaining(until: Instant) -> Duration {
    until.saturating_duration_since(Instant::now())
}

/// The code of an answer that says that there is nothing.
fn absence(error: &NetError) -> Option<ResponseCode> {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(none))
            if matches!(none.response_code, ResponseCode::NXDomain | ResponseCode::NoError) =>
        {
            Some(none.response_code)
        }
        _ => None,
    }
}

/// In the same words each time: the log has each fault once.
fn describe(error: &NetError) -> String {
    match error {
        NetError::Timeout => NO_ANSWER.to_owned(),
        NetError::Dns(DnsError::NoRecordsFound(none)) => match none.response_code {
            ResponseCode::NXDomain => NO_NAME.to_owned(),
            ResponseCode::NoError => "the name has no record of the kind".to_owned(),
            code => format!("the DNS server answers `{code}`"),
        },
        NetError::Dns(DnsError::ResponseCode(code)) => format!("the DNS server answers `{code}`"),
        error => error.to_string(),
    }
}
