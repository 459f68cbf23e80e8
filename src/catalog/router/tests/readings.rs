//! Paths that a backend may read in another way than they were sent, and services that share a backend.

use super::*;

/// Get, export, a literal with a method of its own, and one that is closed; lists and a verb with capitals.
const THINGS: &[&str] = &[
    "GET /v1/{name=projects/*/things/*}",
    "GET /v1/{name=projects/*/things/*}:exportSecrets",
    "GET /v1/{name=projects/*/things/root}",
    "CLOSED GET /v1/{name=projects/*/things/audit}",
    "POST /v1/{name=projects/*/things/*}",
    "GET /v1/{parent=projects/*}/transferThings",
    "GET /v1/{parent=projects/*}/{kind}",
];

/// `Ok` with the place of the binding that is called, or the reason of the refusal.
fn outcome(router: &Router, http_method: &str, path: &str) -> Result<usize, Reason> {
    ask(router, http_method, path).map(|call| call.method.index).map_err(|denial| denial.reason())
}

#[test]
fn a_path_that_some_backend_takes_for_another_methods_is_refused() {
    let router = router(THINGS);
    let read_in_two_ways = Err(Reason::RequestMalformed);
    for (path, expected) in [
        ("things/x", Ok(0)),
        ("things/x:exportSecrets", Ok(1)),
        ("things/root", Ok(2)),
        ("things/roots", Ok(0)),
        ("things/x%20y", Ok(0)),
        // A colon in an id stays legal, unless a verb follows it.
        ("things/x%3Ay", Ok(0)),
        ("things/example.com%3Ax", Ok(0)),
        ("things/x%3AexportSecrets", read_in_two_ways),
        ("things/x%3aexport%53ecrets", read_in_two_ways),
        ("things/x%3AEXPORTSECRETS", read_in_two_ways),
        ("things/x%3Ay%3AexportSecrets", read_in_two_ways),
        ("things/%3AexportSecrets", read_in_two_ways),
        ("things/x%3AexportSecrets%20", read_in_two_ways),
        // A raw verb is read behind the last colon by every reader.
        ("things/x%3Ay:exportSecrets", Ok(1)),
        ("things/x:EXPORTSECRETS", Err(Reason::MethodNotFound)),
        ("things/x:export%53ecrets", Err(Reason::MethodNotFound)),
        ("things/roo%74", read_in_two_ways),
        ("things/ROOT", read_in_two_ways),
        ("things/%52oot", read_in_two_ways),
        ("things/root%20", read_in_two_ways),
        ("things/%20root", read_in_two_ways),
        ("things/root.json", read_in_two_ways),
        ("things/Root.", read_in_two_ways),
        ("things/root.of-all", read_in_two_ways),
        ("things/root.a.b", read_in_two_ways),
        ("things/root..", read_in_two_ways),
        ("things/audit.aaaaaaaaaaaa", read_in_two_ways),
        ("things/x%3AexportSecrets.json.en", read_in_two_ways),
        ("things/a.root", Ok(0)),
        ("things/ro-ot", Ok(0)),
        ("things/audit", Err(Reason::HttpMethodNotAllowed)),
        ("things/%61udit", read_in_two_ways),
        ("things/AUDIT", read_in_two_ways),
        ("things/audit.xml", read_in_two_ways),
        // U+017F and U+212A fold to `s` and `k`.
        ("tran%C5%BFferThings", read_in_two_ways),
        ("transferthings", read_in_two_ways),
        ("transferThings", Ok(5)),
        ("Things", Ok(6)),
    ] {
        assert_eq!(outcome(&router, "GET", &format!("/v1/projects/p/{path}")), expected, "{path}");
    }
    // What the path is for another HTTP method does not matter.
    for path in ["things/ROOT", "things/roo%74", "things/x%3AexportSecrets", "things/AUDIT"] {
        assert_eq!(outcome(&router, "POST", &format!("/v1/projects/p/{path}")), Ok(4), "{path}");
    }
}

