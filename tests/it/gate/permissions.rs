//! Which caller may call which of the five methods, as `policies/` says.

use super::row::{Refusal, explained};
use super::seed::{ANA, BOB, COMPANION_SEED, DATAPROC_SEED, ERIN, SEEDS, STRANGER, Seed, TRANSLATION_SEED};
use crate::harness::front;
use crate::harness::{Answer, Body, Gate, Req, token};

/// In `projects/demo` by a group in a group.
const LEA: &str = "lea@example.com";
/// In `projects/demo` by its folder.
const CI: &str = "ci@demo.iam.gserviceaccount.com";

/// The methods and the permissions that they require. Waiting requires `get`: it returns the same operation.
const VERBS: [(&str, &str); 5] =
    [("list", "list"), ("get", "get"), ("wait", "get"), ("cancel", "cancel"), ("delete", "delete")];

/// Who may do what in `projects/demo` with the services that require a permission.
const GRANTED: [(&str, &[&str]); 6] = [
    (ANA, &["list", "get", "wait", "cancel"]),
    (LEA, &["list", "get", "wait", "cancel"]),
    (BOB, &["list", "get", "wait"]),
    (ERIN, &[]),
    (STRANGER, &[]),
    (CI, &["list", "get", "wait", "cancel", "delete"]),
];

#[tokio::test]
pub async fn each_method_is_open_to_the_callers_in_the_policy_and_no_others() {
    let gate = Gate::start();
    let mut failures = Vec::new();
    let mut rows = 0;
    for seed in SEEDS {
        for (email, granted) in GRANTED {
            for (verb, permission) in VERBS {
                rows += 1;
                let (request, resource) = call(seed, verb, seed.parent, &format!("{}-gone", seed.operation));
                let request = request.bearer(&token(email));
                let may = seed.permissions.is_none() || granted.contains(&verb);
                for version in ["HTTP/1.1", "HTTP/2"] {
                    gate.backend.clear();
                    let answer = match version {
                        "HTTP/2" => gate.http2(&request).await,
                        _ => gate.http1(&request).await,
                    };
                    let uncarried = front::current().and_then(|front| front.cannot_carry(&request, version));
                    let outcome = if let Some(why) = uncarried {
                        let is_refused = answer.status >= 400 && gate.backend.requests().is_empty();
                        if is_refused { Ok(()) } else { Err(format!("{} though {why}", answer.status)) }
                    } else if may {
                        passed(&gate, &request, &answer, status(seed, verb))
                    } else {
                        refused(&gate, &answer, &Refusal::permission(seed, permission, &resource))
                    };
                    if let Err(what) = outcome {
                        failures.push(format!("{email}, {verb} at {}, {version}: {what}", seed.host));
                    }
                }
                if !may && front::current().is_none() {
                    let refusal = Refusal::permission(seed, permission, &resource);
                    if let Err(what) = explained(&gate, &request, &refusal).await.unwrap() {
                        failures.push(format!("{email}, {verb} at {}, explained: {what}", seed.host));
                    }
                }
            }
        }
    }
    eprintln!("permissions: {rows} rows over two versions, {} failures", failures.len());
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[tokio::test]
pub async fn a_permission_holds_in_the_project_that_it_was_granted_in() {
    let gate = Gate::start();
    for seed in [&COMPANION_SEED, &DATAPROC_SEED] {
        let elsewhere = seed.call("POST", &format!("{}:cancel", seed.elsewhere));
        for (email, request, resource) in
            [(ERIN, seed.cancel(), seed.operation), (ANA, elsewhere.clone(), seed.elsewhere)]
        {
            let request = request.bearer(&token(email));
            for answer in gate.over_both(&request).await {
                let refusal = Refusal::permission(seed, "cancel", resource);
                refused(&gate, &answer, &refusal).unwrap_or_else(|what| panic!("{email}: {what}"));
            }
        }
        // With its length: some proxies do not carry a request over HTTP/2 without one.
        let request = elsewhere.bearer(&token(ERIN)).body(Body::Length(Vec::new()));
        for answer in gate.over_both(&request).await {
            assert_eq!(answer.status, 200);
        }
        assert_eq!(gate.backend.requests().len(), 2);
        gate.backend.clear();
    }
}

#[tokio::test]
pub async fn a_delete_that_is_allowed_deletes() {
    let gate = Gate::start();
    let seed = &COMPANION_SEED;
    let get = seed.call("GET", seed.operation).bearer(&token(CI));
    assert_eq!(gate.http1(&get).await.json().unwrap()["name"], seed.operation);
    let answer = gate.http2(&seed.call("DELETE", seed.operation).bearer(&token(CI))).await;
    assert_eq!((answer.status, answer.body.as_slice()), (200, &b"{}"[..]));
    assert_eq!(gate.http1(&get).await.status, 404);
}

/// The request for a method, and the resource that IAM checks. The deleted operation does not exist, so that every row
/// finds the same operations.
fn call(seed: &Seed, verb: &str, parent: &str, gone: &str) -> (Req, String) {
    let operation = seed.operation;
    let post = |verb| seed.call("POST", &format!("{operation}:{verb}"));
    match verb {
        "list" => {
            // Dataproc's published rule puts the collection into the name; the others do not.
            let inside = seed.name == DATAPROC_SEED.name;
            let resource = if inside { format!("{parent}/operations") } else { parent.to_owned() };
            (seed.call("GET", &format!("{parent}/operations")), resource)
        }
        "get" => (seed.call("GET", operation), operation.to_owned()),
        "delete" => (seed.call("DELETE", gone), gone.to_owned()),
        "wait" => (post("wait").body(Body::Length(br#"{"timeout":"0s"}"#.to_vec())), operation.to_owned()),
        _ => (post("cancel"), operation.to_owned()),
    }
}

/// What the backend answers.
fn status(seed: &Seed, verb: &str) -> u16 {
    match verb {
        "delete" if seed.name == TRANSLATION_SEED.name => 501,
        "delete" => 404,
        "wait" if seed.name == DATAPROC_SEED.name => 501,
        _ => 200,
    }
}

fn passed(gate: &Gate, request: &Req, answer: &Answer, status: u16) -> Result<(), String> {
    let seen = gate.backend.requests();
    let seen: Vec<_> = seen.iter().map(|seen| (seen.method.as_str(), seen.target.as_str())).collect();
    if seen != [(request.method.as_str(), request.target.as_str())] {
        return Err(format!("the backend saw {seen:?}, the answer was {}", answer.status));
    }
    if answer.status != status {
        return Err(format!("status {}, expected {status}", answer.status));
    }
    Ok(())
}

fn refused(gate: &Gate, answer: &Answer, refusal: &Refusal) -> Result<(), String> {
    let seen = gate.backend.requests();
    if !seen.is_empty() {
        return Err(format!("the backend saw {seen:?}"));
    }
    refusal.compare(answer)
}
