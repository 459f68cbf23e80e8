//! The documentation is a test: its commands run, its examples load and decide as it says, its tables are those of the
//! source, its links lead somewhere.
//!
//! README.md, the pages at the project's root and every file below docs/ are read. What no test knows how to check fails: a
//! command, a kind of block, a page that no link reaches.

mod cookbook;
pub mod fragments;
mod metrics;
mod newcomers;
pub mod pages;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use opgate::dev::mint::Mint;
use opgate::reason::Reason;
use regex::Regex;

use self::pages::{Kind, Known, Page, broken_links, documents, pages, unreached};
use crate::cli::Workspace;
use crate::harness::{COMPANION, Gate, Req, Setup, key, reason, root, signal, token};

/// Most bytes of README.md: ten minutes of reading. What is more belongs to a page of docs/.
const MOST_README_BYTES: usize = 10_000;

fn makefile_has(target: &str) -> bool {
    let makefile = std::fs::read_to_string(root().join("Makefile")).unwrap();
    makefile.contains(&format!("\n{target}:"))
}

/// All of the source that is compiled into the product, as one text.
fn source() -> String {
    let mut text = String::new();
    let mut folders = vec![root().join("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.file_name().unwrap() != "tests.rs" {
                text.push_str(&std::fs::read_to_string(path).unwrap());
            }
        }
    }
    text
}

fn bare(cell: &str) -> &str {
    cell.trim_matches('`')
}

/// Runs a command of a page in the workspace of the page's examples.
fn run(workspace: &Workspace, page: &Page, line: &str, code: i32) {
    // `check` takes the arguments of `run` and comes to an end.
    let line = line.replace("opgate run", "opgate check");
    // The names of examples are nowhere to be found.
    let line = match line.split_once("opgate check --config") {
        Some((before, after)) => format!("{before}opgate check --offline --config{after}"),
        None => line,
    };
    let outcome = workspace.shell(&line);
    // The role of an example opens nothing where its service is not exposed: a note, and worth one.
    let notes = outcome.stderr.lines().last().is_none_or(|last| last.starts_with("0 errors, 0 warnings, "));
    assert_eq!((outcome.code, notes), (Some(code), true), "{}: {line}\n{}", page.name, outcome.text());
}

#[test]
fn every_command_works() {
    let mut commands = 0;
    for page in pages() {
        let (workspace, _) = fragments::workspace(&page);
        for block in page.blocks() {
            let code = match block.kind {
                Kind::Commands => 0,
                Kind::Denied => 2,
                _ => continue,
            };
            for line in block.text.lines() {
                commands += 1;
                match Known::parse(line) {
                    Some(Known::Make(target)) => {
                        assert!(makefile_has(target), "{}: `{line}` is not a target", page.name);
                    }
                    Some(Known::IntegrationTest(module)) => {
                        assert!(
                            root().join(format!("tests/it/{module}.rs")).exists(),
                            "{}: {line}",
                            page.name
                        );
                    }
                    Some(Known::UnitTest(module)) => {
                        assert!(root().join(format!("src/{module}.rs")).exists(), "{}: {line}", page.name);
                    }
                    Some(Known::Program) => run(&workspace, &page, line, code),
                    None => panic!("{}: no test knows the command `{line}`", page.name),
                }
            }
        }
    }
    assert!(commands >= 20, "{commands}");
}

#[test]
fn a_command_that_no_test_knows_is_not_passed_over() {
    let known = [
        ("make demo", Some(Known::Make("demo"))),
        ("make fuzz FUZZ_SECONDS=60", Some(Known::Make("fuzz"))),
        ("INSTA_UPDATE=always cargo test --test it cli", Some(Known::IntegrationTest("cli"))),
        ("cargo test --lib policy::tests", Some(Known::UnitTest("policy"))),
        ("OPGATE__ADMIN__ADDRESS=127.0.0.1:0 opgate check", Some(Known::Program)),
        ("opgate-dev token --help", Some(Known::Program)),
        ("opgate version; rm -rf target", None),
        ("opgatectl version", None),
        ("curl https://opgate.example.com/install | sh", None),
        ("make demo test", None),
        ("", None),
    ];
    for (line, expected) in known {
        assert_eq!(Known::parse(line), expected, "{line}");
    }
}

