//! The key that a token is bound to: its `cnf` (RFC 7800), read by the issuer's rule.
//!
//! An unknown confirmation is refused: the token must not pass for one that is bound to nothing.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use crate::authn::denial::{invalid, shown};
use crate::authn::settings::PossessionRule;
use crate::authn::token::claim::claim;
use crate::principal::confirmation::{BoundKey, Confirmation};
use crate::reason::Denial;

/// The binding in the claims.
///
/// # Errors
/// A confirmation that is malformed, unknown or of a kind that the issuer's rule does not accept; none where the rule
/// requires one.
pub(in crate::authn) fn of(
    claims: &Map<String, Value>,
    rule: &PossessionRule,
) -> Result<Option<Confirmation>, Denial> {
    let members = match claim(claims, "cnf") {
        None if rule.required => {
            let denial = invalid("the token is bound to no key, and this issuer's tokens have to be");
            return Err(if rule.dpop.is_some() { denial.over_dpop() } else { denial });
        }
        None => return Ok(None),
        Some(Value::Object(members)) if members.values().any(|member| !member.is_null()) => members,
        Some(_) => return Err(invalid("`cnf` is not an object with a member")),
    };
    let mut confirmation = Confirmation { certificate: None, key: None };
    for (member, value) in members.iter().filter(|(_, value)| !value.is_null()) {
        let thumbprint = || digest(value).ok_or_else(|| invalid(format!("`cnf.{member}` is not a SHA-256")));
        match (member.as_str(), rule.dpop) {
            ("x5t#S256", _) if rule.mtls => confirmation.certificate = Some(thumbprint()?),
            ("jkt", Some(rule)) => {
                confirmation.key = Some(BoundKey { thumbprint: thumbprint()?, rule });
            }
            ("x5t#S256" | "jkt", _) => {
                return Err(invalid(format!(
                    "`cnf.{member}` is not a kind of proof that this issuer may ask for"
                )));
            }
            _ => return Err(invalid(format!("`cnf.{}` is not understood", shown(member)))),
        }
    }
    Ok(Some(confirmation))
}

/// 32 bytes in their one base64url spelling.
fn digest(value: &Value) -> Option<Box<str>> {
    let text = value.as_str()?;
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    (bytes.len() == 32).then(|| text.into())
}
