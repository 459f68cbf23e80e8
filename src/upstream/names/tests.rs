use std::net::{IpAddr, SocketAddr};

use super::query::{AddressFamily, FoundHost};
use super::*;

fn name(text: &str) -> EndpointAddress {
    text.parse().unwrap()
}

fn endpoint(port: u16) -> ResolvedEndpoint {
    ResolvedEndpoint::plain(([127, 0, 0, 1], port).into())
}

/// What was found of the two families of a host.
fn host(name: &str, found: [Result<&[&str], &str>; 2]) -> FoundHost {
    let families = [AddressFamily::V4, AddressFamily::V6];
    let addresses = |found: &[&str]| found.iter().map(|text| text.parse::<IpAddr>().unwrap()).collect();
    let found = found.map(|found| found.map(addresses).map_err(str::to_owned));
    let found = families.into_iter().zip(found).collect();
    FoundHost { name: name.into(), port: 80, priority: 0, weight: 1, found }
}

fn answer(hosts: Vec<FoundHost>) -> NameAnswer {
    NameAnswer { hosts, lifetime: None, error: None }
}

fn addresses(endpoints: &[ResolvedEndpoint]) -> Vec<String> {
    endpoints.iter().map(|endpoint| endpoint.address.ip().to_string()).collect()
}

/// A name that fails for a moment must not take its upstream away.
#[tokio::test]
async fn a_name_that_cannot_be_looked_up_keeps_the_addresses_that_it_had() {
    let mut lookups = Lookups::default();
    let gone = name("gone.invalid:80");
    lookups.wanted.insert(gone.clone(), WantedName::default());
    assert_eq!(lookups.unknown(), [(&gone, "no answer in time")]);
    assert!(lookups.names.learn(gone.clone(), vec![endpoint(80)]));
    lookups.begin_due(Instant::now());
    assert!(lookups.under_way.is_empty(), "none is due");
    lookups.begin(gone.clone());
    assert!(lookups.next().is_none(), "it is under way");
    lookups.all_found(Duration::from_secs(30)).await;
    assert_eq!(lookups.names().endpoints(std::slice::from_ref(&gone)), [endpoint(80)]);
    assert_eq!(lookups.failures().collect::<Vec<_>>(), [(&gone, "there is no such name (NXDOMAIN)")]);
    assert!(lookups.unknown().is_empty());
    assert!(lookups.next().is_some(), "it is looked up again");
    lookups.look_up(&[], &DnsSettings::default());
    assert_eq!(lookups.failures().count(), 0, "it is asked for no more");
    assert!(lookups.next().is_none());
}

/// As if a look-up had been answered so.
async fn learn(lookups: &mut Lookups, of: &EndpointAddress, answer: NameAnswer) {
    let task = lookups.tasks.spawn(async { answer });
    lookups.under_way.insert(task.id(), of.clone());
    lookups.found().await;
}

/// Where DNS servers say nothing of IPv6, a name was asked for more and more seldom, whatever the lifetime of its addresses.
#[tokio::test]
async fn what_was_answered_is_asked_for_again_in_time_while_the_rest_fails() {
    let mut lookups = Lookups::default();
    let name = name("a.test:80");
    lookups.wanted.insert(name.clone(), WantedName { failures: 5, ..WantedName::default() });
    let half = host("a.test", [Ok(&["192.0.2.1"]), Err("no answer in time")]);
    let lifetime = Some(Duration::from_secs(2));
    learn(&mut lookups, &name, NameAnswer { hosts: vec![half], lifetime, error: None }).await;
    assert!(lookups.next().unwrap() <= Instant::now() + Duration::from_secs(2));
    learn(&mut lookups, &name, NameAnswer::failed("SERVFAIL".to_owned())).await;
    assert!(lookups.next().unwrap() > Instant::now() + Duration::from_secs(20), "nothing was answered");
}

/// An upgrade while DNS fails must not cost the addresses, nor those of a family that is not answered for afterwards.
#[tokio::test]
async fn what_one_process_knows_of_names_the_next_one_knows() {
    let name = name("a.test:80");
    let mut old = Lookups::default();
    old.wanted.insert(name.clone(), WantedName::default());
    let told = old.told();
    learn(&mut old, &name, answer(vec![host("a.test", [Ok(&["192.0.2.1"]), Ok(&["2001:db8::1"])])])).await;
    let text = serde_json::to_string(&*told.now()).unwrap();
    let known: KnownNames = serde_json::from_str(&text).unwrap();
    assert_eq!(known, *told.now());

    let mut new = Lookups::default();
    new.wanted.insert(name.clone(), WantedName::default());
    new.remember(&known);
    assert!(new.unknown().is_empty());
    learn(&mut new, &name, answer(vec![host("a.test", [Ok(&["192.0.2.2"]), Err("no answer in time")])]))
        .await;
    let found = new.names().endpoints(std::slice::from_ref(&name));
    assert_eq!(addresses(&found), ["192.0.2.2", "2001:db8::1"]);

    new.remember(&known);
    assert_eq!(new.names().endpoints(std::slice::from_ref(&name)), found, "its own word goes before");
    let mut other = Lookups::default();
    other.remember(&known);
    assert_eq!(other.names().endpoints(std::slice::from_ref(&name)), [], "it does not ask for that name");
}

