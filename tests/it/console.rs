//! The console: what it tells to which client, what its answers carry, and how it looks in a real browser.
//!
//! `tests/console` holds the walk through it in Chromium; `.ci/install-console` installs what that needs.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use opgate::dev::wire;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::tools::{said, succeed};
use crate::harness::{Answer, COMPANION, Gate, Req, Setup, Tree, root, token, values};

const CANCEL: &str = "/v1/projects/demo/locations/l/operations/o:cancel";
const TOKEN: &str = "correct-horse-battery-staple";

fn set(settings: &[&str]) -> Gate {
    let set = settings.iter().map(|setting| (*setting).to_owned()).collect();
    Gate::start_with(Setup { set, ..Setup::default() })
}

/// A gate that asks for a token, and the folder with the token.
fn guarded(more: &[&str]) -> (Gate, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, TOKEN).unwrap();
    let explain = format!("admin.explain={{token_file: {}}}", file.display());
    (set(&[&[explain.as_str()], more].concat()), folder)
}

async fn get(address: SocketAddr, path: &str, fields: &str) -> Answer {
    let head = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n{fields}Connection: close\r\n\r\n");
    wire::exchange(address, head.as_bytes()).await.unwrap()
}

async fn post(address: SocketAddr, path: &str, fields: &str, body: &str) -> Answer {
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {}\r\n{fields}Connection: close\r\n\r\n{body}",
        body.len()
    );
    wire::exchange(address, head.as_bytes()).await.unwrap()
}

/// Logs in; gives the field that shows the session.
async fn session(address: SocketAddr) -> String {
    let answer = post(address, "/console/login", "", &format!("token={TOKEN}&next=/")).await;
    assert_eq!((answer.status, values(&answer.headers, "location")), (303, vec!["/".to_owned()]));
    let cookie = values(&answer.headers, "set-cookie").remove(0);
    format!("Cookie: {}\r\n", cookie.split(';').next().unwrap())
}

/// The page, without the places where long names may break.
fn html(answer: &Answer) -> String {
    String::from_utf8(answer.body.clone()).unwrap().replace("<wbr>", "")
}

async fn deny(gate: &Gate, who: &str) -> String {
    let answer = gate.http1(&Req::new("POST", COMPANION, CANCEL).bearer(&token(who))).await;
    values(&answer.headers, "x-request-id").remove(0)
}

