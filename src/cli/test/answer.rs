//! A test put to the gate, and what it said. Nothing is decided here: [`crate::gate`] does.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use super::case::{Asked, Case, Expected, Who};
use crate::authn::{Caller, Scopes};
use crate::catalog::{BodyRule, Call, Catalog, Method};
use crate::diagnostic::{Place, Report, Span};
use crate::document::nearest;
use crate::gate::{self, Trail};
use crate::http::{Headers, Request};
use crate::policy::{Attribute, Attributes, Consulted, Grant, Permit, WrittenRule};
use crate::reason::{Denial, Reason};
use crate::snapshot::Snapshot;

/// What the gate said to a test.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) decision: Expected,
    /// Why, in a sentence.
    pub(super) because: String,
    /// The rule that decided, where one did.
    pub(super) rule: Option<Place>,
    pub(super) consulted: Consulted,
    /// Whether rules name groups or attributes of the caller's pool that the test does not say.
    pub(super) lacks_sets: bool,
}

/// Asks the gate. What cannot be asked is in the report.
pub(super) fn ask(case: &Case, snapshot: &Snapshot, now: SystemTime, report: &mut Report) -> Option<Answer> {
    let now = case.time.unwrap_or(now);
    let mut trail = Trail::default();
    let decided = match &case.call {
        Asked::Request { .. } => match request(case, &snapshot.catalog, report)? {
            Err(denial) => Err(denial),
            Ok(request) => {
                let call = snapshot.catalog.route(request.host.as_str(), &request.method, &request.path);
                // A call that leads nowhere is refused before it matters who makes it.
                let caller = match call {
                    Ok(call) => caller(case, &call.method, snapshot, now, report)?,
                    Err(_) => Ok(None),
                };
                caller.and_then(|caller| gate::judge_as(&request, caller, snapshot, now, &mut trail))
            }
        },
        Asked::Method { .. } => {
            let call = Arc::new(call(case, &snapshot.catalog, report)?);
            let attributes = Attributes { origin: case.origin, ..Attributes::at(now) };
            caller(case, &call.method, snapshot, now, report)?
                .and_then(|caller| gate::admit(call, caller, attributes, snapshot, &mut trail))
        }
    };
    let lacks_sets = match &case.who {
        Who::Principal(principal) => {
            principal.pool().is_some_and(|pool| snapshot.policy.mapped_pools().contains(pool))
        }
        Who::Anonymous | Who::Claims(..) => false,
    };
    Some(Answer::of(decided, trail.consulted, lacks_sets))
}

impl Answer {
    fn of(decided: Result<Permit, Denial>, consulted: Consulted, lacks_sets: bool) -> Self {
        match decided {
            Ok(permit) => {
                let (because, rule) = match permit.grant() {
                    Grant::Binding(granted) => (granted.described(), granted.place.clone()),
                    Grant::NoPermissionAsked => {
                        let place = &permit.call().method.place;
                        (format!("the method asks for no permission ({place})"), place.clone())
                    }
                };
                Self { decision: Expected::Allowed, because, rule: Some(rule), consulted, lacks_sets }
            }
            Err(denial) => Self {
                decision: Expected::Refused(denial.reason()),
                because: denial.detail().to_owned(),
                rule: denial.deciding_rule().cloned(),
                consulted,
                // What refuses before policy does not ask who is in which set.
                lacks_sets: lacks_sets && denial.reason() == Reason::PermissionDenied,
            },
        }
    }

    /// Whether this is what the test expects. `directory` is the policies directory.
    pub(super) fn is_expected(&self, case: &Case, directory: &Path) -> bool {
        let rule = case.rule.as_ref().is_none_or(|expected| {
            self.rule.as_ref().is_some_and(|place| {
                below(directory, place) == expected.file
                    && expected.line.is_none_or(|line| line == place.line)
            })
        });
        self.decision == case.expected && rule
    }

