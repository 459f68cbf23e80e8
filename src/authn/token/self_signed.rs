//! Service accounts that sign their own tokens (<https://google.aip.dev/auth/4111>): there is no authorization server,
//! and the account's own keys prove that it was the account.
//!
//! Such a token names the service that it is for and no scopes (`aud: https://SERVICE/`, and then it holds for all of
//! that service's methods), or scopes and no service. With both, one reader could go by the one and another by the
//! other.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};

use crate::authn::denial::{invalid, shown};
use crate::authn::settings::{IssuerSettings, PossessionRule};
use crate::authn::token::claim::{Rounding, claim, text, time};
use crate::authn::token::claims::{AcceptedClaims, check_kind, check_times, check_type, scopes};
use crate::authn::token::confirmation;
use crate::authn::token::identity::Identified;
use crate::authn::token::jwt::Verified;
use crate::principal::Principal;
use crate::principal::scopes::Scopes;
use crate::reason::Denial;

/// The longest that such a token may be good.
const MAX_LIFETIME: Duration = Duration::from_secs(3600);

/// Applies every rule of a service account that is its own issuer.
///
/// # Errors
/// The first rule that is broken, in full for the audit log.
pub(in crate::authn) fn accept(
    token: &Verified<'_>,
    settings: &IssuerSettings,
    now: SystemTime,
) -> Result<AcceptedClaims, Denial> {
    check_type(token, &settings.token_types, false)?;
    let accepted = judge(token.claims(), settings, &settings.possession, now)?;
    Ok(AcceptedClaims { own_key: token.kid().map(Box::from), ..accepted })
}

/// Applies every rule to claims without a signature, for questions about policy. It does not authenticate a sender.
///
/// # Errors
/// As [`accept`], but for the token's type, which no claim tells.
pub(in crate::authn) fn assume(
    claims: &Map<String, Value>,
    settings: &IssuerSettings,
    now: SystemTime,
) -> Result<AcceptedClaims, Denial> {
    judge(claims, settings, &settings.possession.of_assumed(), now)
}

fn judge(
    claims: &Map<String, Value>,
    settings: &IssuerSettings,
    possession: &PossessionRule,
    now: SystemTime,
) -> Result<AcceptedClaims, Denial> {
    let account = settings.issuer.as_str();
    check_kind(claims)?;
    let (begins, expires) = check_times(claims, settings.clock_skew, now, None)?;
    let issued = time(claims, "iat", Rounding::Down)?
        .ok_or_else(|| invalid("a service account's own token needs `iat`"))?;
    if expires > UNIX_EPOCH + issued + MAX_LIFETIME {
        return Err(invalid(format!(
            "a service account's own token is good for {MAX_LIFETIME:?} at the most"
        )));
    }
    match text(claims, "sub")? {
        Some(subject) if subject == account => {}
        Some(subject) => return Err(invalid(format!("`{account}` may not speak for `{}`", shown(subject)))),
        None => return Err(invalid("the token has no `sub`")),
    }
    let mut scopes = scopes(claims, None)?;
    match claim(claims, "aud") {
        None if !scopes.is_empty() => {}
        None => return Err(invalid("the token has neither `aud` nor `scope`")),
        Some(Value::String(audience)) if scopes.is_empty() => scopes = Scopes::in_audience(audience),
        Some(Value::String(_)) => return Err(invalid("the token has both `aud` and `scope`")),
        Some(_) => return Err(invalid("`aud` is not a string")),
    }
    let principal =
        Principal::service_account(account).map_err(|error| invalid(format!("`{account}`: {error}")))?;
    let identified = Identified { principal, sets: Vec::new() };
    let confirmation = confirmation::of(claims, possession)?;
    Ok(AcceptedClaims {
        subject: Some(account.to_owned()),
        identified,
        scopes,
        confirmation,
        own_key: None,
        begins,
        expires,
    })
}
