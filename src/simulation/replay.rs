//! What a policy tree says to a request of the log. The gate decides ([`crate::decision::stages::authorize`]); this module makes sure
//! that an answer which depends on something the log lacks does not count as one.

use std::collections::HashSet;
use std::sync::Arc;

use crate::catalog::{Call, Catalog, Method, PermissionRule, TokenRequirement};
use crate::decision::snapshot::Snapshot;
use crate::decision::{Trace, stages};
use crate::diagnostic::Place;
use crate::http::Path;
use crate::policy::{Attribute, Attributes, Consulted, Grant, ResourceName};
use crate::principal::Caller;
use crate::reason::{Denial, Reason, Recorded};
use crate::simulation::log_line::LogLine;

/// A tree, and whether an operator said what of it is exposed.
#[derive(Debug)]
pub(crate) struct ReplayTree {
    pub(crate) snapshot: Snapshot,
    configured: bool,
    /// See [`crate::policy::Policy::mapped_pools`].
    mapped_pools: HashSet<String>,
}

/// What a tree says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ReplayOutcome {
    /// Let through, by the rule at this place.
    Allowed(Place),
    /// Refused, for this reason; in full; and by the rule at this place where there is one.
    Refused { reason: Reason, detail: String, rule: Option<Place> },
    /// It depends on something that the log does not have.
    Unknown(MissingInput),
}

/// What the log does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum MissingInput {
    /// The caller: none was authenticated.
    Caller,
    /// Which of the scopes the token had.
    Scopes,
    /// What the token says.
    Claims,
    /// Which groups and attributes the issuer gives the caller.
    Sets,
    /// Where it came from, or which path of which host was requested.
    Request,
    /// On which hosts the services are.
    Host,
    /// Why it was refused: that happened before policy, or outside of it.
    Refusal,
    /// Why the old tree decides otherwise than the log says.
    Tree,
}

impl MissingInput {
    /// What is missing, in words.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Caller => {
                "the log does not name the caller: no method was found, so the caller was not authenticated"
            }
            Self::Scopes => "the log does not have the token's scopes, and the trees do not ask for the same",
            Self::Claims => "conditions ask for `request.auth.claims`, which the log does not have",
            Self::Sets => {
                "rules ask for groups or attributes that the caller's token asserts, which the log does not have"
            }
            Self::Request => "the line lacks the address, host, path or method that the answer depends on",
            Self::Host => {
                "no service of the trees has this host as its own name; `--config` says which service has it"
            }
            Self::Refusal => "the refusal does not tell what policy would have said",
            Self::Tree => {
                "both trees decide otherwise than the log says: it was written under another policy"
            }
        }
    }

    /// What is missing, in a word.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Scopes => "scopes",
            Self::Claims => "claims",
            Self::Sets => "sets",
            Self::Request => "request",
            Self::Host => "host",
            Self::Refusal => "refusal",
            Self::Tree => "tree",
        }
    }
}

/// A tree's answer, and the call that the line is in this tree, where it has such a method.
#[derive(Debug)]
pub(crate) struct Replay {
    pub(crate) answer: ReplayOutcome,
    pub(crate) call: Option<Arc<Call>>,
}

impl Replay {
    fn refused(call: Option<Arc<Call>>, denial: &Denial) -> Self {
        let answer = ReplayOutcome::Refused {
            reason: denial.reason(),
            detail: denial.detail().to_owned(),
            rule: denial.deciding_rule().cloned(),
        };
        Self { answer, call }
    }

    fn unknown(call: Option<Arc<Call>>, doubt: MissingInput) -> Self {
        Self { answer: ReplayOutcome::Unknown(doubt), call }
    }
}

impl ReplayTree {
    /// A tree that was loaded, `configured` as an operator says or by itself.
    pub(crate) fn new(snapshot: Snapshot, configured: bool) -> Self {
        let mapped_pools = snapshot.policy.mapped_pools().into_iter().map(str::to_owned).collect();
        Self { snapshot, configured, mapped_pools }
    }

