//! Over a thousand operations of the demo's backend, the gate's counts are the backend's own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use opgate::dev::backend::{CancelEffect, DemoService};
use opgate::dev::wire;
use tokio::sync::Semaphore;

use super::{answers, counts, is_outcome, outcomes, pending, request};
use crate::harness::{Answer, COMPANION, DATAPROC, Gate, Setup, parameter};

/// Operations under way at one time.
const AT_ONCE: usize = 48;

/// How the end of an operation comes to be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Get,
    Gzip,
    /// Fields that tell.
    Masked,
    /// First fields that do not tell, then all.
    MaskedInVain,
    List,
    Wait,
    /// The first look is sent with the cancel.
    Race,
    /// Deleted while it is cancelled.
    Delete,
}

const WAYS: [Way; 8] =
    [Way::Get, Way::Gzip, Way::Masked, Way::MaskedInVain, Way::List, Way::Wait, Way::Race, Way::Delete];
const EFFECTS: [CancelEffect; 4] =
    [CancelEffect::Cancels, CancelEffect::Finishes, CancelEffect::Fails, CancelEffect::Deletes];

/// One operation, and how it is called.
#[derive(Clone, Debug)]
struct Watched {
    number: usize,
    way: Way,
    effect: CancelEffect,
    service: DemoService,
    name: String,
}

impl Watched {
    fn new(number: usize) -> Self {
        let effect = EFFECTS[number / WAYS.len() % EFFECTS.len()];
        // What is gone is in no list, and a wait for it says 404, which does not tell of the operation alone.
        let way = match WAYS[number % WAYS.len()] {
            Way::List | Way::Wait | Way::Delete if effect == CancelEffect::Deletes => Way::Get,
            way => way,
        };
        let service = if number.is_multiple_of(3) { DemoService::Dataproc } else { DemoService::Companion };
        let way = if way == Way::Wait && service == DemoService::Dataproc { Way::Get } else { way };
        let place = if service == DemoService::Dataproc { "regions" } else { "locations" };
        let name = format!("projects/demo/{place}/l{number}/operations/o{number}");
        Self { number, way, effect, service, name }
    }

    fn host(&self) -> &'static str {
        if self.service == DemoService::Dataproc { DATAPROC } else { COMPANION }
    }

    /// Method, target and header by which its end is seen.
    fn look(&self) -> (&'static str, String, Option<(&'static str, &'static str)>) {
        let path = format!("/v1/{}", self.name);
        match self.way {
            Way::Gzip => ("GET", path, Some(("accept-encoding", "gzip"))),
            Way::Masked => ("GET", format!("{path}?fields=done,error,response"), None),
            Way::List => {
                let parent = path.rsplit_once('/').unwrap().0;
                ("GET", format!("{parent}?pageSize=10"), Some(("accept-encoding", "gzip;q=0.5, gzip")))
            }
            Way::Wait => ("POST", format!("{path}:wait"), None),
            _ => ("GET", path, None),
        }
    }
}

async fn call(
    gate: &Gate,
    over_http2: bool,
    host: &str,
    (method, target, header): (&str, String, Option<(&str, &str)>),
) -> Answer {
    let mut request = request(method, host, &target);
    if let Some((name, value)) = header {
        request = request.header(name, value);
    }
    if over_http2 { gate.http2(&request).await } else { gate.http1(&request).await }
}

