//! What a request carries beside its path: header fields that backends unwrap or believe, overrides of the method,
//! bodies that two readers read differently, HTTP methods that no other route accepts.

use super::assert_no_differences;
use super::books::Books;
use super::case::{Caller, Case, Version};
use super::scene::{Outcome, Scene};
use crate::frames;
use crate::harness::Body;

const THING: &str = "/v1/projects/p/things/x";
const HOOK: &str = "/v1/projects/p/hooks/h";
const TEST: &str = "/v1/projects/p/things/x:testIamPermissions";
const ELSEWHERE: &str = "projects/q/things/y";

/// Fields that grpc-gateway and the service behind it turn into metadata, and fields that name the caller to backends.
const BELIEVED: &[&str] = &[
    "Grpc-Metadata-Role",
    "grpc-metadata-x-user",
    "Grpc-Metadata-Authorization",
    "GRPC-METADATA-Secret-Bin",
    "Grpcgateway-Authorization",
    "Grpcgateway-Role",
    "Impersonate-User",
    "Impersonate-Group",
    "X-Remote-User",
    "X-Remote-Group",
    "X-Remote-Extra-Scopes",
    "Remote-User",
    "Proxy",
    "Cf-Access-Jwt-Assertion",
    "X-Forwarded-Host",
    "X-Original-Url",
    "X-Rewrite-Url",
];

/// Asserts that backends ran what was judged, and that the requests of this test that must arrive did.
fn assert_agreement(what: &str, scene: &Scene, outcomes: &[Outcome]) {
    let told =
        |number| outcomes.iter().find(|outcome| outcome.case.number == number).map(|o| o.case.to_string());
    let arrived = outcomes.iter().filter(|outcome| !outcome.entry.ran.is_empty()).count();
    eprintln!("{what}: {} requests, {arrived} arrived", outcomes.len());
    assert_no_differences(what, &scene.books.differences(), told);
}

