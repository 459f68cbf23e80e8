//! The stages of a decision, in their order.
//!
//! `run`, `check`, `explain` and `test` all decide here; there is no second implementation. It does no
//! I/O and reads no clock. The order of the stages is part of the contract: who is not authenticated learns nothing
//! about resources or policy (docs/errors.md, "Order").
//!
//! ```text
//! decide     Request ─► directed ─► route ─► authenticate ─► confirm ─► authorize    what requests go through
//! resume                   the issuer's answer ──────────────► confirm ─► authorize    once an issuer was asked
//! decide_as  Request ─► route ─► identify ─────────────────────────────► authorize    simulations: an assumed caller
//! decide_call_as  Call ───────► identify ─────────────────────────────► authorize    of a call without a request
//! authorize  Call, Caller ─► scope ─► IAM ─► implementation ─► Permit
//! ```

use std::cell::Cell;
use std::sync::Arc;
use std::time::SystemTime;

use super::admitted::Permitted;
use super::message::AwaitingMessage;
use super::provider;
use super::stage_times::StageTimes;
use super::trace::Trace;
use crate::authn::{Authentication, Evidence, PendingToken, UnconfirmedToken};
use bytes::Bytes;

use crate::catalog::{Call, Method};
use crate::decision::snapshot::Snapshot;
use crate::grpc::{MessageEncoding, timeout};
use crate::http::{Request, RpcProtocol, malformed, query};
use crate::policy::{Attributes, Permit};
use crate::principal::Caller;
use crate::reason::{DecisionStage, Denial, Reason, Stage};

/// What a decision comes to.
#[derive(Debug)]
pub enum Ruling {
    /// Policy allows the request.
    Permitted(Permitted),
    /// It is refused, for good.
    Refused(Denial),
    /// Its issuer has to be asked first.
    Unresolved(Unresolved),
    /// It is a gRPC call, and its first message has to be read.
    AwaitingMessage(AwaitingMessage),
}

impl Ruling {
    fn of(request: Arc<Request>, ruled: Result<Permit, Denial>) -> Self {
        match ruled {
            Ok(permit) => Self::Permitted(Permitted::new(request, permit)),
            Err(denial) => Self::Refused(denial),
        }
    }
}

/// A decision that waits for an issuer: for a key, or for its answer about an opaque token.
#[derive(Debug)]
pub struct Unresolved {
    /// What [`Authenticator::resolve`](crate::authn::Authenticator::resolve) waits with.
    pub token: PendingToken,
    /// What goes on with the answer.
    pub decision: AwaitingToken,
}

/// A decision up to the caller: the request is routed, its token is parsed.
#[derive(Debug)]
pub struct AwaitingToken {
    request: Arc<Request>,
    call: Arc<Call>,
    now: SystemTime,
}

impl AwaitingToken {
    /// Goes on with what came of the token. Nothing that was judged before is judged again.
    pub fn resume(
        self,
        snapshot: &Snapshot,
        token: Result<UnconfirmedToken, Denial>,
        trace: &mut Trace,
    ) -> Ruling {
        let Self { request, call, now } = self;
        let identified = token
            .and_then(|token| snapshot.authn.confirm(token, &evidence(&request), now))
            .map_err(|denial| about(&call.method, denial));
        match identified {
            Ok(caller) => rule(request, call, Some(caller), now, snapshot, trace),
            Err(denial) => Ruling::Refused(denial),
        }
    }
}

impl AwaitingMessage {
    /// Goes on with what was read: one message or, of a method that takes several, the first one and what came with it. `limit`
    /// bounds the bytes of a message. Nothing that was judged before is judged again.
    pub fn resume(self, snapshot: &Snapshot, read: Bytes, limit: u64, trace: &mut Trace) -> Ruling {
        match self.judge(&read, limit) {
            Ok((call, messages)) => {
                let Self { request, caller, now, .. } = self;
                let attributes = attributes(&request, &call, now);
                let ruled = ask_policy(Arc::new(call), caller, attributes, snapshot, trace);
                match ruled {
                    Ok(permit) => Ruling::Permitted(Permitted::with_messages(request, permit, messages)),
                    Err(denial) => Ruling::Refused(denial),
                }
            }
            Err(denial) => {
                trace.stage = Stage::Request;
                Ruling::Refused(denial)
            }
        }
    }
}

