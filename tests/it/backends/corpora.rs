//! Every public corpus of paths, put into the route table as far as it goes, and every spelling of the table's own
//! paths that one change makes: a letter's case, a byte percent-encoded, both, twice, and letters that fold to ASCII.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::Value;

use super::assert_no_differences;
use super::books::Books;
use super::case::{Case, Version};
use super::generator::ROUTES;
use super::scene::Scene;
use crate::harness::corpora;

/// Sends every pair of HTTP method and path to every backend, over both versions. At least one in `allowed` has to be
/// allowed: a run in which everything is refused proves nothing.
async fn assert_agreement(what: &str, scene: &Scene, targets: &BTreeSet<(String, String)>, allowed: usize) {
    let mut cases = Vec::new();
    for (method, target) in targets {
        for backend in scene.backends() {
            for version in [Version::Http1, Version::Http2] {
                let uri: Result<http::Uri, _> = format!("http://{}{target}", backend.host()).parse();
                // The HTTP/2 client cannot write this path. tests/it/paths.rs sends such paths by hand.
                if version == Version::Http2 && (uri.is_err() || target.contains('#')) {
                    continue;
                }
                cases.push(Case::new(method, &backend.host(), target).over(version));
            }
        }
    }
    let outcomes = scene.ask(cases).await;
    let passed = outcomes.iter().filter(|outcome| !outcome.entry.ran.is_empty()).count();
    let ran = outcomes.iter().filter(|outcome| !outcome.ran().is_empty()).count();
    let differences = scene.books.differences();
    eprintln!(
        "{what}: {} paths, {} requests over {} backends: {passed} arrived, {ran} ran a method, {} differences",
        targets.len(),
        outcomes.len(),
        scene.backends().len(),
        differences.len()
    );
    for backend in scene.backends() {
        let of_backend = |difference: &&super::books::Difference| {
            difference.judged.as_ref().is_some_and(|judged| judged.host == backend.host())
        };
        eprintln!("  {}: {} differences", backend.name, differences.iter().filter(of_backend).count());
    }
    let told =
        |number| outcomes.iter().find(|outcome| outcome.case.number == number).map(|o| o.case.to_string());
    assert_no_differences(what, &differences, told);
    assert!(passed * allowed > outcomes.len(), "{what}: only {passed} of {} arrived", outcomes.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_spelling_of_the_route_table_runs_as_judged_or_not_at_all() {
    let Some(scene) = Scene::start(Books::keeping()) else { return };
    let mut targets = BTreeSet::new();
    for (method, path) in ROUTES {
        let path = path.replace("{p}", "p").replace("{t}", "x1").replace("{rest}", "a/b");
        let mut add = |path: String| targets.insert(((*method).to_owned(), path));
        add(path.clone());
        add(path.to_uppercase().replace("/V1/PROJECTS/P/", "/v1/projects/p/"));
        add(encode_all(&path));
        for end in ENDS {
            add(format!("{path}{end}"));
        }
        for (at, letter) in path.char_indices().skip(1) {
            let (before, after) = (&path[..at], &path[at + 1..]);
            let encoded = format!("%{:02X}", letter as u32);
            let mut put = |middle: &str| add(format!("{before}{middle}{after}"));
            put(&encoded);
            put(&encoded.to_lowercase());
            put(&format!("%25{:02X}", letter as u32));
            if letter.is_ascii_alphabetic() {
                let other = if letter.is_ascii_lowercase() {
                    letter.to_ascii_uppercase()
                } else {
                    letter.to_ascii_lowercase()
                };
                put(&other.to_string());
                put(&format!("%{:02X}", other as u32));
            }
            // U+017F and U+212A fold to `s` and `k`.
            match letter.to_ascii_lowercase() {
                's' => _ = put("%C5%BF"),
                'k' => _ = put("%E2%84%AA"),
                _ => {}
            }
        }
    }
    assert_agreement("spellings", &scene, &targets, 20).await;
}

/// Endings that one reader ignores: the path with one of them is still the same path to it.
const ENDS: &[&str] = &[
    "%3A",
    "%3a",
    ":",
    "%3A%3A",
    "/",
    "%2F",
    "%20",
    "%00",
    ";",
    ";a=b",
    "%3B",
    ".",
    "%2E",
    "/.",
    "/%2e",
    "%23",
    "%3F",
    "%3AexportSecrets",
    "%3AEXPORTSECRETS",
    "%3Apurge",
    "%3Ax",
    ":x",
    "/acl",
    "/ACL",
    "%2Facl",
];

/// Every letter and colon as `%XX`.
fn encode_all(path: &str) -> String {
    path.chars()
        .map(|letter| match letter {
            '/' => "/".to_owned(),
            letter => format!("%{:02x}", letter as u32),
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn corpora_of_paths_run_as_judged_or_not_at_all() {
    let Some(folder) = corpora("corpora_of_paths_run_as_judged_or_not_at_all") else { return };
    let Some(scene) = Scene::start(Books::keeping()) else { return };
    let mut targets = BTreeSet::new();
    let mut add = |method: &str, path: &str| {
        for path in [
            path.to_owned(),
            // The path below a wildcard for many segments, and below routes for a single one.
            format!("/v1/projects/p/files{path}"),
            format!("/v1/projects/p/things{path}"),
            format!("/v1/projects/p/hooks{path}"),
            format!("/v1/projects/p{path}"),
            // The vectors have a cancel of an operation; the route table has one of a transfer.
            path.replacen("/locations/l/operations/", "/transferOperations/", 1),
            path.replacen("/locations/l/operations/", "/things/", 1).replace(":cancel", ":exportSecrets"),
            path.replacen("/locations/l/operations/", "/things/", 1).replace("cancel", "exportSecrets"),
        ] {
            // Other texts cannot stand in a request line.
            if path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic()) {
                targets.insert((method.to_owned(), path));
            }
        }
    };
    let vectors = std::fs::read_to_string(folder.join("paths/path_vectors.tsv")).unwrap();
    for row in vectors.lines() {
        let mut columns = row.split('\t');
        let (method, path) = (columns.next().unwrap(), columns.next().unwrap());
        add(method, path);
        add("GET", path);
    }
    let vectors = std::fs::read_to_string(folder.join("paths/envoy_path_vectors.json")).unwrap();
    let mut paths = BTreeSet::new();
    texts(&serde_json::from_str(&vectors).unwrap(), &mut paths);
    let mut files: Vec<_> =
        std::fs::read_dir(folder.join("desync")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    for file in files {
        let cases: Vec<DesyncCase> = serde_saphyr::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
        paths.extend(cases.into_iter().map(|case| case.uri));
    }
    for path in &paths {
        add("GET", path);
        add("POST", path);
    }
    assert_agreement("corpora", &scene, &targets, 100).await;
}

#[derive(Deserialize)]
struct DesyncCase {
    uri: String,
}

/// Every text in the vectors, inputs and results alike.
fn texts(value: &Value, into: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => {
            into.insert(text.clone());
        }
        Value::Object(members) => members.values().for_each(|member| texts(member, into)),
        Value::Array(items) => items.iter().for_each(|item| texts(item, into)),
        _ => {}
    }
}