const BOTH: [Version; 2] = [Version::Http1, Version::Http2];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fields_that_a_backend_unwraps_or_believes_never_arrive() {
    let Some(scene) = Scene::start(Books::keeping()) else { return };
    let mut cases = Vec::new();
    for backend in scene.backends() {
        for name in BELIEVED {
            for version in BOTH {
                let case = Case::new("GET", &backend.host(), THING).over(version).by(Caller::Get);
                cases.push(case.header(&name.to_ascii_lowercase(), "YWRtaW4="));
            }
        }
        // Other fields pass.
        cases.push(Case::new("GET", &backend.host(), THING).header("x-team", "search"));
    }
    let outcomes = scene.ask(cases).await;
    let mut failures = Vec::new();
    for outcome in &outcomes {
        let (name, _) = outcome.case.request.headers.last().unwrap();
        for ran in &outcome.entry.ran {
            // nginx does not report header fields.
            let told = !ran.headers.is_empty();
            let arrived = ran.headers.split(' ').any(|field| field == name);
            let unwrapped = name.strip_prefix("grpc-metadata-").unwrap_or(name);
            let metadata = ran.metadata.split(' ').any(|key| key.eq_ignore_ascii_case(unwrapped));
            if name == "x-team" {
                assert!(arrived || !told, "{}", outcome.case);
            } else if arrived || (metadata && name.starts_with("grpc")) {
                failures
                    .push(format!("{}: headers {}, metadata {}", outcome.case, ran.headers, ran.metadata));
            }
        }
    }
    assert!(failures.is_empty(), "{} arrived:\n{}", failures.len(), failures.join("\n"));
    assert_agreement("fields", &scene, &outcomes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_method_that_an_override_names_is_judged_or_the_override_is_refused() {
    let Some(scene) = Scene::start(Books::keeping()) else { return };
    let mut cases = Vec::new();
    for backend in scene.backends() {
        let json = |case: Case, body: &str| {
            case.header("content-type", "application/json").body(Body::Length(body.into()))
        };
        for target in [THING, HOOK, TEST] {
            for version in BOTH {
                for (sent, named) in [
                    ("POST", "DELETE"),
                    ("POST", "GET"),
                    ("POST", "PATCH"),
                    ("GET", "DELETE"),
                    ("PUT", "DELETE"),
                ] {
                    let case = |target: &str| Case::new(sent, &backend.host(), target).over(version);
                    for name in [
                        "x-http-method-override",
                        "x-http-method",
                        "x-method-override",
                        "_method",
                        "_httpmethod",
                    ] {
                        cases.push(case(target).header(name, named));
                    }
                    for query in [
                        "_method",
                        "%5Fmethod",
                        "_Method",
                        "_METHOD",
                        "_HttpMethod",
                        "$httpMethod",
                        "_method[]",
                    ] {
                        cases.push(case(&format!("{target}?{query}={named}")));
                        cases.push(case(&format!("{target}?a=b;{query}={named}")));
                    }
                    cases.push(json(case(target), &format!(r#"{{"_method":"{named}"}}"#)));
                    let form = Body::Length(format!("_method={named}").into());
                    cases.push(case(target).body(form.clone()));
                    cases.push(
                        case(target).header("content-type", "application/x-www-form-urlencoded").body(form),
                    );
                }
            }
        }
    }
    let outcomes = scene.ask(cases).await;
    assert_agreement("overrides", &scene, &outcomes);
}

/// Bodies of `TestIamPermissions`, whose path names the resource, with the types that they are sent with.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_is_read_in_another_way_names_no_other_resource() {
    const BODIES: &[&str] = &[
        r#"{"permissions":["things.things.get"]}"#,
        "{}",
        r#"{"resource":"projects/p/things/x"}"#,
        r#"{"resource":"projects/q/things/y"}"#,
        r#"{"Resource":"projects/q/things/y"}"#,
        r#"{"RESOURCE":"projects/q/things/y"}"#,
        "{\"re\u{17f}ource\":\"projects/q/things/y\"}",
        "{\"RE\u{17f}OURCE\":\"projects/q/things/y\"}",
        r#"{"re\u017fource":"projects/q/things/y"}"#,
        r#"{"re\u0073ource":"projects/q/things/y"}"#,
        r#"{"resource":"projects/p/things/x","Resource":"projects/q/things/y"}"#,
        r#"{"resource":"projects/p/things/x","resource":"projects/q/things/y"}"#,
        "{\"resource\":\"projects/p/things/x\",\"re\u{17f}ource\":\"projects/q/things/y\"}",
        r#"{"resource\u0000":"projects/q/things/y"}"#,
        r#"{"a":"&resource=projects/q/things/y&"}"#,
        r#"{"a":"&resource=projects%2Fq%2Fthings%2Fy&","permissions":[]}"#,
        "resource=projects/q/things/y",
        r#"[{"resource":"projects/q/things/y"}]"#,
        r#"{"resource":["projects/q/things/y"]}"#,
        "{\"permissions\":[\"\u{212a}\"]}",
        "\u{feff}{\"resource\":\"projects/q/things/y\"}",
    ];
    const TYPES: &[Option<&str>] = &[
        None,
        Some("application/json"),
        Some("application/json; charset=utf-8"),
        Some("application/x-www-form-urlencoded"),
        Some("text/plain"),
        Some("application/json, application/x-www-form-urlencoded"),
        Some("multipart/form-data; boundary=b"),
    ];
    let Some(scene) = Scene::start(Books::keeping()) else { return };
    let mut cases = Vec::new();
    for backend in scene.backends() {
        for body in BODIES {
            for typed in TYPES {
                for version in BOTH {
                    let case = Case::new("POST", &backend.host(), TEST).over(version);
                    let case = typed.map_or(case.clone(), |typed| case.header("content-type", typed));
                    cases.push(case.clone().body(Body::Length((*body).into())));
                    cases.push(case.body(Body::Chunked((*body).into())));
                }
            }
        }
        // The same in a query: a parameter that the path has already, in any spelling.
        for key in [
            "name",
            "Name",
            "NAME",
            "n%61me",
            "name%5B%5D",
            "name[]",
            "a=b;name",
            "a;name",
            "+name",
            "name%20",
            "name[x]",
        ] {
            for version in BOTH {
                let target = format!("{THING}?{key}={ELSEWHERE}");
                cases.push(Case::new("GET", &backend.host(), &target).over(version).by(Caller::Get));
            }
        }
        for key in ["resource", "re%C5%BFource", "RE%C5%BFOURCE", "a=b;re%C5%BFource"] {
            for version in BOTH {
                cases.push(
                    Case::new("POST", &backend.host(), &format!("{TEST}?{key}={ELSEWHERE}")).over(version),
                );
            }
        }
    }
    let outcomes = scene.ask(cases).await;
    assert_agreement("bodies and queries", &scene, &outcomes);
    let plain = |outcome: &&Outcome| outcome.case.request.headers.is_empty();
    assert!(
        outcomes.iter().filter(plain).any(|outcome| !outcome.ran().is_empty()),
        "no body without a type arrives: nothing is shown of its readers"
    );
}

/// On a route for any HTTP method: a method that is not a token (RFC 9110, section 9.1) never leaves the gate, over
/// either version.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn odd_http_methods_are_judged_alike_over_both_versions() {
    const TOKENS: &[&str] = &[
        "GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "PURGE", "REPORT", "get", "Delete",
        "QUERY", "M-SEARCH",
    ];
    const NOT_TOKENS: &[&[u8]] = &[
        b"G ET",
        b"GET ",
        b" GET",
        b"GET\r\nX: y",
        b"GET /v1/projects/p/things/root HTTP/1.1\r\nHost: a\r\n\r\nGET",
        b"GET\t",
        b"GE\0T",
        b"",
        b"GET:",
        b"(GET)",
        b"G/T",
        b"{GET}",
        b"G\xc3\x89T",
        b"G\xe9T",
        b"\"GET\"",
        b"CONNECT",
        b"TRACE",
    ];
    let Some(scene) = Scene::start(Books::keeping()) else { return };
    let mut cases = Vec::new();
    for backend in scene.backends() {
        for method in TOKENS {
            for version in BOTH {
                cases.push(Case::new(method, &backend.host(), HOOK).over(version));
            }
        }
    }
    let outcomes = scene.ask(cases).await;
    assert_agreement("HTTP methods", &scene, &outcomes);
    for pair in outcomes.chunks(2) {
        assert_eq!(pair[0].seen, pair[1].seen, "{} and {}", pair[0].case, pair[1].case);
    }
    let unread = scene.books.unread();
    let bearer = format!("Bearer {}", scene.tokens().of(Caller::All));
    for backend in scene.backends() {
        for method in NOT_TOKENS {
            let host = backend.host();
            let fields = [
                (":method", *method),
                (":scheme", b"http"),
                (":authority", host.as_bytes()),
                (":path", HOOK.as_bytes()),
                ("authorization", bearer.as_bytes()),
            ];
            let outcome = frames::ask(scene.gate.address, &fields).await;
            let refused = match outcome {
                frames::Outcome::Status(status) => (400..500).contains(&status),
                frames::Outcome::Broken => true,
            };
            assert!(refused, "{:?} at {host}: {outcome:?}", method.escape_ascii().to_string());
        }
    }
    scene.books.settled(0).await;
    assert_no_differences("what is not an HTTP method", &scene.books.differences(), |_| None);
    assert_eq!(scene.books.unread(), unread, "a backend was sent a head that it cannot read");
}