    /// Reports where the answer hangs on something that the test does not say.
    pub(super) fn warn(&self, case: &Case, report: &mut Report) {
        if case.time.is_none() && self.consulted.asked_for(Attribute::Time) {
            report
                .warning(&case.span, "the answer depends on the time, and the test does not say which")
                .help("it was asked as of now, and may come out otherwise tomorrow: add `time: 2026-03-01T12:00:00Z`");
        }
        if self.lacks_sets {
            report
                .warning(&case.span, "rules ask for groups or attributes of the caller's pool, which the test does not say")
                .help("write `claims: {iss: …, sub: …}` instead of `principal`, and the issuer's mapping takes them from there");
        }
        for attribute in self.consulted.missing() {
            let help = match attribute {
                Attribute::Origin => "add `origin: {ip: 192.0.2.7}`",
                Attribute::Claims => "write `claims: {iss: …, email: …}` instead of `principal`",
                Attribute::Path | Attribute::Host | Attribute::Method => {
                    "write `call: POST https://HOST/v1/…` instead of `method` and `resource`"
                }
                Attribute::Time => "add `time: 2026-03-01T12:00:00Z`",
            };
            report
                .warning(
                    &case.span,
                    format!("a condition asks for `{}`, which the test does not say", attribute.name()),
                )
                .help(help);
        }
    }
}

/// The files that hold a rule which can decide, as a test names them.
pub(super) fn rule_files<'r>(
    rules: &'r [WrittenRule],
    catalog: &'r Catalog,
    directory: &Path,
) -> BTreeSet<&'r str> {
    let places = rules.iter().map(|rule| &rule.place);
    let places = places.chain(catalog.methods().iter().map(|method| &method.place));
    places.map(|place| below(directory, place)).collect()
}

/// Reports a rule that the test expects and that no file has. `None` where it did.
pub(super) fn check_rule(case: &Case, files: &BTreeSet<&str>, report: &mut Report) -> Option<()> {
    let Some(expected) = &case.rule else { return Some(()) };
    if files.contains(expected.file.as_str()) {
        return Some(());
    }
    let diagnostic = report.error(&expected.span, format!("no rule is written in `{}`", expected.file));
    match nearest(&expected.file, files.iter().copied()) {
        Some(file) => diagnostic.help(format!("did you mean `{file}`?")),
        None => diagnostic.help(
            "name a file of the policies directory by its path in there, for example `allow/projects/demo.yaml`",
        ),
    };
    None
}

/// A place's file as a test names it: below the policies directory, with `/`.
pub(super) fn below<'p>(directory: &Path, place: &'p Place) -> &'p str {
    let path = Path::new(&*place.file);
    path.strip_prefix(directory).ok().and_then(Path::to_str).unwrap_or(&place.file)
}

/// The request that the test writes, on a host that is exposed; or the gate's refusal to read it.
fn request(case: &Case, catalog: &Catalog, report: &mut Report) -> Option<Result<Request, Denial>> {
    let Asked::Request { http_method, target, host, span, host_span } = &case.call else { return None };
    let peer = case.origin.map(|ip| SocketAddr::new(ip, 0));
    let on =
        |host: &str| Request::from_http2(http_method.clone(), Some(host), target, Headers::default(), peer);
    if let Some(host) = host {
        let name = match on(host) {
            Ok(request) => request.host,
            Err(denial) => return Some(Err(denial)),
        };
        let hosts = hosts(catalog);
        let exposed = hosts.iter().any(|known| *known == name.as_str() || *known == "*");
        if !exposed && case.expected != Expected::Refused(Reason::MethodNotFound) {
            let span = host_span.as_ref().unwrap_or(span);
            let diagnostic = report.error(span, format!("no service is exposed on the host `{host}`"));
            match nearest(name.as_str(), hosts.iter().copied()) {
                Some(known) => diagnostic.help(format!("did you mean `{known}`?")),
                None => diagnostic.help(format!("hosts are: {}", hosts.join(", "))),
            };
            return None;
        }
        return Some(on(host));
    }
    // Without a host, the path has to say which service is meant.
    let mut wrong_verb = Vec::new();
    let mut found = Vec::new();
    for host in one_host_per_service(catalog) {
        let request = match on(host) {
            Ok(request) => request,
            Err(denial) => return Some(Err(denial)),
        };
        match catalog.route(request.host.as_str(), &request.method, &request.path) {
            Ok(_) => found.push(host),
            Err(denial) if denial.reason() == Reason::HttpMethodNotAllowed => wrong_verb.push(host),
            Err(_) => {}
        }
    }
    let meant = if found.is_empty() { wrong_verb } else { found };
    match meant.as_slice() {
        [host] => Some(on(host)),
        // Every host answers the same.
        [] => one_host_per_service(catalog).first().map(|host| on(host)),
        [first, ..] => {
            report
                .error(span, format!("several hosts have this path: {}", meant.join(", ")))
                .help(format!("say which is asked: `host: {first}`"));
            None
        }
    }
}

