//! The backend gets the path that the gate has judged, to the byte, or nothing.
//!
//! The vectors are sent to a gate at which every caller may call everything, so that the path alone decides. Each named
//! test is a bypass that worked against another proxy.

mod vectors;

use serde_json::json;

use crate::frames::{self, Outcome};
use crate::harness::{CANCEL, COMPANION, DATAPROC, Gate, Req, Setup, reason, token};
use crate::open_gate::{ANYTHING, OpenGate};
use crate::recorder::{Recorder, request_line};

const ANA: &str = "ana@example.com";
/// May cancel in `projects/other` only.
const ERIN: &str = "erin@example.com";

/// Both versions refuse the target with 400, and nothing reaches the backend.
async fn refused_as_malformed(open: &OpenGate, target: &str) {
    for (host, method) in [(COMPANION, "POST"), (ANYTHING, "GET"), (ANYTHING, "POST")] {
        let answer = open.http1(method, host, target.as_bytes()).await;
        assert_eq!(answer, Some(400), "{method} {target:?} at {host}, HTTP/1.1");
        let outcome = open.http2(method, host, target.as_bytes()).await;
        // The library resets a stream for a path that HTTP/2 itself does not allow.
        let refused = matches!(outcome, Outcome::Status(400) | Outcome::Broken);
        assert!(refused, "{method} {target:?} at {host}, HTTP/2: {outcome:?}");
        assert_eq!(open.backend.take(), Vec::<String>::new(), "{method} {target:?} at {host}");
    }
}

/// Both versions pass the target on to the byte.
async fn arrives_unchanged(open: &OpenGate, target: &str) {
    assert_eq!(open.http1("GET", ANYTHING, target.as_bytes()).await, Some(200), "{target}");
    assert_eq!(open.http2("GET", ANYTHING, target.as_bytes()).await, Outcome::Status(200), "{target}");
    let heads = open.backend.take();
    let lines: Vec<&str> = heads.iter().map(|head| request_line(head)).collect();
    let line = format!("GET {target} HTTP/1.1");
    assert_eq!(lines, [line.as_str(), line.as_str()]);
}

#[tokio::test]
async fn encoded_and_doubled_slashes_never_reach_the_backend() {
    let open = OpenGate::start();
    for target in [
        "/v1/projects%2Fdemo/locations/us-central1/operations/train-1:cancel",
        "/v1/projects%2fdemo/locations/us-central1/operations/train-1:cancel",
        "/v1/projects/demo%5Clocations/us-central1/operations/train-1:cancel",
        "/v1/projects/demo%5clocations/us-central1/operations/train-1:cancel",
        "/v1/projects/demo%252Flocations/us-central1/operations/train-1:cancel",
        "/v1/projects/demo/locations/us-central1/operations//train-1:cancel",
        "/v1//projects/demo/locations/us-central1/operations/train-1:cancel",
        "/v1/projects/demo/locations/us-central1/operations/train-1/:cancel",
        "/v1/projects/demo/locations/us-central1/operations/train-1:cancel/",
    ] {
        refused_as_malformed(&open, target).await;
    }
}

/// Over HTTP/2 the library cuts a fragment off before the gate sees it: the rest is judged and sent.
#[tokio::test]
async fn a_fragment_is_no_part_of_a_request() {
    let open = OpenGate::start();
    for target in [
        "/v1/projects/demo/locations/us-central1/operations/train-1:cancel#x",
        "/v1/projects/demo/locations/us-central1/operations/train-1#:cancel",
        "/public#/../v1/projects/demo/locations/us-central1/operations/train-1:cancel",
        "/v1/projects/demo/locations/us-central1/operations/train-1:cancel?alt=json#x",
        "/x#",
    ] {
        assert_eq!(open.http1("GET", ANYTHING, target.as_bytes()).await, Some(400), "{target}");
        assert!(open.backend.take().is_empty(), "{target}");
        assert_eq!(open.http2("GET", ANYTHING, target.as_bytes()).await, Outcome::Status(200), "{target}");
        let judged = target.split('#').next().unwrap();
        assert_eq!(request_line(&open.backend.take()[0]), format!("GET {judged} HTTP/1.1"));
    }
    // Without its fragment it is not a cancel.
    let target = "/v1/projects/demo/locations/us-central1/operations/train-1#:cancel";
    assert_eq!(open.http2("POST", COMPANION, target.as_bytes()).await, Outcome::Status(405));
    assert!(open.backend.take().is_empty());
}

