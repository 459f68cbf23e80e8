//! Whose tokens a method takes: `requirements` of a service file (google/api/auth.proto).
//!
//! A caller is of a provider if the issuer that vouches for the token is the provider's, and the token is for one of its
//! audiences. An `iss` in the token has to say the same: one set of keys may sign for several service accounts. A client
//! certificate is of no issuer.

use serde_json::Value;

use crate::authn::Authenticator;
use crate::catalog::{Method, TokenRequirement};
use crate::principal::Caller;
use crate::reason::{Denial, Reason};

/// Refuses a caller whose token is of none of the providers that the method names. A caller without claims is assumed,
/// for a question about policy, and is taken to have such a token.
///
/// # Errors
/// 401: another token may do.
pub(super) fn require(caller: &Caller, method: &Method, authn: &Authenticator) -> Result<(), Denial> {
    let (false, Some(claims)) = (method.requirements.is_empty(), &caller.claims) else { return Ok(()) };
    let of_issuer = |required: &&TokenRequirement| {
        let wanted = &*required.provider.issuer;
        let claimed = claims.get("iss").filter(|claimed| !claimed.is_null());
        claimed.is_none_or(|claimed| claimed.as_str() == Some(wanted))
            && authn.is_issuer(&caller.issuer, wanted)
    };
    let mut required = method.requirements.iter().filter(of_issuer).peekable();
    if required.peek().is_none() {
        let wanted: Vec<&str> =
            method.requirements.iter().map(|required| required.provider.issuer.as_str()).collect();
        let detail = format!(
            "the method takes tokens of `{}`, and this one is of issuer `{}`",
            wanted.join("`, `"),
            caller.issuer
        );
        return Err(Denial::new(Reason::TokenInvalid, detail));
    }
    // An issuer that the operator gives another claim for it is looked up where `aud` does not settle it.
    let claim = || authn.audience_claim(&caller.issuer);
    if required.any(|required| {
        is_for(claims.get("aud"), &required.audiences) || is_for(claims.get(claim()), &required.audiences)
    }) {
        return Ok(());
    }
    let wanted: Vec<&str> = method
        .requirements
        .iter()
        .filter(of_issuer)
        .flat_map(|required| &required.audiences)
        .map(String::as_str)
        .collect();
    let detail = format!("the method takes tokens for the audience `{}`", wanted.join("` or `"));
    Err(Denial::new(Reason::TokenInvalid, detail))
}

/// Whether a claim, a string or a list of strings, holds one of the audiences, to the byte.
fn is_for(claim: Option<&Value>, audiences: &[String]) -> bool {
    let is_one =
        |value: &Value| value.as_str().is_some_and(|text| audiences.iter().any(|known| known == text));
    match claim {
        Some(Value::Array(list)) => list.iter().any(is_one),
        Some(value) => is_one(value),
        None => false,
    }
}