/// Decides a request against a snapshot, at a time. The order is TLS, route, authenticate, scope, IAM: the first stage
/// that refuses is the one that is told.
pub fn decide(snapshot: &Snapshot, request: Arc<Request>, now: SystemTime, trace: &mut Trace) -> Ruling {
    match identify(snapshot, &request, now, trace) {
        Err(denial) => Ruling::Refused(denial),
        Ok((call, Identification::Pending(token))) => {
            Ruling::Unresolved(Unresolved { token, decision: AwaitingToken { request, call, now } })
        }
        Ok((call, Identification::Caller(caller))) => rule(request, call, caller, now, snapshot, trace),
    }
}

/// Decides a request whose caller is known: to the end or, of a gRPC call, up to its first message.
fn rule(
    request: Arc<Request>,
    call: Arc<Call>,
    caller: Option<Arc<Caller>>,
    now: SystemTime,
    snapshot: &Snapshot,
    trace: &mut Trace,
) -> Ruling {
    if !request.is_grpc() {
        let attributes = attributes(&request, &call, now);
        let ruled = authorize(call, caller, attributes, snapshot, trace);
        return Ruling::of(request, ruled);
    }
    let admitted = admit_caller(call.clone(), caller.clone(), snapshot, trace);
    let described =
        admitted.and_then(|()| Ok((MessageEncoding::of(&request.headers)?, timeout::of(&request.headers)?)));
    match described {
        Err(denial) => Ruling::Refused(denial),
        Ok((encoding, timeout)) => {
            let method = call.method.clone();
            Ruling::AwaitingMessage(AwaitingMessage { request, method, caller, now, encoding, timeout })
        }
    }
}

/// Who calls, as far as it is known without asking an issuer.
enum Identification {
    /// The caller; `None` where no credential was sent.
    Caller(Option<Arc<Caller>>),
    Pending(PendingToken),
}

fn identify(
    snapshot: &Snapshot,
    request: &Request,
    now: SystemTime,
    trace: &mut Trace,
) -> Result<(Arc<Call>, Identification), Denial> {
    request.directed()?;
    let call = Arc::new(route(request, snapshot)?);
    enter(&mut trace.stage, &mut trace.times, Stage::Authenticate);
    trace.call = Some(call.clone());
    let identified = authenticate(request, &call.method, snapshot, now);
    identified.map_err(|denial| about(&call.method, denial)).map(|identified| (call, identified))
}

/// Decides a request that comes from the caller that `identify` gives once it is known which method is called. With
/// [`decide`] that is the caller that the credential proves; a simulation may assume any.
///
/// # Errors
/// As [`decide`]; what `identify` refuses is refused.
pub fn decide_as(
    request: &Request,
    identify: impl FnOnce(&Method) -> Result<Option<Arc<Caller>>, Denial>,
    snapshot: &Snapshot,
    now: SystemTime,
    trace: &mut Trace,
) -> Result<Permit, Denial> {
    let call = Arc::new(route(request, snapshot)?);
    let attributes = attributes(request, &call, now);
    decide_call_as(call, identify, attributes, snapshot, trace)
}

/// Decides a call by the caller that `identify` gives.
///
/// # Errors
/// The first stage that refuses, in the order authenticate, scope, IAM.
pub fn decide_call_as(
    call: Arc<Call>,
    identify: impl FnOnce(&Method) -> Result<Option<Arc<Caller>>, Denial>,
    attributes: Attributes<'_>,
    snapshot: &Snapshot,
    trace: &mut Trace,
) -> Result<Permit, Denial> {
    enter(&mut trace.stage, &mut trace.times, Stage::Authenticate);
    trace.call = Some(call.clone());
    let caller = identify(&call.method).map_err(|denial| about(&call.method, denial))?;
    authorize(call, caller, attributes, snapshot, trace)
}

/// Decides a call of a known caller: scope, then IAM.
///
/// # Errors
/// The first stage that refuses.
pub fn authorize(
    call: Arc<Call>,
    caller: Option<Arc<Caller>>,
    attributes: Attributes<'_>,
    snapshot: &Snapshot,
    trace: &mut Trace,
) -> Result<Permit, Denial> {
    admit_caller(call.clone(), caller.clone(), snapshot, trace)?;
    ask_policy(call, caller, attributes, snapshot, trace)
}

