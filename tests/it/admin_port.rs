//! What clients of the admin port can do to others: nothing that a client or a reload would notice.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use opgate::dev::wire;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

use crate::bystander::Bystander;
use crate::harness::{Answer, COMPANION, Gate, Req, Setup, Tree, signal, token};

const TOKEN: &str = "correct-horse-battery-staple";

fn set(settings: &[String]) -> Gate {
    Gate::start_with(Setup { set: settings.to_vec(), ..Setup::default() })
}

async fn ask(address: SocketAddr, head: &str) -> Answer {
    wire::exchange(address, head.as_bytes()).await.unwrap()
}

/// Whether `/livez` answers a client of another address than the attackers'.
async fn is_alive(address: SocketAddr) -> bool {
    let probe = async {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from(([127, 0, 0, 2], 0)))?;
        let mut stream = socket.connect(address).await?;
        stream.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        std::io::Result::Ok(answer.starts_with(b"HTTP/1.1 200 "))
    };
    tokio::time::timeout(Duration::from_secs(30), probe).await.unwrap().unwrap()
}

/// A GET with these fields.
async fn get(address: SocketAddr, path: &str, fields: &str) -> Answer {
    ask(address, &format!("GET {path} HTTP/1.1\r\n{fields}Connection: close\r\n\r\n")).await
}

/// Posts a question to `/explain` with these fields beside `Host`.
async fn explain(address: SocketAddr, fields: &str) -> Answer {
    explain_with(address, fields, &question(2)).await
}

async fn explain_with(address: SocketAddr, fields: &str, body: &str) -> Answer {
    let head = format!(
        "POST /explain HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         {fields}Connection: close\r\n\r\n{body}",
        body.len()
    );
    ask(address, &head).await
}

/// A question about a caller whose token has so many scopes of two letters.
fn question(scopes: usize) -> String {
    let letter = |number: usize| char::from(b'a' + u8::try_from(number % 26).unwrap());
    let scopes: Vec<String> =
        (0..scopes).map(|number| [letter(number / 26), letter(number)].iter().collect()).collect();
    let claims =
        json!({ "iss": crate::harness::ISSUER, "email": "ana@example.com", "scope": scopes.join(" ") });
    json!({
        "claims": claims, "host": COMPANION, "all": true,
        "method": "google.longrunning.Operations.CancelOperation",
        "resource": "projects/demo/locations/us-central1/operations/train-1",
    })
    .to_string()
}

/// Where policy details are served, if not at the admin address.
fn explain_address(gate: &Gate) -> SocketAddr {
    let told: Value =
        serde_json::from_str(&std::fs::read_to_string(gate.path("addresses.json")).unwrap()).unwrap();
    told["explain"].as_str().unwrap().parse().unwrap()
}

fn open_files(gate: &Gate) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", gate.pid())).unwrap().count()
}

/// Opens connections that do this, one after another, without an end. The gate closes some of them: they are replaced.
async fn hold(address: SocketAddr, bytes: &[u8], most: usize) -> Vec<TcpStream> {
    let mut held = Vec::new();
    for _ in 0..most {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // A connection fails if the gate closed it in favour of another.
        let _ = stream.write_all(bytes).await;
        held.push(stream);
    }
    held
}

