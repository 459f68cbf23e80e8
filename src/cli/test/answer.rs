//! A test put to the gate, and its answer. Nothing is decided here: the gate does ([`crate::simulation`]).

use std::collections::BTreeSet;
use std::path::Path;
use std::time::SystemTime;

use http::HeaderValue;

use super::case::{CaseCall, CaseCaller, Expected, TestCase};
use crate::catalog::{Catalog, NotCallable};
use crate::decision::snapshot::Snapshot;
use crate::diagnostic::{Place, Report, Span};
use crate::document::{nearest, some_of};
use crate::http::Host;
use crate::policy::{Attribute, Consulted, Grant, Permit, WrittenRule};
use crate::reason::{Denial, Reason};
use crate::simulation::{self, Scenario, ScenarioCall, ScenarioError};

/// The gate's answer to a test.
#[derive(Debug)]
pub(super) struct CaseAnswer {
    pub(super) decision: Expected,
    /// Why, in a sentence.
    pub(super) because: String,
    /// The rule that decided, where one did.
    pub(super) rule: Option<Place>,
    pub(super) consulted: Consulted,
    /// Whether rules name groups or attributes of the caller's pool that the test does not give.
    lacks_sets: bool,
}

/// Asks the gate. What cannot be asked is in the report.
pub(super) fn ask(
    case: &TestCase,
    snapshot: &Snapshot,
    now: SystemTime,
    report: &mut Report,
) -> Option<CaseAnswer> {
    check_host(case, &snapshot.catalog, report)?;
    match case.question(now).ask(snapshot) {
        Ok(simulation::Simulated { decided, trace, .. }) => {
            let lacks_sets = match &case.who {
                CaseCaller::Principal(principal) => {
                    principal.pool().is_some_and(|pool| snapshot.policy.mapped_pools().contains(pool))
                }
                CaseCaller::Anonymous | CaseCaller::Claims(..) => false,
            };
            Some(CaseAnswer::of(decided, trace.consulted, lacks_sets))
        }
        Err(mistake) => {
            let help = mistake.help(|host| format!("`host: {host}`"));
            let span = match (&mistake, &case.who) {
                (ScenarioError::NoIssuer, CaseCaller::Claims(_, span)) => span,
                (ScenarioError::NotCallable(NotCallable::OtherHost { .. }), _) => case.call.host_span(),
                _ => case.call.span(),
            };
            report.error(span, mistake.to_string()).help(help);
            None
        }
    }
}

impl CaseAnswer {
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
                // A refusal that comes before policy does not depend on sets.
                lacks_sets: lacks_sets && denial.reason() == Reason::PermissionDenied,
            },
        }
    }

    /// Whether this is what the test expects. `directory` is the policies directory.
    pub(super) fn is_expected(&self, case: &TestCase, directory: &Path) -> bool {
        let rule = case.rule.as_ref().is_none_or(|expected| {
            self.rule.as_ref().is_some_and(|place| {
                below(directory, place) == expected.file
                    && expected.line.is_none_or(|line| line == place.line)
            })
        });
        case.expected.admits(self.decision) && rule
    }

    /// Reports where the answer depends on something that the test does not say, and where it says little.
    pub(super) fn warn(&self, case: &TestCase, report: &mut Report) {
        // A typing error in the path is refused as well.
        if case.expected == Expected::Denied
            && matches!(self.decision, Expected::Refused(Reason::MethodNotFound | Reason::RequestMalformed))
        {
            report
                .warning(
                    &case.span,
                    "the call is denied because it leads to no method, not because of policy",
                )
                .help(format!("fix the call, or write what is meant: `expect: {}`", self.decision.name()));
        }
        if case.time.is_none() && self.consulted.asked_for(Attribute::Time) {
            report
                .warning(&case.span, "the answer depends on the time, and the test does not say which")
                .help(
                    "it was asked as of now, and may be another tomorrow: add `time: 2026-03-01T12:00:00Z`",
                );
        }
        if self.lacks_sets {
            let message =
                "rules ask for groups or attributes of the caller's pool, which the test does not give";
            report.warning(&case.span, message).help(
                "write `claims: {iss: …, sub: …}` instead of `principal`, and the issuer's mapping takes them from \
                 there",
            );
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
                    format!("a condition reads `{}`, which the test does not give", attribute.name()),
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

/// Reports a rule that the test expects and that no file has. `None` if it did.
pub(super) fn check_rule(case: &TestCase, files: &BTreeSet<&str>, report: &mut Report) -> Option<()> {
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

/// Reports a host that nothing is exposed on, unless the test expects just that. `None` if it did.
fn check_host(case: &TestCase, catalog: &Catalog, report: &mut Report) -> Option<()> {
    let CaseCall::Request { host: Some(host), .. } = &case.call else { return Some(()) };
    // The gate refuses a text that is not a host at all.
    let name = HeaderValue::from_str(host).ok().and_then(|authority| Host::parse(&authority).ok());
    let Some(name) = name.filter(|_| case.expected != Expected::Refused(Reason::MethodNotFound)) else {
        return Some(());
    };
    let hosts = catalog.hosts();
    if hosts.iter().any(|known| *known == name.as_str() || *known == "*") {
        return Some(());
    }
    let diagnostic =
        report.error(case.call.host_span(), format!("no service is exposed on the host `{host}`"));
    match nearest(name.as_str(), hosts.iter().copied()) {
        Some(known) => diagnostic.help(format!("did you mean `{known}`?")),
        None => diagnostic.help(format!("hosts are: {}", some_of(hosts))),
    };
    None
}

impl TestCase {
    /// The question for the gate; as of now, where the test does not give a time.
    fn question(&self, now: SystemTime) -> Scenario {
        let who = match &self.who {
            CaseCaller::Anonymous => simulation::ScenarioCaller::Anonymous,
            CaseCaller::Principal(principal) => {
                simulation::ScenarioCaller::Principal { principal: principal.clone(), sets: Vec::new() }
            }
            CaseCaller::Claims(claims, _) => simulation::ScenarioCaller::Claims(claims.clone()),
        };
        let what = match &self.call {
            CaseCall::Request { http_method, target, host, .. } => ScenarioCall::Request {
                http_method: http_method.clone(),
                target: target.clone(),
                host: host.clone(),
            },
            CaseCall::Method { method, resource, host, .. } => ScenarioCall::Method {
                method: method.clone(),
                resource: resource.clone(),
                host: host.clone(),
            },
            CaseCall::Rpc { rpc, message, host, .. } => {
                ScenarioCall::Rpc { rpc: rpc.clone(), message: message.clone(), host: host.clone() }
            }
        };
        Scenario {
            who,
            scopes: self.scopes.clone(),
            what,
            time: self.time.unwrap_or(now),
            origin: self.origin,
        }
    }
}

impl CaseCall {
    fn span(&self) -> &Span {
        match self {
            Self::Request { span, .. } | Self::Method { span, .. } | Self::Rpc { span, .. } => span,
        }
    }

    /// Where the host is written, or else the whole.
    fn host_span(&self) -> &Span {
        match self {
            Self::Request { span, host_span, .. }
            | Self::Method { span, host_span, .. }
            | Self::Rpc { span, host_span, .. } => host_span.as_ref().unwrap_or(span),
        }
    }
}