#[tokio::test]
async fn path_parameters_after_a_semicolon_are_refused() {
    let open = OpenGate::start();
    for target in [
        "/v1/projects/demo;x=y/locations/us-central1/operations/train-1:cancel",
        "/v1/projects/demo/locations/us-central1/operations/train-1;x=y:cancel",
        "/v1/projects/demo/locations/us-central1/operations/train-1:cancel;x=y",
        "/v1/projects/demo/..;/other/locations/us-central1/operations/train-1:cancel",
        "/v1/projects/demo%3Bx=y/locations/us-central1/operations/train-1:cancel",
    ] {
        refused_as_malformed(&open, target).await;
    }
}

#[tokio::test]
async fn dot_segments_are_refused_in_every_spelling() {
    let open = OpenGate::start();
    for dots in [".", "..", "%2e", "%2E%2E", ".%2e", "%2e.", "%252e%252e", "..%2f", "..%5c", "%00.."] {
        let target =
            format!("/v1/projects/other/{dots}/demo/locations/us-central1/operations/train-1:cancel");
        refused_as_malformed(&open, &target).await;
        refused_as_malformed(&open, &format!("/{dots}")).await;
        refused_as_malformed(&open, &format!("/v1/{dots}:cancel")).await;
    }
    for target in ["/..", "/public/../admin/secrets", "/info/../private", "/a/.", "/a/..?x=y"] {
        refused_as_malformed(&open, target).await;
    }
    for target in ["/a/.../b", "/a/.b/..c/d./e..", "/%2e%2ea"] {
        arrives_unchanged(&open, target).await;
    }
}

#[tokio::test]
async fn a_path_is_not_encoded_anew_after_the_decision() {
    let open = OpenGate::start();
    for target in [
        "/v1/%70rojects/%7e/o%41",
        "/v1/caf%c3%a9/caf%C3%A9",
        "/a%20b/+/c%2Bd/%25/%3ae",
        "/-._~!$&'()*+,=:@/x",
        "/A/a/%41?%41=a&b=%7E&c=%2F..%2F&d=//&e=a/../b&&=&f",
        "/a?",
        "/a??",
        "/a?b?c=/d",
    ] {
        arrives_unchanged(&open, target).await;
    }
}

#[tokio::test]
async fn a_capture_belongs_to_the_rule_that_matched() {
    let gate = Gate::start();
    let parent = "projects/demo/regions/us-central1";
    let location = "projects/demo/locations/us-central1";
    let rows = [
        ("GET", format!("{parent}/operations"), format!("{parent}/operations")),
        ("GET", format!("{parent}/operations/operations"), format!("{parent}/operations/operations")),
        ("GET", format!("{location}/operations/job-1"), format!("{location}/operations/job-1")),
        ("POST", format!("{parent}/operations/job-1:cancel"), format!("{parent}/operations/job-1")),
        ("POST", format!("{parent}/operations/a:b:cancel"), format!("{parent}/operations/a:b")),
        ("GET", format!("{parent}/operations/%6Aob-1"), format!("{parent}/operations/job-1")),
    ];
    for (method, relative, _) in &rows {
        let request = Req::new(method, DATAPROC, &format!("/v1/{relative}")).bearer(&token(ANA));
        assert_ne!(gate.http1(&request).await.status, 403, "{relative}");
    }
    let audit = gate.audit(rows.len());
    // The last call saw what became of a cancel, which leaves a line of its own.
    let of_requests = audit.iter().filter(|line| line["protoPayload"]["metadata"]["cancel"].is_null());
    let judged: Vec<&str> =
        of_requests.map(|line| line["protoPayload"]["resourceName"].as_str().unwrap()).collect();
    assert_eq!(judged, rows.iter().map(|(_, _, resource)| resource.as_str()).collect::<Vec<_>>());
    let seen: Vec<String> = gate.backend.requests().into_iter().map(|request| request.target).collect();
    assert_eq!(seen, rows.iter().map(|(_, relative, _)| format!("/v1/{relative}")).collect::<Vec<_>>());
}