/// CherryPy runs `rotate_keys` for all of them.
#[test]
fn a_literal_is_not_dodged_by_other_punctuation() {
    let router =
        router(&["POST /v1/{name=things/*}", "CLOSED POST /v1/things/rotate_keys", "POST /v1/things/log-in"]);
    for path in [
        "rotate-keys",
        "rotate.keys",
        "rotate!keys",
        "rotate%21keys",
        "rotate%20keys",
        "Rotate-Keys",
        "log_in",
    ] {
        let path = format!("/v1/things/{path}");
        assert_eq!(outcome(&router, "POST", &path), Err(Reason::RequestMalformed), "{path}");
    }
    assert_eq!(outcome(&router, "POST", "/v1/things/rotatekeys"), Ok(0));
    assert_eq!(outcome(&router, "POST", "/v1/things/log-in"), Ok(2));
}

#[test]
fn a_head_that_some_backend_takes_for_a_get_of_another_method_is_refused() {
    let router =
        router(&["ANY /v1/*", "GET /v1/root", "CLOSED GET /v1/audit", "HEAD /v1/plain", "GET /v1/plain"]);
    for path in ["/v1/root", "/v1/audit", "/v1/Root"] {
        assert_eq!(outcome(&router, "HEAD", path), Err(Reason::RequestMalformed), "{path}");
    }
    assert_eq!(outcome(&router, "HEAD", "/v1/x"), Ok(0));
    assert_eq!(outcome(&router, "HEAD", "/v1/plain"), Ok(3));
    assert_eq!(outcome(&router, "PUT", "/v1/root"), Ok(0));
}

#[test]
fn a_slash_at_the_end_that_some_backend_ignores_is_refused_where_it_leads_elsewhere() {
    let slash =
        router(&["GET /v1/{name=things/*}", "GET /v1/things/root/", "CLOSED GET /v1/jobs", "GET /v1/**/"]);
    for (path, expected) in [
        ("/v1/things/x", Ok(0)),
        // The second route may be what runs.
        ("/v1/things/root", Err(Reason::RequestMalformed)),
        ("/v1/things/root/", Err(Reason::RequestMalformed)),
        ("/v1/things/x/", Err(Reason::RequestMalformed)),
        ("/v1/things/ROOT.json/", Err(Reason::RequestMalformed)),
        ("/v1/jobs/", Err(Reason::RequestMalformed)),
        ("/v1/Jobs/", Err(Reason::RequestMalformed)),
        ("/v1/jobs.json/", Err(Reason::RequestMalformed)),
        ("/v1/other/", Ok(3)),
    ] {
        assert_eq!(outcome(&slash, "GET", path), expected, "{path}");
    }
    let verbs = router(&["GET /v1/{name=things/*}:burn", "GET /v1/**/"]);
    for path in ["/v1/things/x:burn/", "/v1/things/x%3Aburn/", "/v1/things/x:Burn/"] {
        assert_eq!(outcome(&verbs, "GET", path), Err(Reason::RequestMalformed), "{path}");
    }
    assert_eq!(outcome(&verbs, "GET", "/v1/things/x:keep/"), Ok(1));
    // No route takes it: it is not a call, and says why.
    assert_eq!(outcome(&router(&["GET /v1/x"]), "GET", "/v1/x/"), Err(Reason::RequestMalformed));
    assert_eq!(outcome(&router(&["GET /v1/x"]), "GET", "/"), Err(Reason::MethodNotFound));
}

#[test]
fn the_refusal_names_both_methods_to_the_operator_alone() {
    let router = router(THINGS);
    let denial = ask(&router, "GET", "/v1/projects/p/things/AUDIT").unwrap_err();
    insta::assert_snapshot!(denial.detail());
    let told = denial.public_message().to_owned();
    assert!(!told.contains("Service.") && told.contains("another method"), "{told}");
}

