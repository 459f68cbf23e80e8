//! What an RPC asks of credentials: the scopes, whose tokens, or none at all.

use std::path::Path;
use std::sync::Arc;

use crate::catalog::iam::IamRule;
use crate::catalog::method::TokenRequirement;
use crate::catalog::service::{AuthenticationRequirement, AuthenticationRule, Service};
use crate::diagnostic::Report;

/// What an RPC asks of credentials.
pub(super) struct Credentials {
    /// Any one of them. Empty: none is asked for.
    pub(super) scopes: Vec<String>,
    /// Whether a request may come without one.
    pub(super) allow_without_credential: bool,
    /// Any one of them. Empty: any issuer that the operator accepts.
    pub(super) requirements: Vec<TokenRequirement>,
}

/// What both files say together. Google ignores credentials where no rule covers an RPC, which opens it; here that is an
/// error, and so is a rule that asks for nothing. That any valid token will do is said outright: `scopes: none`.
pub(super) fn check(
    rule: &IamRule,
    name: &str,
    service: &Service,
    service_path: &Path,
    report: &mut Report,
) -> Option<Credentials> {
    let add = || {
        format!(
            "add `{{selector: {}, oauth: {{canonical_scopes: …}}}}` to `authentication.rules` in {}; or add `scopes: \
             none` to this rule, where any valid token will do",
            rule.selector,
            service_path.display()
        )
    };
    let found = service.authentication_of(&rule.selector);
    let scopes = match (&rule.scopes, found) {
        (Some(scopes), _) => scopes.clone(),
        (None, Some(found)) => found.scopes.clone(),
        (None, None) => {
            report
                .error(&rule.span, format!("no authentication rule covers `{}`", rule.selector))
                .help(add());
            return None;
        }
    };
    let asks_for_something =
        |found: &AuthenticationRule| found.allow_without_credential || !found.requirements.is_empty();
    if let Some(found) = found.filter(|_| scopes.is_empty() && rule.scopes.is_none())
        && !asks_for_something(found)
    {
        report
            .error(&rule.span, format!("the authentication rule of `{}` names no scope", rule.selector))
            .help(add())
            .related(&found.span, "the rule is here");
        return None;
    }
    let requirements = found.map(|found| found.requirements.as_slice()).unwrap_or_default();
    let requirements = requirements.iter().filter_map(|one| resolve(one, rule, name, service)).collect();
    let allow_without_credential = found.is_some_and(|found| found.allow_without_credential);
    Some(Credentials { scopes, allow_without_credential, requirements })
}

/// A requirement with the audiences that hold: its own, else the provider's, else those of the service's name.
fn resolve(
    requirement: &AuthenticationRequirement,
    rule: &IamRule,
    name: &str,
    service: &Service,
) -> Option<TokenRequirement> {
    // A provider that is not there was reported where the rule was read, and nothing is loaded then.
    let provider = service.providers.iter().find(|provider| provider.id == requirement.provider)?;
    let audiences = [&requirement.audiences, &provider.audiences].into_iter().find(|list| !list.is_empty());
    Some(TokenRequirement {
        audiences: audiences.cloned().unwrap_or_else(|| default_audiences(name, &rule.selector)),
        provider: Arc::new(provider.clone()),
    })
}

/// Without audiences in the file: `https://SERVICE/API` and `https://SERVICE/` (google/api/auth.proto), and
/// `https://SERVICE`, which is what ESPv2 takes.
fn default_audiences(name: &str, rpc: &str) -> Vec<String> {
    let api = rpc.rsplit_once('.').map_or("", |(api, _)| api);
    vec![format!("https://{name}"), format!("https://{name}/"), format!("https://{name}/{api}")]
}