#[tokio::test]
async fn two_slashes_do_not_begin_an_authority() {
    let open = OpenGate::start();
    for target in [
        "//admin",
        "//cloudaicompanion.localhost/v1/projects/demo/locations/us-central1/operations/train-1:cancel",
        "///",
        "/\\evil.example/x",
    ] {
        refused_as_malformed(&open, target).await;
    }
    // An absolute-form target that names another host than `Host`, or an unknown one.
    for target in [
        "http://dataproc.localhost/x",
        "http://a@anything.localhost/x",
        "https:///x",
        "http:/x",
        "ftp://anything.localhost/x",
    ] {
        assert_eq!(open.http1("GET", ANYTHING, target.as_bytes()).await, Some(400), "{target}");
    }
    assert!(open.backend.take().is_empty());
    let same = format!("http://{ANYTHING}/x?y");
    assert_eq!(open.http1("GET", ANYTHING, same.as_bytes()).await, Some(200));
    assert_eq!(request_line(&open.backend.take()[0]), "GET /x?y HTTP/1.1");
}

#[tokio::test]
async fn an_http2_path_without_a_leading_slash_is_refused() {
    let open = OpenGate::start();
    for path in [
        "",
        "x",
        "*",
        "admin/x",
        "?x=y",
        "v1/projects",
        "http://anything.localhost/x",
        "anything.localhost/x",
    ] {
        let outcome = open.http2("GET", ANYTHING, path.as_bytes()).await;
        assert!(matches!(outcome, Outcome::Status(400) | Outcome::Broken), "{path:?}: {outcome:?}");
        assert!(open.backend.take().is_empty(), "{path:?}");
    }
    let authority = [(":method", &b"GET"[..]), (":scheme", b"http"), (":path", b"/x")];
    let twice =
        [&authority[..], &[(":authority", ANYTHING.as_bytes()), ("host", COMPANION.as_bytes())]].concat();
    for (name, fields) in [("no authority", &authority[..]), ("host differs", &twice)] {
        let outcome = frames::ask(open.gate.address, fields).await;
        assert!(matches!(outcome, Outcome::Status(400) | Outcome::Broken), "{name}: {outcome:?}");
        assert!(open.backend.take().is_empty(), "{name}");
    }
}

#[tokio::test]
async fn a_query_decides_nothing_about_the_route() {
    let gate = Gate::start();
    for target in [
        format!("/nothing?{CANCEL}"),
        format!("/nothing?x={CANCEL}"),
        "/v1/projects/demo/locations/us-central1/operations/train-1:abort?:cancel".to_owned(),
        "/healthz?public=1".to_owned(),
    ] {
        let request = Req::new("POST", COMPANION, &target).bearer(&token(ANA));
        for answer in gate.over_both(&request).await {
            assert_eq!((answer.status, reason(&answer).as_str()), (404, "METHOD_NOT_FOUND"), "{target}");
        }
    }
    // A query does not let a caller past authentication either.
    let request = Req::new("POST", COMPANION, &format!("{CANCEL}?/livez&x=/metrics"));
    for answer in gate.over_both(&request).await {
        assert_eq!(answer.status, 401);
    }
    assert!(gate.backend.requests().is_empty());
}

#[tokio::test]
async fn no_path_of_the_admin_port_is_served_to_clients() {
    let gate = Gate::start();
    for target in ["/metrics", "/livez", "/readyz", "/version", "/healthz", "/.well-known/x"] {
        let probe = Req::new("GET", COMPANION, target).header("user-agent", "kube-probe/1.30");
        for answer in gate.over_both(&probe).await {
            assert_eq!((answer.status, reason(&answer).as_str()), (404, "METHOD_NOT_FOUND"), "{target}");
        }
    }
    assert!(gate.backend.requests().is_empty());
}

#[tokio::test]
async fn a_host_is_one_host_in_any_case_and_with_any_port() {
    let gate = Gate::start();
    for host in [
        "CloudAICompanion.LOCALHOST",
        "cloudaicompanion.localhost:8080",
        "CLOUDAICOMPANION.GOOGLEAPIS.COM:443",
    ] {
        let refused = Req::new("POST", host, CANCEL).bearer(&token(ERIN));
        for answer in gate.over_both(&refused).await {
            assert_eq!((answer.status, reason(&answer).as_str()), (403, "IAM_PERMISSION_DENIED"), "{host}");
        }
    }
    for host in [
        "cloudaicompanion.localhost.",
        "cloudaicompanion.localhost:x",
        "cloudaicompanion.localhost:65536",
        "a@cloudaicompanion.localhost",
    ] {
        let refused = Req::new("POST", host, CANCEL).bearer(&token(ANA));
        let answer = gate.http1(&refused).await;
        assert_eq!((answer.status, reason(&answer).as_str()), (400, "REQUEST_MALFORMED"), "{host}");
    }
    assert!(gate.backend.requests().is_empty());
}

