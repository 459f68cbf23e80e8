//! The decision, whole: from a parsed request to the proof that it may go on, or the reason that it may not.
//!
//! `run`, `check`, `explain` and `test` all decide here; there is no second implementation. It does no
//! I/O and reads no clock. The order of the stages is part of the contract: who is not authenticated learns nothing
//! about resources or policy (DESIGN, section 5, "Order").
//!
//! ```text
//! judge     Request ─► route ─► authenticate ─► admit        what requests go through
//! judge_as  Request ─► route ──────────────────► admit        as if the caller had been authenticated
//! admit     Call, Caller ─► scope ─► IAM ─► Permit
//! ```

use std::sync::Arc;
use std::time::SystemTime;

use crate::authn::Caller;
use crate::catalog::{Call, Method};
use crate::http::{Request, query};
use crate::policy::{Attributes, Permit};
use crate::reason::{Denial, Reason};
use crate::snapshot::Snapshot;

/// What is known of a request by the time it is decided; the audit line tells it, refused or not.
#[derive(Debug, Default)]
pub struct Trail {
    /// The method that it calls.
    pub call: Option<Arc<Call>>,
    /// Who calls it.
    pub caller: Option<Arc<Caller>>,
    /// Whether policy granted the permission, even if a later stage refused.
    pub granted: bool,
}

/// Decides a request against a snapshot, at a time.
///
/// # Errors
/// The first stage that refuses, in the order route, authenticate, scope, IAM.
pub fn judge(
    request: &Request,
    snapshot: &Snapshot,
    now: SystemTime,
    trail: &mut Trail,
) -> Result<Permit, Denial> {
    let call = trail.call.insert(Arc::new(route(request, snapshot)?)).clone();
    let caller = authenticate(request, snapshot, &call.method, now)?;
    admit(call, caller, attributes(request, now), snapshot, trail)
}

/// Decides a request as if its credential had proved it to come from `caller`, for questions about a policy.
///
/// # Errors
/// As [`judge`], but for the credential, which is not looked at.
pub fn judge_as(
    request: &Request,
    caller: Option<Arc<Caller>>,
    snapshot: &Snapshot,
    now: SystemTime,
    trail: &mut Trail,
) -> Result<Permit, Denial> {
    let call = trail.call.insert(Arc::new(route(request, snapshot)?)).clone();
    admit(call, caller, attributes(request, now), snapshot, trail)
}

/// Decides a call, once it is known who makes it: scope, then IAM.
///
/// # Errors
/// The first stage that refuses.
pub fn admit(
    call: Arc<Call>,
    caller: Option<Arc<Caller>>,
    attributes: Attributes<'_>,
    snapshot: &Snapshot,
    trail: &mut Trail,
) -> Result<Permit, Denial> {
    let call = &*trail.call.insert(call);
    trail.caller = caller;
    let caller = trail.caller.as_ref();
    if caller.is_none() && !call.method.allow_without_credential {
        return Err(about(&call.method, Denial::new(Reason::CredentialsMissing, "no credential was sent")));
    }
    require_scope(caller.map(|caller| &**caller), &call.method)?;
    let permit = snapshot.policy.authorize(call, caller, attributes)?;
    trail.granted = true;
    if call.method.unimplemented {
        return Err(Denial::new(
            Reason::Unimplemented,
            format!("{} is marked unimplemented", call.method.place),
        ));
    }
    Ok(permit)
}

/// What conditions may ask of the request.
fn attributes(request: &Request, now: SystemTime) -> Attributes<'_> {
    Attributes {
        path: Some(request.path.as_str()),
        host: Some(request.host.as_str()),
        method: Some(request.method.as_str()),
        origin: request.peer.map(|peer| peer.ip()),
        ..Attributes::at(now)
    }
}

/// The method that the request calls, if nothing in its query names another resource than its path.
fn route(request: &Request, snapshot: &Snapshot) -> Result<Call, Denial> {
    let call = snapshot.catalog.route(request.host.as_str(), &request.method, &request.path)?;
    match request.query.keys().find(|key| call.binds_query_key(key)) {
        Some(key) => Err(query::refused(key)),
        None => Ok(call),
    }
}

/// The caller, or `None` where no credential was sent.
fn authenticate(
    request: &Request,
    snapshot: &Snapshot,
    method: &Method,
    now: SystemTime,
) -> Result<Option<Arc<Caller>>, Denial> {
    let authorization: Vec<&[u8]> = request.authorization().collect();
    let caller = snapshot.authn.authenticate(&authorization, now).map_err(|denial| about(method, denial))?;
    match caller.as_ref().and_then(|caller| caller.scopes.audience()) {
        Some(audience) if !is_audience_of(audience, method) => {
            let detail = format!("the token is for `{}`", audience.escape_debug());
            Err(about(method, Denial::new(Reason::TokenInvalid, detail)))
        }
        _ => Ok(caller),
    }
}

/// Whether a token that names a service instead of scopes (AIP-4111) is for this method: `https://SERVICE/`, or
/// `https://SERVICE/API` (google/api/auth.proto, `audiences`).
fn is_audience_of(audience: &str, method: &Method) -> bool {
    let api = method.name.rsplit_once('.').map_or("", |(api, _)| api);
    let named = audience
        .strip_prefix("https://")
        .and_then(|rest| rest.strip_prefix(&*method.service.name))
        .and_then(|rest| rest.strip_prefix('/'));
    named.is_some_and(|named| named.is_empty() || named == api)
}

/// Any one of the method's scopes suffices (google/api/auth.proto, `canonical_scopes`), and so does an audience in their
/// place.
fn require_scope(caller: Option<&Caller>, method: &Method) -> Result<(), Denial> {
    let Some(caller) = caller else {
        return Ok(());
    };
    let instead = caller.scopes.audience().is_some_and(|audience| is_audience_of(audience, method));
    if method.allow_without_credential || instead || caller.scopes.any_of(&method.scopes) {
        return Ok(());
    }
    let held: Vec<&str> = caller.scopes.iter().collect();
    let detail = format!("the token's scopes are `{}`", held.join(" "));
    Err(about(method, Denial::new(Reason::ScopeInsufficient, detail).scopes(method.scopes.join(" "))))
}

/// The metadata that google/api/error_reason.proto gives denials of credentials and scopes.
fn about(method: &Method, denial: Denial) -> Denial {
    denial.metadata("service", &*method.service.name).metadata("method", &*method.name)
}