#[test]
fn every_example_of_the_configuration_loads() {
    let shipped = std::fs::read_to_string(root().join("config/opgate.yaml")).unwrap();
    let mut examples = 0;
    for page in pages() {
        for block in page.blocks().iter().filter(|block| block.kind == Kind::Configuration) {
            let text = fragments::configuration(&shipped, &block.text);
            let workspace = Workspace::new().write("config/opgate.yaml", &text);
            fragments::write_named_files(&workspace);
            run(&workspace, &page, "opgate check --config config/opgate.yaml", 0);
            examples += 1;
        }
    }
    assert!(examples >= 12, "{examples}");
}

/// An example takes the place of the sections that it has, and of no others.
#[test]
fn an_example_of_the_configuration_replaces_its_sections() {
    let shipped = "# one\na:\n  b: 1\n# two\nc: 2\nd:\n- 3\n";
    assert_eq!(fragments::configuration(shipped, "a: 9\nd: 8\n"), "# one\nc: 2\na: 9\nd: 8\n");
    let workspace = Workspace::new();
    let shipped = std::fs::read_to_string(workspace.path("config/opgate.yaml")).unwrap();
    let text = fragments::configuration(&shipped, "upgrade: {sokcet: upgrade.sock}\n");
    let outcome =
        workspace.write("config/opgate.yaml", &text).opgate(&["check", "--config", "config/opgate.yaml"]);
    assert!(outcome.code == Some(3) && outcome.stderr.contains("sokcet"), "{}", outcome.text());
}