#[test]
fn two_names_of_one_address_are_one_endpoint() {
    let mut names = ResolvedNames::default();
    let endpoints = |ports: [u16; 2]| ports.map(endpoint).to_vec();
    assert!(names.learn(name("a.test:1"), endpoints([2, 1])));
    assert!(!names.learn(name("a.test:1"), endpoints([1, 2])), "in another order");
    assert!(names.learn(name("b.test:1"), endpoints([1, 3])));
    let written = ["a.test:1", "b.test:1", "127.0.0.1:2", "never.test:1"].map(name);
    let ports: Vec<u16> = names.endpoints(&written).iter().map(|found| found.address.port()).collect();
    assert_eq!(ports, [1, 2, 3]);
}

/// A DNS server that answers for IPv4 alone took the endpoints of IPv6 away.
#[test]
fn a_family_that_is_not_answered_for_is_as_it_was() {
    let mut known = KnownHosts::default();
    let both = host("a.test", [Ok(&["192.0.2.1"]), Ok(&["2001:db8::1"])]);
    assert_eq!(known.learn(answer(vec![both])).1, None);
    let half = host("a.test", [Ok(&["192.0.2.2"]), Err("no answer in time")]);
    let (endpoints, error) = known.learn(answer(vec![half]));
    assert_eq!(addresses(&endpoints), ["192.0.2.2", "2001:db8::1"]);
    assert_eq!(error.as_deref(), Some("no answer in time"));
    let (endpoints, error) = known.learn(answer(vec![host("a.test", [Ok(&["192.0.2.2"]), Ok(&[])])]));
    assert_eq!((addresses(&endpoints), error), (vec!["192.0.2.2".to_owned()], None), "it has none any more");
}

/// One of the hosts of a service that cannot be looked up keeps its addresses, and the others change.
#[test]
fn a_host_of_a_service_that_is_not_found_is_as_it_was() {
    let mut known = KnownHosts::default();
    let first = || host("one.test", [Ok(&["192.0.2.1"]), Ok(&[])]);
    known.learn(answer(vec![first(), host("two.test", [Ok(&["192.0.2.2"]), Ok(&[])])]));
    let failed = || host("two.test", [Err("no answer in time"), Err("no answer in time")]);
    let (endpoints, error) =
        known.learn(answer(vec![host("one.test", [Ok(&["192.0.2.9"]), Ok(&[])]), failed()]));
    assert_eq!(addresses(&endpoints), ["192.0.2.9", "192.0.2.2"]);
    assert!(error.is_some());
    let (endpoints, error) = known.learn(answer(vec![first()]));
    assert_eq!((addresses(&endpoints), error), (vec!["192.0.2.1".to_owned()], None), "its record is gone");
    let (endpoints, _) = known.learn(answer(vec![first(), failed()]));
    assert_eq!(addresses(&endpoints), ["192.0.2.1"], "nothing is known of it");
    let (endpoints, error) = known.learn(NameAnswer::failed("SERVFAIL".to_owned()));
    assert_eq!((endpoints.len(), error.as_deref()), (0, Some("SERVFAIL")));
}

#[test]
fn an_endpoint_is_written_in_one_of_three_ways() {
    let socket = |text: &str| EndpointAddress::Socket(text.parse::<SocketAddr>().unwrap());
    assert_eq!(name("127.0.0.1:80"), socket("127.0.0.1:80"));
    assert_eq!(name("[::1]:80"), socket("[::1]:80"));
    assert_eq!(name("backend.test.:80"), EndpointAddress::Named("backend.test.:80".into()));
    let service = EndpointAddress::Service("_http._tcp.backend.test".into());
    assert_eq!(service.to_string(), "srv:_http._tcp.backend.test");
    for wrong in [":80", ".:80", "a..b:80", "a b:80", "a", &format!("{}:80", "a".repeat(64))] {
        assert!(wrong.parse::<EndpointAddress>().is_err(), "{wrong}");
    }
}