/// Asks for a page until it holds a text: lines get to the memory a moment after the answer.
async fn shows(address: SocketAddr, path: &str, fields: &str, text: &str) -> String {
    for _ in 0..500 {
        let page = html(&get(address, path, fields).await);
        if page.contains(text) {
            return page;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{path} never shows {text}");
}

const NAMES: [&str; 4] =
    ["bob@example.com", "cloudaicompanion", "IAM_PERMISSION_DENIED", "operations.cancel"];

#[tokio::test]
async fn the_page_tells_what_was_denied_and_why() {
    let gate = Gate::start();
    let id = deny(&gate, "bob@example.com").await;
    let page = shows(gate.admin, "/", "", "bob@example.com").await;
    for text in [
        "Ready: requests are decided",
        "IAM_PERMISSION_DENIED",
        &id,
        "cloudaicompanion.googleapis.com",
        "demo",
    ] {
        assert!(page.contains(text), "{text}\n{page}");
    }
    let why = html(&get(gate.admin, &format!("/console/decision?id={id}"), "").await);
    for text in ["Denied: IAM_PERMISSION_DENIED", "What would allow it", "user:bob@example.com"] {
        assert!(why.contains(text), "{text}\n{why}");
    }
    let question = format!("principal=user:bob@example.com&method=POST&target=http://{COMPANION}{CANCEL}");
    let answer = get(gate.admin, &format!("/console/explain?{question}"), "").await;
    assert!(html(&answer).contains("What would allow it"), "{}", html(&answer));
    let who = "permission=cloudaicompanion.operations.cancel&resource=projects/demo";
    let who = html(&get(gate.admin, &format!("/console/who-can?{who}"), "").await);
    assert!(who.contains("user:lea@example.com") && !who.contains("eve@"), "{who}");
    for (path, status) in [
        ("/console/decision?id=absent", 404),
        ("/console/decision", 400),
        ("/console/explain?principal=bob&method=GET&target=/v1/x", 400),
        ("/?resaon=x", 400),
        ("/console/who-can?permission=x&resource=y", 200),
    ] {
        let answer = get(gate.admin, path, "").await;
        assert_eq!(answer.status, status, "{path}");
        assert!(html(&answer).starts_with("<!DOCTYPE html>"), "{path}");
    }
}

#[tokio::test]
async fn names_are_told_only_to_those_who_may_read_policy() {
    let (gate, _folder) = guarded(&[]);
    let id = deny(&gate, "bob@example.com").await;
    let why = format!("/console/decision?id={id}");
    let pages = ["/", "/?principal=bob", &why, "/console/explain?method=GET&target=/v1/x", "/console/live"];
    for path in pages {
        for fields in ["", "Cookie: opgate_session=x\r\n", "Authorization: Bearer x\r\n"] {
            let answer = get(gate.admin, path, fields).await;
            assert_eq!(answer.status, if path.starts_with("/console") { 401 } else { 200 }, "{path}");
            let page = html(&answer);
            // The form holds the address that was asked for.
            let page = page.replace(path, "");
            assert!(NAMES.iter().all(|name| !page.contains(name)), "{path}: {page}");
        }
    }
    let mine = session(gate.admin).await;
    shows(gate.admin, "/", &mine, "bob@example.com").await;
    assert_eq!(get(gate.admin, &why, &mine).await.status, 200);
    assert_eq!(get(gate.admin, &why, &format!("Authorization: Bearer {TOKEN}\r\n")).await.status, 200);
    // The cookie is the console's: what programs ask takes the token.
    assert_eq!(get(gate.admin, "/decisions", &mine).await.status, 401);
    let out = post(gate.admin, "/console/logout", &mine, "").await;
    assert!(values(&out.headers, "set-cookie")[0].contains("Max-Age=0"));
    assert_eq!(get(gate.admin, &why, &mine).await.status, 401);

    let off = set(&["admin.explain=off"]);
    deny(&off, "bob@example.com").await;
    off.audit(1);
    let page = html(&get(off.admin, "/", "").await);
    assert!(
        page.contains("are not told at this address") && NAMES.iter().all(|name| !page.contains(name)),
        "{page}"
    );
    for path in ["/console/decision?id=x", "/console/live", "/console/who-can"] {
        assert_eq!(get(off.admin, path, "").await.status, 404, "{path}");
    }
    assert_eq!(post(off.admin, "/console/login", "", "token=x").await.status, 404);
}

#[tokio::test]
async fn a_session_ends_with_the_token_that_opened_it() {
    let (gate, folder) = guarded(&[]);
    let mine = session(gate.admin).await;
    let logged_in = async || html(&get(gate.admin, "/", &mine).await).contains("Log out");
    assert!(logged_in().await);
    std::fs::write(folder.path().join("token"), "another-horse-battery-staple").unwrap();
    while logged_in().await {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(post(gate.admin, "/console/login", "", &format!("token={TOKEN}")).await.status, 401);
}

#[tokio::test]
async fn wrong_tokens_have_to_wait() {
    let (gate, _folder) = guarded(&[]);
    for _ in 0..10 {
        assert_eq!(post(gate.admin, "/console/login", "", "token=wrong").await.status, 401);
    }
    let late = post(gate.admin, "/console/login", "", "token=wrong").await;
    assert_eq!(late.status, 429, "{}", html(&late));
    // The right one is let in, though others of its address have guessed.
    let right = post(gate.admin, "/console/login", "", &format!("token={TOKEN}")).await;
    assert_eq!(right.status, 303, "{}", html(&right));
    // Another network is not held up.
    let body = format!("token={TOKEN}");
    let mut other = crate::harness::connect_from("127.0.0.2", gate.admin).await;
    let head = format!(
        "POST /console/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    other.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    other.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 303 "), "{answer}");
}

#[tokio::test]
async fn every_answer_keeps_browsers_from_mischief() {
    let (gate, _folder) = guarded(&[]);
    let paths = [
        "/",
        "/?x",
        "/console/decision?id=1",
        "/console/who-can",
        "/console/live",
        "/console/style.css",
        "/console/live.js",
        "/console/icon.svg",
        "/console/login",
    ];
    for path in paths {
        let answer = get(gate.admin, path, "").await;
        let field = |name: &str| values(&answer.headers, name).join(", ");
        let policy = field("content-security-policy");
        assert!(
            policy.starts_with("default-src 'none'; ") && policy.contains("frame-ancestors 'none'"),
            "{path}: {policy}"
        );
        assert!(!policy.contains("unsafe") && !policy.contains('*'), "{policy}");
        assert_eq!(field("cache-control"), "no-store", "{path}");
        assert_eq!(field("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(field("referrer-policy"), "same-origin", "{path}");
    }
    let named = |host: &str| format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    let rebound = wire::exchange(gate.admin, named("evil.example").as_bytes()).await.unwrap();
    assert_eq!(rebound.status, 421);
}

#[tokio::test]
async fn pages_of_other_sites_can_link_here_and_do_nothing_else() {
    let (gate, _folder) = guarded(&[]);
    let login = format!("token={TOKEN}");
    for (fields, status) in [
        ("Origin: http://evil.example\r\n".to_owned(), 403),
        ("Origin: null\r\n".to_owned(), 403),
        ("Sec-Fetch-Site: cross-site\r\n".to_owned(), 403),
        (format!("Origin: http://{}\r\n", gate.admin), 303),
    ] {
        assert_eq!(post(gate.admin, "/console/login", &fields, &login).await.status, status, "{fields}");
        if status == 403 {
            assert_eq!(post(gate.admin, "/console/logout", &fields, "").await.status, 403, "{fields}");
        }
    }
    let open = Gate::start();
    let fetch = "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\nSec-Fetch-Dest: image\r\n";
    let link = "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n";
    let path = "/console/who-can?permission=x&resource=y";
    assert_eq!(get(open.admin, path, fetch).await.status, 403);
    assert_eq!(get(open.admin, path, link).await.status, 200);
    assert_eq!(get(open.admin, "/console/live", fetch).await.status, 403);
    // Nothing is changed by anything but the two forms.
    for path in ["/", path, "/console/live", "/console/style.css"] {
        assert_eq!(post(open.admin, path, "", "").await.status, 405, "{path}");
    }
}

/// Opens a stream, and gives what has come of it.
async fn stream(address: SocketAddr, path: &str, fields: &str) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n{fields}\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut begun = [0; 4096];
    let read = stream.read(&mut begun).await.unwrap();
    (stream, String::from_utf8_lossy(&begun[..read]).into_owned())
}

async fn comes(stream: &mut TcpStream, text: &str) -> String {
    let mut all = String::new();
    let reading = async {
        let mut bytes = [0; 4096];
        while !all.contains(text) {
            let read = stream.read(&mut bytes).await.unwrap();
            assert!(read > 0, "it ends before {text}: {all}");
            all.push_str(&String::from_utf8_lossy(&bytes[..read]));
        }
    };
    tokio::time::timeout(Duration::from_secs(30), reading).await.unwrap();
    all
}

#[tokio::test]
async fn decisions_come_as_events_by_the_filter() {
    let gate = Gate::start();
    let (mut live, head) = stream(gate.admin, "/console/live?principal=bob&after=0", "").await;
    assert!(head.starts_with("HTTP/1.1 200 ") && head.contains("text/event-stream"), "{head}");
    deny(&gate, "eve@example.com").await;
    let id = deny(&gate, "bob@example.com").await;
    let came = comes(&mut live, &id).await;
    assert!(came.contains("event: decisions") && !came.contains("eve@example.com"), "{came}");
}

#[tokio::test]
async fn streams_are_few_and_end_with_the_session() {
    let (gate, folder) = guarded(&["admin.connections=16"]);
    let mine = session(gate.admin).await;
    let mut open = Vec::new();
    for _ in 0..4 {
        let (live, head) = stream(gate.admin, "/console/live", &mine).await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        open.push(live);
    }
    let (_fifth, head) = stream(gate.admin, "/console/live", &mine).await;
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    drop(open.pop());
    // A place is free once the gate has seen that its client is gone.
    let mut again = loop {
        let (live, head) = stream(gate.admin, "/console/live", &mine).await;
        if head.starts_with("HTTP/1.1 200 ") {
            break live;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    std::fs::write(folder.path().join("token"), "another-horse-battery-staple").unwrap();
    comes(&mut again, "event: end").await;
    // The page is still answered while all places were taken: streams are a quarter of the connections at the most.
    assert_eq!(get(gate.admin, "/", "").await.status, 200);
}

#[tokio::test]
async fn a_reload_is_told_with_its_diagnostic() {
    let tree = Tree::shipped();
    let gate = set(&[&tree.setting()]);
    tree.write("allow/projects/demo.yaml", "bindings: {}\n");
    let page = shows(gate.admin, "/", "", "not loaded").await;
    for text in ["Ready, with ", "policy: the files do not load", "allow/projects/demo.yaml:1"] {
        assert!(page.contains(text), "{text}\n{page}");
    }
}

/// Names that no gate has would show as `–` for ever.
#[tokio::test]
async fn the_console_reads_metrics_that_there_are() {
    let gate = Gate::start();
    let cancel = Req::new("POST", COMPANION, CANCEL).bearer(&token("lea@example.com"));
    // It is allowed: the backend answers that there is no such operation.
    assert_eq!(gate.http1(&cancel).await.status, 404);
    let metrics = gate.metrics().await;
    let source = std::fs::read_to_string(root().join("src/admin/console/metric.rs")).unwrap();
    // This gate has no TLS.
    let is_of_tls = |name: &str| name.contains("certificate") || name.contains("_tls_");
    let names: Vec<&str> = source.split('"').skip(1).step_by(2).filter(|name| !is_of_tls(name)).collect();
    assert!(names.len() > 30);
    for name in names {
        let is_there =
            |line: &str| line.starts_with(&format!("{name}{{")) || line.starts_with(&format!("{name} "));
        assert!(metrics.lines().any(is_there), "{name}");
    }
}

/// The folder with the packages; prints why and gives `None` where something is missing, which CI does not allow.
fn installed() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("console");
    let wanted = std::fs::read(root().join("tests/console/package-lock.json")).unwrap();
    let has_packages = std::fs::read(folder.join("installed")).ok() == Some(wanted);
    let missing = match (said("chromium", &["--version"]), said("node", &["--version"])) {
        (Some(_), Some(_)) if has_packages => None,
        (Some(_), Some(_)) => Some("its packages are"),
        (None, _) => Some("chromium is"),
        (_, None) => Some("node is"),
    };
    if let Some(missing) = missing {
        assert!(std::env::var_os("CI").is_none(), "{missing} not installed: run .ci/install-console");
        eprintln!("the walk through the console is skipped: {missing} not installed (.ci/install-console)");
        return None;
    }
    std::fs::copy(root().join("tests/console/walk.mjs"), folder.join("walk.mjs")).unwrap();
    Some(folder)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_walk_through_the_console_in_chromium() {
    let Some(folder) = installed() else { return };
    let (gate, _tokens) = guarded(&[]);
    let off = set(&["admin.explain=off"]);
    deny(&off, "bob@example.com").await;
    let shots = folder.join("shots");
    std::fs::create_dir_all(&shots).unwrap();
    let bearers = json!({
        "ana": token("ana@example.com"),
        "bob": token("bob@example.com"),
        "mallory": token("<script>alert(\"x\")</script>@example.com"),
    });
    let given = json!({
        "chromium": said("sh", &["-c", "command -v chromium"]).unwrap(), "admin": gate.admin, "gate": gate.address,
        "host": COMPANION, "token": TOKEN, "bearers": bearers, "off": off.admin, "shots": shots,
    });
    let walk =
        move || succeed(Command::new("node").args(["walk.mjs", &given.to_string()]).current_dir(&folder));
    let told = tokio::task::spawn_blocking(walk).await.unwrap();
    assert_eq!(told.lines().filter(|line| line.starts_with("ok ")).count(), 13, "{told}");
}
