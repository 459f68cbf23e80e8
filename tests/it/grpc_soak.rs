//! Streams over ten connections, of each kind at the same time: deadlines, cancellations, half-closed streams, messages
//! of 4 MiB, slow readers and writers, connections that break. Nothing leaks, and bystanders are all answered.
//!
//! The suite opens four hundred streams. `make grpc-soak` opens a thousand, again and again for a minute.

mod backend;
mod client;
mod message;

use std::sync::Arc;
use std::time::{Duration, Instant};

use self::backend::Seen;
use self::client::{Kind, Tokens, connect, stream, vanish};
use crate::bystander::Bystander;
use crate::harness::{Gate, Setup, Tree, parameter, token};

const CONNECTIONS: u64 = 10;

/// A tree with the shipped policies and the service of the streams.
pub fn tree() -> Tree {
    let tree = Tree::shipped();
    let service =
        "type: google.api.Service\nname: streams.example.com\napis: [{name: opgate.test.v1.Streams}]\n";
    let rule = |method: &str| {
        format!(
            "- selector: opgate.test.v1.Streams.{method}\n  permission: streams.streams.use\n  scopes: none\n"
        )
    };
    let rules =
        format!("service: streams.example.com\nrules:\n{}{}{}", rule("Chat"), rule("Upload"), rule("Watch"));
    tree.add_service("streams", service, &rules);
    std::fs::write(tree.path().join("services/streams.binpb"), message::descriptor_set()).unwrap();
    tree.write(
        "roles/streams.yaml",
        "name: projects/demo/roles/streams\ntitle: Streams\nstage: GA\nincludedPermissions: [streams.streams.use]\n",
    );
    let binding = "- members:\n  - user:ana@example.com\n  role: projects/demo/roles/streams\nversion: 1\n";
    tree.edit("allow/projects/demo.yaml", "version: 1\n", binding);
    tree
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_streams_of_each_kind_leave_nothing_behind() {
    let seconds = parameter("OPGATE_GRPC_SOAK", 0);
    let streams = parameter("OPGATE_GRPC_STREAMS", 400);
    let (address, seen) = backend::start().await;
    let tree = tree();
    let set = vec![
        tree.setting(),
        format!("upstreams.streams={{endpoints: ['{address}'], protocol: h2c}}"),
        "services.streams={upstream: streams, hosts: [streams.localhost], limits: {message_bytes: 5MiB}}"
            .to_owned(),
        // A stream of several messages holds a place for its largest one.
        "limits={requests_per_principal: 5000, requests_per_address: 5000, pending_requests: 3000, \
         pending_requests_per_address: 3000, held_bytes: 64GiB}"
            .to_owned(),
    ];
    let gate = Gate::start_with(Setup { set, ..Setup::default() });
    let tokens = Tokens { good: token("ana@example.com"), stranger: token("eve@example.com") };
    let bystander = Bystander::start(&gate);
    let (began, mut rounds, mut resident) = (Instant::now(), 0, Vec::new());
    loop {
        round(&gate, streams, &tokens).await;
        assert_at_rest(&gate, &seen).await;
        rounds += 1;
        resident.push(gate.metric("process_resident_memory_bytes").await);
        if began.elapsed() > Duration::from_secs(seconds) && rounds > 1 {
            break;
        }
    }
    let counts = bystander.stop().await;
    assert_eq!(counts.answered, counts.asked, "{counts:?}");
    assert!(counts.asked > 0);
    eprintln!(
        "{rounds} rounds of {streams} streams over {CONNECTIONS} connections; {} reached the backend, {} of them were reset; \
         {} bystanders; resident after each round: {:?} MiB",
        seen.begun(),
        seen.reset(),
        counts.asked,
        resident.iter().map(|bytes| bytes >> 20).collect::<Vec<_>>(),
    );
    assert_level(&resident);
}

/// The memory after each round does not grow from one half of the rounds to the other. The allocator keeps what was freed, more or
/// less of it after each round: so a few rounds say nothing.
fn assert_level(resident: &[u64]) {
    if resident.len() < 6 {
        return;
    }
    let (early, late) = resident.split_at(resident.len() / 2);
    let peak = |rounds: &[u64]| rounds.iter().copied().max().unwrap();
    assert!(peak(late) < peak(early) * 3 / 2, "memory grows: {resident:?}");
}

/// All streams at the same time.
async fn round(gate: &Gate, streams: u64, tokens: &Tokens) {
    let mut all = tokio::task::JoinSet::new();
    for connection in 0..CONNECTIONS {
        let (address, tokens) = (gate.address, tokens.clone());
        all.spawn(async move {
            let client = connect(address).await;
            let mut on_it = tokio::task::JoinSet::new();
            for number in (connection..streams).step_by(usize::try_from(CONNECTIONS).unwrap()) {
                let kinds = Kind::ALL.len();
                let kind = Kind::ALL[usize::try_from(number / CONNECTIONS).unwrap() % kinds];
                let (client, tokens) = (client.clone(), tokens.clone());
                on_it.spawn(async move { stream(&client, kind, number, &tokens).await });
            }
            while let Some(ended) = on_it.join_next().await {
                ended.unwrap();
            }
        });
    }
    let (address, tokens) = (gate.address, tokens.clone());
    all.spawn(async move { vanish(address, 20, &tokens).await });
    while let Some(ended) = all.join_next().await {
        // The test fails as soon as one stream does.
        ended.unwrap_or_else(|error| panic!("{error}\n{}", failures(gate)));
    }
}

/// What the audit log says of exchanges that the backend is to blame for.
fn failures(gate: &Gate) -> String {
    let text = gate.audit_text();
    let lines = text.lines().filter(|line| line.contains("UPSTREAM_") && !line.contains("UPSTREAM_TIMEOUT"));
    let details = lines.filter_map(|line| line.split_once("\"reason\"")).map(|(_, detail)| detail);
    details.take(5).collect::<Vec<_>>().join("\n")
}

/// Waits until nothing of the streams is left: requests, slots, streams and exchanges of the backend.
async fn assert_at_rest(gate: &Gate, seen: &Arc<Seen>) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        // The bystander is never quite at rest: it has one request at a time.
        let left = [
            gate.metric("opgate_requests_in_flight").await.saturating_sub(1),
            gate.metric("opgate_requests_pending").await.saturating_sub(1),
            gate.metric("opgate_upstream_in_flight{upstream=\"streams\"}").await,
            gate.metric("opgate_upstream_pending{upstream=\"streams\"}").await,
            // Its three, and those of the streams.
            gate.metric(&format!("opgate_connections{{listener=\"{}\"}}", gate.address))
                .await
                .saturating_sub(3),
            seen.open(),
        ];
        if left == [0; 6] {
            return;
        }
        assert!(Instant::now() < deadline, "left: {left:?}, {seen:?}\n{}", gate.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
