//! The keys of assertions: where they are published, how they change, and what is reported of bad key files.

use opgate::dev::mint::Mint;
use std::collections::BTreeSet;
use std::process::Command;

use super::*;
use crate::connection::Connection;
use crate::harness::{Body, reason};

fn kids(jwks: &JwkSet) -> BTreeSet<String> {
    jwks.keys.iter().map(|jwk| jwk.common.key_id.clone().unwrap()).collect()
}

fn kid(assertion: &str) -> String {
    decode_header(assertion).unwrap().kid.unwrap()
}

/// A gate with a configuration of its own, whose keys can be changed.
struct Rotating {
    directory: tempfile::TempDir,
    gate: Gate,
}

impl Rotating {
    fn start(keys: &[&str], files: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        for file in files {
            write_key(&directory.path().join(file));
        }
        write(directory.path(), keys);
        let set = vec![
            "services.translation.forward=[assertion]".to_owned(),
            format!("policy.directory={}", root().join("policies").display()),
        ];
        let config = Some(directory.path().join("gate.yaml"));
        let gate = Gate::start_with(Setup { set, config, ..Setup::default() });
        Self { directory, gate }
    }

    /// Changes the keys, and waits until the new set is published on the admin port.
    async fn rotate(&self, keys: &[&str], published_after: usize) {
        write(self.directory.path(), keys);
        self.gate.hang_up();
        until(&self.gate, "the new keys", async || published(&self.gate).await.keys.len() == published_after)
            .await;
    }
}

fn write(directory: &Path, keys: &[&str]) {
    let demo = std::fs::read_to_string(root().join("config/demo.yaml")).unwrap();
    let assertion = json!({ "issuer": GATE, "keys": keys, "jwks_path": JWKS });
    let next = directory.join("next");
    std::fs::write(&next, format!("{demo}\nassertion: {assertion}\n")).unwrap();
    std::fs::rename(next, directory.join("gate.yaml")).unwrap();
}

/// A backend that fetched the keys before a step verifies what it gets after it, and the other way round.
#[tokio::test]
async fn keys_are_rotated_without_a_gap() {
    let rotating = Rotating::start(&["a.pem"], &["a.pem", "b.pem"]);
    let gate = &rotating.gate;
    let only_a = published(gate).await;
    let by_a = assertion_for(gate, "ana@example.com").await;
    assert_eq!(kids(&only_a).len(), 1);

    rotating.rotate(&["a.pem", "b.pem"], 2).await;
    let both = published(gate).await;
    let still_by_a = assertion_for(gate, "ana@example.com").await;
    assert_eq!(kid(&still_by_a), kid(&by_a));
    for jwks in [&only_a, &both] {
        verified(&by_a, jwks).unwrap();
        verified(&still_by_a, jwks).unwrap();
    }

    // The published set is the same: only the signer tells that the new order is in force.
    write(rotating.directory.path(), &["b.pem", "a.pem"]);
    gate.hang_up();
    until(gate, "the other key", async || kid(&assertion_for(gate, "ana@example.com").await) != kid(&by_a))
        .await;
    let by_b = assertion_for(gate, "ana@example.com").await;
    assert_eq!(kids(&published(gate).await), kids(&both));
    verified(&by_b, &both).unwrap();
    verified(&still_by_a, &published(gate).await).unwrap();

    rotating.rotate(&["b.pem"], 1).await;
    let only_b = published(gate).await;
    verified(&assertion_for(gate, "ana@example.com").await, &both).unwrap();
    verified(&by_b, &only_b).unwrap();
    assert!(verified(&by_a, &only_b).is_err(), "a removed key verifies nothing");
}