/// Cancels an operation and polls until its end is seen. Each answer that is final is what the backend says by itself.
async fn cancel_and_poll(gate: &Gate, watched: &Watched) {
    gate.backend.add_operation(watched.service, &watched.name, watched.effect);
    let over_http2 = !watched.number.is_multiple_of(2);
    let call = |what| call(gate, over_http2, watched.host(), what);
    let path = format!("/v1/{}", watched.name);
    let cancel = call(("POST", format!("{path}:cancel"), None));
    let cancelled = if watched.way == Way::Race {
        tokio::join!(cancel, call(("GET", path.clone(), None))).0
    } else {
        cancel.await
    };
    assert_eq!(cancelled.status, 200, "{watched:?}");
    if watched.way == Way::Delete {
        assert_eq!(call(("DELETE", path, None)).await.status, 200, "{watched:?}");
        return;
    }
    for _ in 0..200 {
        if watched.way == Way::MaskedInVain {
            call(("GET", format!("{path}?%24fields=done"), None)).await;
        }
        let answer = call(watched.look()).await;
        let text = match answer.headers.get("content-encoding") {
            Some(_) => inflated(&answer.body),
            None => answer.body.clone(),
        };
        let json: serde_json::Value = serde_json::from_slice(&text).unwrap();
        let one = json.pointer("/operations/0").unwrap_or(&json);
        if one["done"] == true || answer.status == 404 {
            let (method, target, header) = watched.look();
            let mut direct = request(method, watched.host(), &target);
            if let Some((name, value)) = header {
                direct = direct.header(name, value);
            }
            let direct = wire::exchange(gate.backend.address(), &direct.to_http1()).await.unwrap();
            assert_eq!((answer.status, &answer.body), (direct.status, &direct.body), "{watched:?}");
            for name in ["content-type", "content-encoding"] {
                assert_eq!(answer.headers.get(name), direct.headers.get(name), "{watched:?}");
            }
            return;
        }
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    panic!("it does not end: {watched:?}");
}

fn inflated(bytes: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(bytes), &mut content).unwrap();
    content
}

async fn compare(upstream_protocol: Option<&'static str>, count: usize) {
    let gate = Arc::new(Gate::start_with(Setup { upstream_protocol, ..Setup::default() }));
    let all: Vec<Watched> = (0..count).map(Watched::new).collect();
    let at_once = Arc::new(Semaphore::new(AT_ONCE));
    let tasks: Vec<_> = all
        .iter()
        .map(|watched| {
            let (gate, watched, at_once) = (gate.clone(), watched.clone(), at_once.clone());
            tokio::spawn(async move {
                let _permit = at_once.acquire().await.unwrap();
                cancel_and_poll(&gate, &watched).await;
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }

    let own: BTreeMap<String, u64> =
        gate.backend.cancel_ends().into_iter().map(|(end, count)| (end.to_owned(), count as u64)).collect();
    assert_eq!(own.len(), 4, "all ends: {own:?}");
    assert_eq!(own.values().sum::<u64>(), count as u64);
    assert_eq!(outcomes(&gate).await, own);
    assert_eq!(answers(&gate).await, counts(&[("accepted", count as u64)]));
    assert_eq!(pending(&gate).await, 0);

    // Each end has its line, which names the cancel's.
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    let lines = loop {
        let lines = gate.audit(count);
        if lines.iter().filter(|line| is_outcome(line)).count() >= count {
            break lines;
        }
        assert!(std::time::Instant::now() < deadline, "the lines of all ends");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let is_cancel = |line: &&serde_json::Value| {
        line["protoPayload"]["methodName"].as_str().is_some_and(|name| name.ends_with(".CancelOperation"))
    };
    let (ends, cancels): (Vec<_>, Vec<_>) = lines.iter().filter(is_cancel).partition(|line| is_outcome(line));
    let ids: BTreeSet<String> =
        cancels.iter().map(|line| format!("{}-outcome", line["insertId"].as_str().unwrap())).collect();
    let named: BTreeSet<String> =
        ends.iter().map(|line| line["insertId"].as_str().unwrap().to_owned()).collect();
    assert_eq!((ends.len(), named), (count, ids));
    let end = ends[0];
    assert_eq!(end["operation"]["last"], true);
    let payload = &end["protoPayload"];
    assert_eq!(payload["authenticationInfo"]["principalEmail"], "ci@demo.iam.gserviceaccount.com");
    assert_eq!(payload["resourceName"], end["operation"]["id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_counts_are_the_backends_own_over_http1() {
    compare(None, usize::try_from(parameter("OPGATE_CANCELS", 608)).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_counts_are_the_backends_own_over_http2() {
    compare(Some("h2c"), usize::try_from(parameter("OPGATE_CANCELS", 608)).unwrap()).await;
}