    /// The call that the tree takes a line for, or the answer that there is none.
    pub(crate) fn route(&self, line: &LogLine) -> Result<Arc<Call>, Replay> {
        let (Some(http_method), Some(host), Some(path)) = (&line.http_method, &line.host, &line.path) else {
            return Err(Replay::unknown(None, MissingInput::Request));
        };
        let Some(host) = self.host(host, line.service.as_deref()) else {
            return Err(Replay::unknown(None, MissingInput::Host));
        };
        if line.is_grpc {
            return self.route_rpc(host, path, line);
        }
        match self.snapshot.catalog.route(host, http_method, path) {
            Ok(call) => Ok(Arc::new(call)),
            Err(denial) => Err(Replay::refused(None, &denial)),
        }
    }

    /// The same of a call over gRPC: the log has the resource that its message named.
    fn route_rpc(&self, host: &str, path: &Path, line: &LogLine) -> Result<Arc<Call>, Replay> {
        let method =
            self.snapshot.catalog.route_rpc(host, path).map_err(|denial| Replay::refused(None, &denial))?;
        let known = |name: &&String| !name.is_empty() && !name.contains('…');
        match line.resource.as_ref().filter(known) {
            Some(resource) => {
                let call = Call::of_rpc(method, &[]);
                Ok(Arc::new(Call { resource_name: Some(resource.as_str().into()), ..call }))
            }
            None if method.permission == PermissionRule::None => Ok(Arc::new(Call::of_rpc(method, &[]))),
            None => Err(Replay::unknown(None, MissingInput::Request)),
        }
    }

    /// The host to look for. Without a configuration that assigns hosts, a service of the log has its own name.
    fn host<'h>(&'h self, logged: &'h str, service: Option<&str>) -> Option<&'h str> {
        let catalog = &self.snapshot.catalog;
        if self.configured || is_exposed(catalog, logged) {
            return Some(logged);
        }
        // A service that this tree does not have is not found, and that is its answer.
        service.map(|service| host_of(catalog, service).unwrap_or(logged))
    }

    /// What the tree says to a line that is this call. `logged` is the method by whose scopes the token was measured
    /// when the log was written, where it is known.
    pub(crate) fn decide(&self, line: &LogLine, call: Arc<Call>, logged: Option<&Method>) -> Replay {
        match line.recorded {
            Recorded::WithoutMethod => Replay::unknown(Some(call), MissingInput::Caller),
            Recorded::Regardless | Recorded::Inconclusive => {
                Replay::unknown(Some(call), MissingInput::Refusal)
            }
            Recorded::WithoutCredential => self.admit(line, call, None),
            Recorded::Allowed | Recorded::Lacking | Recorded::Unimplemented | Recorded::WithoutScope => {
                let Some(principal) = &line.principal else { return self.admit(line, call, None) };
                let held = held(line.recorded, logged, &call.method);
                let scopes = if held == ScopeMatch::None { &[][..] } else { &call.method.scopes };
                let scopes = scopes.iter().cloned().collect();
                let caller = Caller::assumed(principal.clone(), scopes, line.time);
                let method = Arc::clone(&call.method);
                let replay = self.admit(line, call, Some(Arc::new(caller)));
                let mapped = principal.pool().is_some_and(|pool| self.mapped_pools.contains(pool))
                    || self.depends_on_groups(&replay);
                if matches!(replay.answer, ReplayOutcome::Allowed(_)) && !is_of_provider(logged, &method) {
                    return Replay::unknown(replay.call, MissingInput::Claims);
                }
                match (&replay.answer, held) {
                    (ReplayOutcome::Allowed(_), ScopeMatch::Unclear) => {
                        Replay::unknown(replay.call, MissingInput::Scopes)
                    }
                    (ReplayOutcome::Allowed(_), _) if mapped => {
                        Replay::unknown(replay.call, MissingInput::Sets)
                    }
                    (ReplayOutcome::Refused { reason: Reason::PermissionDenied, .. }, _) if mapped => {
                        Replay::unknown(replay.call, MissingInput::Sets)
                    }
                    // A caller who is refused with every scope is refused without.
                    _ => replay,
                }
            }
        }
    }