#[test]
fn another_binding_of_one_method_is_another_reading_too() {
    // The name would be another one.
    let both = router(&["GET /v1/{name=things/*}", "GET /v1/{name=things/*}:get"]);
    assert_eq!(outcome(&both, "GET", "/v1/things/x%3Aget"), Err(Reason::RequestMalformed));
    let routes = bind(0, &["h"], &["GET /v1/{name=things/*}", "GET /v1/{name=things/*}:get"]);
    let one = Router::build(&routes, &mut Report::new());
    assert_eq!(outcome(&one, "GET", "/v1/things/x%3Aget"), Err(Reason::RequestMalformed));
}

#[test]
fn methods_that_are_offered_can_be_called_in_this_spelling() {
    let router = router(&["POST /v1/*", "PUT /v1/*", "GET /v1/root", "POST /v1/root"]);
    let denial = ask(&router, "DELETE", "/v1/ROOT").unwrap_err();
    assert_eq!(denial.allowed_methods(), Some("PUT"));
}

#[test]
fn a_closed_method_shadows_every_service_of_its_host_and_upstream() {
    let blue = ["CLOSED GET /v1/{name=things/vault}", "GET /v1/status"];
    let red = ["GET /v1/{name=things/*}"];
    let on = |upstream: &str, host: &str| {
        let mut routes = bind_to("backend", 0, &["h"], &blue);
        routes.extend(bind_to(upstream, 1, &[host], &red));
        let mut report = Report::new();
        (Router::build(&routes, &mut report), report.render(false))
    };
    let (shared, told) = on("backend", "h");
    assert_eq!(outcome(&shared, "GET", "/v1/things/x"), Ok(1));
    assert_eq!(outcome(&shared, "GET", "/v1/things/vault"), Err(Reason::MethodNotFound));
    assert_eq!(outcome(&shared, "GET", "/v1/things/Vault"), Err(Reason::RequestMalformed));
    insta::assert_snapshot!(told);

    // `*` is every host.
    let (starred, told) = on("backend", "*");
    assert_eq!(outcome(&starred, "GET", "/v1/things/vault"), Err(Reason::MethodNotFound));
    assert!(told.contains("can match the same request on `h`"), "{told}");

    for (upstream, host) in [("other", "h"), ("backend", "i")] {
        let (apart, told) = on(upstream, host);
        let call = apart.route(host, &::http::Method::GET, &Path::parse("/v1/things/vault").unwrap());
        assert_eq!(call.unwrap().method.index, 1);
        assert_eq!(told, "");
    }
}

#[test]
fn one_rpc_that_two_services_bring_is_decided_by_the_one_that_exposes_it() {
    let mixin = |open: bool| {
        let service = usize::from(open);
        let mut routes = bind(
            service,
            &["h"],
            &[if open { "GET /v1/{name=operations/*}" } else { "CLOSED GET /v1/{name=operations/*}" }],
        );
        if !open {
            let (route, span) = routes.pop().unwrap();
            let target = RouteTarget::Closed { rpc: "Service.Method1".into() };
            let route = Route {
                service: route.service.clone(),
                http_method: route.http_method.clone(),
                template: route.template.clone(),
                target,
            };
            routes.push((Arc::new(route), span));
        }
        routes
    };
    for order in [[true, false], [false, true]] {
        let routes: Vec<_> = order.into_iter().flat_map(mixin).collect();
        let mut report = Report::new();
        let router = Router::build(&routes, &mut report);
        assert_eq!(report.render(false), "");
        assert_eq!(outcome(&router, "GET", "/v1/operations/x"), Ok(1));
    }
}

#[test]
fn open_routes_of_two_services_that_overlap_are_told_of_once() {
    let mut routes = bind(0, &["h", "i"], &["GET /v1/{name=things/*}", "GET /v1/{name=others/*}"]);
    routes.extend(bind(1, &["h", "i"], &["GET /v1/things/vault", "GET /v1/{name=**}"]));
    insta::assert_snapshot!(conflicts(&routes));
}

