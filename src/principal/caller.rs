//! Who calls: the principal, and all that its credential says beside the name.

use std::sync::Arc;
use std::time::SystemTime;

use serde_json::{Map, Value, json};

use super::confirmation::Confirmation;
use super::{Principal, PrincipalSets, Scopes};

/// The identity of a verified token, with what it may be used for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The name of the issuer that asserts the caller, as the operator's config has it.
    pub issuer: Arc<str>,
    /// `sub`, the issuer's own name for the caller.
    pub subject: Option<String>,
    /// The caller in IAM's words. Policy derives `domain:`, groups and the `all…` members from it.
    pub principal: Principal,
    /// Other names that policy may have for them: sets of their identity pool, in the spelling of members.
    pub sets: PrincipalSets,
    /// The token's scopes.
    pub scopes: Scopes,
    /// The key that the sender of the token has to have.
    pub confirmation: Option<Confirmation>,
    /// The id of the key that signed, of a service account that signs its own tokens.
    pub own_key: Option<Box<str>>,
    /// When the token ends, without clock skew.
    pub expires: SystemTime,
    /// All claims of the token, for conditions; `None` where there are none: the caller is assumed for a question about
    /// policy.
    pub claims: Option<Map<String, Value>>,
}

impl Caller {
    /// A caller of this name, for questions about policy: no issuer asserts them, and the rest of their token but the
    /// scopes is not known. Of the sets that it would put them in, only everybody of their pool is.
    pub fn assumed(principal: Principal, scopes: Scopes, now: SystemTime) -> Self {
        let sets = principal.pool().map(everybody_of).into_iter().collect();
        Self {
            issuer: "assumed".into(),
            subject: None,
            principal,
            sets,
            scopes,
            confirmation: None,
            own_key: None,
            expires: now,
            claims: None,
        }
    }

    /// The holder of a TLS client certificate, who sends no other credential: a subject of the listener's identity
    /// pool, with the scopes that the listener's settings give. `thumbprint` is `x5t#S256`, which conditions see as a
    /// token's confirmation (RFC 8705, section 3.1).
    pub fn of_certificate(
        principal: Principal,
        subject: &str,
        thumbprint: &str,
        scopes: Scopes,
        until: SystemTime,
    ) -> Self {
        let mut claims = Map::new();
        claims.insert("sub".to_owned(), subject.into());
        claims.insert("cnf".to_owned(), json!({ "x5t#S256": thumbprint }));
        let sets = principal.pool().map(everybody_of).into_iter().collect();
        Self {
            issuer: "client certificate".into(),
            subject: Some(subject.to_owned()),
            principal,
            sets,
            scopes,
            // A handshake has proved that the sender has the key: no confirmation is left to check.
            confirmation: None,
            own_key: None,
            expires: until,
            claims: Some(claims),
        }
    }
}

/// All of a pool, as a member.
pub(crate) fn everybody_of(pool: &str) -> Arc<str> {
    format!("principalSet://{pool}/*").into()
}
