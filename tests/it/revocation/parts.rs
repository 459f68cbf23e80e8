//! Each part is loaded if it is good by itself: a mistake in another part delays no revocation.

use opgate::dev::mint::Mint;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Revocable, nothing};
use crate::harness::{CANCEL, COMPANION, Gate, Req, Setup, copy, key, root, token, token_with};

impl Revocable {
    /// A gate with a copy of the configuration as well.
    fn with_configuration() -> Self {
        let directory = tempfile::tempdir().unwrap();
        copy(&root().join("policies"), &directory.path().join("policies"));
        let text = std::fs::read_to_string(root().join("config/demo.yaml")).unwrap();
        let config = directory.path().join("opgate.yaml");
        std::fs::write(&config, text.replace("../policies", "policies")).unwrap();
        let gate = Gate::start_with(Setup { config: Some(config), ..Setup::default() });
        Self { directory, gate }
    }

    fn configuration(&self) -> PathBuf {
        self.directory.path().join("opgate.yaml")
    }

    fn edit_configuration(&self, from: &str, to: &str) {
        let text = std::fs::read_to_string(self.configuration()).unwrap();
        assert!(text.contains(from), "{text}");
        let next = self.directory.path().join("next.yaml");
        std::fs::write(&next, text.replacen(from, to, 1)).unwrap();
        std::fs::rename(next, self.configuration()).unwrap();
    }

    async fn readyz(&self) -> Value {
        self.gate.admin("/readyz").await.json().unwrap()
    }

