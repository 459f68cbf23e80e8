//! Whole exchanges: what a request costs the real program, in instructions and system calls.
//!
//! One client asks over one connection, again and again. Every thread of the program is counted, so the audit log and
//! the metrics are.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::{Duration, SystemTime};

use opgate::clock;
use opgate::signing::{SigningAlgorithm, SigningKey};

use super::budget::Cost;
use super::callgrind::Callgrind;
use super::samples;
use super::strace::Strace;
use super::traffic::{Client, Gate, backend};

/// Requests before those that are counted.
const WARM: usize = 20;
/// Requests whose instructions are counted.
const COUNTED: usize = 200;
/// Requests whose system calls are counted.
const TRACED: usize = 31;
/// Before the backend's answer, while system calls are counted: the gate waits for it by then.
const PAUSE: Duration = Duration::from_millis(5);
/// After an answer, before a count begins or ends: other threads have nothing left to do by then.
const SETTLED: Duration = Duration::from_millis(25);

/// What does not depend on the request alone: how timers wait, and how threads wait for each other.
const UNCOUNTED: [&str; 2] = ["clock_nanosleep", "futex"];

/// One row.
struct Exchange {
    name: &'static str,
    over_http2: bool,
    status: u16,
    /// A request; the number says which one.
    request: Box<dyn Fn(usize) -> String>,
}

fn exchanges(key: &'static SigningKey, now: SystemTime) -> Vec<Exchange> {
    let ana = samples::token(key, "ana", 0, now);
    let bob = samples::token(key, "bob", 0, now);
    let with_body = samples::head(Some(&ana), samples::BODY) + samples::BODY;
    // Without a body: a refusal of a request that has one ends the connection.
    let of = |token: &str| samples::head(Some(token), "");
    let row = |name, status, request| Exchange { name, over_http2: false, status, request };
    let over_http2 = |name, status, request| Exchange { over_http2: true, ..row(name, status, request) };
    let (ana_again, with_body_again) = (ana.clone(), with_body.clone());
    vec![
        row("exchange, allowed, token known", 200, Box::new(move |_| of(&ana))),
        row("exchange, allowed, token known, with a body", 200, Box::new(move |_| with_body.clone())),
        // No number twice: the numbers of warm requests and of others differ.
        row(
            "exchange, allowed, token new",
            200,
            Box::new(move |number| of(&samples::token(key, "ana", 1 + number, now))),
        ),
        row("exchange, no token: 401", 401, Box::new(|_| samples::head(None, ""))),
        row(
            "exchange, bad signature: 401",
            401,
            // Each token has the signature of another one. One by another key could be too large a number, which costs less.
            Box::new(move |number| {
                let of_ana = samples::token(key, "ana", number, now);
                let of_bob = samples::token(key, "bob", number, now);
                let (claims, _) = of_ana.rsplit_once('.').unwrap();
                let (_, signature) = of_bob.rsplit_once('.').unwrap();
                of(&format!("{claims}.{signature}"))
            }),
        ),
        row("exchange, no permission: 403", 403, Box::new(move |_| of(&bob))),
        over_http2("exchange over HTTP/2, allowed, token known", 200, Box::new(move |_| of(&ana_again))),
        over_http2(
            "exchange over HTTP/2, allowed, token known, with a body",
            200,
            Box::new(move |_| with_body_again.clone()),
        ),
        over_http2("exchange over HTTP/2, no token: 401", 401, Box::new(|_| samples::head(None, ""))),
    ]
}

/// Counts every row.
pub fn count() -> Vec<(String, Cost)> {
    let key: &'static SigningKey =
        Box::leak(Box::new(SigningKey::generate(SigningAlgorithm::Rs256, Some("bench")).unwrap()));
    let exchanges = exchanges(key, clock::now());
    let instructions = instructions(&exchanges, key);
    let system_calls = system_calls(&exchanges, key);
    let rows = exchanges.iter().zip(instructions).zip(system_calls);
    rows.map(|((exchange, instructions), calls)| {
        let cost = Cost { instructions, allocations: None, system_calls: Some(calls) };
        (exchange.name.to_owned(), cost)
    })
    .collect()
}

fn instructions(exchanges: &[Exchange], key: &SigningKey) -> Vec<u64> {
    let directory = tempfile::tempdir().unwrap();
    let backend = backend(Duration::ZERO);
    let gate = Gate::start(Callgrind::command(directory.path()), directory.path(), key, backend);
    let mut callgrind = Callgrind::attach(gate.pid(), directory.path());
    exchanges
        .iter()
        .map(|exchange| {
            let mut client = Client::connect(gate.address(), exchange.over_http2);
            exchange.send(&mut client, 0..WARM);
            callgrind.lap();
            exchange.send(&mut client, WARM..WARM + COUNTED);
            callgrind.lap() / COUNTED as u64
        })
        .collect()
}

/// The system calls of a request, by name: the median of requests that come so far apart that every thread waits in between.
fn system_calls(exchanges: &[Exchange], key: &SigningKey) -> Vec<BTreeMap<String, u64>> {
    let directory = tempfile::tempdir().unwrap();
    let backend = backend(PAUSE);
    let gate = Gate::start(Strace::command(directory.path()), directory.path(), key, backend);
    let mut strace = Strace::attach(directory.path());
    exchanges
        .iter()
        .map(|exchange| {
            let mut client = Client::connect(gate.address(), exchange.over_http2);
            exchange.send(&mut client, 0..WARM);
            strace.lap();
            let requests = WARM..WARM + TRACED;
            let each = requests.map(|number| {
                exchange.send(&mut client, number..number + 1);
                strace.lap()
            });
            medians(&each.collect::<Vec<_>>())
        })
        .collect()
}

/// What happens now and then (a look at the policy's files) is not of a request, and is not in the median.
fn medians(laps: &[BTreeMap<String, u64>]) -> BTreeMap<String, u64> {
    let names: BTreeSet<&String> = laps.iter().flat_map(BTreeMap::keys).collect();
    let median = |name: &String| {
        let mut counts: Vec<u64> =
            laps.iter().map(|calls| calls.get(name).copied().unwrap_or_default()).collect();
        counts.sort_unstable();
        counts[counts.len() / 2]
    };
    let each = names.into_iter().map(|name| (name.clone(), median(name)));
    each.filter(|(name, count)| *count > 0 && !UNCOUNTED.contains(&name.as_str())).collect()
}

impl Exchange {
    /// Sends these requests, one after another, and waits until nothing is left to do for any thread of the gate.
    fn send(&self, client: &mut Client, numbers: Range<usize>) {
        let requests: Vec<String> = numbers.map(|number| (self.request)(number)).collect();
        for request in requests {
            assert_eq!(client.ask(request.as_bytes()), self.status, "{}", self.name);
        }
        std::thread::sleep(SETTLED);
    }
}
