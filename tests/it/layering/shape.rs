//! The rules that keep the house as it is: what may stand where. Each is shown to fail on a violation that is planted.

use regex::Regex;

use super::{File, nothing, product};

/// A rule about the source.
struct Rule {
    /// What it says, and what to do where it is broken.
    says: &'static str,
    /// What it is about; a regular expression over code without comments and tests.
    pattern: &'static str,
    /// Where the pattern may stand: files, folders that end in `/`, or `*` and the end of a name.
    allowed: &'static [&'static str],
    /// Only these are looked at, where there are any.
    only_in: &'static [&'static str],
    /// A file and a text that break it.
    planted: (&'static str, &'static str),
}

const RULES: &[Rule] = &[
    // The engine decides and records.
    Rule {
        says: "Only the engine decides a request: a front end calls Engine::decide or Engine::admit.",
        pattern: r"\bdecision::decide\(|\bstages::decide\(|\bAwaitingToken\b|\bPermitted::new\(",
        allowed: &["src/decision.rs", "src/decision/", "src/engine.rs", "src/engine/"],
        only_in: &[],
        planted: (
            "src/frontend/http1.rs",
            "fn f() { crate::decision::decide(snapshot, request, now, trace); }",
        ),
    },
    Rule {
        says: "Only the engine records a request: Exchange::record writes its audit line and counts it, once.",
        pattern: r"\bEvent \{|\.log_entry\(\)|\baudit\.record\(",
        // The log makes the line of a cancel's end by itself, of what the engine tells it.
        allowed: &["src/engine.rs", "src/engine/", "src/audit.rs"],
        only_in: &[],
        planted: ("src/proxy.rs", "fn f() { self.audit.record(&event.log_entry()); }"),
    },
    Rule {
        says: "A reason is an answer, not a signal: what waits is a value (Authentication::Pending, Decision::Wait).",
        pattern: r"Reason::(KeyPending|NotReady)\b",
        // Explanations say what each reason means.
        allowed: &["src/authn/", "src/reason.rs", "src/reason/", "src/explain/"],
        only_in: &[],
        planted: ("src/engine.rs", "fn f() { if denial.reason() == Reason::KeyPending { again() } }"),
    },
    // What goes upstream.
    Rule {
        says: "Only AwaitingBody makes an Admitted, from a permit, its request and a judged body.",
        pattern: r"(^|[^\w])Admitted \{",
        allowed: &["src/decision/admitted.rs"],
        only_in: &[],
        planted: ("src/proxy/forward.rs", "fn f() -> Admitted { Admitted { request, permit, body, slots } }"),
    },
    Rule {
        says: "What is forwarded is in the exchange: nothing is passed on as `dyn Any`.",
        pattern: r"\bdyn Any\b|connection_user_context",
        allowed: &[],
        only_in: &["src/proxy.rs", "src/proxy/", "src/frontend/", "src/engine.rs", "src/engine/"],
        planted: ("src/proxy.rs", "fn f(handed_over: Box<dyn Any + Send>) {}"),
    },
    // Front ends.
    Rule {
        says: "The frames of HTTP/2 are read by the front end and written by the upstream: nothing else knows the library.",
        pattern: r"\bh2::",
        allowed: &["src/frontend/http2/", "src/upstream/"],
        only_in: &[],
        planted: ("src/proxy/exchange.rs", "fn f(error: h2::Error) {}"),
    },
    Rule {
        says: "There is one way to forward: no framework of proxies is named.",
        pattern: r"\bpingora\b",
        allowed: &[],
        only_in: &[],
        planted: ("src/proxy.rs", "use pingora::proxy::ProxyHttp;"),
    },
    Rule {
        says: "Requests of both versions are parsed in one place, by http::RawHead and Request::new.",
        pattern: r"\bRequest::from_(head|http2)\(|\bRequest \{ (port|version|named_scheme)\b|\bhttparse\b",
        // A simulation makes the request that a client would send.
        allowed: &["src/http/", "src/simulation.rs"],
        only_in: &[],
        planted: (
            "src/frontend/http2/request.rs",
            "fn f() { Request::from_http2(method, authority, path); }",
        ),
    },
    // Policy sources.
    Rule {
        says: "Policies, services and lint are read from PolicyFiles: only a source knows directories.",
        pattern: r"\bstd::fs\b|\bread_dir\b|\bfiles::read\b|\bdocument::read\(|directory: &Path",
        allowed: &["src/source/directory.rs"],
        only_in: &[
            "src/source.rs",
            "src/source/",
            "src/policy.rs",
            "src/policy/",
            "src/catalog.rs",
            "src/catalog/",
            "src/decision.rs",
            "src/decision/",
        ],
        planted: ("src/policy/model/allow.rs", "fn load(directory: &Path) {}"),
    },
    // One model.
    Rule {
        says: "Lint judges the model that decisions are compiled from: it does not parse files.",
        pattern: r"\bdocument::(\{|Node|Fields|Mapping|parse|read)|\bserde_(yaml|json)\b",
        allowed: &[],
        only_in: &["src/policy/lint.rs", "src/policy/lint/"],
        planted: ("src/policy/lint/view.rs", "use crate::document::Node;"),
    },
    // Settings and metrics by owner.
    Rule {
        says: "Settings live with their stage: only the edge that assembles them knows `config`.",
        pattern: r"\bcrate::config\b",
        allowed: &[
            "src/config.rs",
            "src/config/",
            "src/reload.rs",
            "src/reload/",
            "src/server.rs",
            "src/server/",
            "src/cli.rs",
            "src/cli/",
            "src/dev/",
        ],
        only_in: &[],
        planted: ("src/upstream/health.rs", "use crate::config::HealthCheck;"),
    },
    Rule {
        says: "Each module declares its own instruments, in instruments.rs; src/metrics.rs keeps the registry.",
        pattern: r"\b(IntCounter|IntGauge|Histogram|Gauge|Counter)(Vec)?::(new|with_opts)\(",
        allowed: &["src/metrics.rs", "*/instruments.rs"],
        only_in: &[],
        planted: ("src/proxy.rs", "fn f() { IntCounter::new(\"opgate_extra_total\", \"Extra.\") }"),
    },
];

