//! The claims of a verified token: its times, its audience, the caller and their scopes.
//!
//! [`accept`] takes [`Verified`], and [`accept_answer`] an issuer's answer: claims that anybody could have written
//! never make a caller. [`assume`] is for questions about policy, and no request gets there.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};

use crate::authn::denial::{invalid, shown};
use crate::authn::settings::{IssuerSettings, PossessionRule};
use crate::authn::token::claim::{Rounding, claim, strings, text, time};
use crate::authn::token::confirmation;
use crate::authn::token::identity::{Identified, IdentityMapping};
use crate::authn::token::jwt::Verified;
use crate::principal::scopes::{Scopes, split_list};
use crate::principal::{Caller, Confirmation};
use crate::reason::{Denial, Reason};

/// Claims that only an ID token has (OpenID Connect Core, sections 2, 3.1.3.6 and 3.3.2.11).
const ID_TOKEN_CLAIMS: [&str; 3] = ["nonce", "at_hash", "c_hash"];

/// What is left of a token once every rule was kept.
pub(in crate::authn) struct AcceptedClaims {
    pub(in crate::authn) subject: Option<String>,
    pub(in crate::authn) identified: Identified,
    pub(in crate::authn) scopes: Scopes,
    pub(in crate::authn) confirmation: Option<Confirmation>,
    /// The key of a service account that signs its own tokens.
    pub(in crate::authn) own_key: Option<Box<str>>,
    /// The later of `nbf` and `iat`; the epoch where there is neither.
    pub(in crate::authn) begins: SystemTime,
    pub(in crate::authn) expires: SystemTime,
}

impl AcceptedClaims {
    /// The caller that it makes, with the claims of the issuer `issuer`.
    pub(in crate::authn) fn caller(self, issuer: &Arc<str>, claims: Map<String, Value>) -> Caller {
        Caller {
            issuer: Arc::clone(issuer),
            subject: self.subject,
            principal: self.identified.principal,
            sets: self.identified.sets.into(),
            scopes: self.scopes,
            confirmation: self.confirmation,
            own_key: self.own_key,
            expires: self.expires,
            claims: Some(claims),
        }
    }
}

/// Applies every rule of an issuer.
///
/// # Errors
/// The first rule that is broken, in full for the audit log.
pub(in crate::authn) fn accept(
    token: &Verified<'_>,
    settings: &IssuerSettings,
    identity: &IdentityMapping,
    now: SystemTime,
) -> Result<AcceptedClaims, Denial> {
    check_type(token, &settings.token_types, settings.identity.trust_domain.is_some())?;
    judge(token.claims(), settings, &settings.possession, identity, now, None)
}

/// Applies every rule to an issuer's answer about an opaque token that it calls active. `end` is when the token ends
/// where the answer has no `exp`; without it, such an answer is refused.
///
/// # Errors
/// As [`accept`], but for the token's type, which no member tells in that way.
pub(in crate::authn) fn accept_answer(
    answer: &Map<String, Value>,
    settings: &IssuerSettings,
    identity: &IdentityMapping,
    now: SystemTime,
    end: Option<SystemTime>,
) -> Result<AcceptedClaims, Denial> {
    judge(answer, settings, &settings.possession, identity, now, end)
}

/// Applies every rule to claims without a signature, for questions about policy. It does not authenticate a sender.
///
/// # Errors
/// As [`accept`], except for the token's type, which no claim tells, and for the key that it would have to be bound to.
pub(in crate::authn) fn assume(
    claims: &Map<String, Value>,
    settings: &IssuerSettings,
    identity: &IdentityMapping,
    now: SystemTime,
) -> Result<AcceptedClaims, Denial> {
    judge(claims, settings, &settings.possession.of_assumed(), identity, now, None)
}

