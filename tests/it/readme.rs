//! README.md is a test: its commands run, its examples decide as it says, its tables are those of the code.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use opgate::dev::mint::Mint;
use opgate::reason::Reason;
use regex::Regex;

use crate::cli::Workspace;
use crate::harness::{COMPANION, Gate, Req, Setup, copy, key, reason, root, signal, token};

fn readme() -> String {
    std::fs::read_to_string(root().join("README.md")).unwrap()
}

/// A fenced block: what stands after the fence, and the lines within.
struct Block {
    info: String,
    text: String,
}

fn blocks() -> Vec<Block> {
    let fence = Regex::new(r"(?ms)^```([^\n]*)\n(.*?)^```$").unwrap();
    let blocks: Vec<Block> = fence
        .captures_iter(&readme())
        .map(|found| Block { info: found[1].to_owned(), text: found[2].to_owned() })
        .collect();
    assert!(blocks.len() > 10);
    blocks
}

/// The cells of the rows of the table that begins with this heading row.
fn table(heading: &str) -> Vec<Vec<String>> {
    let text = readme();
    let (_, rest) = text.split_once(heading).unwrap_or_else(|| panic!("no table `{heading}`"));
    rest.lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect())
        .collect()
}

fn bare(cell: &str) -> &str {
    cell.trim_matches('`')
}

/// The shipped tree with the README's examples in it.
fn with_examples() -> Workspace {
    let mut workspace = Workspace::new();
    let mut examples = 0;
    for block in blocks().iter().filter(|block| block.info.starts_with("yaml")) {
        let (how, name) = block.info["yaml ".len()..].split_once('=').unwrap();
        let before = match how {
            "file" => String::new(),
            "add" => std::fs::read_to_string(workspace.path(name)).unwrap(),
            _ => panic!("{how}"),
        };
        workspace = workspace.write(name, &(before + &block.text));
        examples += 1;
    }
    assert_eq!(examples, 12);
    copy(&workspace.path("policies"), &workspace.path("next"));
    workspace.write("audit.jsonl", AUDIT_LINE)
}

/// A line as the gate writes it, of a request that any of the trees allows.
const AUDIT_LINE: &str = r#"{"timestamp":"2026-03-02T09:00:00Z","severity":"INFO","insertId":"1","httpRequest":{"requestMethod":"POST","status":200,"remoteIp":"127.0.0.1","latency":"0.001s"},"protoPayload":{"@type":"type.googleapis.com/google.cloud.audit.AuditLog","status":{},"authenticationInfo":{"principalSubject":"user:ana@example.com","principalEmail":"ana@example.com"},"serviceName":"cloudaicompanion.googleapis.com","methodName":"google.longrunning.Operations.CancelOperation","resourceName":"projects/demo/locations/us-central1/operations/o","authorizationInfo":[{"resource":"projects/demo/locations/us-central1/operations/o","permission":"cloudaicompanion.operations.cancel","granted":true}],"requestMetadata":{"callerIp":"127.0.0.1","requestAttributes":{"id":"1","time":"2026-03-02T09:00:00Z","method":"POST","host":"cloudaicompanion.googleapis.com","path":"/v1/projects/demo/locations/us-central1/operations/o:cancel","protocol":"HTTP/1.1"}},"metadata":{"decision":"ALLOWED","reason":"ALLOWED","policyRevision":"000000000000","rule":{"role":"organizations/7/roles/operationsCanceller","member":"group:oncall@example.com","resource":"projects/demo","place":"policies/allow/projects/demo.yaml:6"}}}}
"#;

#[test]
fn every_command_works() {
    let workspace = with_examples();
    let makefile = std::fs::read_to_string(root().join("Makefile")).unwrap();
    let mut commands = 0;
    for block in blocks().iter().filter(|block| ["sh", "sh denied"].contains(&&*block.info)) {
        let code = if block.info == "sh denied" { 2 } else { 0 };
        for line in block.text.lines() {
            commands += 1;
            if let Some(target) = line.strip_prefix("make ") {
                assert!(makefile.contains(&format!("\n{target}:")), "the Makefile has no target `{target}`");
                continue;
            }
            assert!(line.contains("opgate ") || line.contains("opgate-dev "), "what is `{line}`?");
            // `check` takes the arguments of `run` and comes to an end.
            let line = line.replace("opgate run", "opgate check");
            let outcome = workspace.shell(&line);
            // The role of the example opens nothing where its service is not exposed: a note, and worth one.
            let notes =
                outcome.stderr.lines().last().is_none_or(|last| last.starts_with("0 errors, 0 warnings, "));
            assert_eq!((outcome.code, notes), (Some(code), true), "{line}\n{}", outcome.text());
        }
    }
    assert!(commands >= 14, "{commands}");
}