    /// Whether the answer may be another one by groups that the caller's token asserted.
    fn depends_on_groups(&self, replay: &Replay) -> bool {
        let Some(call) = &replay.call else { return false };
        let PermissionRule::Required(permission) = &call.method.permission else { return false };
        let is_allowed = matches!(replay.answer, ReplayOutcome::Allowed(_));
        let resource = ResourceName::new(call.resource());
        self.snapshot.policy.depends_on_asserted_groups(permission, resource, is_allowed)
    }

    fn admit(&self, line: &LogLine, call: Arc<Call>, caller: Option<Arc<Caller>>) -> Replay {
        let attributes = Attributes {
            path: line.path.as_ref().map(Path::decoded),
            host: line.host.as_deref(),
            method: line.http_method.as_ref().map(http::Method::as_str),
            origin: line.ip,
            ..Attributes::at(line.time)
        };
        let mut trace = Trace::default();
        match stages::authorize(call.clone(), caller, attributes, &self.snapshot, &mut trace) {
            Ok(permit) => {
                let place = match permit.grant() {
                    Grant::Binding(granted) => &granted.place,
                    Grant::NoPermissionAsked => &call.method.place,
                };
                Replay { answer: ReplayOutcome::Allowed(place.clone()), call: Some(call) }
            }
            // An unknown attribute never grants, so only a refusal can come from one.
            Err(denial) => match doubt(trace.consulted) {
                Some(doubt) => Replay::unknown(Some(call), doubt),
                None => Replay::refused(Some(call), &denial),
            },
        }
    }
}

fn doubt(consulted: Consulted) -> Option<MissingInput> {
    consulted.missing().next().map(|attribute| match attribute {
        Attribute::Claims => MissingInput::Claims,
        Attribute::Time | Attribute::Path | Attribute::Host | Attribute::Method | Attribute::Origin => {
            MissingInput::Request
        }
    })
}

/// What is known of the token's scopes among those that a method requires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ScopeMatch {
    Some,
    None,
    Unclear,
}

/// The log says that the token had a scope of the method `logged`, or none. That tells of this method's where one list
/// contains the other.
fn held(recorded: Recorded, logged: Option<&Method>, method: &Method) -> ScopeMatch {
    if method.asks_for_no_scope() {
        return ScopeMatch::Some;
    }
    // A method without scopes has not checked any.
    let Some(logged) = logged.filter(|logged| !logged.asks_for_no_scope()) else {
        return ScopeMatch::Unclear;
    };
    let within = |few: &[String], many: &[String]| few.iter().all(|scope| many.contains(scope));
    match recorded {
        Recorded::WithoutScope if within(&method.scopes, &logged.scopes) => ScopeMatch::None,
        Recorded::WithoutScope => ScopeMatch::Unclear,
        _ if within(&logged.scopes, &method.scopes) => ScopeMatch::Some,
        _ => ScopeMatch::Unclear,
    }
}

/// Whether a token that passed for the method `logged` is of a provider that this one takes: the log does not name the
/// issuer. What was refused before its provider mattered is refused still.
fn is_of_provider(logged: Option<&Method>, method: &Method) -> bool {
    let takes = |one: &TokenRequirement, other: &TokenRequirement| {
        one.provider.issuer == other.provider.issuer
            && other.audiences.iter().all(|audience| one.audiences.contains(audience))
    };
    let had = logged.map(|logged| logged.requirements.as_slice()).unwrap_or_default();
    method.requirements.is_empty()
        || !had.is_empty()
            && had.iter().all(|had| method.requirements.iter().any(|required| takes(required, had)))
}

fn is_exposed(catalog: &Catalog, host: &str) -> bool {
    let mut hosts = catalog.methods().iter().flat_map(|method| &method.service.hosts);
    hosts.any(|exposed| exposed == host || exposed == "*")
}

