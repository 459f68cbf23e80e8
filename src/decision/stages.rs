//! The decision, whole: from a parsed request to the proof that it may go on, or the reason that it may not.
//!
//! `run`, `check`, `explain` and `test` all decide here; there is no second implementation. It does no
//! I/O and reads no clock. The order of the stages is part of the contract: who is not authenticated learns nothing
//! about resources or policy (docs/errors.md, "Order").
//!
//! ```text
//! judge           Request ─► directed ─► route ─► authenticate ─► confirm ─► admit   what requests go through
//! resume          Unresolved ────────────────────► confirm ─► admit   once the wait for a token's issuer is over
//! judge_as        Request ─► route ─► identify ─────► admit   whoever the question says, and nobody has proved
//! call_as         Call ─────────────► identify ─────► admit   of a call that nobody has sent
//! admit           Call, Caller ─► scope ─► IAM ─► Permit
//! ```

use std::cell::Cell;
use std::sync::Arc;
use std::time::SystemTime;

use crate::authn::{Authentication, Evidence, PendingToken, UnconfirmedToken};
use crate::catalog::{Call, Method};
use crate::decision::snapshot::Snapshot;
use crate::http::{Request, query};
use crate::policy::{Attributes, Consulted, Permit};
use crate::principal::Caller;
use crate::reason::{Denial, Reason};

/// What is known of a request by the time it is decided; the audit line tells it, refused or not.
#[derive(Debug, Default)]
pub struct Trail {
    /// The method that it calls.
    pub call: Option<Arc<Call>>,
    /// Who calls it.
    pub caller: Option<Arc<Caller>>,
    /// Whether policy granted the permission, even if a later stage refused.
    pub granted: bool,
    /// What conditions asked of the request.
    pub consulted: Consulted,
    /// The stage that was reached: the one that refused, where one did.
    pub stage: Stage,
}

/// The stages, in their order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Which method is called.
    #[default]
    Route,
    /// Who calls it.
    Authenticate,
    /// What the token may be used for.
    Scope,
    /// Whether policy grants the permission.
    Policy,
    /// Whether the method does anything here.
    Implementation,
}

/// What comes of a request that no stage refuses.
#[derive(Debug)]
pub enum Ruling {
    /// It may go on.
    Permitted(Permit),
    /// Nothing can be said of its token yet.
    Unresolved(Unresolved),
}

/// A request whose token waits for its issuer, as far as it was judged.
#[derive(Debug)]
pub struct Unresolved {
    /// What it calls.
    pub call: Arc<Call>,
    /// What it waits for.
    pub token: PendingToken,
}

/// Decides a request against a snapshot, at a time.
///
/// # Errors
/// The first stage that refuses, in the order of TLS, route, authenticate, scope, IAM.
pub fn judge(
    request: &Request,
    snapshot: &Snapshot,
    now: SystemTime,
    trail: &mut Trail,
) -> Result<Ruling, Denial> {
    request.directed()?;
    let call = Arc::new(route(request, snapshot)?);
    trail.stage = Stage::Authenticate;
    trail.call = Some(call.clone());
    let authorization: Vec<&[u8]> = request.authorization().collect();
    let refused = |denial| about(&call.method, denial);
    let caller = match snapshot.authn.authenticate(&authorization, now).map_err(refused)? {
        Authentication::Anonymous => by_certificate(request, &call.method, now).map_err(refused)?,
        Authentication::Token(token) => {
            Some(snapshot.authn.confirm(token, &evidence(request), now).map_err(refused)?)
        }
        Authentication::Pending(token) => return Ok(Ruling::Unresolved(Unresolved { call, token })),
    };
    admit(call, caller, attributes(request, now), snapshot, trail).map(Ruling::Permitted)
}

/// Goes on with a request once its token has been waited for, behind the stage that it waited at.
///
/// # Errors
/// As [`judge`].
pub fn resume(
    request: &Request,
    call: Arc<Call>,
    resolved: Result<UnconfirmedToken, Denial>,
    snapshot: &Snapshot,
    now: SystemTime,
    trail: &mut Trail,
) -> Result<Permit, Denial> {
    let confirmed = resolved.and_then(|token| snapshot.authn.confirm(token, &evidence(request), now));
    let caller = confirmed.map_err(|denial| about(&call.method, denial))?;
    admit(call, Some(caller), attributes(request, now), snapshot, trail)
}

/// Decides a request that comes from whomever `identify` names once it is known which method is called. With
/// [`judge`] that is who the credential proves; a question about policy may say whom it likes.
///
/// # Errors
/// As [`judge`]; what `identify` refuses is refused.
pub fn judge_as(
    request: &Request,
    identify: impl FnOnce(&Method) -> Result<Option<Arc<Caller>>, Denial>,
    snapshot: &Snapshot,
    now: SystemTime,
    trail: &mut Trail,
) -> Result<Permit, Denial> {
    let call = Arc::new(route(request, snapshot)?);
    call_as(call, identify, attributes(request, now), snapshot, trail)
}

