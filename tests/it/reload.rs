//! Policy files that change under a running process: replaced as a whole, or not at all.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use opgate::dev::wire;
use serde_json::Value;

use crate::harness::{Answer, CANCEL, COMPANION, Gate, Req, Setup, copy, reason, root, token};

/// A gate with a copy of the shipped policies.
struct Tree {
    directory: tempfile::TempDir,
    gate: Gate,
}

impl Tree {
    fn start() -> Self {
        Self::start_at(|directory| {
            copy(&root().join("policies"), &directory.join("policies"));
            directory.join("policies")
        })
    }

    fn start_at(lay_out: impl FnOnce(&Path) -> PathBuf) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let policies = lay_out(directory.path());
        let set = vec![format!("policy.directory={}", policies.display())];
        let gate = Gate::start_with(Setup { set, ..Setup::default() });
        Self { directory, gate }
    }

    fn path(&self, relative: &str) -> PathBuf {
        self.directory.path().join(relative)
    }

    fn edit(&self, relative: &str, from: &str, to: &str) {
        let path = self.path(relative);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{relative} has no {from:?}");
        // In one step: the gate may look at any moment, and half a file is a different policy.
        let next = self.path("next");
        std::fs::write(&next, text.replace(from, to)).unwrap();
        std::fs::rename(next, path).unwrap();
    }

    async fn readyz(&self) -> Value {
        wire::fetch(self.gate.admin, "/readyz").await.unwrap().json().unwrap()
    }

    async fn revision(&self) -> String {
        self.readyz().await["policyRevision"].as_str().unwrap().to_owned()
    }

    /// Waits until the answer of `/readyz` passes a test.
    async fn until(&self, what: &str, passes: impl Fn(&Value) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let state = self.readyz().await;
            if passes(&state) {
                return;
            }
            assert!(Instant::now() < deadline, "{what}: {state}\n{}", self.gate.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn until_revision_is_not(&self, old: &str) {
        self.until("another revision", |state| state["policyRevision"] != *old).await;
    }

    async fn cancel_as(&self, email: &str) -> Answer {
        self.gate.http1(&Req::new("POST", COMPANION, CANCEL).bearer(&token(email))).await
    }
}

#[tokio::test]
async fn a_changed_file_is_in_force_without_a_signal_or_a_restart() {
    let tree = Tree::start();
    assert_eq!(reason(&tree.cancel_as("bob@example.com").await), "IAM_PERMISSION_DENIED");
    let before = tree.revision().await;
    tree.edit("policies/groups.yaml", "user:ana@example.com", "user:bob@example.com");
    tree.until_revision_is_not(&before).await;
    assert_eq!(tree.cancel_as("bob@example.com").await.status, 200);
    assert_eq!(reason(&tree.cancel_as("ana@example.com").await), "IAM_PERMISSION_DENIED");
    // Each decision names the revision of its tree.
    let lines = tree.gate.audit(3);
    let revisions: Vec<&Value> =
        lines.iter().map(|line| &line["protoPayload"]["metadata"]["policyRevision"]).collect();
    assert_eq!(revisions[0], &before);
    assert_ne!(revisions[1], &before);
    assert_eq!(revisions[1], revisions[2]);
}

#[tokio::test]
async fn a_broken_tree_keeps_the_old_one_in_force_and_says_so() {
    let tree = Tree::start();
    let before = tree.revision().await;
    tree.edit("policies/allow/projects/demo.yaml", "role: ", "roel: ");
    tree.until("a refused reload", |state| state["lastReloadFailure"].is_string()).await;
    assert_eq!(tree.revision().await, before);
    assert_eq!(tree.cancel_as("ana@example.com").await.status, 200);
    let state = tree.readyz().await;
    assert_eq!(state["ready"], true);
    let why = state["lastReloadFailure"].as_str().unwrap();
    assert!(why.contains("did you mean `role`?") && why.contains("allow/projects/demo.yaml:"), "{why}");
    assert!(tree.gate.metrics().await.contains("opgate_policy_last_reload_successful 0"));
    assert!(tree.gate.log().contains("did you mean `role`?"), "{}", tree.gate.log());

    tree.edit("policies/allow/projects/demo.yaml", "roel: ", "role: ");
    tree.until("the fixed tree", |state| state["lastReloadFailure"].is_null()).await;
    assert!(tree.gate.metrics().await.contains("opgate_policy_last_reload_successful 1"));
}

#[tokio::test]
async fn sighup_loads_at_once() {
    let tree = Tree::start();
    let before = tree.revision().await;
    tree.edit("policies/groups.yaml", "user:ana@example.com", "user:bob@example.com");
    tree.gate.hang_up();
    tree.until_revision_is_not(&before).await;
    assert_eq!(tree.cancel_as("bob@example.com").await.status, 200);
}

/// As the kubelet updates a ConfigMap: `policies` → `..data/…`, `..data` → a dated folder, replaced by a rename.
#[tokio::test]
async fn a_config_map_is_followed_through_its_symlinks() {
    let tree = Tree::start_at(|directory| {
        copy(&root().join("policies"), &directory.join("first"));
        std::os::unix::fs::symlink("first", directory.join("data")).unwrap();
        directory.join("data")
    });
    let before = tree.revision().await;
    copy(&tree.path("first"), &tree.path("second"));
    tree.edit("second/groups.yaml", "user:ana@example.com", "user:bob@example.com");
    std::os::unix::fs::symlink("second", tree.path("next")).unwrap();
    std::fs::rename(tree.path("next"), tree.path("data")).unwrap();
    tree.until_revision_is_not(&before).await;
    assert_eq!(tree.cancel_as("bob@example.com").await.status, 200);
}

/// Trees are swapped under load; in each of them, exactly one of two callers may cancel. `OPGATE_SOAK` sets the number
/// of seconds; `make soak` sets a minute.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_every_100_ms_under_load_loses_and_mixes_nothing() {
    let seconds = std::env::var("OPGATE_SOAK").map_or(3, |seconds| seconds.parse().unwrap());
    let tree = Tree::start();
    let ana = Req::new("POST", COMPANION, CANCEL).bearer(&token("ana@example.com"));
    let bob = Req::new("POST", COMPANION, CANCEL).bearer(&token("bob@example.com"));
    let first = tree.revision().await;
    let until = Instant::now() + Duration::from_secs(seconds);

    let http1 = async |request: &Req| {
        let mut statuses = Vec::new();
        while Instant::now() < until {
            statuses.push(tree.gate.http1(request).await.status);
        }
        statuses
    };
    let http2 = async |request: &Req| {
        let mut client = tree.gate.http2_client().await;
        let mut statuses = Vec::new();
        while Instant::now() < until {
            let (response, _) = client.start(request, true).await;
            statuses.push(client.finish(response).await.status);
        }
        statuses
    };
    let reload = async {
        let mut reloads = 0;
        while Instant::now() < until {
            match reloads % 4 {
                0 => tree.edit("policies/groups.yaml", "user:ana@", "user:bob@"),
                2 => tree.edit("policies/groups.yaml", "user:bob@", "user:ana@"),
                // The tree that is broken for 100 ms is never in force.
                1 => std::fs::write(tree.path("policies/allow/projects/broken.yaml"), "bindings: [{}]\n")
                    .unwrap(),
                _ => std::fs::remove_file(tree.path("policies/allow/projects/broken.yaml")).unwrap(),
            }
            tree.gate.hang_up();
            reloads += 1;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        reloads
    };
    let (one, two, three, four, reloads) =
        tokio::join!(http1(&ana), http1(&bob), http2(&ana), http2(&bob), reload);
    let statuses = [one, two, three, four].concat();
    let wrong: Vec<u16> = statuses.iter().copied().filter(|status| !matches!(status, 200 | 403)).collect();
    assert!(wrong.is_empty(), "{wrong:?}");

    let mut revisions = std::collections::BTreeMap::new();
    for line in tree.gate.audit(statuses.len()) {
        let payload = &line["protoPayload"];
        let by_ana = payload["authenticationInfo"]["principalEmail"] == "ana@example.com";
        let allowed = payload["metadata"]["decision"] == "ALLOWED";
        let revision = payload["metadata"]["policyRevision"].as_str().unwrap().to_owned();
        assert_eq!(allowed, by_ana == (revision == first), "{line}");
        *revisions.entry(revision).or_insert(0) += 1;
    }
    println!("{} requests over {reloads} reloads: {revisions:?}", statuses.len());
    assert_eq!(revisions.len(), 2, "{revisions:?}");
}

#[tokio::test]
async fn no_request_fails_or_mixes_two_trees_while_they_are_swapped() {
    let tree = Tree::start();
    let ana = Req::new("POST", COMPANION, CANCEL).bearer(&token("ana@example.com"));
    let bob = Req::new("POST", COMPANION, CANCEL).bearer(&token("bob@example.com"));
    let mut revisions = vec![tree.revision().await];
    let mut sent = 0;
    for round in 0..6 {
        let (from, to) = if round % 2 == 0 { ("ana", "bob") } else { ("bob", "ana") };
        tree.edit("policies/groups.yaml", &format!("user:{from}@"), &format!("user:{to}@"));
        tree.gate.hang_up();
        for _ in 0..10 {
            for request in [&ana, &bob] {
                let status = tree.gate.http1(request).await.status;
                assert!(matches!(status, 200 | 403), "{status}");
                sent += 1;
            }
        }
        tree.until_revision_is_not(revisions.last().unwrap()).await;
        revisions.push(tree.revision().await);
    }
    // In the tree of a line's revision exactly one of the two may cancel, and the line must agree with that tree.
    for line in tree.gate.audit(sent) {
        let payload = &line["protoPayload"];
        let by_ana = payload["authenticationInfo"]["principalEmail"] == "ana@example.com";
        let allowed = payload["metadata"]["decision"] == "ALLOWED";
        let revision = payload["metadata"]["policyRevision"].as_str().unwrap();
        let ana_may = revision == revisions[0];
        assert!(revisions.iter().any(|known| known == revision), "{revision}");
        assert_eq!(allowed, by_ana == ana_may, "{line}");
    }
}