/// A changed file is read again without a signal. A file without a key changes nothing, and is reported.
#[tokio::test]
async fn a_changed_key_file_is_taken_and_a_bad_one_keeps_the_old_key() {
    let rotating = Rotating::start(&["a.pem"], &["a.pem"]);
    let (gate, file) = (&rotating.gate, rotating.directory.path().join("a.pem"));
    let before = published(gate).await;
    std::fs::write(&file, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n").unwrap();
    let failure = async || gate.admin("/readyz").await.json().unwrap()["lastReloadFailure"].clone();
    until(gate, "a refused reload", async || failure().await.is_string()).await;
    let why = failure().await;
    let why = why.as_str().unwrap();
    assert!(why.contains("gate.yaml:") && why.contains("a.pem` cannot be used"), "{why}");
    assert!(!why.contains("AAAA"), "the error quotes the key file: {why}");
    assert_eq!(published(gate).await, before);
    verified(&assertion_for(gate, "ana@example.com").await, &before).unwrap();

    let next = rotating.directory.path().join("next.pem");
    let key = write_key(&next);
    std::fs::rename(next, &file).unwrap();
    until(gate, "the new key", async || kids(&published(gate).await).contains(key.kid())).await;
    assert_eq!(kid(&assertion_for(gate, "ana@example.com").await), key.kid());
}

#[tokio::test]
async fn without_files_a_key_is_made_at_start_and_kept_over_reloads() {
    let start = || {
        let set = vec![
            format!("assertion={}", json!({ "issuer": GATE })),
            "services.translation.forward=[assertion]".to_owned(),
        ];
        Gate::start_with(Setup { set, ..Setup::default() })
    };
    let (first, second) = (start(), start());
    let jwks = published(&first).await;
    assert!(kids(&jwks).is_disjoint(&kids(&published(&second).await)), "each start makes its own key");
    assert!(first.log().contains("it changes at each start"), "{}", first.log());
    verified(&assertion_for(&first, "ana@example.com").await, &jwks).unwrap();
    first.hang_up();
    until(&first, "the reload", async || first.log().contains("configuration read")).await;
    assert_eq!(published(&first).await, jwks);
    verified(&assertion_for(&first, "bob@example.com").await, &jwks).unwrap();
    // The listeners publish nothing unless `jwks_path` is set.
    assert_eq!(first.http1(&Req::new("GET", TRANSLATION, JWKS)).await.status, 404);
}

#[tokio::test]
async fn the_keys_are_public_on_the_listeners_and_the_admin_port() {
    let directory = tempfile::tempdir().unwrap();
    let gate = Gate::start_with(setup(directory.path()));
    let at_admin = gate.admin("/jwks").await;
    let mut answers = vec![at_admin.clone()];
    for request in [
        Req::new("GET", TRANSLATION, JWKS),
        Req::new("GET", "gate.example.com:8443", JWKS),
        Req::new("GET", COMPANION, &format!("{JWKS}?v=1")).bearer("not a token"),
    ] {
        answers.extend(gate.over_both(&request).await);
    }
    for answer in &answers {
        assert_eq!((answer.status, &answer.body), (200, &at_admin.body));
        assert_eq!(answer.header("content-type"), Some("application/jwk-set+json"));
        assert_eq!(answer.header("cache-control"), Some("public, max-age=300"));
        let names: Vec<&str> = answer.headers.keys().map(http::HeaderName::as_str).collect();
        assert!(
            names.iter().all(|name| !name.starts_with("x-opgate") && *name != "www-authenticate"),
            "{names:?}"
        );
    }
    let jwks = at_admin.json().unwrap();
    let key = jwks["keys"][0].as_object().unwrap();
    let members: Vec<&str> = key.keys().map(String::as_str).collect();
    assert_eq!(members, ["crv", "kty", "x", "y", "alg", "use", "kid"], "only public keys are published");

    let length = at_admin.body.len().to_string();
    let head = Req::new("HEAD", TRANSLATION, JWKS);
    let answer = gate.http2(&head).await;
    assert_eq!((answer.status, answer.body.len()), (200, 0));
    assert_eq!(answer.header("content-length"), Some(length.as_str()));
    let bytes = gate.raw_to_the_end(head.header("Connection", "close").to_http1()).await;
    let text = String::from_utf8(bytes).unwrap().to_ascii_lowercase();
    assert!(
        text.starts_with("http/1.1 200") && text.contains(&format!("content-length: {length}\r\n")),
        "{text}"
    );
    assert!(text.ends_with("\r\n\r\n"), "no body: {text}");
    assert_eq!(gate.backend.requests().len(), 0, "the backend is not asked");

    let lines = gate.audit(8);
    for line in &lines {
        let payload = &line["protoPayload"];
        let decision = &payload["metadata"];
        assert_eq!(
            (&decision["decision"], &decision["reason"]),
            (&json!("ANSWERED"), &json!("KEYS_PUBLISHED"))
        );
        assert_eq!((&payload["authenticationInfo"], &payload["methodName"]), (&json!({}), &Value::Null));
        assert_eq!((&line["severity"], &line["httpRequest"]["status"]), (&json!("INFO"), &json!(200)));
    }
    let metrics = gate.metrics().await;
    let published = r#"method="unknown",reason="KEYS_PUBLISHED""#;
    let counts = metrics.lines().filter(|line| line.contains(published));
    let counted: usize = counts.map(|line| line.rsplit(' ').next().unwrap().parse::<usize>().unwrap()).sum();
    assert_eq!(counted, 8, "{metrics}");
}

#[tokio::test]
async fn the_path_of_the_keys_serves_get_and_head_alone() {
    let directory = tempfile::tempdir().unwrap();
    let mut setup = setup(directory.path());
    // This service matches every path. The path of the keys still belongs to the gate: the backend must not be asked
    // for it.
    setup.set.push("services.translation.hosts=['*']".to_owned());
    let gate = Gate::start_with(setup);
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
        for answer in
            gate.over_both(&Req::new(method, TRANSLATION, JWKS).bearer(&token("ana@example.com"))).await
        {
            assert_eq!(
                (answer.status, reason(&answer).as_str()),
                (405, "HTTP_METHOD_NOT_ALLOWED"),
                "{method}"
            );
            assert_eq!(answer.header("allow"), Some("GET, HEAD"));
        }
    }
    for target in [
        format!("{JWKS}:cancel"),
        JWKS.replace("jwks", "%6awks"),
        JWKS.replace("jwks", "JWKS"),
        format!("/x{JWKS}"),
        "/jwks".to_owned(),
    ] {
        for answer in gate.over_both(&Req::new("GET", TRANSLATION, &target)).await {
            assert_eq!(answer.status, 404, "{target}");
        }
    }
    for target in
        [format!("{JWKS}/"), format!("/x/..{JWKS}"), format!("/{JWKS}"), JWKS.replace(".json", "%2Ejson%00")]
    {
        assert_eq!(gate.http1(&Req::new("GET", TRANSLATION, &target)).await.status, 400, "{target}");
    }
    assert_eq!(gate.backend.requests().len(), 0);
}

