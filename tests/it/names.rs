//! The names of upstreams: looked up again and again at a DNS server that changes its mind, fails and says nothing.

mod server;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use serde_json::json;
use tokio::sync::Semaphore;

use self::server::{A, DnsServer, Record, SRV, Says, records};
use crate::harness::{Gate, Setup, get, opgate, root, signal};

/// Backends on one port of several addresses of this machine.
struct Backends {
    port: u16,
    all: Vec<Counted>,
}

struct Counted {
    address: SocketAddr,
    requests: Arc<AtomicUsize>,
    /// Answers are held back while there is none.
    answers: Arc<Semaphore>,
}

impl Backends {
    async fn start(addresses: &[&str]) -> Self {
        'port: loop {
            let mut listeners = Vec::new();
            let mut port = 0;
            for address in addresses {
                let Ok(listener) = tokio::net::TcpListener::bind((*address, port)).await else {
                    continue 'port;
                };
                port = listener.local_addr().unwrap().port();
                listeners.push(listener);
            }
            return Self { port, all: listeners.into_iter().map(Counted::serve).collect() };
        }
    }

    fn requests(&self) -> Vec<usize> {
        self.all.iter().map(|backend| backend.requests.load(Ordering::SeqCst)).collect()
    }
}

impl Counted {
    fn serve(listener: tokio::net::TcpListener) -> Self {
        let (requests, answers) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(1000)));
        let backend = Self {
            address: listener.local_addr().unwrap(),
            requests: requests.clone(),
            answers: answers.clone(),
        };
        let answer = move || async move {
            requests.fetch_add(1, Ordering::SeqCst);
            answers.acquire().await.unwrap().forget();
            "{}"
        };
        let router = Router::new().fallback(answer);
        tokio::spawn(async move { axum::serve(listener, router).await });
        backend
    }
}

/// A gate whose upstream is written with these endpoints, in YAML, and that asks the server.
fn gate(dns: &DnsServer, refresh: &str, endpoints: &str, more: &[&str]) -> Gate {
    let mut set = vec![
        format!("dns={{servers: ['{}'], refresh: {refresh}, timeout: 5s}}", dns.address),
        format!("upstreams.operations.endpoints=[{endpoints}]"),
    ];
    set.extend(more.iter().map(ToString::to_string));
    Gate::start_with(Setup { set, ..Setup::default() })
}

/// The endpoints that the gate has, sorted.
async fn endpoints(gate: &Gate) -> Vec<String> {
    let metrics = gate.metrics().await;
    let of = |line: &str| {
        let rest = line.strip_prefix("opgate_upstream_healthy{endpoint=\"")?;
        Some(rest.split_once('"')?.0.to_owned())
    };
    let mut found: Vec<String> = metrics.lines().filter_map(of).collect();
    found.sort();
    found
}