/// `[`name`](file)` is a link to a test.
#[test]
fn every_test_that_is_named_is_there() {
    let link = Regex::new(r"\[`([a-z0-9_]+)`\]\(([^)]+\.rs)\)").unwrap();
    let text = readme();
    let links: Vec<_> = link.captures_iter(&text).collect();
    for found in &links {
        let file = std::fs::read_to_string(root().join(&found[2])).unwrap();
        let test =
            Regex::new(&format!(r"#\[(tokio::)?test[^\n]*\][\s\S]{{0,80}}?fn {}\(\)", &found[1])).unwrap();
        assert!(test.is_match(&file), "{} has no test `{}`", &found[2], &found[1]);
    }
    assert!(links.len() > 60, "{}", links.len());
}

/// Ends the process that the file names.
struct EndOf(PathBuf);

impl EndOf {
    fn pid(&self) -> Option<u32> {
        std::fs::read_to_string(&self.0).ok()?.trim_end().parse().ok()
    }
}

impl Drop for EndOf {
    fn drop(&mut self) {
        if let Some(pid) = self.pid() {
            signal(pid, "TERM");
        }
    }
}

#[tokio::test]
async fn the_two_commands_of_an_upgrade_hand_over() {
    let workspace = Workspace::new().write("keys.jwks.json", &key().jwks().to_string());
    let block = blocks().into_iter().find(|block| block.info == "sh upgrade").unwrap();
    assert_eq!(block.text.lines().count(), 2);
    let start = |line: &str| {
        let mut command = workspace.shell_command(line);
        command
            .env("OPGATE__LISTENERS__0__ADDRESS", "127.0.0.1:0")
            .env("OPGATE__ADMIN__ADDRESS", "127.0.0.1:0")
            .env("OPGATE__ISSUERS__STAFF__KEYS", "{file: ../keys.jwks.json}")
            .env("OPGATE__UPGRADE__SOCKET", "upgrade.sock")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command.spawn().unwrap()
    };
    let serving = EndOf(workspace.path("opgate.pid"));
    let until = async |found: &dyn Fn() -> bool| {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !found() {
            assert!(Instant::now() < deadline);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let mut old = start("exec opgate run --config config/opgate.yaml --pid-file opgate.pid");
    until(&|| serving.pid() == Some(old.id())).await;
    assert!(start(&block.text).wait().unwrap().success());
    assert!(old.wait().unwrap().success());
    // It is there before the old process ends, and goes with the new one.
    let new = serving.pid().unwrap();
    assert_ne!(new, old.id());
    signal(new, "TERM");
    until(&|| serving.pid().is_none()).await;
}

#[test]
fn the_demo_says_what_is_shown_of_it() {
    let output = Workspace::new().opgate_dev(&["demo", "--once"]).stdout;
    let shown = blocks().into_iter().find(|block| block.text.contains(" 1. ok  Allowed")).unwrap();
    let mut lines = output.lines();
    for line in shown.text.lines().filter(|line| *line != "…") {
        assert!(lines.any(|said| said == line), "not, or not here, in what the demo prints:\n{line}");
    }
}

#[tokio::test]
async fn the_library_of_the_example_is_open_to_its_readers() {
    let workspace = with_examples();
    let gate = Gate::start_with(Setup {
        set: vec![
            format!("policy.directory={}", workspace.path("policies").display()),
            "services.library={upstream: operations, hosts: [library.localhost]}".to_owned(),
        ],
        ..Setup::default()
    });
    let book = "/v1/projects/library/shelves/s/books/b";
    let cases = [
        // By the group, by a group in the group, by name but denied, and not.
        ("ana@example.com", "GET", book.to_owned(), None),
        ("lea@example.com", "GET", book.to_owned(), None),
        ("bob@example.com", "GET", book.to_owned(), Some("IAM_PERMISSION_DENIED")),
        ("erin@example.com", "GET", book.to_owned(), Some("IAM_PERMISSION_DENIED")),
        ("ana@example.com", "GET", book.replace("library", "demo"), Some("IAM_PERMISSION_DENIED")),
        ("ana@example.com", "POST", format!("{book}:burn"), Some("METHOD_NOT_FOUND")),
    ];
    for (who, method, target, refused) in cases {
        let seen = gate.backend.requests().len();
        let answer = gate.http1(&Req::new(method, "library.localhost", &target).bearer(&token(who))).await;
        let reached = gate.backend.requests().len() - seen;
        assert_eq!(reached, usize::from(refused.is_none()), "{who} {method} {target}: {}", reason(&answer));
        if let Some(refused) = refused {
            assert_eq!(reason(&answer), refused, "{who} {method} {target}");
        }
    }
}

#[tokio::test]
async fn what_is_shown_as_refused_is_refused() {
    let gate = Gate::start();
    let good = "/v1/projects/demo/locations/l/operations/o:cancel";
    let token = token("ana@example.com");
    let rows = table("| where | for example | what it would be good for |");
    assert!(rows.len() >= 16);
    for row in rows {
        let (kind, example) = (row[0].as_str(), bare(&row[1]));
        let (target, header, body) = match kind {
            "path" => (example.to_owned(), "", ""),
            "query" => (format!("{good}{example}"), "", ""),
            "header" | "framing" => (good.to_owned(), example, ""),
            "body" => (good.to_owned(), "", example),
            _ => panic!("{kind}"),
        };
        let mut request =
            format!("POST {target} HTTP/1.1\r\nHost: {COMPANION}\r\nAuthorization: Bearer {token}\r\n");
        if !header.is_empty() {
            request.push_str(&format!("{header}\r\n"));
        }
        if !body.is_empty() {
            request.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        let answer = gate.raw(format!("{request}\r\n{body}")).await;
        assert_eq!(answer.status, 400, "{kind} {example}: {}", reason(&answer));
        let expected: &[&str] = match kind {
            "query" => &["QUERY_PARAMETER_REFUSED"],
            "body" => &["REQUEST_BODY_REFUSED"],
            _ => &["REQUEST_MALFORMED"],
        };
        assert!(expected.contains(&reason(&answer).as_str()), "{kind} {example}: {}", reason(&answer));
    }
    assert_eq!(gate.backend.requests().len(), 0);
}

#[test]
fn the_reasons_are_those_of_the_table_in_the_source() {
    let shown: Vec<String> = table("| status | reason | google.rpc.Code | when |")
        .iter()
        .map(|row| format!("{} {} {}", row[0], bare(&row[1]), row[2]))
        .collect();
    let known: Vec<String> = Reason::ALL
        .iter()
        .map(|reason| reason.entry())
        .map(|entry| format!("{} {} {}", entry.status, entry.name, entry.code))
        .collect();
    assert_eq!(shown, known);
}

#[test]
fn the_metrics_are_those_of_the_source() {
    let source = ["src/metrics.rs", "src/authn/instruments.rs"]
        .map(|file| std::fs::read_to_string(root().join(file)).unwrap())
        .concat();
    let instrument = Regex::new(r#""(opgate_\w+)",\s*"([^"]+)"(?:,\s*&\[([^\]]*)\])?"#).unwrap();
    let known: BTreeSet<String> = instrument
        .captures_iter(&source)
        .map(|found| {
            let labels = found.get(3).map_or(String::new(), |labels| labels.as_str().replace(['"', ' '], ""));
            let labels = if labels.is_empty() { labels } else { format!("{{{labels}}}") };
            format!("`{}{labels}` {}", &found[1], &found[2])
        })
        .collect();
    let shown: BTreeSet<String> =
        table("| metric | what it says |").iter().map(|row| format!("{} {}", row[0], row[1])).collect();
    assert_eq!(shown, known);
}

#[test]
fn every_link_leads_somewhere() {
    let link = Regex::new(r"\]\(([^)#:]+)(?:#[^)]*)?\)").unwrap();
    let text = readme();
    let targets: Vec<&str> = link.captures_iter(&text).map(|found| found.get(1).unwrap().as_str()).collect();
    assert!(targets.len() > 10);
    for target in targets {
        assert!(root().join(target).exists(), "README.md links to {target}");
    }
}
