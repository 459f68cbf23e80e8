//! What an issuer's answer makes of an opaque token: a caller, or the reason that there is none.
//!
//! ```text
//! introspection   active ─┐
//!                         ├─► kind, iss ─► claims::accept_answer ─► Good
//! tokeninfo   as claims ──┘
//! ```
//!
//! The members of an answer have the meaning of a JWT's claims (RFC 7662, section 2.2), and the rules are the same ones.
//! Google's tokeninfo writes numbers and booleans as strings; they are read as such only there.

use std::sync::Arc;
use std::time::SystemTime;

use serde_json::{Map, Value};

use super::settings::Dialect;
use crate::authn::denial::{invalid, shown};
use crate::authn::settings::IssuerSettings;
use crate::authn::token::claim::text;
use crate::authn::token::claims;
use crate::authn::token::identity::IdentityMapping;
use crate::principal::Caller;
use crate::reason::Denial;

/// The rules for a token, beside the answer.
pub(super) struct Rules {
    pub(super) name: Arc<str>,
    pub(super) settings: IssuerSettings,
    pub(super) identity: IdentityMapping,
}

/// An issuer's verdict on a token.
#[derive(Debug)]
pub(super) enum Verdict {
    /// It is good, with its caller.
    Active(Box<ActiveToken>),
    /// The issuer says that it is not.
    Inactive(Denial),
    /// The issuer says that it is, and a rule of ours says that it is not for this gate.
    Refused(Denial),
    /// None: the answer does not hold one.
    Unclear(&'static str),
}

/// A good token.
#[derive(Debug)]
pub(super) struct ActiveToken {
    pub(super) caller: Caller,
    /// The later of `nbf` and `iat`; the epoch where there is neither.
    pub(super) begins: SystemTime,
}

impl Rules {
    /// Judges the members of an answer; `None` where its status alone said that the token is not good. `unstated` is
    /// the end of a token whose answer does not give one.
    pub(super) fn judge(
        &self,
        members: Option<Map<String, Value>>,
        dialect: &Dialect,
        now: SystemTime,
        unstated: SystemTime,
    ) -> Verdict {
        let inactive = || {
            Verdict::Inactive(invalid(format!("issuer `{}` says that the token is not active", self.name)))
        };
        let Some(members) = members else { return inactive() };
        let judged = match dialect {
            Dialect::Introspection { .. } => match members.get("active") {
                Some(Value::Bool(true)) => self.introspected(members, now, unstated),
                Some(Value::Bool(false)) => return inactive(),
                _ => return Verdict::Unclear("the answer's `active` is neither true nor false"),
            },
            Dialect::TokenInfo => self.described(members, now),
        };
        judged.map_or_else(Verdict::Refused, |good| Verdict::Active(Box::new(good)))
    }

    /// RFC 7662, section 2.2.
    fn introspected(
        &self,
        members: Map<String, Value>,
        now: SystemTime,
        unstated: SystemTime,
    ) -> Result<ActiveToken, Denial> {
        // A refresh token is active as well. A bound token names its key (RFC 9449, section 6.2).
        let bound = match text(&members, "token_type")? {
            None => false,
            Some(kind) if kind.eq_ignore_ascii_case("Bearer") => false,
            Some(kind) if kind.eq_ignore_ascii_case("DPoP") => true,
            Some(kind) => return Err(invalid(format!("the token's `token_type` is `{}`", shown(kind)))),
        };
        let good = self.accept(members, now, Some(unstated))?;
        let key = good.caller.confirmation.as_ref().and_then(|confirmation| confirmation.key.as_ref());
        if bound && key.is_none() {
            return Err(invalid("the token's `token_type` is `DPoP`, and no key is named (`cnf.jkt`)"));
        }
        Ok(good)
    }

    /// <https://cloud.google.com/docs/authentication/token-types#access-tokens>
    fn described(&self, mut members: Map<String, Value>, now: SystemTime) -> Result<ActiveToken, Denial> {
        for name in ["exp", "iat", "nbf", "expires_in"] {
            if let Some(Value::String(digits)) = members.get(name)
                && let Some(number) = number(digits)
            {
                members.insert(name.to_owned(), number.into());
            }
        }
        let verified = match members.get("email_verified") {
            Some(Value::String(verified)) => verified.parse::<bool>().ok(),
            _ => None,
        };
        if let Some(verified) = verified {
            members.insert("email_verified".to_owned(), verified.into());
        }
        // The client that the token was made for, and the one that may present it: both are clients of ours.
        if let Some(presenter) = text(&members, "azp")?
            && !self.settings.audiences.iter().any(|ours| ours == presenter)
        {
            return Err(invalid(format!("the token was given to the client {}", shown(presenter))));
        }
        self.accept(members, now, None)
    }

    fn accept(
        &self,
        members: Map<String, Value>,
        now: SystemTime,
        end: Option<SystemTime>,
    ) -> Result<ActiveToken, Denial> {
        if let Some(issuer) = text(&members, "iss")?
            && issuer != self.settings.issuer
        {
            return Err(invalid(format!("`iss` is `{}`", shown(issuer))));
        }
        let accepted = claims::accept_answer(&members, &self.settings, &self.identity, now, end)?;
        let begins = accepted.begins;
        Ok(ActiveToken { caller: accepted.caller(&self.name, members), begins })
    }
}

/// A number as tokeninfo writes it: digits alone.
fn number(digits: &str) -> Option<u64> {
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if plain { digits.parse().ok() } else { None }
}

#[cfg(test)]
mod tests;
