//! A thousand slow clients of each kind at the same time, by slowhttptest.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::Slow;
use crate::bystander::{Bystander, resident_kib};

/// The time after the last client has come by which all must be gone.
const GONE: Duration = Duration::from_secs(15);

/// One kind of attack, in slowhttptest's words.
struct Attack {
    name: &'static str,
    arguments: &'static [&'static str],
}

const ATTACKS: [Attack; 3] = [
    Attack { name: "slow headers", arguments: &["-H", "-i", "1", "-x", "10"] },
    Attack {
        name: "slow bodies",
        arguments: &["-B", "-i", "1", "-x", "10", "-s", "4096", "-f", "application/json"],
    },
    Attack {
        name: "slow reads",
        arguments: &["-X", "-n", "2", "-w", "512", "-y", "1024", "-z", "5", "-k", "1"],
    },
];

/// `make slow` sets the number of connections: 1000. Without it, or without the tool, the test says that it is skipped.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_slow_clients_of_each_kind_are_cut_and_others_are_served() {
    let Ok(connections) = std::env::var("OPGATE_SLOW") else {
        return eprintln!("skipped: OPGATE_SLOW says no number of connections; `make slow` does");
    };
    let limits = "{connections_per_address: 3000, requests_per_address: 3000, body_timeout: 10s}";
    let slow = Slow::start(limits, &[]);
    let gate = &slow.gate;
    let bystander = Bystander::start(gate);
    bystander.has_asked(20).await;
    for Attack { name, arguments } in ATTACKS {
        let before = resident_kib(gate.pid());
        let asked = bystander.counts();
        let began = Instant::now();
        let mut tool = Command::new("slowhttptest")
            .args(arguments)
            .args(["-c", &connections, "-r", &connections, "-l", "60", "-v", "1", "-p", "15"])
            .args(["-u", &format!("http://{}/v1/x", gate.address)])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("slowhttptest is installed");
        let most: i64 = connections.parse().unwrap();
        let (mut open, mut full, mut largest) = (0, None, before);
        let gone = loop {
            assert_eq!(gate.admin("/livez").await.status, 200, "{name}");
            assert!(began.elapsed() < Duration::from_secs(60), "{name}: {open} are still open");
            largest = largest.max(resident_kib(gate.pid()));
            open = clients(gate).await;
            match full {
                None if open >= most => full = Some(Instant::now()),
                // The bystander has two connections, and at times a third one.
                Some(full) if open <= 3 => break full.elapsed(),
                _ => {}
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        tool.kill().unwrap();
        tool.wait().unwrap();
        bystander.has_asked(asked.asked + 20).await;
        let counts = bystander.counts();
        eprintln!(
            "{name}: {connections} connections, all gone {:.1} s after the last one came; bystander {} of {}; RSS {before} \
             KiB before, {largest} at the most, {} after",
            gone.as_secs_f64(),
            counts.answered - asked.answered,
            counts.asked - asked.asked,
            resident_kib(gate.pid()),
        );
        assert!(gone < GONE, "{name}: {gone:?}");
    }
    let counts = bystander.stop().await;
    assert_eq!(counts.answered, counts.asked);
}

/// Open connections of clients.
async fn clients(gate: &crate::harness::Gate) -> i64 {
    let metrics = gate.metrics().await;
    let name = format!("opgate_connections{{listener=\"{}\"}} ", gate.address);
    metrics.lines().find_map(|line| line.strip_prefix(&name)).map_or(0, |count| count.parse().unwrap())
}