/// Decides whether a caller may use the method at all: whose credential it is, and its scopes.
pub(super) fn admit_caller(
    call: Arc<Call>,
    caller: Option<Arc<Caller>>,
    snapshot: &Snapshot,
    trace: &mut Trace,
) -> Result<(), Denial> {
    let call = &*trace.call.insert(call);
    trace.caller = caller;
    let caller = trace.caller.as_ref();
    enter(&mut trace.stage, &mut trace.times, Stage::Authenticate);
    if caller.is_none() && !call.method.allow_without_credential {
        return Err(about(&call.method, Denial::new(Reason::CredentialsMissing, "no credential was sent")));
    }
    // A client that proves possession is challenged for another token in the same scheme.
    let challenged = |denial: Denial| {
        let proven = caller.and_then(|caller| caller.confirmation.as_ref()?.key.as_ref());
        if proven.is_some() { denial.over_dpop() } else { denial }
    };
    if let Some(caller) = caller {
        provider::require(caller, &call.method, &snapshot.authn)
            .map_err(|denial| challenged(about(&call.method, denial)))?;
    }
    enter(&mut trace.stage, &mut trace.times, Stage::Scope);
    require_scope(caller.map(|caller| &**caller), &call.method).map_err(challenged)
}

/// Asks IAM of a call whose caller may use the method.
pub(super) fn ask_policy(
    call: Arc<Call>,
    caller: Option<Arc<Caller>>,
    attributes: Attributes<'_>,
    snapshot: &Snapshot,
    trace: &mut Trace,
) -> Result<Permit, Denial> {
    let call = &*trace.call.insert(call);
    trace.caller = caller;
    let caller = trace.caller.as_ref();
    enter(&mut trace.stage, &mut trace.times, Stage::Policy);
    let consulted = Cell::default();
    let authorized =
        snapshot.policy.authorize(call, caller, Attributes { consulted: Some(&consulted), ..attributes });
    trace.consulted = consulted.get();
    let permit = authorized?;
    if let Some(earlier) = &snapshot.policy_of_methods {
        let both = earlier.authorize(call, caller, attributes);
        both.map_err(|denial| denial.beside("by the rules before, since the service files do not load"))?;
    }
    trace.granted = true;
    enter(&mut trace.stage, &mut trace.times, Stage::Implementation);
    if call.method.unimplemented {
        return Err(Denial::new(
            Reason::Unimplemented,
            format!("{} is marked unimplemented", call.method.place),
        ));
    }
    Ok(permit)
}

/// A stage begins.
pub(super) fn enter(under_way: &mut Stage, times: &mut StageTimes, stage: Stage) {
    *under_way = stage;
    times.enter(DecisionStage::of(stage));
}

/// The attributes that conditions may read of the request. A HEAD that takes the route of GET is a GET for them: else a
/// deny rule for GET would not cover it, and a backend may do for it all that it does for GET.
pub fn attributes<'r>(request: &'r Request, call: &Call, now: SystemTime) -> Attributes<'r> {
    Attributes {
        path: Some(request.path.decoded()),
        host: Some(request.host.as_str()),
        method: Some(if call.is_head_of_get { "GET" } else { request.method.as_str() }),
        origin: request.origin.address,
        ..Attributes::at(now)
    }
}

/// The method that the request calls, if nothing in its query names another resource than its path.
pub(super) fn route(request: &Request, snapshot: &Snapshot) -> Result<Call, Denial> {
    if !matches!(request.rpc, RpcProtocol::None | RpcProtocol::ConnectUnary) {
        return route_rpc(request, snapshot);
    }
    let routed = snapshot.catalog.route(request.host.as_str(), &request.method, &request.path);
    let call = routed.map_err(|denial| match denial.reason() {
        Reason::MethodNotFound if request.rpc == RpcProtocol::ConnectUnary => unsupported(request.rpc),
        Reason::MethodNotFound => not_offered(request.path.decoded()).unwrap_or(denial),
        _ => denial,
    })?;
    match request.query.keys().find(|key| call.binds_query_key(key)) {
        Some(key) => Err(query::refused(key)),
        None => Ok(call),
    }
}