async fn until_endpoints(gate: &Gate, expected: &[SocketAddr]) {
    let mut expected: Vec<String> = expected.iter().map(ToString::to_string).collect();
    expected.sort();
    let deadline = Instant::now() + Duration::from_secs(60);
    while endpoints(gate).await != expected {
        let found = endpoints(gate).await;
        assert!(Instant::now() < deadline, "{found:?} in place of {expected:?}:\n{}", gate.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until the last look-up of a name has failed, or has not.
async fn until_resolved(gate: &Gate, name: &str, expected: u64) {
    let series = format!("opgate_upstream_name_resolved{{name=\"{name}\"}}");
    let deadline = Instant::now() + Duration::from_secs(60);
    while gate.metric(&series).await != expected {
        assert!(Instant::now() < deadline, "{name}:\n{}", gate.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn send(gate: &Gate, count: usize) {
    for _ in 0..count {
        assert_eq!(gate.http1(&get()).await.status, 200, "{}", gate.log());
    }
}

/// All addresses of a name are endpoints. One that goes gets no new request, and finishes those that it has.
#[tokio::test]
async fn the_addresses_of_a_name_are_its_endpoints_as_they_come_and_go() {
    let backends = Backends::start(&["127.0.0.1", "127.0.0.2", "127.0.0.3"]).await;
    let [one, two, three] = [0, 1, 2].map(|place| backends.all[place].address);
    let dns = DnsServer::start().await;
    dns.set("backend.test", records(1, &["127.0.0.1", "127.0.0.2"]));
    let gate = gate(&dns, "1h", &format!("'backend.test:{}'", backends.port), &[]);
    until_endpoints(&gate, &[one, two]).await;
    send(&gate, 4).await;
    assert_eq!(backends.requests(), [2, 2, 0]);

    // Two requests are under way, one at each, while the first one goes.
    let answers: Vec<_> = backends.all.iter().map(|backend| &backend.answers).collect();
    for answers in &answers {
        answers.forget_permits(1000);
    }
    let changing = async {
        let deadline = Instant::now() + Duration::from_secs(30);
        while backends.requests() != [3, 3, 0] {
            assert!(Instant::now() < deadline, "{:?}", backends.requests());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        dns.set("backend.test", records(1, &["127.0.0.2", "127.0.0.3"]));
        until_endpoints(&gate, &[two, three]).await;
        for answers in &answers {
            answers.add_permits(1000);
        }
    };
    let [get_one, get_two] = [get(), get()];
    let (first, second, ()) = tokio::join!(gate.http1(&get_one), gate.http1(&get_two), changing);
    assert_eq!((first.status, second.status), (200, 200));
    send(&gate, 6).await;
    assert_eq!(backends.requests(), [3, 6, 3]);
    assert!(gate.log().contains("the addresses of a name have changed"), "{}", gate.log());
}

/// However DNS fails, what was found last stays in use, and the metrics say since when.
#[tokio::test]
async fn the_last_good_addresses_stay_while_dns_fails() {
    let backends = Backends::start(&["127.0.0.1", "127.0.0.2"]).await;
    let [one, two] = [0, 1].map(|place| backends.all[place].address);
    let dns = DnsServer::start().await;
    let name = format!("backend.test:{}", backends.port);
    dns.set("backend.test", records(1, &["127.0.0.1"]));
    let gate = gate(&dns, "1s", &format!("'{name}'"), &["dns.timeout=1s"]);
    until_endpoints(&gate, &[one]).await;
    let failures = [Says::Nxdomain, Says::Servfail, Says::Silence, records(1, &[]), records(1, &["0.0.0.0"])];
    for (turn, failure) in failures.into_iter().enumerate() {
        dns.set("backend.test", failure.clone());
        until_resolved(&gate, &name, 0).await;
        assert_eq!(endpoints(&gate).await.len(), 1, "{failure:?}");
        send(&gate, 1).await;
        let state = gate.admin("/readyz").await;
        let text = String::from_utf8(state.body).unwrap();
        assert_eq!(state.status, 200, "{failure:?}: {text}");
        assert!(text.contains("cannot be looked up"), "{failure:?}: {text}");
        let (address, endpoint) = if turn % 2 == 0 { ("127.0.0.2", two) } else { ("127.0.0.1", one) };
        dns.set("backend.test", records(1, &[address]));
        until_endpoints(&gate, &[endpoint]).await;
        until_resolved(&gate, &name, 1).await;
    }
    let metrics = gate.metrics().await;
    let age = format!("opgate_upstream_name_last_success_timestamp_seconds{{name=\"{name}\"}} 1");
    assert!(metrics.contains(&age), "{metrics}");
}

/// Records that say that they are good for a century are asked for again, and those that say 0 are not asked for all the time.
#[tokio::test]
async fn the_lifetime_of_records_counts_within_bounds() {
    let backends = Backends::start(&["127.0.0.1", "127.0.0.2"]).await;
    let [one, two] = [0, 1].map(|place| backends.all[place].address);
    let dns = DnsServer::start().await;
    dns.set("long.test", records(u32::MAX / 2, &["127.0.0.1"]));
    dns.set("none.test", records(0, &["127.0.0.1"]));
    let port = backends.port;
    let gate = gate(&dns, "2s", &format!("'long.test:{port}', 'none.test:{port}'"), &[]);
    until_endpoints(&gate, &[one]).await;
    dns.asked_again("long.test", A).await;
    dns.asked_again("none.test", A).await;
    let (long, none) = (dns.asked("long.test", A), dns.asked("none.test", A));
    // Once a second at the most: a flood would be hundreds by now.
    assert!(none <= 4 * long + 8, "{none} and {long}");
    dns.set("none.test", records(0, &["127.0.0.2"]));
    until_endpoints(&gate, &[one, two]).await;
}

/// The addresses of a name were never learnt where a firewall drops questions about IPv6 for as long as a look-up may take.
#[tokio::test]
async fn a_family_that_is_never_answered_for_does_not_cost_the_other_one() {
    let backends = Backends::start(&["127.0.0.1", "127.0.0.2"]).await;
    let [one, two] = [0, 1].map(|place| backends.all[place].address);
    let dns = DnsServer::start().await;
    let says =
        |address: &str| Says::NothingOfIpv6 { ttl: 1, records: vec![Record::A(address.parse().unwrap())] };
    dns.set("backend.test", says("127.0.0.1"));
    dns.set(
        "_http._tcp.backend.test",
        Says::Records { ttl: 1, records: vec![Record::Srv(0, 1, backends.port, "host.test".to_owned())] },
    );
    dns.set("host.test", says("127.0.0.2"));
    let written = format!("'backend.test:{}', {{srv: _http._tcp.backend.test}}", backends.port);
    let gate = gate(&dns, "1h", &written, &["dns.timeout=1s"]);
    until_endpoints(&gate, &[one, two]).await;
    send(&gate, 2).await;
    dns.set("host.test", says("127.0.0.1"));
    until_endpoints(&gate, &[one]).await;
}

/// A gate of an upgrade had no backend while DNS failed, although the one before it had.
#[tokio::test]
async fn a_new_process_has_the_addresses_of_the_old_one_while_dns_fails() {
    let backends = Backends::start(&["127.0.0.1"]).await;
    let dns = DnsServer::start().await;
    dns.set("backend.test", records(1, &["127.0.0.1"]));
    let directory = tempfile::tempdir().unwrap();
    let upgrade = format!("upgrade.socket={}", directory.path().join("upgrade.sock").display());
    let mut gate =
        gate(&dns, "1s", &format!("'backend.test:{}'", backends.port), &["dns.timeout=1s", &upgrade]);
    until_endpoints(&gate, &[backends.all[0].address]).await;
    dns.set("backend.test", Says::Servfail);
    let mut second = gate.successor("second", &[]);
    signal(gate.pid(), "QUIT");
    second.serving().await;
    assert!(gate.ended().await.success());
    // At the same address.
    send(&gate, 2).await;
    dns.set("backend.test", Says::Silence);
    let mut third = gate.successor("third", &[]);
    second.signal("QUIT");
    third.serving().await;
    assert!(second.ended().await.success());
    send(&gate, 2).await;
}

/// It is waited for: the one that serves has backends.
#[tokio::test]
async fn a_new_process_asks_for_a_name_that_is_not_known_until_it_is() {
    let backends = Backends::start(&["127.0.0.1"]).await;
    let dns = DnsServer::start().await;
    dns.set("late.test", Says::Servfail);
    let directory = tempfile::tempdir().unwrap();
    let upgrade = format!("upgrade.socket={}", directory.path().join("upgrade.sock").display());
    let mut gate =
        gate(&dns, "1s", &format!("'{}'", backends.all[0].address), &[&upgrade, "dns.timeout=50s"]);
    let late = format!("upstreams.operations.endpoints=['late.test:{}']", backends.port);
    let mut new = gate.successor("new", &[late]);
    signal(gate.pid(), "QUIT");
    dns.asked_again("late.test", A).await;
    send(&gate, 1).await;
    dns.set("late.test", records(60, &["127.0.0.1"]));
    new.serving().await;
    assert!(gate.ended().await.success());
    send(&gate, 1).await;
}

/// More addresses than go into a datagram are asked for over TCP.
#[tokio::test]
async fn an_answer_that_is_cut_is_asked_for_over_tcp() {
    let dns = DnsServer::start().await;
    let addresses: Vec<String> = (1..=60).map(|last| format!("127.0.1.{last}")).collect();
    let mut all: Vec<Record> = addresses.iter().map(|address| Record::A(address.parse().unwrap())).collect();
    all.push(Record::Aaaa("::1".parse().unwrap()));
    dns.set("many.test", Says::Truncated { ttl: 60, records: all });
    let gate = gate(&dns, "1h", "'many.test:1'", &[]);
    let mut expected: Vec<SocketAddr> =
        addresses.iter().map(|address| format!("{address}:1").parse().unwrap()).collect();
    expected.push("[::1]:1".parse().unwrap());
    until_endpoints(&gate, &expected).await;
    assert!(dns.over_tcp() > 0);
}

/// SRV records name hosts and ports. Those of the lowest priority have the requests, by weight; the others are for when they
/// fail.
#[tokio::test]
async fn a_service_has_the_hosts_ports_weights_and_priorities_of_its_records() {
    let first = Backends::start(&["127.0.0.1", "127.0.0.2"]).await;
    let spare = Backends::start(&["127.0.0.3"]).await;
    let dns = DnsServer::start().await;
    for (name, address) in [("a.test", "127.0.0.1"), ("b.test", "127.0.0.2"), ("c.test", "127.0.0.3")] {
        dns.set(name, records(1, &[address]));
    }
    let record =
        |priority, weight, port, target: &str| Record::Srv(priority, weight, port, target.to_owned());
    let heavy = record(10, 30, first.port, "a.test");
    let light = record(10, 10, first.port, "b.test");
    let last = record(20, 10, spare.port, "c.test");
    let service =
        |records: &[&Record]| Says::Records { ttl: 1, records: records.iter().copied().cloned().collect() };
    dns.set("_http._tcp.backend.test", service(&[&last, &light, &heavy]));
    let gate = gate(&dns, "1h", "{srv: _http._tcp.backend.test}", &[]);
    until_endpoints(&gate, &[first.all[0].address, first.all[1].address, spare.all[0].address]).await;
    send(&gate, 8).await;
    assert_eq!((first.requests(), spare.requests()), (vec![6, 2], vec![0]));

    dns.set("_http._tcp.backend.test", service(&[&last, &light]));
    until_endpoints(&gate, &[first.all[1].address, spare.all[0].address]).await;
    send(&gate, 3).await;
    assert_eq!((first.requests(), spare.requests()), (vec![6, 5], vec![0]));

    // A target of `.` says that there is no such service: that is no reason to have no backend at all.
    dns.set("_http._tcp.backend.test", service(&[&record(0, 0, 0, ".")]));
    until_resolved(&gate, "srv:_http._tcp.backend.test", 0).await;
    send(&gate, 1).await;
    dns.set("_http._tcp.backend.test", service(&[&last]));
    until_endpoints(&gate, &[spare.all[0].address]).await;
    send(&gate, 2).await;
    assert_eq!(spare.requests(), [2]);
    assert!(dns.asked("_http._tcp.backend.test", SRV) >= 4);
}

/// A name that is never answered for holds nothing back: the gate starts, serves, reloads and ends.
#[tokio::test]
async fn a_name_without_an_answer_holds_nothing_back() {
    let dns = DnsServer::start().await;
    dns.set("silent.test", Says::Silence);
    let set = vec![
        format!("dns={{servers: ['{}'], timeout: 60s}}", dns.address),
        "upstreams.silent={endpoints: ['silent.test:80', {srv: silent.test}]}".to_owned(),
    ];
    let mut gate = Gate::start_with(Setup { set, ..Setup::default() });
    send(&gate, 1).await;
    gate.hang_up();
    let deadline = Instant::now() + Duration::from_secs(30);
    while !gate.log().contains("SIGHUP") {
        assert!(Instant::now() < deadline, "{}", gate.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    send(&gate, 1).await;
    assert!(dns.questions() > 0);
    gate.ask_to_end();
    assert!(gate.ended().await.success());
}

/// A check warns of a name that it does not find, and asks nothing if it is told so.
#[tokio::test]
async fn a_check_offline_looks_no_name_up() {
    let dns = DnsServer::start().await;
    let endpoints = json!(["gone.test:80"]);
    let mut outputs = Vec::new();
    for flag in ["--offline", "--deny-warnings"] {
        let mut command = opgate();
        command.args(["check", "--config", "config/demo.yaml", flag]);
        command.args(["--set", &format!("dns.servers=['{}']", dns.address)]);
        command.args(["--set", &format!("upstreams.operations.endpoints={endpoints}")]);
        command.current_dir(root());
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        outputs.push((output.status.code(), String::from_utf8(output.stderr).unwrap(), dns.questions()));
    }
    let (code, told, asked) = &outputs[0];
    assert_eq!((*code, *asked), (Some(0), 0), "{told}");
    let (code, told, asked) = &outputs[1];
    assert_eq!(*code, Some(1), "{told}");
    assert!(
        *asked > 0 && told.contains("the endpoint `gone.test:80` cannot be looked up: there is no such name"),
        "{told}"
    );
}
