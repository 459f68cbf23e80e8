//! A policy tree that is tried beside the one in force: it is asked, counted and logged, and never decides.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{Body, CANCEL, COMPANION, DATAPROC, Gate, Req, Setup, TRAIN, Tree, copy, root, token};

const JOB: &str = "/v1/projects/demo/regions/r/operations/o";
/// Takes the right to cancel away from the group that has it, and gives it to Bob.
const NEXT_GRANT: (&str, &str, &str) =
    ("allow/projects/demo.yaml", "  - group:oncall@example.com\n", "  - user:bob@example.com\n");

fn by(who: &str, method: &str, host: &str, target: &str) -> Req {
    Req::new(method, host, target).bearer(&token(&format!("{who}@example.com")))
}

fn cancel(who: &str) -> Req {
    by(who, "POST", COMPANION, CANCEL)
}

/// A shipped tree in which the right to cancel has gone from Ana to Bob.
fn next() -> Tree {
    let tree = Tree::shipped();
    tree.edit(NEXT_GRANT.0, NEXT_GRANT.1, NEXT_GRANT.2);
    tree
}

fn beside(tree: &Tree) -> String {
    format!("policy.shadow={}", tree.path().display())
}

fn start(set: Vec<String>) -> Gate {
    Gate::start_with(Setup { set, ..Setup::default() })
}