fn judge(
    claims: &Map<String, Value>,
    settings: &IssuerSettings,
    possession: &PossessionRule,
    identity: &IdentityMapping,
    now: SystemTime,
    end: Option<SystemTime>,
) -> Result<AcceptedClaims, Denial> {
    if !settings.accept_id_tokens {
        check_kind(claims)?;
    }
    let (begins, expires) = check_times(claims, settings.clock_skew, now, end)?;
    check_required(claims, &settings.required_claims)?;
    check_audience(claims, settings)?;
    let subject = text(claims, "sub")?;
    let identified = identity.of(claims)?;
    let scopes = scopes(claims, settings.scopes.as_deref())?;
    let confirmation = confirmation::of(claims, possession)?;
    Ok(AcceptedClaims {
        subject: subject.map(str::to_owned),
        identified,
        scopes,
        confirmation,
        own_key: None,
        begins,
        expires,
    })
}

/// Only an access token is one: `typ` says what was signed (RFC 8725, section 3.11; RFC 9068, section 2.1). A JWT-SVID may
/// say `JOSE` (JWT-SVID, section 2).
pub(in crate::authn) fn check_type(
    token: &Verified<'_>,
    accepted: &[String],
    is_svid: bool,
) -> Result<(), Denial> {
    let unsupported = |detail: String| Err(Denial::new(Reason::TokenTypeUnsupported, detail));
    let media_type = |typ: &str| match typ.split_once('/') {
        Some((tree, subtype)) if tree.eq_ignore_ascii_case("application") => subtype.to_ascii_lowercase(),
        _ => typ.to_ascii_lowercase(),
    };
    match token.token_type() {
        None if accepted.is_empty() => {}
        None => return unsupported("the header has no `typ`, which this issuer's tokens need".to_owned()),
        Some(typ) => {
            let sent = media_type(typ);
            let known = if accepted.is_empty() {
                matches!(sent.as_str(), "jwt" | "at+jwt") || (is_svid && sent == "jose")
            } else {
                accepted.iter().any(|accepted| media_type(accepted) == sent)
            };
            if !known {
                return unsupported(format!("the header's `typ` is `{}`", shown(typ)));
            }
        }
    }
    Ok(())
}

/// An ID token is for the client that asked for it, not for an API.
pub(in crate::authn) fn check_kind(claims: &Map<String, Value>) -> Result<(), Denial> {
    match ID_TOKEN_CLAIMS.into_iter().find(|name| claim(claims, name).is_some()) {
        Some(name) => {
            let detail = format!("`{name}` makes it an ID token: see `accept_id_tokens`");
            Err(Denial::new(Reason::TokenTypeUnsupported, detail))
        }
        None => Ok(()),
    }
}

/// `exp`, `nbf` and `iat` (RFC 7519, section 4.1). Returns when it begins and ends, without skew; `end` stands in for a
/// missing `exp`.
pub(in crate::authn) fn check_times(
    claims: &Map<String, Value>,
    skew: Duration,
    now: SystemTime,
    end: Option<SystemTime>,
) -> Result<(SystemTime, SystemTime), Denial> {
    let since_epoch = |time: SystemTime| {
        time.duration_since(UNIX_EPOCH)
            .map_err(|_| Denial::new(Reason::Internal, "this machine's clock is before 1970"))
    };
    let now = since_epoch(now)?;
    let expires = match (time(claims, "exp", Rounding::Down)?, end) {
        (Some(expires), _) => expires,
        (None, Some(end)) => since_epoch(end)?,
        (None, None) => return Err(invalid("the token has no `exp`")),
    };
    let not_before = time(claims, "nbf", Rounding::Up)?;
    let issued = time(claims, "iat", Rounding::Up)?;
    if let Some(not_before) = not_before
        && not_before > now.saturating_add(skew)
    {
        return Err(invalid(format!("`nbf` is {} and now is {}", not_before.as_secs(), now.as_secs())));
    }
    if let Some(issued) = issued
        && issued > now.saturating_add(skew)
    {
        return Err(invalid(format!("`iat` is {} and now is {}", issued.as_secs(), now.as_secs())));
    }
    if expires.saturating_add(skew) <= now {
        let detail = format!("`exp` was {} and now is {}", expires.as_secs(), now.as_secs());
        return Err(Denial::new(Reason::TokenExpired, detail));
    }
    let begins = not_before.max(issued).unwrap_or_default();
    Ok((UNIX_EPOCH + begins, UNIX_EPOCH + expires))
}

