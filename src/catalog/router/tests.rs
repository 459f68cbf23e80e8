mod readings;

use proptest::prelude::*;

use super::*;
use crate::catalog::method::{BodyRule, Exposure, Method, PermissionRule};
use crate::catalog::template::{Template, TemplateSegment};
use crate::diagnostic::{Place, Source};

const OPERATION: &str = "/v1/{name=projects/*/locations/*/operations/*}";

/// The bindings of one method, in the form `GET /v1/{name}`. `ANY` stands for any HTTP method, and `CLOSED` before it
/// makes it a binding of a method of the same service that is not exposed.
fn bind(index: usize, hosts: &[&str], bindings: &[&str]) -> Vec<(Arc<Route>, Span)> {
    bind_to("backend", index, hosts, bindings)
}

/// As [`bind`], for a service that goes to this upstream.
fn bind_to(upstream: &str, index: usize, hosts: &[&str], bindings: &[&str]) -> Vec<(Arc<Route>, Span)> {
    let service = Arc::new(Exposure {
        id: format!("service{index}"),
        name: format!("service{index}.example.com"),
        hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
        upstream: upstream.into(),
        forwarding: crate::catalog::Forwarding::default(),
        cors: None,
        protected_resource: None,
        error_domain: "iam.googleapis.com".into(),
    });
    let method = Arc::new(Method {
        index,
        service: service.clone(),
        name: format!("Service.Method{index}"),
        permission: PermissionRule::None,
        scopes: vec!["scope".into()],
        allow_without_credential: false,
        resource: crate::catalog::ResourceTemplate::variable("name"),
        requirements: Vec::new(),
        resource_type: None,
        permission_type: None,
        operation: None,
        unimplemented: false,
        rpc: None,
        rpc_fault: None,
        limits: crate::catalog::MethodLimits::default(),
        place: Place { file: "x.iam.yaml".into(), line: 1 },
    });
    bindings
        .iter()
        .map(|binding| {
            let (open, written) = match binding.strip_prefix("CLOSED ") {
                Some(written) => (false, written),
                None => (true, *binding),
            };
            let (http_method, template) = written.split_once(' ').unwrap();
            let target = match open {
                true => RouteTarget::Open {
                    method: method.clone(),
                    body: BodyRule::Empty,
                    body_field: None,
                    transcoding: None,
                },
                false => RouteTarget::Closed { rpc: format!("Service.Closed{index}") },
            };
            let route = Route {
                service: service.clone(),
                http_method: (http_method != "ANY").then(|| http_method.parse().unwrap()),
                template: Template::parse(template).unwrap(),
                target,
            };
            let source = Source::new(format!("service{index}.yaml"), *binding);
            let range = binding.len() - template.len()..binding.len();
            (Arc::new(route), Span { source, range })
        })
        .collect()
}

/// One method per binding, all on the host `h`.
fn router(bindings: &[&str]) -> Router {
    let routes: Vec<_> =
        bindings.iter().enumerate().flat_map(|(index, binding)| bind(index, &["h"], &[binding])).collect();
    let mut report = Report::new();
    let router = Router::build(&routes, &mut report);
    assert!(!report.is_fatal(), "{}", report.render(false));
    router
}

fn ask(router: &Router, http_method: &str, path: &str) -> Result<Call, Denial> {
    router.route("h", &http_method.parse().unwrap(), &Path::parse(path)?)
}

/// The template that matches, by its place in the list.
fn winner(router: &Router, http_method: &str, path: &str) -> Option<usize> {
    ask(router, http_method, path).ok().map(|call| call.method.index)
}

