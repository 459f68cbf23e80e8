//! HTTP/2 floods against the real gate: frame scripts that are cheap for the sender and expensive for a server.
//!
//! During each of them, other clients are served as usual, `/livez` answers and memory stays bounded.
//! `OPGATE_FLOOD` multiplies the frames that each connection sends.

mod scripts;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;

use self::scripts::{Script, scripts};
use crate::bystander::{Bystander, Large, resident_kib};
use crate::frames::{GOAWAY, PREFACE, next};
use crate::harness::{Gate, Setup};

/// Connections of each flood.
const CONNECTIONS: usize = 4;

/// How a connection of a flood ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The gate ended it with this error code.
    GoAway(u32),
    /// The gate closed or reset the connection.
    Closed,
    /// The script ran to its end, and the connection was still open.
    Survived,
}

struct Flooded {
    frames: u64,
    ends: Vec<End>,
}

/// Sends a script over one connection, and reads what comes meanwhile, at most until `leaving` turns true.
async fn send(
    address: SocketAddr,
    script: &Script,
    units: u32,
    mut leaving: watch::Receiver<bool>,
) -> (u64, End) {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut reading, mut writing) = stream.into_split();
    let reader = tokio::spawn(async move {
        let mut end = End::Closed;
        while let Some((kind, payload)) = next(&mut reading).await {
            if kind == GOAWAY {
                end = End::GoAway(u32::from_be_bytes(payload[4..8].try_into().unwrap()));
            }
        }
        end
    });
    let mut frames = frames_in(&script.opening[PREFACE.len()..]);
    let flood = async {
        writing.write_all(&script.opening).await?;
        for unit in 0..units {
            let unit = (script.unit)(unit);
            writing.write_all(&unit).await?;
            frames += frames_in(&unit);
            if !script.pause.is_zero() {
                tokio::time::sleep(script.pause).await;
            }
        }
        Ok::<_, std::io::Error>(())
    };
    // A gate that has ended the connection no longer reads.
    let sent = flood.await;
    let waiting = if sent.is_ok() { script.patience } else { Duration::from_secs(10) };
    let end = tokio::select! {
        end = tokio::time::timeout(waiting, reader) => end.map_or(End::Survived, Result::unwrap),
        _ = leaving.wait_for(|leaving| *leaving) => End::Survived,
    };
    (frames, end)
}

fn frames_in(mut bytes: &[u8]) -> u64 {
    let mut frames = 0;
    while !bytes.is_empty() {
        let length = u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]]);
        bytes = &bytes[9 + length as usize..];
        frames += 1;
    }
    frames
}

async fn flood(gate: &Gate, script: &Arc<Script>, units: u32) -> Flooded {
    let mut connections = JoinSet::new();
    let (leave, leaving) = watch::channel(false);
    for _ in 0..CONNECTIONS {
        let (address, script, leaving) = (gate.address, script.clone(), leaving.clone());
        connections.spawn(async move { send(address, &script, units, leaving).await });
    }
    if script.not_taken > 0 {
        until_not_taken(gate, script.not_taken * CONNECTIONS).await;
        leave.send_replace(true);
    }
    let ended = connections.join_all().await;
    Flooded {
        frames: ended.iter().map(|(frames, _)| frames).sum(),
        ends: ended.into_iter().map(|(_, end)| end).collect(),
    }
}

fn multiplier() -> u32 {
    std::env::var("OPGATE_FLOOD").map_or(1, |text| text.parse().unwrap())
}

async fn cut(gate: &Gate) -> Vec<String> {
    let metrics = gate.metrics().await;
    metrics
        .lines()
        .filter_map(|line| line.strip_prefix("opgate_connections_cut_total{reason="))
        .filter(|line| !line.ends_with(" 0"))
        .map(str::to_owned)
        .collect()
}

/// Waits until so many answers were cut because the client did not take them. On a busy machine, some of the connections
/// to the backend are not accepted in time: those requests end by themselves.
async fn until_not_taken(gate: &Gate, count: usize) {
    let deadline = Instant::now() + Duration::from_secs(50);
    loop {
        let metrics = gate.metrics().await;
        let told: usize = metrics
            .lines()
            .filter(|line| line.contains("GetOperation"))
            .filter(|line| {
                ["RESPONSE_NOT_TAKEN", "UPSTREAM_UNAVAILABLE"].iter().any(|end| line.contains(end))
            })
            .map(|line| line.rsplit(' ').next().unwrap().parse::<usize>().unwrap())
            .sum();
        if told == count {
            return;
        }
        assert!(Instant::now() < deadline, "{told} of {count} answers are cut\n{metrics}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_does_not_affect_other_clients() {
    let large = Large::start();
    let set = vec!["limits={write_timeout: 2s, body_timeout: 5s}".to_owned()];
    let endpoints = Some(vec![large.address()]);
    let gate = Gate::start_with(Setup { set, endpoints, ..Setup::default() });
    let bystander = Bystander::start(&gate);
    // The memory that a gate holds once it has begun to serve.
    bystander.has_asked(200).await;
    let mut table = format!("{:<57}bystander's p99 {:?}\n", "idle", bystander.p99(50));
    let mut wrong = Vec::new();
    for script in scripts().into_iter().map(Arc::new) {
        let before = resident_kib(gate.pid());
        let asked = bystander.counts();
        let flooding = flood(&gate, &script, script.units * multiplier());
        let watching = async {
            loop {
                assert_eq!(gate.admin("/livez").await.status, 200, "{}", script.name);
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let flooded = tokio::select! {
            flooded = flooding => flooded,
            () = watching => unreachable!(),
        };
        bystander.has_asked(asked.asked + 20).await;
        let after = resident_kib(gate.pid());
        let counts = bystander.counts();
        let (ok, all) = (counts.answered - asked.answered, counts.asked - asked.asked);
        table.push_str(&format!(
            "{:<34} {:>8} frames  {:<44} bystander {ok}/{all}, p99 {:?}  RSS {before} -> {after} KiB\n",
            script.name,
            flooded.frames,
            format!("{:?}", flooded.ends),
            bystander.p99(asked.asked),
        ));
        if !flooded.ends.iter().all(|end| script.ends.contains(end)) || after >= before + script.growth_kib {
            wrong.push(script.name);
        }
    }
    let undecided = gate.metric("opgate_decisions_total{decision=\"undecided\",stage=\"parse\"}").await;
    assert_eq!(undecided, 0, "what a client floods is not a fault of the gate");
    let counts = bystander.stop().await;
    eprintln!("{table}\ncut: {:?}", cut(&gate).await);
    assert!(wrong.is_empty(), "{wrong:?}\n{table}");
    assert_eq!(counts.answered, counts.asked, "the bystander's requests\n{table}");
}