#[test]
fn paths_that_differ_only_in_their_spelling_are_refused_at_load() {
    insta::assert_snapshot!(conflicts(&bind(
        0,
        &["h"],
        &["GET /v1/{name=Things/*}", "GET /v1/{name=things/*}"]
    )));
    assert_ne!(conflicts(&bind(0, &["h"], &["GET /v1/a%20b", "CLOSED GET /v1/%41%20b"])), "");
    assert_ne!(conflicts(&bind(0, &["h"], &["GET /v1/*:do", "GET /v1/*:DO"])), "");
    assert_ne!(conflicts(&bind(0, &["h"], &["GET /v1/a", "CLOSED GET /v1/a/"])), "");
    let mut apart = bind(0, &["h"], &["GET /v1/Things"]);
    apart.extend(bind_to("other", 1, &["h"], &["GET /v1/things"]));
    assert_eq!(conflicts(&apart), "");
}

/// What a backend does that decodes a path, ignores case if it `folds`, takes the verb behind the last colon if one of its
/// templates has it, and prefers the more specific template. Straight from the description.
fn run_by_backend(bindings: &[&str], path: &str, folds: bool) -> Option<usize> {
    let fold = |text: &str| if folds { text.to_lowercase() } else { text.to_owned() };
    let decoded: Vec<String> = path.split('/').skip(1).map(|segment| fold(&unescape(segment))).collect();
    let templates: Vec<Template> = bindings
        .iter()
        .map(|binding| Template::parse(&fold(binding.split_once(' ').unwrap().1)).unwrap())
        .collect();
    let best = |names: &[&str], verb: Option<&str>| {
        let matching = templates
            .iter()
            .enumerate()
            .filter(|(_, template)| template.verb() == verb && naively(template.segments(), names));
        matching.min_by_key(|(_, template)| specificity(template)).map(|(index, _)| index)
    };
    let whole: Vec<&str> = decoded.iter().map(String::as_str).collect();
    let (last, before) = whole.split_last().unwrap();
    let with_verb = last.rsplit_once(':').and_then(|(name, verb)| {
        let names: Vec<&str> = before.iter().copied().chain([name]).collect();
        best(&names, Some(verb))
    });
    with_verb.or_else(|| best(&whole, None))
}

fn unescape(segment: &str) -> String {
    percent_encoding::percent_decode_str(segment).decode_utf8().unwrap().into_owned()
}

/// Each letter of the text in one of its spellings.
fn respell(text: &str, choices: &[u8]) -> String {
    let spell = |(letter, choice): (char, &u8)| match (letter, choice % 4) {
        ('/', _) | (_, 0) => letter.to_string(),
        (_, 1) => letter.to_ascii_uppercase().to_string(),
        (_, 2) => format!("%{:02X}", u32::from(letter)),
        _ => format!("%{:02x}", u32::from(letter.to_ascii_uppercase())),
    };
    text.chars().zip(choices.iter().cycle()).map(spell).collect()
}

proptest! {
    /// The closed ones are there by chance.
    #[test]
    fn what_is_judged_is_what_every_backend_runs(
        bindings in prop::collection::btree_map(
            prop_oneof![3 => "GET /(a|b|\\*)(/(a|b|\\*)){0,2}(:do|:a)?", 1 => "GET /(a|b)/\\*\\*(/a|/b)?(:do)?"],
            any::<bool>(),
            1..10,
        ),
        path in "/(a|b|c|a:do)(/(a|b|c|a:a)){0,3}(:do|:a|:no)?",
        choices in prop::collection::vec(prop_oneof![3 => Just(0_u8), 1 => 1_u8..4], 24),
    ) {
        let written: Vec<String> = bindings
            .iter()
            .map(|(binding, open)| if *open { binding.clone() } else { format!("CLOSED {binding}") })
            .collect();
        let routes: Vec<_> =
            written.iter().enumerate().flat_map(|(index, binding)| bind(index, &["h"], &[binding])).collect();
        let router = Router::build(&routes, &mut Report::new());
        let all: Vec<&str> = bindings.keys().map(String::as_str).collect();
        let spelled = respell(&path, &choices);
        if let Some(judged) = winner(&router, "GET", &spelled) {
            for folds in [false, true] {
                prop_assert_eq!(run_by_backend(&all, &spelled, folds), Some(judged), "{} folds {}", spelled, folds);
            }
        }
    }
}