impl Gate {
    /// Waits until the log has a text so often.
    async fn until_logged(&self, text: &str, times: usize) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while self.log().matches(text).count() < times {
            assert!(Instant::now() < deadline, "{text}:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until a shadow is asked.
    async fn until_shadowed(&self) {
        self.until_logged("shadow policy loaded", 1).await;
    }

    /// What both policies said so far: allowed by both, refused by the shadow alone, by the policy in force alone, by both.
    async fn counted(&self) -> [u64; 4] {
        let mut counts = [0; 4];
        let cases =
            [("allowed", "allowed"), ("allowed", "denied"), ("denied", "allowed"), ("denied", "denied")];
        for (count, (in_force, shadow)) in counts.iter_mut().zip(cases) {
            let series =
                format!("opgate_shadow_decisions_total{{in_force=\"{in_force}\",shadow=\"{shadow}\"}}");
            *count = self.metric(&series).await;
        }
        counts
    }

    async fn failed_shadow(&self) -> Option<String> {
        let state = self.admin("/readyz").await.json().unwrap();
        state["failedParts"]["shadow"].as_str().map(str::to_owned)
    }

    async fn until_shadow_is(&self, failed: bool) -> String {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let state = self.failed_shadow().await;
            if state.is_some() == failed {
                return state.unwrap_or_default();
            }
            assert!(Instant::now() < deadline, "{state:?}\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

fn metadata(line: &Value) -> &Value {
    &line["protoPayload"]["metadata"]
}

#[tokio::test]
async fn where_a_shadow_says_otherwise_metric_and_audit_line_say_so_and_the_answer_stays() {
    let (shadow, gate) = {
        let shadow = next();
        let gate = start(vec![beside(&shadow)]);
        (shadow, gate)
    };
    for series in ["allowed", "denied"].map(|verdict| format!("in_force=\"{verdict}\",shadow=\"denied\"}} 0"))
    {
        assert!(gate.metrics().await.contains(&series), "{series}");
    }
    gate.until_shadowed().await;
    assert_eq!(gate.http1(&cancel("ana")).await.status, 200);
    assert_eq!(gate.http2(&cancel("ana")).await.status, 200);
    assert_eq!(gate.http1(&cancel("bob")).await.status, 403);
    // Both allow it; both refuse it; no policy is asked.
    assert_eq!(gate.http1(&by("bob", "GET", COMPANION, TRAIN)).await.status, 200);
    assert_eq!(gate.http1(&cancel("eve")).await.status, 403);
    assert_eq!(gate.http1(&Req::new("POST", COMPANION, CANCEL)).await.status, 401);
    assert_eq!(gate.http1(&by("ana", "GET", COMPANION, "/v1/nowhere")).await.status, 404);

    let lines = gate.audit(7);
    let shadows: Vec<&Value> = lines.iter().map(|line| &metadata(line)["shadow"]).collect();
    for line in [0, 1] {
        assert_eq!(metadata(&lines[line])["decision"], "ALLOWED");
        assert_eq!(shadows[line]["decision"], "DENIED");
        assert_eq!(shadows[line]["reason"], "IAM_PERMISSION_DENIED");
        assert!(shadows[line]["detail"].as_str().unwrap().contains("no binding on"), "{}", shadows[line]);
        assert!(shadows[line]["rule"].is_null());
    }
    assert_eq!(metadata(&lines[2])["decision"], "DENIED");
    assert_eq!(shadows[2]["decision"], "ALLOWED");
    let place = shadows[2]["rule"]["place"].as_str().unwrap();
    assert!(place.starts_with(shadow.path().to_str().unwrap()), "{place}");
    assert!(shadows[2]["rule"]["role"].is_string(), "{}", shadows[2]);
    assert_ne!(shadows[2]["policyRevision"], metadata(&lines[2])["policyRevision"]);
    assert!(shadows[3..].iter().all(|shadow| shadow.is_null()), "{shadows:?}");
    assert_eq!(gate.counted().await, [1, 2, 1, 1]);
}

/// A body that is refused after the permission was granted, and a method that is not implemented, are allowed by policy.
#[tokio::test]
async fn a_shadow_is_compared_with_what_policy_said_and_not_with_what_came_of_the_request() {
    let shadow = next();
    let gate = start(vec![beside(&shadow)]);
    gate.until_shadowed().await;
    let refused = cancel("ana").body(Body::Length(b"x".to_vec()));
    assert_eq!(gate.http1(&refused).await.status, 400);
    assert_eq!(metadata(&gate.audit(1)[0])["shadow"]["decision"], "DENIED");
    assert_eq!(gate.counted().await, [0, 1, 0, 0]);
}

#[tokio::test]
async fn without_a_shadow_there_is_no_series_and_no_field() {
    let gate = Gate::start();
    assert_eq!(gate.http1(&cancel("ana")).await.status, 200);
    assert!(metadata(&gate.audit(1)[0])["shadow"].is_null());
    assert!(!gate.metrics().await.contains("opgate_shadow_decisions_total{"));
}

#[tokio::test]
async fn a_service_has_a_shadow_of_its_own_or_none() {
    let (all, own) = (next(), Tree::shipped());
    // Neither Bob nor any other caller may read operations of dataproc.
    own.edit("roles/operations-viewer.yaml", "- dataproc.operations.get\n", "");
    let gate = start(vec![
        beside(&all),
        format!("services.dataproc.shadow={}", own.path().display()),
        "services.translation.shadow=false".to_owned(),
    ]);
    gate.until_logged("shadow policy loaded", 2).await;
    let revisions = [cancel("ana"), by("bob", "GET", DATAPROC, JOB)];
    for request in &revisions {
        gate.http1(request).await;
    }
    gate.http1(&by("bob", "GET", crate::harness::TRANSLATION, "/v3/projects/demo/locations/l/operations/o"))
        .await;
    let lines = gate.audit(3);
    let revision = |line: usize| metadata(&lines[line])["shadow"]["policyRevision"].as_str();
    assert!(revision(0).is_some() && revision(1).is_some() && revision(0) != revision(1), "{lines:#?}");
    assert_eq!(metadata(&lines[2])["shadow"], Value::Null);
    assert_eq!(gate.counted().await, [0, 2, 0, 0]);
}

#[tokio::test]
async fn a_changed_shadow_is_asked_a_moment_later() {
    let shadow = Tree::shipped();
    let gate = start(vec![beside(&shadow)]);
    gate.until_shadowed().await;
    gate.http1(&cancel("ana")).await;
    assert_eq!(gate.counted().await, [1, 0, 0, 0]);
    shadow.edit(NEXT_GRANT.0, NEXT_GRANT.1, NEXT_GRANT.2);
    gate.until_logged("shadow policy loaded", 2).await;
    gate.http1(&cancel("ana")).await;
    assert_eq!(gate.counted().await, [1, 1, 0, 0]);
    assert!(gate.metric("opgate_reload_lag_seconds_count{part=\"shadow\"}").await >= 1);
    assert_eq!(gate.metric("opgate_reloads_total{outcome=\"failure\",part=\"shadow\"}").await, 0);
}

/// A gate whose configuration can be edited, in a directory of its own.
struct Editable {
    directory: tempfile::TempDir,
    gate: Gate,
}

impl Editable {
    /// `policies` in force; `next` is laid out beside it.
    fn start(shadow: &str, lay_out: impl FnOnce(&Path)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        for name in ["policies", "next"] {
            copy(&root().join("policies"), &directory.path().join(name));
        }
        lay_out(&directory.path().join("next"));
        let text = std::fs::read_to_string(root().join("config/demo.yaml")).unwrap();
        let config = directory.path().join("opgate.yaml");
        std::fs::write(&config, text.replace("../policies\n", &format!("policies\n{shadow}"))).unwrap();
        let gate = Gate::start_with(Setup { config: Some(config), ..Setup::default() });
        Self { directory, gate }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Replaces a file in one step.
    fn replace(&self, name: &str, from: &str, to: &str) {
        let text = std::fs::read_to_string(self.path(name)).unwrap();
        assert!(text.contains(from), "{text}");
        std::fs::write(self.path("written"), text.replacen(from, to, 1)).unwrap();
        std::fs::rename(self.path("written"), self.path(name)).unwrap();
    }
}

const SHADOW: &str = "  shadow: next\n";

#[tokio::test]
async fn a_broken_shadow_holds_nothing_back_and_is_told_and_tried_again() {
    let broken = "allow/projects/broken.yaml";
    let edited =
        Editable::start(SHADOW, |next| std::fs::write(next.join(broken), "bindings: [{}]\n").unwrap());
    let gate = &edited.gate;
    // It starts all the same.
    let why = gate.until_shadow_is(true).await;
    assert!(why.contains("next") && why.contains("broken.yaml:1:"), "{why}");
    assert_eq!(gate.metric("opgate_reload_last_successful{part=\"shadow\"}").await, 0);
    assert_eq!(gate.metric("opgate_reload_last_successful{part=\"policy\"}").await, 1);
    assert_eq!(gate.admin("/readyz").await.status, 200);
    assert_eq!(gate.http1(&cancel("ana")).await.status, 200);
    assert_eq!(gate.counted().await, [0; 4], "a shadow that was never good is not asked");
    let state = gate.admin("/readyz").await.json().unwrap();
    let asked: Vec<&Value> = state["shadows"].as_object().unwrap().values().collect();
    assert_eq!(asked, [&Value::Null], "{state}");
    // A change of the policy in force is not delayed.
    edited.replace("policies/groups.yaml", "user:ana@example.com", "user:bob@example.com");
    let deadline = Instant::now() + Duration::from_secs(30);
    while gate.http1(&cancel("ana")).await.status != 403 {
        assert!(Instant::now() < deadline, "{}", gate.log());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }

    std::fs::remove_file(edited.path("next").join(broken)).unwrap();
    gate.until_shadow_is(false).await;
    gate.http1(&cancel("ana")).await;
    assert_eq!(gate.counted().await, [0, 0, 1, 0]);
    let asked = gate.admin("/readyz").await.json().unwrap()["shadows"].clone();
    let asked: Vec<&Value> = asked.as_object().unwrap().values().collect();
    assert!(asked.len() == 1 && asked[0].is_string(), "{asked:?}");
    // What was good is asked on while it cannot be loaded, even where it is away.
    std::fs::rename(edited.path("next"), edited.path("away")).unwrap();
    gate.until_shadow_is(true).await;
    gate.http1(&cancel("ana")).await;
    assert_eq!(gate.counted().await, [0, 0, 2, 0]);
    std::fs::rename(edited.path("away"), edited.path("next")).unwrap();
    gate.until_shadow_is(false).await;
    assert_eq!(gate.metric("opgate_reload_last_successful{part=\"shadow\"}").await, 1);
}

#[tokio::test]
async fn a_shadow_is_set_changed_and_removed_without_a_restart() {
    let edited = Editable::start("", |_| {});
    let gate = &edited.gate;
    edited.replace("next/groups.yaml", "user:ana@example.com", "user:bob@example.com");
    edited.replace("opgate.yaml", "  directory: policies\n", "  directory: policies\n  shadow: next\n");
    gate.until_shadowed().await;
    gate.http1(&cancel("ana")).await;
    assert_eq!(gate.counted().await, [0, 1, 0, 0]);
    // A mistake in the key keeps what was set, and holds nothing else back.
    edited.replace("opgate.yaml", SHADOW, "  shadow: [next]\n");
    let why = gate.until_shadow_is(true).await;
    assert!(why.contains("expected a string"), "{why}");
    let failed = gate.admin("/readyz").await.json().unwrap()["failedParts"].clone();
    assert_eq!(failed.as_object().unwrap().len(), 1, "{failed}");
    gate.http1(&cancel("ana")).await;
    assert_eq!(gate.counted().await, [0, 2, 0, 0]);
    edited.replace("opgate.yaml", "  shadow: [next]\n", "");
    gate.until_shadow_is(false).await;
    gate.http1(&cancel("ana")).await;
    assert!(metadata(&gate.audit(3)[2])["shadow"].is_null());
    assert!(!gate.metrics().await.contains("opgate_shadow_decisions_total{"));
}

/// Many requests, of which each policy allows some others, with and without a shadow: the answers are the same.
#[tokio::test]
async fn a_shadow_changes_no_answer() {
    let trees = [Tree::shipped(), next(), Tree::shipped()];
    trees[2].write(
        "deny/projects/demo/no-one.yaml",
        "rules:\n- denyRule:\n    deniedPrincipals: ['principalSet://goog/public:all']\n    deniedPermissions: \
         [cloudaicompanion.googleapis.com/operations.cancel]\n",
    );
    let requests: Vec<Req> = ["ana", "bob", "lea", "eve"]
        .into_iter()
        .flat_map(|who| [cancel(who), by(who, "GET", COMPANION, TRAIN), by(who, "GET", DATAPROC, JOB)])
        .collect();
    // The id of the request, and when the backend was started.
    let of_the_moment = regex::Regex::new(r"[0-9a-f]{32}|\d{4}-\d\d-\d\dT[\d:.]+Z").unwrap();
    let answers = async |gate: &Gate| {
        let mut answers = Vec::new();
        for request in &requests {
            let answer = gate.http1(request).await;
            let body = String::from_utf8(answer.body).unwrap();
            answers.push((answer.status, of_the_moment.replace_all(&body, "").into_owned()));
        }
        answers
    };
    let mut alone = Vec::new();
    for tree in &trees {
        alone.push(answers(&start(vec![tree.setting()])).await);
    }
    for (live, expected) in trees.iter().zip(&alone) {
        for (shadow, would) in trees.iter().zip(&alone) {
            let gate = start(vec![live.setting(), beside(shadow)]);
            gate.until_shadowed().await;
            assert_eq!(answers(&gate).await, *expected);
            // What the shadow says is what the gate answers that has its tree in force.
            for ((line, (is, _)), (would, _)) in gate.audit(requests.len()).iter().zip(expected).zip(would) {
                let shadow = metadata(line)["shadow"]["decision"].as_str();
                let differs = (*is == 403) != (*would == 403);
                assert_eq!(shadow.is_some(), differs, "{line:#}");
                assert!(shadow.is_none_or(|says| (says == "DENIED") == (*would == 403)), "{line:#}");
            }
        }
    }
}
