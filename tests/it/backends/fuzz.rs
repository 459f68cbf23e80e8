//! The differential fuzz: whatever is sent, a backend runs the method that the gate has judged.
//!
//! The suite does a short run of one seed; `make backends` does an hour. `OPGATE_BACKENDS_SECONDS` and
//! `OPGATE_BACKENDS_SEED` change both.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::books::{Books, Difference, case_of};
use super::case::Version;
use super::client::{Http1, Http2};
use super::generator::case;
use super::scene::Scene;
use crate::harness::parameter;

/// Connections of each version. They cost nothing beside the work of the backends.
const HTTP1_CLIENTS: u64 = 32;
const HTTP2_CLIENTS: u64 = 16;
/// How many differences of one backend are printed in full.
const TOLD: usize = 12;

/// Requests that clients have sent, and what came back: by status, and how many were cut off without one.
#[derive(Default)]
struct Sent {
    requests: AtomicU64,
    unsent: AtomicU64,
    cut: AtomicU64,
    by_class: [AtomicU64; 6],
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_sent_the_method_that_is_judged_is_the_method_that_runs() {
    let seconds = parameter("OPGATE_BACKENDS_SECONDS", 12);
    let seed = parameter("OPGATE_BACKENDS_SEED", 20_261_127);
    let Some(scene) = Scene::start(Books::default()) else { return };
    let hosts: Arc<[String]> = scene.backends().iter().map(super::program::Backend::host).collect();
    eprintln!("seed {seed}, {seconds} s, {} backends", hosts.len());
    let began = Instant::now();
    let (sent, over) = (Arc::new(Sent::default()), Arc::new(AtomicBool::new(false)));
    let turns = [Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0))];
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..HTTP1_CLIENTS + HTTP2_CLIENTS {
        let version = if client < HTTP1_CLIENTS { Version::Http1 } else { Version::Http2 };
        let turn = turns[usize::from(version == Version::Http2)].clone();
        let (sent, over, hosts, tokens) = (sent.clone(), over.clone(), hosts.clone(), scene.tokens());
        let address = scene.gate.address;
        clients.spawn(async move {
            let (mut http1, mut http2) = (Http1::new(address), Http2::new(address));
            while !over.load(Ordering::Relaxed) {
                let number = number(version, turn.fetch_add(1, Ordering::Relaxed));
                let case = case(seed, number, &hosts);
                let token = tokens.of(case.caller);
                let seen = match version {
                    Version::Http1 => http1.ask(&case, token).await,
                    Version::Http2 => match http2.ask(&case, token).await {
                        Ok(seen) => seen,
                        Err(_) => {
                            sent.unsent.fetch_add(1, Ordering::Relaxed);
                            continue;
                        }
                    },
                };
                sent.requests.fetch_add(1, Ordering::Relaxed);
                match seen {
                    Some(status) => &sent.by_class[usize::from(status / 100)],
                    None => &sent.cut,
                }
                .fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    let mut told = Told { seed, hosts: hosts.clone(), counts: BTreeMap::new() };
    while began.elapsed() < Duration::from_secs(seconds) {
        let rest = Duration::from_secs(seconds).saturating_sub(began.elapsed());
        tokio::time::sleep(rest.min(Duration::from_secs(60))).await;
        eprintln!(
            "{:.0} s: {} requests",
            began.elapsed().as_secs_f64(),
            sent.requests.load(Ordering::Relaxed)
        );
        told.tell(&scene.books.take_differences());
    }
    over.store(true, Ordering::Relaxed);
    clients.join_all().await;
    let elapsed = began.elapsed().as_secs_f64();
    scene.books.settled(sent.requests.load(Ordering::Relaxed)).await;
    let mut last = scene.books.take_differences();
    last.extend(scene.books.orphans());
    told.tell(&last);
    report(&scene, &sent, elapsed);
    let metrics = scene.gate.metrics().await;
    assert!(
        metrics.contains("opgate_audit_dropped_total{reason=\"queue_full\"} 0\n"),
        "audit lines were dropped: nothing is proved"
    );
    let count: usize = told.counts.values().sum();
    assert_eq!(count, 0, "seed {seed}: {count} differences, by backend {:?}", told.counts);
}

/// One number in three is for HTTP/2.
fn number(version: Version, turn: u64) -> u64 {
    match version {
        Version::Http2 => turn * 3,
        Version::Http1 => turn / 2 * 3 + 1 + turn % 2,
    }
}

/// Prints differences, each with its request, which is made again from its number.
struct Told {
    seed: u64,
    hosts: Arc<[String]>,
    counts: BTreeMap<String, usize>,
}

impl Told {
    fn tell(&mut self, differences: &[Difference]) {
        for difference in differences {
            let case = case_of(&difference.ran.case).map(|number| case(self.seed, number, &self.hosts));
            let host = case.as_ref().map(|case| case.request.host.clone()).unwrap_or_default();
            let count = self.counts.entry(host).or_default();
            *count += 1;
            if *count <= TOLD {
                let case = case.map_or("of an unknown case".to_owned(), |case| case.to_string());
                eprintln!("DIFFERENCE, seed {}: {difference}\n    {case}", self.seed);
            }
        }
    }
}

fn report(scene: &Scene, sent: &Sent, elapsed: f64) {
    let requests = sent.requests.load(Ordering::Relaxed);
    let [_, _, good, _, refused, failed] =
        sent.by_class.each_ref().map(|count| count.load(Ordering::Relaxed));
    eprintln!(
        "{requests} requests in {elapsed:.1} s ({:.0} a second): {good} answered 2xx, {refused} 4xx, {failed} 5xx, {} cut \
         off; {} that HTTP/2 cannot say",
        requests as f64 / elapsed,
        sent.cut.load(Ordering::Relaxed),
        sent.unsent.load(Ordering::Relaxed),
    );
    let tallies = scene.books.tallies();
    let (mut judged, mut allowed) = (0, 0);
    for backend in scene.backends() {
        let tally = tallies.get(&backend.host()).copied().unwrap_or_default();
        eprintln!(
            "  {:<13} {:>8} judged, {:>8} allowed, {:>8} refused; {:>8} ran, {:>6} ran nothing, {} differences",
            backend.name,
            tally.judged,
            tally.allowed,
            tally.judged - tally.allowed,
            tally.ran,
            tally.nowhere,
            tally.differences,
        );
        judged += tally.judged;
        allowed += tally.allowed;
        // Requests that a backend refuses before it writes a line, or whose end it never sees, must be few.
        let heard = tally.ran + tally.nowhere;
        assert!(
            heard * 10 > tally.allowed * 9,
            "{}: only {heard} allowed requests were heard of",
            backend.name
        );
        assert!(tally.ran * 10 > tally.judged, "{}: what hardly ever runs proves nothing", backend.name);
    }
    eprintln!("{:.1} % of the requests were allowed", 100.0 * allowed as f64 / requests.max(1) as f64);
    assert!(allowed * 5 > requests, "{allowed} of {requests} allowed, {judged} judged: most proves nothing");
}