fn is_among(name: &str, places: &[&str]) -> bool {
    places.iter().any(|place| match place.strip_prefix('*') {
        Some(end) => name.ends_with(end),
        None => name == *place || place.ends_with('/') && name.starts_with(place),
    })
}

impl Rule {
    fn broken_by(&self, files: &[File]) -> Vec<String> {
        let pattern = Regex::new(&format!("(?m){}", self.pattern)).unwrap();
        files
            .iter()
            .filter(|file| !is_among(&file.name, self.allowed))
            .filter(|file| self.only_in.is_empty() || is_among(&file.name, self.only_in))
            .flat_map(|file| {
                let code = file.code();
                let lines = code.lines().filter(|line| pattern.is_match(line));
                lines.map(|line| format!("{}: {}", file.name, line.trim())).collect::<Vec<_>>()
            })
            .collect()
    }
}

#[test]
fn every_rule_of_the_house_holds() {
    let files: Vec<File> = product().collect();
    let mut found = Vec::new();
    for rule in RULES {
        let broken: Vec<String> = rule.broken_by(&files);
        found.extend(broken.into_iter().map(|line| format!("{line}\n      {}", rule.says)));
    }
    nothing(
        found,
        "See ARCHITECTURE.md; where the rule is wrong by now, change it in tests/it/layering/shape.rs.",
    );
}

#[test]
fn every_rule_of_the_house_fails_on_a_planted_violation() {
    for rule in RULES {
        let (name, text) = rule.planted;
        let planted = [File { name: name.to_owned(), text: text.to_owned() }];
        assert_eq!(rule.broken_by(&planted).len(), 1, "not found: {}", rule.says);
        let in_a_comment = [File { name: name.to_owned(), text: format!("// {text}") }];
        assert!(rule.broken_by(&in_a_comment).is_empty(), "found in a comment: {}", rule.says);
    }
}
