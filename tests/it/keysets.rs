//! Changes of an issuer's keys under load: in every scene, no bad token passes and no good one is called bad.
//!
//! A good token may be answered 503 while the gate cannot tell (its key is new and the issuer does not answer): clients
//! try again. After 401 they do not. `--nocapture` prints the table.

mod scenarios;
mod scene;
mod server;
mod taken_back;

use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use opgate::dev::mint::Mint;
use scene::Row;
use serde_json::json;
use server::{Answer, KeyServer};

use crate::harness::{CANCEL, CLOUD_PLATFORM, COMPANION, Gate, Req, Setup, claims};

type Scenario = Pin<Box<dyn Future<Output = Row> + Send>>;

/// Gates that run at the same time, each with its own clients.
const AT_A_TIME: usize = 5;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_happens_to_key_sets_no_decision_is_wrong_and_no_good_token_is_called_bad() {
    let places = Arc::new(Semaphore::new(AT_A_TIME));
    let mut running = JoinSet::new();
    for scenario in scenarios::all() {
        let places = places.clone();
        running.spawn(async move {
            let _place = places.acquire().await.unwrap();
            scenario.await
        });
    }
    let mut rows = running.join_all().await;
    rows.sort_by_key(|row| row.name);
    println!(
        "{:<58} {:>8} {:>6} {:>9} {:>5} {:>8} {:>6}",
        "", "requests", "wrong", "false 401", "503", "fetches", "bound"
    );
    for Row { name, requests, wrong, false_401, unavailable, fetches, bound, .. } in &rows {
        println!(
            "{name:<58} {requests:>8} {wrong:>6} {false_401:>9} {unavailable:>5} {fetches:>8} {bound:>6}"
        );
    }
    assert!(rows.len() >= 20);
    for row in &rows {
        assert_eq!((row.wrong, row.false_401), (0, 0), "{}", row.name);
        assert!(row.requests > 20, "{row:?}");
        assert!(row.fetches <= row.bound, "{row:?}");
        // While the issuer answers, no client may be told to come back. On a busy machine the answer may take longer than a
        // request waits.
        assert!(row.at_once == 0 || !row.name.starts_with("seamless: "), "{row:?}");
    }
}

/// It was counted as two tokens.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_waits_for_its_key_is_one_miss_and_one_wait() {
    let (known, unknown) = (scene::new_key("known"), scene::new_key("unknown"));
    let server = KeyServer::start(Answer::keys(&[&known])).await;
    let set = vec![scene::keys(json!({ "url": server.url("http") }))];
    let start = || Gate::start_with(Setup { set, ..Setup::default() });
    let gate = tokio::task::spawn_blocking(start).await.unwrap();
    let token = unknown.sign(&claims("ana@example.com", &[CLOUD_PLATFORM])).unwrap();
    let answer = gate.http1(&Req::new("POST", COMPANION, CANCEL).bearer(&token)).await;
    assert_eq!(answer.status, 401);
    assert_eq!(gate.metric("opgate_token_cache_misses_total").await, 1);
    assert_eq!(gate.metric("opgate_issuer_wait_seconds_count{for=\"key\",issuer=\"demo\"}").await, 1);
}