/// The method that a remote call is of. Its resource is not known yet. What has the content type of such a call takes no http
/// rule: a backend would take it for the call.
fn route_rpc(request: &Request, snapshot: &Snapshot) -> Result<Call, Denial> {
    let (host, path) = (request.host.as_str(), &request.path);
    match request.rpc {
        RpcProtocol::Grpc if request.query.as_str().is_some() => Err(malformed("a gRPC request has a query")),
        RpcProtocol::Grpc if !is_plain_post(request) => {
            Err(malformed("a gRPC request has another method than POST"))
        }
        RpcProtocol::Grpc => {
            let method = snapshot.catalog.route_rpc(host, path)?;
            Ok(Call::of_rpc(method, &[]))
        }
        protocol => Err(unsupported(protocol)),
    }
}

fn is_plain_post(request: &Request) -> bool {
    request.method == ::http::Method::POST && request.overridden.is_none()
}

fn unsupported(protocol: RpcProtocol) -> Denial {
    let name = protocol.name();
    let detail = format!("the content type is that of {name}");
    let message = format!("{name} is not supported here. Use gRPC over HTTP/2, or HTTP with JSON.");
    Denial::new(Reason::RpcProtocolUnsupported, detail).message(message)
}

/// The denial of what Google's front ends serve beside each API: its discovery document, and several calls in one request
/// (docs/clients.md). A service that has a method there serves it.
fn not_offered(path: &str) -> Option<Denial> {
    let begins =
        |prefix: &str| path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let told = if begins("/batch") {
        "Batch requests are not offered here: send each request by itself."
    } else if begins("/$discovery") || begins("/discovery/v1") {
        "Discovery documents are not offered here: use the API's published one, or the copy in the client library."
    } else {
        return None;
    };
    Some(
        Denial::new(Reason::NotOffered, "no method has this path, and the gate offers none there")
            .message(told),
    )
}

/// The caller as the credential or the client certificate proves it, or what has to be asked first.
fn authenticate(
    request: &Request,
    method: &Method,
    snapshot: &Snapshot,
    now: SystemTime,
) -> Result<Identification, Denial> {
    let authorization: Vec<&[u8]> = request.authorization().collect();
    match snapshot.authn.authenticate(&authorization, now)? {
        Authentication::Anonymous => by_certificate(request, method, now).map(Identification::Caller),
        Authentication::Token(token) => {
            let caller = snapshot.authn.confirm(token, &evidence(request), now)?;
            Ok(Identification::Caller(Some(caller)))
        }
        Authentication::Pending(token) => Ok(Identification::Pending(token)),
    }
}

/// What the request shows of its sender.
fn evidence(request: &Request) -> Evidence<'_> {
    let client = request.channel.as_ref().and_then(|channel| channel.client());
    Evidence {
        proofs: request.proofs().collect(),
        certificate: client.map(|client| (client.thumbprint.as_str(), client.until)),
        // A proof is for the request as its client sent it (RFC 9449, section 4.2, `htm`).
        method: request.sent_method().as_str(),
        scheme: request.scheme().as_str(),
        authority: request.authority.as_bytes(),
        port: request.port,
        path: request.path.as_str(),
    }
}

/// The holder of the connection's client certificate, where the listener accepts it as a credential.
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

/// Any one of the method's scopes suffices (google/api/auth.proto, `canonical_scopes`). A token that names an audience
/// in their place is only for that service, whether or not the method requires a scope.
fn require_scope(caller: Option<&Caller>, method: &Method) -> Result<(), Denial> {
    let Some(caller) = caller else {
        return Ok(());
    };
    // The audiences of a provider were compared, and they may be any.
    let is_of_provider = !method.requirements.is_empty() && method.scopes.is_empty();
    if let Some(audience) = caller.scopes.audience().filter(|_| !is_of_provider) {
        if is_audience_of(audience, method) {
            return Ok(());
        }
        let detail = format!("the token is for `{}`", audience.escape_debug());
        return Err(about(method, Denial::new(Reason::TokenInvalid, detail)));
    }
    if method.asks_for_no_scope() || caller.scopes.any_of(&method.scopes) {
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
pub(super) fn about(method: &Method, denial: Denial) -> Denial {
    denial.metadata("service", &*method.service.name).metadata("method", &*method.name)
}