/// The claims that the issuer's settings ask for, each with its one value.
fn check_required(claims: &Map<String, Value>, required: &[(String, Value)]) -> Result<(), Denial> {
    match required.iter().find(|(name, value)| claims.get(name) != Some(value)) {
        None => Ok(()),
        Some((name, value)) => {
            let told = |value: &Value| match value {
                Value::String(text) => format!("`{}`", shown(text)),
                other => format!("`{}`", shown(&other.to_string())),
            };
            let sent = claims.get(name).map_or_else(|| "missing".to_owned(), told);
            let (name, value) = (shown(name), told(value));
            Err(invalid(format!("`{name}` has to be {value} and is {sent}: see `required_claims`")))
        }
    }
}

/// The claim that holds the token's audience has one of the issuer's `audiences`, to the byte. If it is another than `aud`,
/// an `aud` that names others refuses the token all the same (RFC 7519, section 4.1.3).
fn check_audience(claims: &Map<String, Value>, settings: &IssuerSettings) -> Result<(), Denial> {
    let name = settings.audience_claim.as_str();
    let is_ours = |sent: &[&str]| sent.iter().any(|sent| settings.audiences.iter().any(|ours| ours == sent));
    let wrong =
        |sent: Vec<&str>| Err(invalid(format!("the token is for the audience {}", shown(&sent.join(", ")))));
    match audiences(claims, name)? {
        None => return Err(invalid(format!("the token has no `{name}`"))),
        Some(sent) if !is_ours(&sent) => return wrong(sent),
        Some(_) => {}
    }
    match audiences(claims, "aud")? {
        Some(sent) if !sent.is_empty() && !is_ours(&sent) => wrong(sent),
        _ => Ok(()),
    }
}

/// A string or an array of strings.
fn audiences<'a>(claims: &'a Map<String, Value>, name: &str) -> Result<Option<Vec<&'a str>>, Denial> {
    match claim(claims, name) {
        None => Ok(None),
        Some(Value::String(audience)) => Ok(Some(vec![audience])),
        Some(value) => match strings(value) {
            Some(audiences) => Ok(Some(audiences)),
            None => Err(invalid(format!("`{name}` is neither a string nor an array of strings"))),
        },
    }
}

/// `scope` is a space-separated string (RFC 8693, section 4.2; RFC 9068, section 2.2.3), `scp` is what Entra and Okta
/// write. Either may be an array as well, of one scope each: a blank within one makes it equal no scope of a method. A
/// token may have both; it holds the scopes of both. If it has neither, it holds those that its issuer's settings give.
pub(in crate::authn) fn scopes(
    claims: &Map<String, Value>,
    given: Option<&[String]>,
) -> Result<Scopes, Denial> {
    let (scope, scp) = (listed(claims, "scope")?, listed(claims, "scp")?);
    let read = match (&scope, &scp, given) {
        (None, None, Some(given)) => Scopes::of_token(given.iter().map(String::as_str)),
        _ => Scopes::of_token([scope, scp].into_iter().flatten().flatten()),
    };
    read.map_err(|error| invalid(error.to_string()))
}

fn listed<'a>(claims: &'a Map<String, Value>, name: &str) -> Result<Option<Vec<&'a str>>, Denial> {
    match claim(claims, name) {
        None => Ok(None),
        Some(Value::String(list)) => Ok(Some(split_list(list).collect())),
        Some(value) => match strings(value) {
            Some(list) => Ok(Some(list)),
            None => Err(invalid(format!("`{name}` is neither a string nor an array of strings"))),
        },
    }
}