/// Two services, two upstreams: the request goes to the upstream of the judged method.
#[tokio::test]
async fn the_upstream_is_that_of_the_route_that_was_judged() {
    let (companion, dataproc) = (Recorder::start(), Recorder::start());
    let gate = Gate::start_with(Setup {
        endpoints: Some(vec![companion.address()]),
        set: vec![
            format!("upstreams.jobs={}", json!({ "endpoints": [dataproc.address().to_string()] })),
            "services.dataproc.upstream=jobs".to_owned(),
        ],
        ..Setup::default()
    });
    // Both services bind this path; the host decides.
    for version in ["HTTP/1.1", "HTTP/2"] {
        for (host, mine, other) in [(COMPANION, &companion, &dataproc), (DATAPROC, &dataproc, &companion)] {
            let request = Req::new("POST", host, CANCEL)
                .bearer(&token(ANA))
                .header("x-forwarded-host", DATAPROC)
                .header("x-original-url", "/x")
                .header("x-rewrite-url", "/x");
            let answer = match version {
                "HTTP/2" => gate.http2(&request).await,
                _ => gate.http1(&request).await,
            };
            assert_eq!(answer.status, 200, "{host}, {version}");
            let heads = mine.take();
            assert_eq!(heads.len(), 1);
            assert_eq!(request_line(&heads[0]), format!("POST {CANCEL} HTTP/1.1"));
            assert!(other.take().is_empty());
        }
    }
}

#[tokio::test]
async fn an_unregistered_verb_never_falls_into_a_wildcard() {
    let gate = Gate::start();
    let operation = "/v1/projects/demo/locations/us-central1/operations/train-1";
    for suffix in [":abort", ":", ":cancel:abort", ":Get", ":get", ":%63ancel", ":cance%6C"] {
        for method in ["GET", "POST", "DELETE"] {
            let request = Req::new(method, COMPANION, &format!("{operation}{suffix}")).bearer(&token(ANA));
            for answer in gate.over_both(&request).await {
                let got = (answer.status, reason(&answer));
                assert_eq!(got, (404, "METHOD_NOT_FOUND".to_owned()), "{method} {suffix}");
            }
        }
    }
    assert!(gate.backend.requests().is_empty());
}

#[tokio::test]
async fn a_header_or_parameter_does_not_change_the_method_that_was_judged() {
    let gate = Gate::start();
    let get =
        Req::new("GET", COMPANION, CANCEL.strip_suffix(":cancel").unwrap()).bearer(&token("bob@example.com"));
    for name in ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "x_http_method_override"] {
        let request = get.clone().header(&name.to_ascii_lowercase(), "DELETE");
        for answer in gate.over_both(&request).await {
            assert_eq!((answer.status, reason(&answer).as_str()), (400, "REQUEST_MALFORMED"), "{name}");
        }
    }
    for query in ["$httpMethod=DELETE", "httpmethod=DELETE", "%24httpMethod=DELETE"] {
        let request = Req { target: format!("{}?{query}", get.target), ..get.clone() };
        for answer in gate.over_both(&request).await {
            assert_eq!(
                (answer.status, reason(&answer).as_str()),
                (400, "QUERY_PARAMETER_REFUSED"),
                "{query}"
            );
        }
    }
    assert!(gate.backend.requests().is_empty());
}

/// Some libraries percent-encode these on the way out: the backend would see another path than the one judged.
#[tokio::test]
async fn bytes_that_no_path_may_hold_are_refused_and_not_encoded() {
    let open = OpenGate::start();
    for byte in
        (0..=0x20).chain([b'"', b'<', b'>', b'\\', b'^', b'`', b'{', b'|', b'}', 0x7f, 0x80, 0xe9, 0xff])
    {
        let target = [&b"/v1/a"[..], &[byte], b"b"].concat();
        let answer = open.http1("GET", ANYTHING, &target).await;
        assert_eq!(answer, Some(400), "{byte:#04x}, HTTP/1.1");
        let outcome = open.http2("GET", ANYTHING, &target).await;
        assert!(matches!(outcome, Outcome::Status(400) | Outcome::Broken), "{byte:#04x}: {outcome:?}");
        assert!(open.backend.take().is_empty(), "{byte:#04x}");
    }
    for encoded in
        ["%00", "%0a", "%0D", "%09", "%1f", "%7F", "%c2%80", "%ff", "%c0%af", "%", "%1", "%zz", "%%41"]
    {
        refused_as_malformed(&open, &format!("/v1/a{encoded}b")).await;
    }
}