/// Once, 520 such connections stopped both ports of a gate that may open 512 files, for as long as the client liked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_admin_connections_block_neither_port() {
    let gate = Gate::start_with(Setup { open_files: Some(512), ..Setup::default() });
    let scrapes = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(1000);
    let body = "POST /explain HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                Content-Length: 60000\r\n\r\n{";
    let kinds = [
        ("half-sent heads", "GET /livez HTTP/1.1\r\nHo"),
        ("nothing sent", ""),
        ("half-sent bodies", body),
        ("answers that are not read", scrapes.as_str()),
        ("idle", "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    ];
    let bystander = Bystander::start(&gate);
    bystander.has_asked(10).await;
    let before = open_files(&gate);
    for (kind, bytes) in kinds {
        let asked = bystander.counts().asked;
        let mut livez = 0;
        let probing = async {
            loop {
                assert!(is_alive(gate.admin).await, "{kind}");
                livez += 1;
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let holding = hold(gate.admin, bytes.as_bytes(), 520);
        let held = tokio::select! {
            held = holding => held,
            () = probing => unreachable!(),
        };
        for _ in 0..20 {
            assert!(is_alive(gate.admin).await, "{kind}");
            livez += 1;
        }
        bystander.has_asked(asked + 20).await;
        eprintln!("{kind}: {livez} probes answered");
        let files = open_files(&gate);
        assert!(files <= before + 80, "{kind}: {before} -> {files} files");
        assert_eq!(gate.metrics().await.lines().next().unwrap().as_bytes()[0], b'#');
        drop(held);
    }
    let counts = bystander.stop().await;
    assert_eq!(counts.answered, counts.asked);
    assert!(gate.log().contains("too many connections to the admin address"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn admin_heads_bodies_and_answers_time_out() {
    let gate = Gate::start();
    let cut_after = async |bytes: &str| {
        let mut stream = TcpStream::connect(gate.admin).await.unwrap();
        stream.write_all(bytes.as_bytes()).await.unwrap();
        let begun = Instant::now();
        let mut said = Vec::new();
        let ended = stream.read_to_end(&mut said);
        let _ = tokio::time::timeout(Duration::from_secs(20), ended).await.expect("it is closed");
        begun.elapsed().as_secs()
    };
    let post = "POST /explain HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                Content-Length: 9\r\n\r\n{";
    let kept = "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\nGET /";
    let (head, second, body) = tokio::join!(cut_after("GET /livez HT"), cut_after("GET"), cut_after(post));
    assert!((4..8).contains(&head) && (4..8).contains(&second), "{head} {second}");
    assert!((9..13).contains(&body), "{body}");
    // A connection is kept between two scrapes; a second head has its own full time.
    let mut scraper = TcpStream::connect(gate.admin).await.unwrap();
    for pause in [0, 7] {
        tokio::time::sleep(Duration::from_secs(pause)).await;
        scraper.write_all(kept.trim_end_matches("GET /").as_bytes()).await.unwrap();
        let mut answer = vec![0; 1024];
        let length = scraper.read(&mut answer).await.unwrap();
        assert!(answer[..length].starts_with(b"HTTP/1.1 200"), "after {pause} s");
    }
}

/// Once, 32 of them took both cores for 20 s, and the threads that reloads need: a revocation waited for them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn explain_requests_delay_no_revocation_and_no_client() {
    let policies = Tree::shipped();
    let gate = set(&[policies.setting()]);
    let body = question(20_000);
    assert!(body.len() > 60_000 && body.len() < 64 * 1024);
    let one = Instant::now();
    assert_eq!(explain_with(gate.admin, "", &body).await.status, 200);
    let one = one.elapsed();
    let bystander = Bystander::start(&gate);
    bystander.has_asked(10).await;

    let mut asking = JoinSet::new();
    let (address, until) = (gate.admin, Instant::now() + Duration::from_secs(6));
    for _ in 0..32 {
        let body = body.clone();
        asking.spawn(async move {
            let (mut told, mut busy) = (0, 0);
            while Instant::now() < until {
                let answer = explain_with(address, "", &body).await;
                match (answer.status, answer.header("retry-after")) {
                    (200, None) => told += 1,
                    (503, Some("1")) => busy += 1,
                    other => panic!("{other:?}"),
                }
            }
            (told, busy)
        });
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let file = policies.path().join("groups.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains("user:lea@example.com"));
    let changed = Instant::now();
    std::fs::write(&file, text.replace("user:lea@example.com", "user:max@example.com")).unwrap();
    let train = "/v1/projects/demo/locations/us-central1/operations/train-1:cancel";
    let lea = Req::new("POST", COMPANION, train).bearer(&token("lea@example.com"));
    while gate.http1(&lea).await.status != 403 {
        assert!(changed.elapsed() < Duration::from_secs(5), "not revoked\n{}", gate.log());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let revoked = changed.elapsed();
    let counts = asking.join_all().await;
    let (told, busy) = counts.iter().fold((0, 0), |(told, busy), count| (told + count.0, busy + count.1));
    let bystander = bystander.stop().await;
    eprintln!("one question: {one:?}; revoked after {revoked:?}; {told} told, {busy} busy; {bystander:?}");
    assert!(one < Duration::from_millis(600), "{one:?}");
    assert!(told > 0 && busy > 0, "{told} told, {busy} busy");
    assert!(revoked < Duration::from_secs(3), "{revoked:?}");
    assert_eq!(bystander.answered, bystander.asked);
}

#[tokio::test]
async fn a_web_page_cannot_read_the_admin_port_by_dns_rebinding() {
    let gate = set(&["admin.hosts=[opgate.monitoring.svc]".to_owned()]);
    let port = gate.admin.port();
    for (host, status) in [
        (format!("127.0.0.1:{port}"), 200),
        ("10.0.0.1".to_owned(), 200),
        ("[::1]:9901".to_owned(), 200),
        (format!("localhost:{port}"), 200),
        ("opgate.monitoring.svc:9901".to_owned(), 200),
        (format!("rebound.example:{port}"), 421),
        ("127.0.0.1.rebound.example".to_owned(), 421),
    ] {
        let fields = format!("Host: {host}\r\n");
        for path in ["/metrics", "/version"] {
            assert_eq!(get(gate.admin, path, &fields).await.status, status, "{host} {path}");
        }
        // A probe is answered under any host name, and learns only what a probe may.
        assert_eq!(get(gate.admin, "/livez", &fields).await.status, 200);
        let ready = get(gate.admin, "/readyz", &fields).await.json().unwrap();
        assert_eq!(ready["ready"], true);
        assert_eq!(ready["policyRevision"].is_string(), status == 200, "{host}");
    }
    let refused = get(gate.admin, "/metrics", "Host: rebound.example\r\n").await.json().unwrap();
    assert!(refused["error"]["help"].as_str().unwrap().contains("`admin.hosts`"), "{refused}");
    assert!(gate.log().contains("`admin.hosts`"), "{}", gate.log());
    assert_eq!(get(gate.admin, "/metrics", "").await.status, 400);
    assert_eq!(get(gate.admin, "/metrics", "Host: a\r\nHost: localhost\r\n").await.status, 400);
    assert_eq!(
        ask(gate.admin, "POST /explain HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").await.status,
        421
    );

    for (fields, status) in [
        ("", 200),
        ("Sec-Fetch-Site: none\r\n", 200),
        ("Sec-Fetch-Site: cross-site\r\n", 403),
        ("Sec-Fetch-Site: same-site\r\n", 403),
        ("Origin: https://rebound.example\r\n", 403),
        ("Origin: null\r\n", 403),
    ] {
        assert_eq!(explain(gate.admin, fields).await.status, status, "{fields}");
    }
}

#[tokio::test]
async fn policy_details_require_the_token() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    std::fs::write(&file, format!("{TOKEN}\n")).unwrap();
    let gate = set(&[format!("admin.explain={}", json!({ "token_file": file }))]);
    let good = format!("Authorization: Bearer {TOKEN}\r\n");
    let wrong = format!("Authorization: Bearer {TOKEN}x\r\n");
    assert_eq!(explain(gate.admin, &good).await.status, 200);
    for (fields, challenge) in [
        ("", "Bearer realm=\"opgate\""),
        (wrong.as_str(), "Bearer realm=\"opgate\", error=\"invalid_token\""),
        (&format!("{good}{wrong}"), "Bearer realm=\"opgate\", error=\"invalid_token\""),
    ] {
        let answer = explain(gate.admin, fields).await;
        assert_eq!((answer.status, answer.header("www-authenticate")), (401, Some(challenge)), "{fields}");
    }
    assert_policy_details(gate.admin, &good, true).await;
    assert_policy_details(gate.admin, &wrong, false).await;
    assert_policy_details(gate.admin, "", false).await;

    // A changed token is in force without a restart, and the old one is refused.
    std::fs::write(&file, "another-token-of-some-length").unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while explain(gate.admin, &good).await.status != 401 {
        assert!(Instant::now() < deadline, "the old token is still accepted");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(
        explain(gate.admin, "Authorization: bearer another-token-of-some-length\r\n").await.status,
        200
    );
    for token in [TOKEN, "another-token"] {
        assert!(!gate.log().contains(token));
    }
}

/// Asserts whether `/readyz` and `/metrics` say which policy is in force. Probes and the other metrics are always
/// there.
async fn assert_policy_details(address: SocketAddr, fields: &str, expected: bool) {
    let fields = format!("Host: localhost\r\n{fields}");
    let ready = get(address, "/readyz", &fields).await;
    let known: Vec<String> = ready.json().unwrap().as_object().unwrap().keys().cloned().collect();
    let all = ["ready", "reasons", "policyRevision", "lastReloadFailure"];
    assert_eq!((ready.status, known.iter().any(|key| key == "policyRevision")), (200, expected), "{known:?}");
    assert!(expected || known == all[..1], "{known:?}");
    let metrics = String::from_utf8(get(address, "/metrics", &fields).await.body).unwrap();
    assert_eq!(metrics.contains("opgate_policy_info"), expected);
    assert!(metrics.contains("opgate_policy_last_reload_successful 1"));
    assert_eq!(get(address, "/livez", &fields).await.status, 200);
}

#[tokio::test]
async fn policy_details_can_be_switched_off() {
    for off in ["off", "false"] {
        let gate = set(&[format!("admin.explain={off}")]);
        let answer = explain(gate.admin, "").await;
        assert_eq!(answer.status, 404);
        assert!(answer.json().unwrap()["error"]["help"].as_str().unwrap().contains("`admin.explain`"));
        assert_policy_details(gate.admin, "", false).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn policy_details_can_have_their_own_address_which_is_handed_over() {
    let directory = tempfile::tempdir().unwrap();
    let upgrade = json!({ "socket": directory.path().join("upgrade.sock"), "timeout": "30s" });
    let mut old = set(&["admin.explain={address: '127.0.0.1:0'}".to_owned(), format!("upgrade={upgrade}")]);
    let own = explain_address(&old);
    assert_eq!((explain(old.admin, "").await.status, explain(own, "").await.status), (404, 200));
    assert_policy_details(old.admin, "", false).await;
    assert_policy_details(own, "", true).await;
    assert_eq!(old.http1(&Req::new("GET", COMPANION, "/explain")).await.status, 404);

    let mut new = old.successor("new", &[]);
    signal(old.pid(), "QUIT");
    let (_, admin) = new.serving().await;
    assert_eq!(admin, old.admin);
    assert!(old.ended().await.success(), "{}", old.log());
    assert_eq!((explain(old.admin, "").await.status, explain(own, "").await.status), (404, 200));
}
