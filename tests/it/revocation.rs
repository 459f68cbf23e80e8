//! The time that a revocation takes, whatever else goes wrong: from the changed file to the last request that the old
//! policy allows.
//!
//! `--nocapture` prints the figures. `make revocation` takes them from an optimized build, with larger trees.

mod parts;

use std::fmt::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{CANCEL, COMPANION, Gate, Req, Setup, copy, root, token};

/// A gate with a copy of the shipped policies.
struct Revocable {
    directory: tempfile::TempDir,
    gate: Gate,
}

impl Revocable {
    fn start(lay_out: impl FnOnce(&Path), set: Vec<String>) -> Self {
        Self::start_with(lay_out, Setup { set, ..Setup::default() })
    }

    fn start_with(lay_out: impl FnOnce(&Path), mut setup: Setup) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let policies = directory.path().join("policies");
        copy(&root().join("policies"), &policies);
        lay_out(&policies);
        setup.set.push(format!("policy.directory={}", policies.display()));
        Self { directory, gate: Gate::start_with(setup) }
    }

    fn policies(&self) -> PathBuf {
        self.directory.path().join("policies")
    }

    async fn status(&self) -> u16 {
        self.gate.http1(&Req::new("POST", COMPANION, CANCEL).bearer(&token("ana@example.com"))).await.status
    }

    /// Takes Ana out of the group that may cancel, in one step.
    fn revoke(&self) {
        let groups = self.policies().join("groups.yaml");
        let text = std::fs::read_to_string(&groups).unwrap();
        assert!(text.contains("user:ana@example.com"));
        let next = self.directory.path().join("next");
        std::fs::write(&next, text.replace("user:ana@example.com", "user:bob@example.com")).unwrap();
        std::fs::rename(next, groups).unwrap();
    }

    /// The time from the change to the last request that is allowed.
    async fn time_to_revoke(&self) -> Duration {
        assert_eq!(self.status().await, 200, "{}", self.gate.log());
        let changed = Instant::now();
        self.revoke();
        let mut last_allowed = changed;
        loop {
            let sent = Instant::now();
            match self.status().await {
                200 => last_allowed = sent,
                403 => return last_allowed - changed,
                other => panic!("{other}\n{}", self.gate.log()),
            }
            assert!(changed.elapsed() < Duration::from_secs(60), "{}", self.gate.log());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// The sum and the count of the metric for a part, once it has a value. A reading that began before the change may
    /// put it in force, while the reading that the change caused ends later.
    async fn lag(&self, part: &str) -> (f64, f64) {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let metrics = self.gate.metrics().await;
            let value = |kind: &str| -> f64 {
                let name = format!("opgate_reload_lag_seconds_{kind}{{part=\"{part}\"}} ");
                metrics.lines().find_map(|line| line.strip_prefix(&name)).unwrap().parse().unwrap()
            };
            if value("count") >= 1.0 {
                return (value("sum"), value("count"));
            }
            assert!(Instant::now() < deadline, "{}", self.gate.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn size(name: &str, small: usize) -> usize {
    std::env::var(name).map_or(small, |size| size.parse().unwrap())
}

fn nothing(_: &Path) {}

fn many_bindings(policies: &Path) {
    let mut text = String::from("bindings:\n");
    for number in 0..size("OPGATE_REVOCATION_BINDINGS", 2_000) {
        writeln!(
            text,
            "- {{role: organizations/7/roles/operationsViewer, members: ['user:u{number}@example.com']}}"
        )
        .unwrap();
    }
    let locations = policies.join("allow/projects/demo/locations");
    std::fs::create_dir_all(&locations).unwrap();
    std::fs::write(locations.join("large.yaml"), text).unwrap();
}

fn many_files(policies: &Path) {
    let locations = policies.join("allow/projects/demo/locations");
    std::fs::create_dir_all(&locations).unwrap();
    for number in 0..size("OPGATE_REVOCATION_FILES", 500) {
        let text =
            "bindings: [{role: organizations/7/roles/operationsViewer, members: ['user:bob@example.com']}]\n";
        std::fs::write(locations.join(format!("l{number}.yaml")), text).unwrap();
    }
}

fn stray_file(policies: &Path) {
    std::fs::write(policies.join("allow/projects/demo.yaml~"), "half").unwrap();
}

fn pipe(policies: &Path) {
    let pipe = policies.join("allow/projects/z.yaml");
    assert!(Command::new("mkfifo").arg(pipe).status().unwrap().success());
}

/// Settings of an issuer whose key server accepts and never answers.
fn hanging_issuer(listener: &TcpListener) -> Vec<String> {
    let url = format!("http://{}/jwks.json", listener.local_addr().unwrap());
    let issuer = json!({
        "issuer": "https://hangs.example", "audiences": ["https://opgate.example"],
        "email_domains": ["hangs.example"], "keys": { "url": url },
    });
    vec![format!("issuers.hangs={issuer}"), "issuers.demo.email_domains=[example.com]".to_owned()]
}

async fn keep_explaining(gate: &Gate) {
    let question = json!({
        "principal": "user:ana@example.com", "scopes": vec!["a"; 200], "all": true,
        "request": { "method": "POST", "path": CANCEL, "host": COMPANION },
    });
    loop {
        gate.explain(&question).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_is_in_force_soon_whatever_else_goes_wrong() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let dead_name = vec!["upstreams.dead.endpoints=['dead.invalid:80']".to_owned()];
    type LayOut = fn(&Path);
    let rows: [(&str, LayOut, Vec<String>); 7] = [
        ("idle", nothing, Vec::new()),
        ("an upstream name that is dead", nothing, dead_name),
        ("a stray file", stray_file, Vec::new()),
        ("a pipe in the tree", pipe, Vec::new()),
        ("/explain busy", nothing, Vec::new()),
        ("many bindings", many_bindings, Vec::new()),
        ("many files", many_files, Vec::new()),
    ];
    println!("{:<32} {:>12} {:>12}", "while", "by hand", "by metric");
    let tell = |name: &str, by_hand: Duration, (sum, count): (f64, f64)| {
        println!("{name:<32} {:>10} ms {:>10.0} ms", by_hand.as_millis(), sum / count * 1000.0);
    };
    for (name, lay_out, set) in rows {
        let gate = Revocable::start(lay_out, set);
        let taken = tokio::select! {
            taken = gate.time_to_revoke() => taken,
            () = async {
                match name {
                    "/explain busy" => {
                        tokio::join!(keep_explaining(&gate.gate), keep_explaining(&gate.gate));
                    }
                    _ => std::future::pending().await,
                }
            } => unreachable!("it goes on for ever"),
        };
        tell(name, taken, gate.lag("policy").await);
        let log = gate.gate.log();
        assert!(!log.contains("looking at the files more often"), "the kernel reports changes here: {log}");
    }
    // Its readiness waits for the keys. Nothing else does.
    let gate = Revocable::start_unready(hanging_issuer(&listener));
    let taken = gate.time_to_revoke().await;
    tell("an issuer that hangs", taken, gate.lag("policy").await);
}

impl Revocable {
    fn start_unready(set: Vec<String>) -> Self {
        let begun = Instant::now();
        let revocable = Self::start_with(nothing, Setup { set, unready: true, ..Setup::default() });
        eprintln!("serves after {} ms, with an issuer that hangs", begun.elapsed().as_millis());
        revocable
    }
}

#[tokio::test]
async fn a_pipe_in_the_tree_delays_neither_a_reload_nor_the_end() {
    let mut gate = Revocable::start(nothing, vec!["limits.grace_period=2s".to_owned()]);
    pipe(&gate.policies());
    gate.time_to_revoke().await;
    assert!(gate.gate.log().contains("it is not a regular file"), "{}", gate.gate.log());
    gate.gate.ask_to_end();
    gate.gate.ended().await;
}

#[tokio::test]
async fn symlink_loops_are_an_error_and_cost_nothing() {
    let gate = Revocable::start(nothing, Vec::new());
    for name in ["a", "b"] {
        std::os::unix::fs::symlink(".", gate.policies().join("allow").join(name)).unwrap();
    }
    std::os::unix::fs::symlink("/dev/zero", gate.policies().join("allow/projects/zero.yaml")).unwrap();
    let failed = gate.until_failed("policy").await;
    assert!(failed.contains("the directory is in the tree twice"), "{failed}");
    for name in ["a", "b"] {
        std::fs::remove_file(gate.policies().join("allow").join(name)).unwrap();
    }
    gate.time_to_revoke().await;
}

/// `rsync -t` and `tar` give files the modification time that they have elsewhere.
#[tokio::test]
async fn a_file_with_the_same_length_and_modification_time_is_seen() {
    let gate = Revocable::start(nothing, Vec::new());
    let groups = gate.policies().join("groups.yaml");
    let modified = std::fs::metadata(&groups).unwrap().modified().unwrap();
    let text = std::fs::read_to_string(&groups).unwrap();
    let next = gate.directory.path().join("next");
    std::fs::write(&next, text.replace("user:ana@example.com", "user:bob@example.com")).unwrap();
    std::fs::File::options().write(true).open(&next).unwrap().set_modified(modified).unwrap();
    assert_eq!(gate.status().await, 200);
    std::fs::rename(next, &groups).unwrap();
    gate.until_status(403).await;
}