#[test]
fn the_matching_rules_of_the_transcoder_with_our_stricter_outcomes() {
    let operations =
        [format!("POST {OPERATION}:cancel"), format!("GET {OPERATION}"), format!("DELETE {OPERATION}")];
    let operations: Vec<&str> = operations.iter().map(String::as_str).collect();
    // Templates, method, path, and the index of the template that matches.
    type Case<'c> = (&'c [&'c str], &'c str, &'c str, Option<usize>);
    let cases: &[Case<'_>] = &[
        (&operations, "POST", "/v1/projects/p/locations/l/operations/o:cancel", Some(0)),
        (&operations, "GET", "/v1/projects/p/locations/l/operations/o", Some(1)),
        (&operations, "DELETE", "/v1/projects/p/locations/l/operations/o", Some(2)),
        (&operations, "POST", "/v1/projects/p/locations/l/operations/o:Cancel", None),
        (&operations, "POST", "/v1/projects/p/locations/l/operations/o:cance%6C", None),
        (&operations, "POST", "/v1/projects/p/locations/l/operations/o%3Acancel", None),
        (&operations, "POST", "/v1/projects/p/locations/l/operations/o:", None),
        (&operations, "POST", "/v1/projects/p/locations/l/operations/o/x:cancel", None),
        (&operations, "POST", "/v1/projects/p/locations/l/operations:cancel", None),
        (&operations, "GET", "/v1/projects/p/locations/l/operations", None),
        (&operations, "GET", "/v1/Projects/p/locations/l/operations/o", None),
        (&operations, "GET", "/v1/%70rojects/p/locations/l/operations/o", None),
        // CustomVerbMatch3: an unknown verb is part of the segment there. Here it matches nothing.
        (&["GET /person/{id}"], "GET", "/person/jason:other", None),
        (&["GET /person/{id}"], "GET", "/person/jason%3Aother", Some(0)),
        // CustomVerbMatch2, 4, 5: only the last colon counts, and only in the last segment.
        (&["GET /{a=*}/{b=*}:verb"], "GET", "/some:verb/const:verb", Some(0)),
        (&["GET /foo/*/hello"], "GET", "/foo/other:verb/hello", Some(0)),
        (&["GET /some/*:verb"], "GET", "/some/other", None),
        (&["GET /some/**:verb"], "GET", "/some/a/b", None),
        (&["GET /some/**:verb"], "GET", "/some/a/b:verb", Some(0)),
        (&["GET /some/**"], "GET", "/some/a/b:verb", None),
        // WildCardMatches: literal before `*` before `**`, with backtracking.
        (&["GET /a/**", "GET /a/*", "GET /a/b"], "GET", "/a/b", Some(2)),
        (&["GET /a/**", "GET /a/*", "GET /a/b"], "GET", "/a/c", Some(1)),
        (&["GET /a/**", "GET /a/*", "GET /a/b"], "GET", "/a/c/d", Some(0)),
        (&["GET /a/**"], "GET", "/a", Some(0)),
        (&["GET /a/**", "GET /a"], "GET", "/a", Some(1)),
        (&["GET /**"], "GET", "/a/b/c", Some(0)),
        (&["GET /v1/*/x", "GET /v1/a/*"], "GET", "/v1/a/x", Some(1)),
        (&["GET /v1/*/x", "GET /v1/a/*"], "GET", "/v1/b/x", Some(0)),
        (&["GET /v1/a/y", "GET /v1/*/x"], "GET", "/v1/a/x", Some(1)),
        (&["GET /v1/a/*", "POST /v1/*/x"], "POST", "/v1/a/x", Some(1)),
        (&["GET /a/*/c/d", "GET /a/b/**"], "GET", "/a/b/c/d", Some(1)),
        // Literals after `**` (published by bigtableadmin): the longer tail first.
        (&["GET /a/**", "GET /a/**/x", "GET /a/**/y/x"], "GET", "/a/b/y/x", Some(2)),
        (&["GET /a/**", "GET /a/**/x", "GET /a/**/y/x"], "GET", "/a/x", Some(1)),
        (&["GET /a/**", "GET /a/**/x", "GET /a/**/y/x"], "GET", "/a/x/b", Some(0)),
        (&["GET /a/x/**/x"], "GET", "/a/x", None),
        // The named method before any, at one template.
        (&["ANY /a", "GET /a"], "GET", "/a", Some(1)),
        (&["ANY /a", "GET /a"], "PUT", "/a", Some(0)),
        (&["HEAD /a"], "HEAD", "/a", Some(0)),
        (&["GET /a"], "HEAD", "/a", Some(0)),
        (&["GET /a", "HEAD /a"], "HEAD", "/a", Some(1)),
        (&["POST /a"], "HEAD", "/a", None),
        (&["GET /a", "CLOSED HEAD /a"], "HEAD", "/a", None),
        (&["GET /a", "CLOSED HEAD /*"], "HEAD", "/a", None),
        (&["CLOSED GET /a"], "HEAD", "/a", None),
        // The root, and slashes at the end.
        (&["GET /"], "GET", "/", Some(0)),
        (&["GET /**"], "GET", "/", Some(0)),
        (&["GET /*"], "GET", "/", None),
        (&["GET /a/"], "GET", "/a/", Some(0)),
        (&["GET /a/"], "GET", "/a", None),
        (&["GET /a"], "GET", "/a/", None),
        (&["GET /*"], "GET", "/a/", None),
        (&["GET /a/*"], "GET", "/a/", None),
        (&["GET /**"], "GET", "/a/", None),
        (&["GET /**/"], "GET", "/a/b/", Some(0)),
        (&["GET /{a=*}/"], "GET", "/x/", Some(0)),
        (&["GET /a"], "get", "/a", None),
        // There, method and verb are one key.
        (&operations, "POSTcancel", "/v1/projects/p/locations/l/operations/o", None),
    ];
    for (templates, http_method, path, expected) in cases {
        assert_eq!(winner(&router(templates), http_method, path), *expected, "{http_method} {path}");
    }
}

#[test]
fn a_call_carries_the_captured_name() {
    let router = router(&[&format!("POST {OPERATION}:cancel")]);
    for (path, name) in [
        ("/v1/projects/p/locations/l/operations/a:b:cancel", "projects/p/locations/l/operations/a:b"),
        (
            "/v1/projects/p/locations/l/operations/o:cancel:cancel",
            "projects/p/locations/l/operations/o:cancel",
        ),
        ("/v1/projects/p/locations/l/operations/o%2B:cancel", "projects/p/locations/l/operations/o+"),
        ("/v1/projects/*/locations/**/operations/o:cancel", "projects/*/locations/**/operations/o"),
    ] {
        assert_eq!(ask(&router, "POST", path).unwrap().resource(), name);
    }
}

#[test]
fn another_http_method_of_a_known_path_is_answered_with_those_it_has() {
    let router = router(&["POST /v1/*", "GET /v1/a", "GET /v1/*:do", "PATCH /v1/**"]);
    for http_method in ["DELETE", "OPTIONS", "QUERY"] {
        let denial = ask(&router, http_method, "/v1/a").unwrap_err();
        assert_eq!(denial.reason(), Reason::HttpMethodNotAllowed);
        assert_eq!(denial.allowed_methods(), Some("GET, HEAD, PATCH, POST"));
    }
    assert_eq!(ask(&router, "DELETE", "/v1/b").unwrap_err().allowed_methods(), Some("PATCH, POST"));
    assert_eq!(ask(&router, "POST", "/v1/a:do").unwrap_err().allowed_methods(), Some("GET, HEAD"));
}

#[test]
fn an_unknown_path_is_not_found_whatever_the_method() {
    let router = router(&["POST /v1/*", "GET /v1/*:do"]);
    let detail = |path: &str| {
        let denial = ask(&router, "GET", path).unwrap_err();
        assert_eq!(denial.reason(), Reason::MethodNotFound);
        assert_eq!(denial.allowed_methods(), None);
        denial.detail().to_owned()
    };
    assert_eq!(detail("/v2/a"), "no exposed method on this host has this path");
    assert_eq!(detail("/v1/a/b:do"), "no exposed method on this host has this path");
    assert_eq!(detail("/v1/a:undo"), "no exposed method on this host has the verb `undo`");
}

#[test]
fn hosts_are_exact_and_the_star_is_every_host() {
    let mut routes = bind(0, &["a.example.com"], &["GET /v1/*"]);
    routes.extend(bind(1, &["b.example.com", "c.example.com"], &["GET /v1/*"]));
    let on = |router: &Router, host: &str, path: &str| {
        let call = router.route(host, &::http::Method::GET, &Path::parse(path).unwrap());
        call.map(|call| call.method.index).map_err(|denial| denial.detail().to_owned())
    };
    let mut report = Report::new();
    let named = Router::build(&routes, &mut report);
    assert_eq!(on(&named, "a.example.com", "/v1/x"), Ok(0));
    assert_eq!(on(&named, "c.example.com", "/v1/x"), Ok(1));
    for host in ["", "example.com", "x.a.example.com", "a.example.com.", "*"] {
        let detail = format!("no service is exposed on the host `{host}`");
        assert_eq!(on(&named, host, "/v1/x"), Err(detail));
    }
    routes.extend(bind(2, &["*"], &["GET /v2/*"]));
    let starred = Router::build(&routes, &mut report);
    assert_eq!(on(&starred, "a.example.com", "/v1/x"), Ok(0));
    assert_eq!(on(&starred, "a.example.com", "/v2/x"), Ok(2));
    assert_eq!(on(&starred, "z.example.com", "/v2/x"), Ok(2));
    assert!(on(&starred, "z.example.com", "/v1/x").is_err());
    assert!(!report.is_fatal());
}

fn conflicts(routes: &[(Arc<Route>, Span)]) -> String {
    let mut report = Report::new();
    Router::build(routes, &mut report);
    report.render(false)
}

#[test]
fn routes_of_one_shape_are_refused_once() {
    let mut routes = bind(0, &["h", "i"], &["GET /v1/{name=a/*}:do"]);
    routes.extend(bind(1, &["*"], &["GET /v1/a/{parent}:do"]));
    insta::assert_snapshot!(conflicts(&routes));
}

#[test]
fn one_method_bound_twice_to_one_shape_must_read_it_alike() {
    assert_eq!(conflicts(&bind(0, &["h"], &["GET /v1/{name=a/*}", "GET /v1/{name=a/*}"])), "");
    insta::assert_snapshot!(conflicts(&bind(0, &["h"], &["GET /v1/{name=a/*}", "GET /v1/a/{name}"])));
}

#[test]
fn an_open_and_a_closed_route_of_one_shape_are_refused_within_a_service() {
    insta::assert_snapshot!(conflicts(&bind(0, &["h"], &["CLOSED GET /v1/{parent}", "GET /v1/{name}"])));
    let mut apart = bind(0, &["h"], &["CLOSED GET /v1/{parent}"]);
    apart.extend(bind_to("other", 1, &["h"], &["GET /v1/{name}"]));
    assert_eq!(conflicts(&apart), "");
}

#[test]
fn closed_methods_of_a_service_shadow_exposed_ones() {
    let mut report = Report::new();
    let bindings = ["GET /v1/{name=**}", "POST /v1/*", "CLOSED GET /v1/status", "CLOSED ANY /v1/a/{x}"];
    let mut routes = bind(0, &["h"], &bindings);
    let alone = Router::build(&routes, &mut report);
    assert_eq!(winner(&alone, "GET", "/v1/other"), Some(0));
    let denial = ask(&alone, "GET", "/v1/a/b").unwrap_err();
    assert_eq!(denial.reason(), Reason::MethodNotFound);
    assert_eq!(denial.detail(), "no iam rule exposes `Service.Closed0`");
    // GET is not offered: it leads to what is closed.
    assert_eq!(ask(&alone, "GET", "/v1/status").unwrap_err().allowed_methods(), Some("POST"));
    assert_eq!(ask(&alone, "PUT", "/v1/status").unwrap_err().allowed_methods(), Some("POST"));

    // Another backend does not know the closed method.
    routes.extend(bind_to("other", 1, &["h"], &["GET /v1/*", "GET /v1/a/**"]));
    let shared = Router::build(&routes, &mut report);
    assert_eq!(winner(&shared, "GET", "/v1/status"), Some(1));
    assert_eq!(winner(&shared, "GET", "/v1/a/b"), Some(1));
    assert!(!report.is_fatal());
}

#[test]
fn routes_that_precedence_decides_are_not_a_conflict() {
    for (left, right) in [
        ("GET /v1/*", "GET /v1/a"),
        ("GET /v1/*", "GET /v1/**"),
        ("GET /v1/**", "GET /v1/**/a"),
        ("GET /v1/*/x", "GET /v1/a/*"),
        ("GET /v1/*", "POST /v1/*"),
        ("GET /v1/*", "ANY /v1/*"),
        ("GET /v1/*", "GET /v1/*:do"),
    ] {
        assert_eq!(conflicts(&bind(0, &["h"], &[left, right])), "");
    }
}

#[test]
fn neither_a_long_path_nor_a_deep_template_costs_the_stack() {
    let path = "/a".repeat(4_000);
    let deep = format!("GET {path}/b");
    let router = router(&["GET /**", &deep, "POST /a/**/a", "GET /*/**"]);
    assert_eq!(winner(&router, "GET", &path), Some(3));
    assert_eq!(winner(&router, "POST", &path), Some(2));
    assert_eq!(winner(&router, "GET", &format!("{path}/b")), Some(1));
}

/// Where opgate reads a vector of the transcoder in another way, and why.
const STRICTER: &[(&str, &str)] = &[
    ("/v1/projects//locations/l/operations/o:cancel", "an empty segment: some servers merge slashes"),
    ("/v1/projects/p/locations/l/operations/o/:cancel", "an empty segment"),
    ("/v1/projects/p/locations/l/operations/o//:cancel", "an empty segment"),
    ("/v1/projects/p%2Fq/locations/l/operations/o:cancel", "an encoded slash: some servers decode it first"),
    ("/v1/projects/p%2fq/locations/l/operations/o:cancel", "an encoded slash"),
    ("/v1/projects/%2E%2E/locations/l/operations/o:cancel", "a dot segment: some servers resolve it"),
    ("/v1/projects/../locations/l/operations/o:cancel", "a dot segment"),
    ("/v1/projects/p/locations/l/operations/o:wait", "GET: an unregistered verb is not part of a name"),
    ("/v1/projects/p/locations/l/operations/o", "POSTcancel is not POST with the verb `cancel`"),
    ("/v1/projects/p/locations/l/operations/o%00:cancel", "an encoded control character"),
    (
        "/v1/projects/p/locations/l/operations/o%3Fx:cancel",
        "an encoded `?`: some servers cut the query after decoding",
    ),
    ("/v1/projects/p;a=b/locations/l/operations/o:cancel", "some servers cut a segment at `;`"),
    ("/v1/projects/p/locations/l/operations/o%:cancel", "a malformed escape"),
    ("/v1/projects/p/locations/l/operations/o%zz:cancel", "a malformed escape"),
    (
        "/v1/projects/p/locations/l/operations/o%2525:cancel",
        "decodes to an escape: some servers decode twice",
    ),
];

#[test]
fn the_transcoders_vectors_match_alike_or_are_refused() {
    let Some(corpora) = std::env::var_os("OPGATE_CORPORA") else {
        eprintln!("skipped: OPGATE_CORPORA is not set");
        return;
    };
    let file = std::path::Path::new(&corpora).join("paths/path_vectors.tsv");
    let vectors = String::from_utf8_lossy(&std::fs::read(file).unwrap()).into_owned();
    let templates = [format!("POST {OPERATION}:cancel"), format!("GET {OPERATION}")];
    let router = router(&[&templates[0], &templates[1]]);
    let mut stricter: HashSet<&str> = HashSet::new();
    let mut count = 0;
    for line in vectors.lines().filter(|line| !line.is_empty()) {
        count += 1;
        let fields: Vec<&str> = line.split('\t').collect();
        let [http_method, path, expected, name] = fields[..] else { panic!("{line}") };
        // The query is cut off before a path is parsed.
        let path = path.split('?').next().unwrap();
        let ours = ask(&router, http_method, path);
        let listed = STRICTER.iter().find(|(listed, _)| *listed == path && expected != "NO MATCH");
        if let Some((listed, reason)) = listed {
            assert!(ours.is_err(), "{path} is listed as refused: {reason}");
            stricter.insert(listed);
        } else if expected == "NO MATCH" {
            assert!(ours.is_err(), "{path}");
        } else {
            let call = ours.unwrap_or_else(|denial| panic!("{path}: {}", denial.detail()));
            let index = templates.iter().position(|text| text.ends_with(expected)).unwrap();
            assert_eq!(call.method.index, index, "{path}");
            assert_eq!(call.resource(), name, "{path}");
        }
    }
    assert!(count >= 35);
    assert_eq!(stricter.len(), STRICTER.len(), "every exception is one that the vectors need");
}

/// How specific a match is, by the rules of the module's head: smaller is more specific.
fn specificity(template: &Template) -> Vec<usize> {
    let mut ranks = Vec::new();
    for (index, segment) in template.segments().iter().enumerate() {
        match segment {
            TemplateSegment::Literal(_) => ranks.push(0),
            TemplateSegment::Single => ranks.push(1),
            TemplateSegment::Rest => {
                let tail = template.segments().len() - index - 1;
                ranks.extend([2, usize::MAX - tail]);
                return ranks;
            }
        }
    }
    // The end, where another template could go on with `**`.
    ranks.push(1);
    ranks
}

/// Whether segments match, straight from the grammar.
fn naively(template: &[TemplateSegment], path: &[&str]) -> bool {
    match (template.split_first(), path.split_first()) {
        (None, rest) => rest.is_none(),
        (Some((TemplateSegment::Rest, after)), rest) => {
            naively(after, path) || rest.is_some_and(|(_, left)| naively(template, left))
        }
        (Some(_), None) => false,
        (Some((TemplateSegment::Single, after)), Some((_, left))) => naively(after, left),
        (Some((TemplateSegment::Literal(text), after)), Some((first, left))) => {
            &**text == *first && naively(after, left)
        }
    }
}

fn binding() -> impl Strategy<Value = String> {
    let segment = prop_oneof![Just("a"), Just("b"), Just("*")];
    let rest = prop_oneof![3 => Just(""), 1 => Just("/**"), 1 => Just("/**/a"), 1 => Just("/**/a/b"), 1 => Just("/**/b")];
    let verb = prop_oneof![3 => Just(""), 1 => Just(":a"), 1 => Just(":do")];
    let http_method = prop_oneof![3 => Just("GET"), 2 => Just("POST"), 1 => Just("ANY")];
    (http_method, prop::collection::vec(segment, 1..5), rest, verb).prop_map(
        |(http_method, segments, rest, verb)| format!("{http_method} /{}{rest}{verb}", segments.join("/")),
    )
}

proptest! {
    #[test]
    fn the_trie_finds_what_trying_every_template_finds(
        bindings in prop::collection::btree_set(binding(), 1..12),
        segments in prop::collection::vec(prop_oneof![Just("a"), Just("b"), Just("c"), Just("a:do")], 1..6),
        verb in prop_oneof![2 => Just(""), 1 => Just(":a"), 1 => Just(":do"), 1 => Just(":")],
        http_method in prop_oneof![Just("GET"), Just("POST"), Just("PUT")],
    ) {
        let bindings: Vec<&str> = bindings.iter().map(String::as_str).collect();
        let text = format!("/{}{verb}", segments.join("/"));
        let path = Path::parse(&text).unwrap();
        let names: Vec<&str> = (0..path.len()).map(|index| path.raw_segment(index).unwrap()).collect();
        let matching: Vec<(usize, &str, Template)> = bindings
            .iter()
            .enumerate()
            .map(|(index, binding)| {
                let (method, template) = binding.split_once(' ').unwrap();
                (index, method, Template::parse(template).unwrap())
            })
            .filter(|(_, _, template)| template.verb() == path.verb() && naively(template.segments(), &names))
            .collect();
        let expected = matching
            .iter()
            .filter(|(_, method, _)| *method == "ANY" || *method == http_method)
            .min_by_key(|(_, method, template)| (specificity(template), *method == "ANY"))
            .map(|(index, ..)| *index);
        let mut allowed: Vec<&str> = matching.iter().map(|(_, method, _)| *method).collect();
        if allowed.contains(&"GET") {
            allowed.push("HEAD");
        }
        allowed.sort_unstable();
        allowed.dedup();

        match ask(&router(&bindings), http_method, &text) {
            Ok(call) => prop_assert_eq!(Some(call.method.index), expected),
            Err(denial) => {
                prop_assert_eq!(None, expected);
                let allowed = (!allowed.is_empty()).then(|| allowed.join(", "));
                prop_assert_eq!(denial.allowed_methods().map(str::to_owned), allowed);
            }
        }
    }

    #[test]
    fn a_request_that_a_closed_method_would_win_is_never_a_call(
        bindings in prop::collection::btree_map(binding(), any::<bool>(), 1..12),
        segments in prop::collection::vec(prop_oneof![Just("a"), Just("b"), Just("c")], 1..6),
        verb in prop_oneof![2 => Just(""), 1 => Just(":a"), 1 => Just(":do")],
    ) {
        let written: Vec<String> = bindings
            .iter()
            .map(|(binding, open)| if *open { binding.clone() } else { format!("CLOSED {binding}") })
            .collect();
        let written: Vec<&str> = written.iter().map(String::as_str).collect();
        let path = format!("/{}{verb}", segments.join("/"));
        // The winner where all are open is the winner that decides.
        let all: Vec<&str> = bindings.keys().map(String::as_str).collect();
        let decides = winner(&router(&all), "GET", &path).map(|index| *bindings.get(all[index]).unwrap());

        let routes = bind(0, &["h"], &written);
        let mut report = Report::new();
        let router = Router::build(&routes, &mut report);
        prop_assert!(!report.is_fatal());
        prop_assert_eq!(ask(&router, "GET", &path).is_ok(), decides == Some(true));
    }
}