/// After the answer, the connection is where a next request begins, or at its end.
#[tokio::test]
async fn a_connection_goes_on_after_the_keys_and_ends_after_an_unread_body() {
    let directory = tempfile::tempdir().unwrap();
    let gate = Gate::start_with(setup(directory.path()));
    let mut connection = Connection::open(gate.address).await;
    let get = Req::new("GET", TRANSLATION, JWKS).to_http1();
    connection.send([get.clone(), get.clone()].concat()).await;
    for _ in 0..2 {
        let answer = connection.answer().await.unwrap();
        assert_eq!((answer.status, answer.body.starts_with(b"{\"keys\":")), (200, true));
    }
    let cancel = translate().bearer(&token("ana@example.com"));
    connection.send(cancel.to_http1()).await;
    assert_eq!(connection.status().await, Some(200));

    // An unread body must not be read as the next request.
    let smuggled = cancel.to_http1();
    gate.backend.clear();
    for (method, status) in [("GET", 400), ("HEAD", 400), ("POST", 405)] {
        for body in [Body::Length(smuggled.clone()), Body::Chunked(smuggled.clone())] {
            let bytes = gate.raw_to_the_end(Req::new(method, TRANSLATION, JWKS).body(body).to_http1()).await;
            let text = String::from_utf8(bytes).unwrap();
            assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{method}: {text}");
            assert_eq!(text.matches("HTTP/1.1").count(), 1, "one answer, and the end: {text}");
        }
    }
    assert_eq!(gate.backend.requests().len(), 0);
}

