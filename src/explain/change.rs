//! What would turn the answer, in sentences: changes to the policy, and changes to the request.

use std::sync::Arc;

use crate::catalog::{Catalog, PermissionRule};
use crate::decision::Stage;
use crate::diagnostic::Place;
use crate::document::{nearest, some_of};
use crate::http::Path;
use crate::policy::ConditionOutcome;
use crate::policy::explain::{Explanation, Remedy, Weighed};
use crate::reason::{Denial, Reason};
use crate::simulation::Simulated;

/// A change that, with one of every other step, turns the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SuggestedChange {
    /// Which kind of change, for programs.
    pub kind: &'static str,
    /// In a sentence.
    pub text: String,
    /// The place to change.
    pub place: Option<Place>,
}

impl SuggestedChange {
    fn new(kind: &'static str, text: impl Into<String>, place: Option<&Place>) -> Self {
        Self { kind, text: text.into(), place: place.cloned() }
    }
}

/// What would turn the answer: of each step, one alternative is needed.
pub(super) fn of(
    answer: &Simulated,
    policy: Option<&Explanation>,
    catalog: &Catalog,
) -> Vec<Vec<SuggestedChange>> {
    let mut steps = Vec::new();
    if let Err(denial) = &answer.decided {
        match answer.trace.stage {
            Stage::Request | Stage::Route => steps.push(route(answer, denial, catalog)),
            Stage::Authenticate => steps.push(vec![authenticate(denial)]),
            Stage::Scope => steps.push(vec![scope(answer, denial)]),
            // The policy part explains the policy's own refusals.
            Stage::Policy => steps.extend(sign_in(answer)),
            Stage::Implementation => {
                let place = answer.trace.call.as_ref().map(|call| &call.method.place);
                let text = "take `unimplemented: true` out of the rule, once a backend implements the method";
                steps.push(vec![SuggestedChange::new("IMPLEMENT_METHOD", text, place)]);
            }
            // These come after the decision.
            Stage::Admission | Stage::Body | Stage::Upstream | Stage::Any => {}
        }
    }
    // The gate refuses for another reason: an allow of the policy need not be turned.
    let of_policy = policy.filter(|policy| answer.decided.is_ok() || policy.decided.is_err());
    for step in of_policy.iter().flat_map(|policy| &policy.steps) {
        steps.push(step.alternatives.iter().map(|remedy| change(remedy, answer)).collect());
    }
    steps.retain(|alternatives| !alternatives.is_empty());
    steps
}

fn route(answer: &Simulated, denial: &Denial, catalog: &Catalog) -> Vec<SuggestedChange> {
    let Some(request) = &answer.request else {
        return vec![SuggestedChange::new(
            "CORRECT_REQUEST",
            "send a request that can be read in one way only",
            None,
        )];
    };
    let (host, path) = (request.host.as_str(), &request.path);
    let mut changes = Vec::new();
    if let Some(closed) = catalog.closed(host, &request.method, path) {
        let text = format!("expose `{}`: add an iam rule for it beside its http rule", closed.method);
        changes.push(SuggestedChange::new("EXPOSE_METHOD", text, Some(&closed.place)));
    }
    match denial.reason() {
        Reason::HttpMethodNotAllowed => {
            let methods = denial.allowed_methods().unwrap_or_default();
            changes.push(SuggestedChange::new("USE_HTTP_METHOD", format!("send it with {methods}"), None));
        }
        Reason::QueryParameterRefused => {
            changes.push(SuggestedChange::new("CORRECT_REQUEST", "leave the query parameter out", None));
        }
        // The request could be parsed, but its path is a call of two methods.
        Reason::RequestMalformed => {
            let text =
                "spell the path as its http rule does, and give the resource a name that no http rule has";
            changes.push(SuggestedChange::new("CORRECT_REQUEST", text, None));
        }
        _ if !changes.is_empty() => {}
        _ => changes.extend(elsewhere(host, path, catalog)),
    }
    changes
}

/// Another host or path, where this one leads nowhere.
fn elsewhere(host: &str, path: &Path, catalog: &Catalog) -> Vec<SuggestedChange> {
    let hosts = catalog.hosts();
    if !hosts.iter().any(|known| *known == host || *known == "*") {
        let text = match nearest(host, hosts.iter().copied()) {
            Some(meant) => format!("ask another host: did you mean `{meant}`?"),
            None => format!("ask another host: {}", some_of(hosts)),
        };
        return vec![SuggestedChange::new("USE_HOST", text, None)];
    }
    let near = catalog.nearest_routes(host, path);
    near.into_iter()
        .map(|route| {
            let method = route.http_method.as_ref().map_or("any method", |method| method.as_str());
            SuggestedChange::new(
                "USE_PATH",
                format!("ask for another path: `{method} {}`", route.template),
                None,
            )
        })
        .collect()
}