    async fn until<T>(&self, what: &str, found: impl Fn(&Value) -> Option<T>) -> T {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let state = self.readyz().await;
            if let Some(found) = found(&state) {
                return found;
            }
            assert!(Instant::now() < deadline, "{what}: {state}\n{}", self.gate.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until a part has failed, and gives the reason.
    pub(super) async fn until_failed(&self, part: &str) -> String {
        self.until(part, |state| state["failedParts"][part].as_str().map(str::to_owned)).await
    }

    /// Waits until no part fails.
    async fn until_well(&self) {
        self.until("well", |state| state["failedParts"].as_object().unwrap().is_empty().then_some(())).await;
    }

    pub(super) async fn until_status(&self, status: u16) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while self.status().await != status {
            assert!(Instant::now() < deadline, "{}", self.gate.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn metric(&self, series: &str) -> Option<String> {
        let metrics = self.gate.metrics().await;
        let line = metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.map(str::to_owned)
    }
}

#[tokio::test]
async fn a_mistake_in_one_part_delays_no_revocation() {
    let faults = [
        ("configuration", "issuers:", "isuers:"),
        ("configuration", "listeners:", "listeners: ["),
        ("configuration", "log: info", "log: 'a=b=c'"),
        ("upstreams", "endpoints: [127.0.0.1:9000]", "protocol: h9\n    endpoints: [127.0.0.1:9000]"),
        (
            "upstreams",
            "endpoints: [127.0.0.1:9000]",
            "tls: {ca: missing.pem}\n    endpoints: [127.0.0.1:9000]",
        ),
        ("services", "  dataproc:", "  dataprok:"),
        ("issuers", "audiences: [https://opgate.demo.localhost]", "audiences: []"),
        ("tls", "- address: 127.0.0.1:8080", "- address: 127.0.0.1:8080\n  tls: {certificates: []}"),
        (
            "assertion",
            "audit:\n",
            "assertion: {issuer: 'https://gate.example.com', keys: [missing.pem]}\naudit:\n",
        ),
    ];
    for (part, from, to) in faults {
        let gate = Revocable::with_configuration();
        gate.edit_configuration(from, to);
        gate.until_failed(part).await;
        gate.time_to_revoke().await;
        let failed = gate.readyz().await["failedParts"].clone();
        assert_eq!(failed.as_object().unwrap().keys().collect::<Vec<_>>(), [part], "{to}: {failed}");
        let series = format!("opgate_reload_last_successful{{part=\"{part}\"}}");
        assert_eq!(gate.metric(&series).await.unwrap(), "0", "{to}");
        assert_eq!(gate.metric("opgate_reload_last_successful{part=\"policy\"}").await.unwrap(), "1");
        gate.edit_configuration(to, from);
        gate.until_well().await;
        assert_eq!(gate.metric(&series).await.unwrap(), "1", "{to}");
    }
}

#[tokio::test]
async fn a_broken_service_file_delays_no_revocation_and_a_broken_policy_no_service_change() {
    let gate = Revocable::with_configuration();
    let service = gate.policies().join("services/dataproc.yaml");
    let text = std::fs::read_to_string(&service).unwrap();
    std::fs::write(&service, "half a file: [").unwrap();
    let failed = gate.until_failed("services").await;
    assert!(failed.contains("dataproc.yaml"), "{failed}");
    gate.time_to_revoke().await;

    std::fs::write(gate.policies().join("allow/projects/broken.yaml"), "bindings: [{}]\n").unwrap();
    gate.until_failed("policy").await;
    std::fs::write(&service, text).unwrap();
    gate.until("services", |state| state["failedParts"]["services"].is_null().then_some(())).await;
    // A method that is no longer exposed is closed at once, whatever is wrong with a rule.
    let from = "hosts: [cloudaicompanion.localhost, cloudaicompanion.googleapis.com]";
    gate.edit_configuration(from, "hosts: [cloudaicompanion.googleapis.com]");
    gate.until_status(404).await;
    assert!(gate.readyz().await["failedParts"]["policy"].is_string());
}

/// New rules beside old methods once allowed what neither the old tree nor the new one allows: a tree that asks for
/// another permission and grants the old one to more callers.
#[tokio::test]
async fn new_rules_open_no_old_method_while_service_files_do_not_load() {
    let gate = Revocable::with_configuration();
    let status = async |email: &str| {
        let cancel = Req::new("POST", COMPANION, CANCEL).bearer(&token(email));
        gate.gate.http1(&cancel).await.status
    };
    assert_eq!((status("ana@example.com").await, status("bob@example.com").await), (200, 403));
    let service = gate.policies().join("services/dataproc.yaml");
    let text = std::fs::read_to_string(&service).unwrap();
    std::fs::write(&service, "half a file: [").unwrap();
    gate.until_failed("services").await;
    // Bob takes Ana's place: what is taken away is in force, and what is added waits for the service files.
    gate.revoke();
    gate.until_status(403).await;
    assert_eq!(status("bob@example.com").await, 403);
    let deadline = Instant::now() + Duration::from_secs(20);
    while !gate.gate.audit(1).iter().any(|line| line.to_string().contains("the service files do not load")) {
        assert!(Instant::now() < deadline, "the audit log says why");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    std::fs::write(&service, text).unwrap();
    gate.until_well().await;
    assert_eq!((status("ana@example.com").await, status("bob@example.com").await), (403, 200));
}

/// The configuration is right all the time; the files that it names are missing at first.
#[tokio::test]
async fn a_failed_part_is_tried_again_though_no_file_was_changed() {
    let gate = Revocable::with_configuration();
    let real = gate.directory.path().join("elsewhere");
    std::fs::rename(gate.policies(), &real).unwrap();
    // The policy directory is away for a moment, as during a mount or a checkout.
    gate.until_failed("policy").await;
    assert_eq!(gate.status().await, 200, "the last good policy stays in force");
    std::fs::rename(&real, gate.policies()).unwrap();
    gate.until_well().await;

    let key = gate.directory.path().join("keys/later.pem");
    let asserted =
        format!("assertion: {{issuer: 'https://gate.example.com', keys: [{}]}}\naudit:\n", key.display());
    gate.edit_configuration("audit:\n", &asserted);
    gate.until_failed("assertion").await;
    std::fs::create_dir(gate.directory.path().join("keys")).unwrap();
    let made = std::process::Command::new("openssl")
        .args(["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out"])
        .arg(&key)
        .stderr(std::process::Stdio::null())
        .status();
    if !made.is_ok_and(|status| status.success()) {
        eprintln!("openssl is not installed: the second half is skipped");
        return;
    }
    gate.until_well().await;
}

/// An edit of a rule once counted twice for services, and as a reload of parts that it does not touch.
#[tokio::test]
async fn a_reload_is_told_of_for_the_parts_that_it_changes() {
    let gate = Revocable::with_configuration();
    let series = |name: &str, part: &str| format!("opgate_{name}{{part=\"{part}\"}}");
    let attempts = |part: &str| format!("opgate_reloads_total{{outcome=\"success\",part=\"{part}\"}}");
    // A reading that the start has caused may still be under way.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let of_parts = async |parts: &[&str]| {
        let mut found = Vec::new();
        for part in parts {
            let names = ["reload_last_success_timestamp_seconds", "reload_lag_seconds_count"];
            for name in names.map(|name| series(name, part)) {
                found.push(gate.metric(&name).await.unwrap());
            }
        }
        found
    };
    let count = async |series: &str| gate.metric(series).await.unwrap().parse::<u64>().unwrap();
    let before = of_parts(&["services", "upstreams", "issuers", "tls", "configuration"]).await;
    let (services, policy) = (count(&attempts("services")).await, of_parts(&["policy"]).await);
    gate.time_to_revoke().await;
    gate.lag("policy").await;
    assert_eq!(of_parts(&["services", "upstreams", "issuers", "tls", "configuration"]).await, before);
    assert_ne!(of_parts(&["policy"]).await[0], policy[0]);
    assert_eq!(count(&attempts("services")).await, services + 1, "the tree was read once");

    // The same files again are not another policy.
    let reloads = gate.gate.log().matches("policy reloaded").count();
    let (policy, attempted) = (of_parts(&["policy"]).await, count(&attempts("policy")).await);
    gate.gate.hang_up();
    let deadline = Instant::now() + Duration::from_secs(20);
    while count(&attempts("policy")).await == attempted {
        assert!(Instant::now() < deadline, "{}", gate.gate.log());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(of_parts(&["policy"]).await, policy);
    assert_eq!(gate.gate.log().matches("policy reloaded").count(), reloads);

    // Services that the configuration exposes elsewhere: one edit is one reload.
    let services = count(&attempts("services")).await;
    let hosts = "hosts: [cloudaicompanion.localhost, cloudaicompanion.googleapis.com]";
    gate.edit_configuration(hosts, "hosts: [cloudaicompanion.googleapis.com]");
    gate.until_status(404).await;
    gate.lag("services").await;
    assert_eq!(count(&attempts("services")).await, services + 1);
}

#[tokio::test]
async fn settings_that_need_a_restart_are_reported_and_the_others_are_applied() {
    let gate = Revocable::with_configuration();
    assert_eq!(gate.readyz().await["restartNeeded"], serde_json::json!([]));
    gate.edit_configuration(
        "audit:\n",
        "limits: {requests: 7}\ntrusted_proxies: {addresses: [10.0.0.0/8]}\naudit:\n",
    );
    let told = gate.until("restart", |state| {
        let told = state["restartNeeded"].as_array()?.clone();
        (!told.is_empty()).then_some(told)
    });
    assert_eq!(told.await, ["limits"]);
    let log = gate.gate.log();
    assert!(log.contains("restart the process") && log.contains("the trusted proxies have changed"), "{log}");
    gate.edit_configuration("limits: {requests: 7}\n", "");
    gate.until("no restart", |state| state["restartNeeded"].as_array()?.is_empty().then_some(())).await;
}

#[tokio::test]
async fn a_host_name_that_cannot_be_looked_up_is_reported_and_the_gate_starts() {
    let gate = Revocable::start(nothing, vec!["upstreams.dead.endpoints=['dead.invalid:80']".to_owned()]);
    let failed = gate.until_failed("upstreams").await;
    assert!(failed.contains("`dead.invalid:80` cannot be looked up"), "{failed}");
    assert_eq!(gate.readyz().await["ready"], true);
    assert_eq!(gate.status().await, 200);
}

/// Two upstreams swap names, and the services follow: the services in force always lead to the same backend.
#[tokio::test]
async fn services_and_the_upstreams_that_they_name_change_together() {
    let gate = Revocable::with_configuration();
    let real = gate.gate.backend.address();
    let upstreams = |first: &str, second: &str| {
        format!("upstreams:\n  first: {{endpoints: ['{first}']}}\n  second: {{endpoints: ['{second}']}}\n")
    };
    let (real, dead) = (real.to_string(), "127.0.0.1:1".to_owned());
    let original = std::fs::read_to_string(gate.configuration()).unwrap();
    let write = |upstreams: &str, upstream: &str| {
        let text = original.replace("upstreams:\n", upstreams);
        let text = text.replace("upstream: operations", &format!("upstream: {upstream}"));
        let next = gate.directory.path().join("next.yaml");
        std::fs::write(&next, text).unwrap();
        std::fs::rename(next, gate.configuration()).unwrap();
    };
    let asking = async {
        loop {
            assert_eq!(gate.status().await, 200, "{}", gate.gate.log());
        }
    };
    let renaming = async {
        for _ in 0..2 {
            write(&upstreams(&real, &dead), "first");
            tokio::time::sleep(Duration::from_secs(1)).await;
            write(&upstreams(&dead, &real), "second");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        // The services of the tree do not load: those in force go on with the upstreams that they were loaded with.
        let service = gate.policies().join("services/dataproc.yaml");
        let text = std::fs::read_to_string(&service).unwrap();
        std::fs::write(&service, "half a file: [").unwrap();
        gate.until_failed("services").await;
        write(&upstreams(&real, &dead), "first");
        tokio::time::sleep(Duration::from_secs(1)).await;
        std::fs::write(&service, text).unwrap();
        gate.until_well().await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        // A mistake in the services: the upstreams wait as well.
        write(&upstreams(&dead, &real), "third");
        gate.until_failed("services").await;
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    tokio::select! {
        () = renaming => {}
        () = asking => {}
    }
}

/// A new issuer is trusted once the policy that was written for it is in force. A removed one is not trusted any more,
/// whatever is wrong with others.
#[tokio::test]
async fn an_issuer_is_added_with_its_policy_and_taken_away_at_once() {
    let gate = Revocable::with_configuration();
    let issuer = "https://partner.example";
    let keys = gate.directory.path().join("partner.json");
    std::fs::write(&keys, key().jwks().to_string()).unwrap();
    let token = token_with("eve@partner.example", serde_json::json!({ "iss": issuer }));
    let status = async || gate.gate.http1(&Req::new("POST", COMPANION, CANCEL).bearer(&token)).await.status;
    let slip = gate.policies().join("allow/projects/other.yaml");
    std::fs::write(&slip, "bindings: [{}]\n").unwrap();
    gate.until_failed("policy").await;
    let added = format!(
        "issuers:\n  partner: {{issuer: '{issuer}', audiences: ['https://opgate.demo.localhost'], \
         email_domains: [partner.example], keys: {{file: {}}}}}\n",
        keys.display()
    );
    gate.edit_configuration(
        "    issuer: https://issuer.demo.localhost\n",
        "    issuer: https://issuer.demo.localhost\n    email_domains: [example.com]\n",
    );
    gate.edit_configuration("issuers:\n", &added);
    let failed = gate.until_failed("issuers").await;
    assert!(failed.contains("wait for the policy tree"), "{failed}");
    assert_eq!(status().await, 401);
    std::fs::remove_file(&slip).unwrap();
    gate.until_well().await;
    assert_eq!(status().await, 403, "the issuer is trusted, and no policy grants its callers anything");

    // It is removed while the keys of another new issuer cannot be read.
    let another = added.replace("partner", "another").replace(&keys.display().to_string(), "missing.json");
    gate.edit_configuration(&added, &another);
    gate.until_failed("issuers").await;
    assert_eq!(status().await, 401);
    assert_eq!(gate.status().await, 200, "the other issuers are still trusted");
}

#[tokio::test]
async fn a_misspelt_policy_directory_is_reported_until_it_is_fixed() {
    let gate = Revocable::with_configuration();
    gate.edit_configuration("directory: policies", "directory: polices");
    gate.until_failed("policy").await;
    let series = "opgate_reload_last_successful{part=\"policy\"}";
    assert_eq!(gate.metric(series).await.unwrap(), "0");
    gate.time_to_revoke().await;
    gate.edit_configuration("directory: polices", "directory: policies");
    gate.until_well().await;
    assert_eq!(gate.metric(series).await.unwrap(), "1");
}

#[tokio::test]
async fn a_removed_proxy_is_not_trusted_though_a_limit_is_misspelt() {
    let gate = Revocable::with_configuration();
    gate.edit_configuration("audit:\n", "trusted_proxies: {addresses: [10.0.0.0/8]}\naudit:\n");
    let taken = "the trusted proxies have changed";
    let deadline = Instant::now() + Duration::from_secs(30);
    while gate.gate.log().matches(taken).count() < 1 {
        assert!(Instant::now() < deadline, "{}", gate.gate.log());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    gate.edit_configuration("trusted_proxies: {addresses: [10.0.0.0/8]}\n", "limits: {requests: many}\n");
    gate.until_failed("configuration").await;
    assert_eq!(gate.gate.log().matches(taken).count(), 2, "{}", gate.gate.log());
}