/// Every host that something is exposed on, sorted.
fn hosts(catalog: &Catalog) -> Vec<&str> {
    let mut hosts: Vec<&str> =
        catalog.methods().iter().flat_map(|method| &method.service.hosts).map(String::as_str).collect();
    hosts.sort_unstable();
    hosts.dedup();
    hosts
}

/// A host of each service, in the order of the services.
fn one_host_per_service(catalog: &Catalog) -> Vec<&str> {
    let mut hosts: Vec<&str> = Vec::new();
    for method in catalog.methods() {
        let named = method.service.hosts.iter().find(|host| *host != "*");
        let host = named.map_or(method.service.name.as_str(), String::as_str);
        if !hosts.contains(&host) {
            hosts.push(host);
        }
    }
    hosts
}

/// The call of the method that the test names, on its resource.
fn call(case: &Case, catalog: &Catalog, report: &mut Report) -> Option<Call> {
    let Asked::Method { method: name, resource, host, span, host_span } = &case.call else { return None };
    let on_host = |method: &Method| match host {
        None => true,
        Some(host) => method.service.hosts.iter().any(|known| known == host || known == "*"),
    };
    let named = || catalog.methods().iter().filter(|method| method.name == *name);
    let mut meant: Vec<&Arc<Method>> = named().filter(|method| on_host(method)).collect();
    meant.dedup_by(|left, right| left.service.id == right.service.id);
    match meant.as_slice() {
        [method] => Some(Call {
            bindings: vec![(method.resource_field.as_str().into(), resource.clone())],
            method: Arc::clone(method),
            body: BodyRule::Empty,
            body_field: None,
        }),
        [] if named().next().is_none() => {
            unknown_method(name, span, catalog, report);
            None
        }
        [] => {
            let host = host.as_deref().unwrap_or_default();
            let hosts: Vec<&str> =
                named().flat_map(|method| &method.service.hosts).map(String::as_str).collect();
            let span = host_span.as_ref().unwrap_or(span);
            let diagnostic = report.error(span, format!("`{name}` is not exposed on the host `{host}`"));
            match nearest(host, hosts.iter().copied()) {
                Some(known) => diagnostic.help(format!("did you mean `{known}`?")),
                None => diagnostic.help(format!("it is on {}", hosts.join(", "))),
            };
            None
        }
        [first, ..] => {
            let services: Vec<&str> = meant.iter().map(|method| method.service.name.as_str()).collect();
            let host = first.service.hosts.first().map_or("…", String::as_str);
            report
                .error(span, format!("several services have this method: {}", services.join(", ")))
                .help(format!("say whose it is: `host: {host}`"));
            None
        }
    }
}

fn unknown_method(name: &str, span: &Span, catalog: &Catalog, report: &mut Report) {
    if let Some(closed) = catalog.unexposed().iter().find(|closed| closed.method == name) {
        report
            .error(span, format!("`{name}` is not exposed"))
            .help(format!("it has an http rule ({}) and no iam rule: add one beside it", closed.place));
        return;
    }
    let diagnostic = report.error(span, format!("no exposed method is named `{name}`"));
    match nearest(name, catalog.methods().iter().map(|method| method.name.as_str())) {
        Some(known) => diagnostic.help(format!("did you mean `{known}`?")),
        None => diagnostic.help("write the full name of an RPC that an iam file has a rule for"),
    };
}

/// The caller whom the test names, with the scopes that it says or the method asks for; or the refusal of their claims.
fn caller(
    case: &Case,
    method: &Method,
    snapshot: &Snapshot,
    now: SystemTime,
    report: &mut Report,
) -> Option<Result<Option<Arc<Caller>>, Denial>> {
    let scopes = || case.scopes.as_ref().unwrap_or(&method.scopes).iter().cloned().collect::<Scopes>();
    match &case.who {
        Who::Anonymous => Some(Ok(None)),
        Who::Principal(principal) => {
            let caller = Caller::assumed(principal.clone(), scopes(), now);
            Some(Ok(Some(Arc::new(caller))))
        }
        Who::Claims(claims, span) => {
            if snapshot.authn.believes_nobody() {
                report
                    .error(span, "no configuration says what an issuer's claims make of a caller")
                    .help("name one with `--config`, or write `principal:` instead");
                return None;
            }
            let says_scopes = claims.contains_key("scope") || claims.contains_key("scp");
            let assumed = snapshot.authn.assume(claims.clone(), now).map(|caller| {
                let scopes = if case.scopes.is_none() && says_scopes { caller.scopes } else { scopes() };
                Some(Arc::new(Caller { scopes, ..caller }))
            });
            Some(assumed)
        }
    }
}