fn authenticate(denial: &Denial) -> SuggestedChange {
    match denial.reason() {
        Reason::CredentialsMissing => {
            SuggestedChange::new("SEND_CREDENTIAL", "send a credential: `Authorization: Bearer TOKEN`", None)
        }
        Reason::NotReady | Reason::KeyPending => {
            SuggestedChange::new("WAIT_FOR_KEYS", "wait until the issuer's keys are loaded", None)
        }
        Reason::TokenExpired => {
            SuggestedChange::new("RENEW_TOKEN", "send a token that has not expired", None)
        }
        _ => SuggestedChange::new(
            "SEND_OTHER_TOKEN",
            "send another token: the reason above says what is wrong with this one",
            None,
        ),
    }
}

fn scope(answer: &Simulated, denial: &Denial) -> SuggestedChange {
    // A token that names a service cannot have a scope as well.
    if denial.reason() != Reason::ScopeInsufficient {
        return authenticate(denial);
    }
    let scopes = answer.trace.call.as_ref().map(|call| call.method.scopes.join(", ")).unwrap_or_default();
    SuggestedChange::new("REQUEST_SCOPE", format!("send a token with one of these scopes: {scopes}"), None)
}

/// An anonymous caller may get access by signing in.
fn sign_in(answer: &Simulated) -> Option<Vec<SuggestedChange>> {
    answer.trace.caller.is_none().then(|| {
        let text = "send a credential: all bindings except those of `allUsers` need one";
        vec![SuggestedChange::new("SEND_CREDENTIAL", text, None)]
    })
}

fn change(remedy: &Remedy, answer: &Simulated) -> SuggestedChange {
    match remedy {
        Remedy::ListInBoundary { policy, place, resource } => SuggestedChange::new(
            "LIST_IN_BOUNDARY",
            format!("list `{resource}`, or what it lies in, in the boundary policy `{policy}`"),
            Some(place),
        ),
        Remedy::ExceptPrincipal { rule, principal } => SuggestedChange::new(
            "EXCEPT_PRINCIPAL",
            format!("add `{principal}` to the rule's `exceptionPrincipals`"),
            Some(rule),
        ),
        Remedy::ExceptPermission { rule, permission } => SuggestedChange::new(
            "EXCEPT_PERMISSION",
            format!("add `{permission}` to the rule's `exceptionPermissions`, for everybody"),
            Some(rule),
        ),
        Remedy::UnsetCondition { rule, condition } => SuggestedChange::new(
            "UNSET_CONDITION",
            format!("ask when the rule's condition is false{}", seen(condition)),
            Some(rule),
        ),
        Remedy::MeetCondition { binding, condition } => SuggestedChange::new(
            "MEET_CONDITION",
            format!("ask when the binding's condition is true{}", seen(condition)),
            Some(binding),
        ),
        Remedy::AddPermission { role, place: None, binding } => SuggestedChange::new(
            "DEFINE_ROLE",
            format!(
                "define the role `{role}`, which is bound to the caller ({binding}), if it holds `{}`: \
                 `gcloud iam roles describe {role} | opgate import roles -`",
                permission(answer)
            ),
            None,
        ),
        Remedy::AddPermission { role, place, binding } => SuggestedChange::new(
            "ADD_PERMISSION",
            format!(
                "add `{}` to the role `{role}`, which the caller holds ({binding}), and so for every holder of it",
                permission(answer)
            ),
            place.as_ref(),
        ),
        Remedy::Bind { roles, more, members, on } => {
            let quoted = |texts: &[Arc<str>]| {
                texts.iter().map(|text| format!("`{text}`")).collect::<Vec<_>>().join(" or ")
            };
            let more = if *more == 0 { String::new() } else { format!(" (or one of {more} more)") };
            let on: Vec<String> =
                on.iter().map(|(resource, file)| format!("`{resource}` ({file})")).collect();
            SuggestedChange::new(
                "BIND_ROLE",
                format!("bind {}{more} to {} on {}", quoted(roles), quoted(members), on.join(" or ")),
                None,
            )
        }
        Remedy::Unbind { binding, role, member, resource } => SuggestedChange::new(
            "UNBIND_ROLE",
            format!("take `{role}` on `{resource}` from `{member}`"),
            Some(binding),
        ),
    }
}

/// The outcome of a condition, and why.
fn seen(condition: &Weighed) -> String {
    let expression = &condition.tested.expression;
    match &condition.tested.outcome {
        ConditionOutcome::Unknown(why) => format!(" (now it cannot be evaluated: {why}): `{expression}`"),
        ConditionOutcome::Holds | ConditionOutcome::Fails => format!(": `{expression}`"),
    }
}

fn permission(answer: &Simulated) -> String {
    match answer.trace.call.as_ref().map(|call| &call.method.permission) {
        Some(PermissionRule::Required(permission)) => permission.clone(),
        Some(PermissionRule::None) | None => "the permission".to_owned(),
    }
}