fn check(set: &[String]) -> (bool, String) {
    let mut command = crate::harness::opgate();
    command.args(["check", "--config", "config/demo.yaml"]);
    for setting in set {
        command.args(["--set", setting]);
    }
    let output = command.output().unwrap();
    (output.status.success(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_path_that_a_service_has_is_refused_at_load() {
    let with = |path: &str| vec![format!("assertion={}", json!({ "issuer": GATE, "jwks_path": path }))];
    assert_eq!(check(&with(JWKS)), (true, String::new()));
    for path in [
        "/v1/projects/demo/locations/l/operations/jwks.json",
        "/v3/projects/x/operations",
        "/v1/projects/p/regions/r/operations/o",
    ] {
        let (valid, told) = check(&with(path));
        assert!(
            !valid && told.contains(&format!("`{path}` is also a path of `google.longrunning.")),
            "{told}"
        );
        assert!(
            told.contains("--set assertion:1:") && told.contains("choose a path that no service has"),
            "{told}"
        );
    }
}

/// Every mistake names the file and what to do. The gate neither waits for a pipe nor reads a device.
#[test]
fn every_mistake_in_a_key_file_is_reported_with_the_next_step() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let good = write_key(&path("good.pem"));
    let pem = std::fs::read_to_string(path("good.pem")).unwrap();
    std::fs::write(path("public.jwk"), good.public_jwk().to_string()).unwrap();
    std::fs::write(path("set.jwk"), good.jwks().to_string()).unwrap();
    std::fs::write(path("twice.pem"), format!("{pem}{pem}")).unwrap();
    std::fs::write(path("copy.pem"), &pem).unwrap();
    std::fs::write(path("sec1.pem"), "-----BEGIN EC PRIVATE KEY-----\n").unwrap();
    std::fs::write(path("locked.pem"), "-----BEGIN ENCRYPTED PRIVATE KEY-----\n").unwrap();
    std::fs::write(path("text.pem"), "a key").unwrap();
    assert!(Command::new("mkfifo").arg(path("pipe.pem")).status().unwrap().success());
    for (keys, told_of) in [
        (json!([path("gone.pem")]), "cannot read"),
        (json!([directory.path()]), "is not a file of a key"),
        (json!([path("pipe.pem")]), "is not a file of a key"),
        (json!(["/dev/zero"]), "is not a file of a key"),
        (json!([path("public.jwk")]), "it has no `d`: it is public"),
        (json!([path("set.jwk")]), "it is a set of keys"),
        (json!([path("twice.pem")]), "holds more than one private key"),
        (json!([path("good.pem"), path("copy.pem")]), "two keys are named"),
        (json!([path("sec1.pem")]), "openssl pkcs8 -topk8"),
        (json!([path("locked.pem")]), "is encrypted"),
        (json!([path("text.pem")]), "openssl genpkey"),
        (json!([]), "there is no key to sign with"),
    ] {
        let (valid, told) = check(&[format!("assertion={}", json!({ "issuer": GATE, "keys": keys }))]);
        assert!(!valid && told.contains(told_of), "{keys}: {told}");
    }
    assert!(!check(&["services.translation.forward=[assertion]".to_owned()]).0);
}