/// `[`name`](file)` is a link to a test.
#[test]
fn every_test_that_is_named_is_there() {
    let link = Regex::new(r"\[`([a-z0-9_]+)`\]\(([^)]+\.rs)\)").unwrap();
    let mut links = 0;
    for page in pages() {
        for found in link.captures_iter(&page.text) {
            links += 1;
            let folder = root().join(&page.name);
            let file = std::fs::read_to_string(folder.parent().unwrap().join(&found[2]));
            let file = file.unwrap_or_else(|error| panic!("{}: {}: {error}", page.name, &found[2]));
            let test = Regex::new(&format!(r"#\[(tokio::)?test[^\n]*\][\s\S]{{0,80}}?fn {}\(\)", &found[1]))
                .unwrap();
            assert!(test.is_match(&file), "{}: {} has no test `{}`", page.name, &found[2], &found[1]);
        }
    }
    assert!(links > 100, "{links}");
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
async fn the_commands_of_an_upgrade_hand_over() {
    let workspace = Workspace::new().write("keys.jwks.json", &key().jwks().to_string());
    let page = Page::read("docs/operations.md");
    let (block, by_signal) = (page.block(&Kind::Upgrade), page.block(&Kind::Successor));
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
    assert!(start(&by_signal.text).wait().unwrap().success());
    until(&|| serving.pid().is_some_and(|newest| newest != new)).await;
    let newest = serving.pid().unwrap();
    signal(newest, "TERM");
    until(&|| serving.pid().is_none()).await;
}

#[test]
fn the_demo_says_what_is_shown_of_it() {
    let output = Workspace::new().opgate_dev(&["demo", "--once"]).stdout;
    let shown = Page::read("README.md").block(&Kind::Demo);
    let mut lines = output.lines();
    for line in shown.text.lines().filter(|line| *line != "…") {
        assert!(lines.any(|said| said == line), "not, or not here, in what the demo prints:\n{line}");
    }
}

#[tokio::test]
async fn the_library_of_the_example_is_open_to_its_readers() {
    let (workspace, examples) = fragments::workspace(&Page::read("docs/policy.md"));
    assert_eq!(examples, 12);
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
    let rows = Page::read("docs/security.md").table("| where | for example | what it would be good for |");
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
    let shown: Vec<String> = Page::read("docs/errors.md")
        .table("| status | reason | google.rpc.Code | when |")
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

/// What the prose names: reasons and other constants, keys, targets and commands.
#[test]
fn what_is_named_between_backticks_is_there() {
    let source = source();
    let makefile = std::fs::read_to_string(root().join("Makefile")).unwrap();
    let annotated = std::fs::read_to_string(root().join("config/opgate.yaml")).unwrap();
    let constant = Regex::new(r"^[A-Z]+(_[A-Z0-9]+)+$").unwrap();
    let key = Regex::new(
        r"^(limits|timeouts|admin|policy|audit|telemetry|upgrade|proof_of_possession|tls)\.([a-z_0-9]+)$",
    );
    let key = key.unwrap();
    let make = Regex::new(r"^make ([a-z-]+)").unwrap();
    let command = Regex::new(r"^(opgate(?:-dev)?) ([a-z][a-z-]*)").unwrap();
    let has_word = |text: &str, word: &str| Regex::new(&format!(r"\b{word}\b")).unwrap().is_match(text);
    let workspace = Workspace::new();
    let mut helped = BTreeSet::new();
    let mut missing = Vec::new();
    for page in pages() {
        let mut miss = |what: &str| missing.push(format!("{}: `{what}`", page.name));
        for span in page.code_spans() {
            if constant.is_match(&span) && !has_word(&source, &span) && !has_word(&makefile, &span) {
                miss(&span);
            }
            if key.captures(&span).is_some_and(|found| !annotated.contains(&format!("{}:", &found[2]))) {
                miss(&span);
            }
            if make.captures(&span).is_some_and(|found| !makefile_has(&found[1])) {
                miss(&span);
            }
            if let Some(found) = command.captures(&span)
                && helped.insert((found[1].to_owned(), found[2].to_owned()))
                && workspace.shell(&format!("{} help {}", &found[1], &found[2])).code != Some(0)
            {
                miss(&span);
            }
        }
    }
    assert!(missing.is_empty(), "\n  {}\n", missing.join("\n  "));
    assert!(helped.len() >= 5, "{helped:?}");
}

#[test]
fn every_link_leads_somewhere() {
    let pages = pages();
    let links: usize = pages.iter().map(|page| page.links().len()).sum();
    assert!(links > 150, "{links}");
    let broken: Vec<String> = pages.iter().flat_map(|page| broken_links(page, &pages)).collect();
    assert!(broken.is_empty(), "\n  {}\n", broken.join("\n  "));
}

#[test]
fn every_file_of_docs_is_reached_from_the_readme() {
    assert_eq!(unreached(&pages(), &documents()), Vec::<String>::new());
}

/// The checks of links find what they are for.
#[test]
fn a_link_to_nothing_and_a_page_that_no_link_reaches_are_found() {
    let page = |name: &str, text: &str| Page { name: name.to_owned(), text: text.to_owned() };
    let pages = [
        page("README.md", "# A\n[one](docs/one.md) [none](docs/none.md) [`x`](LICENSE)"),
        page(
            "docs/one.md",
            "# One word\n[up](../README.md#a) [self](#one-word) [wrong](#two) [out](https://a.test)",
        ),
        page("docs/two.md", "[one](one.md)"),
    ];
    let documents = ["docs/one.md", "docs/two.md"].map(str::to_owned);
    assert_eq!(unreached(&pages, &documents), ["docs/two.md"]);
    let broken: Vec<String> = pages.iter().flat_map(|page| broken_links(page, &pages)).collect();
    let expected = [
        // No file of the project, though a page here.
        "README.md links to (\"docs/one.md\", None)",
        "README.md links to (\"docs/none.md\", None)",
        "docs/one.md links to (\"docs/one.md\", Some(\"two\"))",
        "docs/two.md links to (\"docs/one.md\", None)",
    ];
    assert_eq!(broken, expected);
}

#[test]
fn the_readme_is_short() {
    let bytes = Page::read("README.md").text.len();
    assert!(bytes <= MOST_README_BYTES, "README.md has {bytes} bytes: move something to docs/");
}
