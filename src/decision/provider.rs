//! Whose tokens a method takes: `requirements` of a service file (google/api/auth.proto).
//!
//! A caller is of a provider if their verified claims name its issuer and one of the audiences. A client certificate
//! names no issuer, and neither does the answer of an issuer of opaque tokens that leaves `iss` out.

use serde_json::{Map, Value};

use crate::catalog::{Method, TokenRequirement};
use crate::principal::Caller;
use crate::reason::{Denial, Reason};

/// Refuses a caller whose token is of none of the providers that the method names. A caller without claims is assumed,
/// for a question about policy, and is taken to have such a token.
///
/// # Errors
/// 401: another token may do.
pub(super) fn require(caller: &Caller, method: &Method) -> Result<(), Denial> {
    let (false, Some(claims)) = (method.requirements.is_empty(), &caller.claims) else { return Ok(()) };
    let of_issuer = |required: &&TokenRequirement| {
        claims.get("iss").and_then(Value::as_str) == Some(&*required.provider.issuer)
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
    if required.any(|required| has_audience(claims, &required.audiences)) {
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

/// Whether `aud`, a string or a list of strings, holds one of the audiences, to the byte.
fn has_audience(claims: &Map<String, Value>, audiences: &[String]) -> bool {
    let is_one =
        |value: &Value| value.as_str().is_some_and(|text| audiences.iter().any(|known| known == text));
    match claims.get("aud") {
        Some(Value::Array(list)) => list.iter().any(is_one),
        Some(value) => is_one(value),
        None => false,
    }
}