/// Decides a call by whomever `identify` names.
///
/// # Errors
/// The first stage that refuses, in the order authenticate, scope, IAM.
pub fn call_as(
    call: Arc<Call>,
    identify: impl FnOnce(&Method) -> Result<Option<Arc<Caller>>, Denial>,
    attributes: Attributes<'_>,
    snapshot: &Snapshot,
    trail: &mut Trail,
) -> Result<Permit, Denial> {
    trail.stage = Stage::Authenticate;
    trail.call = Some(call.clone());
    let caller = identify(&call.method).map_err(|denial| about(&call.method, denial))?;
    admit(call, caller, attributes, snapshot, trail)
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
    trail.stage = Stage::Authenticate;
    if caller.is_none() && !call.method.allow_without_credential {
        return Err(about(&call.method, Denial::new(Reason::CredentialsMissing, "no credential was sent")));
    }
    trail.stage = Stage::Scope;
    require_scope(caller.map(|caller| &**caller), &call.method).map_err(|denial| {
        // A client that proves possession is challenged for another token in the same scheme.
        let proven = caller.and_then(|caller| caller.confirmation.as_ref()?.key.as_ref());
        if proven.is_some() { denial.over_dpop() } else { denial }
    })?;
    trail.stage = Stage::Policy;
    let consulted = Cell::default();
    let authorized =
        snapshot.policy.authorize(call, caller, Attributes { consulted: Some(&consulted), ..attributes });
    trail.consulted = consulted.get();
    let permit = authorized?;
    trail.granted = true;
    trail.stage = Stage::Implementation;
    if call.method.unimplemented {
        return Err(Denial::new(
            Reason::Unimplemented,
            format!("{} is marked unimplemented", call.method.place),
        ));
    }
    Ok(permit)
}

/// What conditions may ask of the request.
pub fn attributes(request: &Request, now: SystemTime) -> Attributes<'_> {
    Attributes {
        path: Some(request.path.decoded()),
        host: Some(request.host.as_str()),
        method: Some(request.method.as_str()),
        origin: request.origin.address,
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

/// What the request shows of whoever sends it.
fn evidence(request: &Request) -> Evidence<'_> {
    let client = request.channel.as_ref().and_then(|channel| channel.client());
    Evidence {
        proofs: request.proofs().collect(),
        certificate: client.map(|client| (client.thumbprint.as_str(), client.until)),
        method: request.method.as_str(),
        scheme: request.scheme().as_str(),
        authority: request.authority.as_bytes(),
        port: request.port,
        path: request.path.as_str(),
    }
}

/// The holder of the connection's client certificate, where the listener takes that for a credential.
fn by_certificate(
    request: &Request,
    method: &Method,
    now: SystemTime,
) -> Result<Option<Arc<Caller>>, Denial> {
    let Some(client) = request.channel.as_ref().and_then(|channel| channel.client()) else {
        return Ok(None);
    };
    let (Ok(scopes), Some(principal), Some(uri)) = (&client.caller, &client.principal, &client.uri) else {
        let why = client.caller.as_ref().err().filter(|_| !method.allow_without_credential);
        return why.map_or(Ok(None), |why| {
            let detail =
                format!("no credential was sent, and the client's certificate makes no caller: {why}");
            Err(Denial::new(Reason::CredentialsMissing, detail))
        });
    };
    // The connection may have been made long ago.
    if now > client.until {
        return Err(Denial::new(Reason::TokenExpired, "the client's certificate has expired"));
    }
    let scopes = scopes.iter().map(String::as_str).collect();
    Ok(Some(Arc::new(Caller::of_certificate(
        principal.clone(),
        uri,
        &client.thumbprint,
        scopes,
        client.until,
    ))))
}

/// Any one of the method's scopes suffices (google/api/auth.proto, `canonical_scopes`). A token that names an audience in
/// their place is for that service alone, whether or not the method asks for a scope.
fn require_scope(caller: Option<&Caller>, method: &Method) -> Result<(), Denial> {
    let Some(caller) = caller else {
        return Ok(());
    };
    if let Some(audience) = caller.scopes.audience() {
        if is_audience_of(audience, method) {
            return Ok(());
        }
        let detail = format!("the token is for `{}`", audience.escape_debug());
        return Err(about(method, Denial::new(Reason::TokenInvalid, detail)));
    }
    if method.allow_without_credential || caller.scopes.any_of(&method.scopes) {
        return Ok(());
    }
    let held: Vec<&str> = caller.scopes.iter().collect();
    let detail = format!("the token's scopes are `{}`", held.join(" "));
    Err(about(method, Denial::new(Reason::ScopeInsufficient, detail).scopes(method.scopes.join(" "))))
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

/// The metadata that google/api/error_reason.proto gives denials of credentials and scopes.
fn about(method: &Method, denial: Denial) -> Denial {
    denial.metadata("service", &*method.service.name).metadata("method", &*method.name)
}