fn host_of<'c>(catalog: &'c Catalog, service: &str) -> Option<&'c str> {
    let method = catalog.methods().iter().find(|method| method.service.name == service)?;
    method.service.hosts.first().map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{AuthenticationProvider, Exposure, Forwarding, ResourceTemplate};

    fn method(scopes: &[&str], allow_without_credential: bool) -> Method {
        let service = Exposure {
            id: "demo".to_owned(),
            name: "demo.googleapis.com".to_owned(),
            hosts: Vec::new(),
            upstream: String::new(),
            forwarding: Forwarding::default(),
            cors: None,
            protected_resource: None,
            error_domain: String::new(),
        };
        Method {
            index: 0,
            service: Arc::new(service),
            name: "demo.v1.Demo.Get".to_owned(),
            permission: PermissionRule::None,
            scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
            allow_without_credential,
            requirements: Vec::new(),
            resource: ResourceTemplate::variable("name"),
            resource_type: None,
            permission_type: None,
            operation: None,
            unimplemented: false,
            rpc: None,
            rpc_fault: None,
            limits: crate::catalog::MethodLimits::default(),
            place: Place { file: "services/demo.iam.yaml".into(), line: 1 },
        }
    }

    #[test]
    fn a_token_that_passed_for_one_list_of_scopes_passes_for_those_that_contain_it() {
        let logged = method(&["a", "b"], false);
        let passed = |scopes: &[&str]| held(Recorded::Allowed, Some(&logged), &method(scopes, false));
        assert_eq!(passed(&["a", "b"]), ScopeMatch::Some);
        assert_eq!(passed(&["c", "b", "a"]), ScopeMatch::Some);
        // The token may have had the other scope.
        assert_eq!(passed(&["a"]), ScopeMatch::Unclear);
        assert_eq!(passed(&["c"]), ScopeMatch::Unclear);
    }

    #[test]
    fn a_token_that_failed_for_one_list_of_scopes_fails_for_what_it_contains() {
        let logged = method(&["a", "b"], false);
        let failed = |scopes: &[&str]| held(Recorded::WithoutScope, Some(&logged), &method(scopes, false));
        assert_eq!(failed(&["b", "a"]), ScopeMatch::None);
        assert_eq!(failed(&["a"]), ScopeMatch::None);
        assert_eq!(failed(&["a", "c"]), ScopeMatch::Unclear);
    }

    #[test]
    fn without_a_required_scope_none_is_known() {
        let (open, closed) = (method(&["a"], true), method(&["a"], false));
        for recorded in [Recorded::Allowed, Recorded::Lacking] {
            assert_eq!(held(recorded, Some(&open), &closed), ScopeMatch::Unclear);
            assert_eq!(held(recorded, None, &closed), ScopeMatch::Unclear);
            assert_eq!(held(recorded, None, &open), ScopeMatch::Some);
        }
    }

    #[test]
    fn the_provider_of_a_token_is_known_from_what_the_log_passed_alone() {
        let requiring = |issuers: &[(&str, &[&str])]| {
            let requirements = issuers.iter().map(|(issuer, audiences)| TokenRequirement {
                provider: Arc::new(AuthenticationProvider {
                    id: "p".to_owned(),
                    issuer: (*issuer).to_owned(),
                    jwks_uri: None,
                    audiences: Vec::new(),
                    place: Place { file: "services/demo.yaml".into(), line: 1 },
                }),
                audiences: audiences.iter().map(|audience| (*audience).to_owned()).collect(),
            });
            Method { requirements: requirements.collect(), ..method(&[], false) }
        };
        let (any, one) = (method(&["a"], false), requiring(&[("one", &["x"])]));
        assert!(is_of_provider(None, &any) && is_of_provider(Some(&one), &any));
        assert!(is_of_provider(Some(&one), &requiring(&[("one", &["x", "y"]), ("two", &["z"])])));
        // It may have been of another issuer, or for another audience.
        assert!(!is_of_provider(None, &one) && !is_of_provider(Some(&any), &one));
        assert!(!is_of_provider(Some(&requiring(&[("one", &["x", "y"])])), &one));
        assert!(!is_of_provider(Some(&requiring(&[("one", &["x"]), ("two", &["z"])])), &one));
    }
}
