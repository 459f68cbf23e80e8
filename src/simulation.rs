//! Scenarios: a caller, a call, a time and an origin, put to the gate without sending a request.
//!
//! ```text
//! Scenario ─► request or call ─► gate ─► Simulated
//!      └────► caller: proved by a token, or only said ──┘
//! ```
//!
//! A scenario may name any caller: such a caller is assumed, without proof. So no request ever uses this module, and no
//! answer is acted on. A test asserts it.

pub mod full_name;
pub mod written;
pub(crate) mod log_line;
pub(crate) mod replay;
mod rpc;

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::SystemTime;

use serde_json::{Map, Value};

pub use self::rpc::NotACall;
use crate::authn::{Authentication, Authenticator, UnconfirmedToken};
use crate::catalog::{Call, Catalog, Method, NotCallable};
use crate::decision::snapshot::Snapshot;
use crate::decision::{Trace, decide_message_as, stages};
use crate::document::{nearest, some_of};
use crate::http::{ConnectionPeer, Headers, Request, TrustedProxies};
use crate::policy::{Attributes, Permit};
use crate::principal::{Caller, Principal, Scopes};
use crate::reason::{Denial, Reason};

/// A call that has not been sent: who would call what, when and from where.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The caller.
    pub who: ScenarioCaller,
    /// What the token may be used for; by default what the claims say, else the scopes that the method requires. A
    /// token says it itself.
    pub scopes: Option<Vec<String>>,
    /// The call.
    pub what: ScenarioCall,
    /// The time.
    pub time: SystemTime,
    /// The origin.
    pub origin: Option<IpAddr>,
}

/// The caller.
#[derive(Clone, Debug)]
pub enum ScenarioCaller {
    /// A caller without a credential.
    Anonymous,
    /// A caller of this name.
    Principal {
        /// The name.
        principal: Principal,
        /// The sets that their credential would assert, in the spelling of members: `group:…`, `principalSet://…`.
        sets: Vec<Arc<str>>,
    },
    /// The caller that an issuer's rules make of these claims.
    Claims(Map<String, Value>),
    /// The caller that this token proves.
    Token(ScenarioToken),
}

/// A credential. It is never printed.
#[derive(Clone)]
pub struct ScenarioToken {
    text: String,
    /// What came of it once nothing is to be waited for.
    answered: Option<Result<Arc<Caller>, Denial>>,
}

/// The call.
#[derive(Clone, Debug)]
pub enum ScenarioCall {
    /// As a client would: `POST /v1/projects/…`.
    Request {
        /// The HTTP method.
        http_method: ::http::Method,
        /// Path and query.
        target: String,
        /// Where it is sent; by default to the host whose paths it fits.
        host: Option<String>,
    },
    /// By its name: `google.longrunning.Operations.CancelOperation`.
    Method {
        /// The full name of the RPC.
        method: String,
        /// The relative name of the resource.
        resource: String,
        /// A host that tells apart services which share the method.
        host: Option<String>,
    },
    /// Over gRPC: `google.longrunning.Operations/CancelOperation`.
    Rpc {
        /// The path, with or without its slash, or the full name.
        rpc: String,
        /// The message, in the JSON of protobuf.
        message: Value,
        /// A host that tells apart services which share the method.
        host: Option<String>,
    },
}

/// Why a scenario cannot be put to the gate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScenarioError {
    /// The path is one of several hosts.
    #[error("several hosts have this path: {}", some_of(hosts.iter().map(String::as_str)))]
    SeveralHosts {
        /// Which.
        hosts: Vec<String>,
    },
    /// There is no such method.
    #[error(transparent)]
    NotCallable(#[from] NotCallable),
    /// The text is not a relative name of a resource.
    #[error("`{resource}` is not a relative name of a resource")]
    NotAResource {
        /// The text.
        resource: String,
    },
    /// It is not a call over gRPC.
    #[error(transparent)]
    NotACall(#[from] NotACall),
    /// The full name of a resource begins with a service that is not exposed.
    #[error("no service `{service}` is exposed")]
    NoSuchService {
        /// As it was asked for.
        service: String,
        /// Those that are.
        known: Vec<String>,
    },
    /// There are claims, and no issuers are configured that could have signed them.
    #[error("no configuration says what an issuer's claims make of a caller")]
    NoIssuer,
}

/// The gate's answer.
#[derive(Debug)]
pub struct Simulated {
    /// Whether it would let the call pass.
    pub decided: Result<Permit, Denial>,
    /// The findings on the way there.
    pub trace: Trace,
    /// The request that was judged, where one was, and could be read.
    pub request: Option<Request>,
    time: SystemTime,
    origin: Option<IpAddr>,
}

impl Scenario {
    /// Waits as a request with the same token would: for the answer of an opaque token's issuer, or for the key of
    /// another one.
    pub async fn look_up(&mut self, authn: &Authenticator) {
        if let ScenarioCaller::Token(token) = &mut self.who {
            let authorization = token.authorization();
            let resolved = match authn.authenticate(&[authorization.as_bytes()], self.time) {
                Ok(Authentication::Anonymous) => return,
                Ok(Authentication::Token(known)) => Ok(known),
                Ok(Authentication::Pending(pending)) => authn.resolve(pending, self.time, |_| {}).await,
                Err(denial) => Err(denial),
            };
            token.answered = Some(resolved.map(UnconfirmedToken::assume_confirmed));
        }
    }

    /// Puts it to the gate. An opaque token in the scenario has to be looked up first.
    ///
    /// # Errors
    /// Where the call or the caller is not clear.
    pub fn ask(&self, snapshot: &Snapshot) -> Result<Simulated, ScenarioError> {
        if matches!(self.who, ScenarioCaller::Claims(_)) && snapshot.authn.believes_nobody() {
            return Err(ScenarioError::NoIssuer);
        }
        let mut trace = Trace::default();
        let (decided, request) = match &self.what {
            ScenarioCall::Request { http_method, target, host } => {
                match self.request(http_method, target, host.as_deref(), &snapshot.catalog)? {
                    Err(denial) => (Err(denial), None),
                    Ok(request) => {
                        let identify = |method: &Method| self.caller(method, snapshot);
                        let decided = stages::decide_as(&request, identify, snapshot, self.time, &mut trace);
                        (decided, Some(request))
                    }
                }
            }
            ScenarioCall::Method { method, resource, host } => {
                let call = named_call(method, resource, host.as_deref(), &snapshot.catalog)?;
                let attributes = Attributes { origin: self.origin, ..Attributes::at(self.time) };
                let identify = |method: &Method| self.caller(method, snapshot);
                (stages::decide_call_as(Arc::new(call), identify, attributes, snapshot, &mut trace), None)
            }
            ScenarioCall::Rpc { rpc, message, host } => {
                let host = host.as_deref();
                let (method, message) = rpc::message_of(rpc, message, host, &snapshot.catalog)?;
                match self.rpc_request(&method, host) {
                    Err(denial) => (Err(denial), None),
                    Ok(request) => {
                        let identify = |method: &Method| self.caller(method, snapshot);
                        let decided =
                            decide_message_as(&request, &message, identify, snapshot, self.time, &mut trace);
                        (decided, Some(request))
                    }
                }
            }
        };
        Ok(Simulated { decided, trace, request, time: self.time, origin: self.origin })
    }

    /// The caller of a method: assumed, unless there is a token. For a token that is bound to a key, it is assumed that
    /// its sender has the key.
    fn caller(&self, method: &Method, snapshot: &Snapshot) -> Result<Option<Arc<Caller>>, Denial> {
        let scopes = || self.scopes.as_ref().unwrap_or(&method.scopes).iter().cloned().collect::<Scopes>();
        match &self.who {
            ScenarioCaller::Anonymous => Ok(None),
            ScenarioCaller::Principal { principal, sets } => {
                let mut caller = Caller::assumed(principal.clone(), scopes(), self.time);
                caller.sets.extend(sets.iter().cloned());
                Ok(Some(Arc::new(caller)))
            }
            ScenarioCaller::Claims(claims) => {
                let caller = snapshot.authn.assume(claims.clone(), self.time)?;
                let says_scopes = claims.contains_key("scope")
                    || claims.contains_key("scp")
                    || caller.scopes.audience().is_some();
                let keep = self.scopes.is_none() && says_scopes;
                let scopes = if keep { caller.scopes.clone() } else { scopes() };
                Ok(Some(Arc::new(Caller { scopes, ..caller })))
            }
            ScenarioCaller::Token(token) => match &token.answered {
                Some(answer) => answer.clone().map(Some),
                None => {
                    let authorization = token.authorization();
                    match snapshot.authn.authenticate(&[authorization.as_bytes()], self.time)? {
                        Authentication::Anonymous => Ok(None),
                        Authentication::Token(token) => Ok(Some(token.assume_confirmed())),
                        Authentication::Pending(pending) => Err(pending.into_denial()),
                    }
                }
            },
        }
    }

    /// The head of a call over gRPC.
    fn rpc_request(&self, method: &Method, host: Option<&str>) -> Result<Request, Denial> {
        let named = method.service.hosts.iter().find(|host| *host != "*").unwrap_or(&method.service.name);
        let (interface, name) = method.name.rsplit_once('.').unwrap_or_default();
        let mut headers = Headers::default();
        let grpc = ::http::HeaderValue::from_static("application/grpc");
        headers.push(::http::header::CONTENT_TYPE, grpc);
        Request::from_http2(
            ::http::Method::POST,
            Some(host.unwrap_or(named)),
            &format!("/{interface}/{name}"),
            headers,
            self.peer(),
            &TrustedProxies::default(),
        )
    }

    fn peer(&self) -> ConnectionPeer {
        self.origin.map_or(ConnectionPeer::Unknown, |ip| SocketAddr::new(ip, 0).into())
    }

    /// The request that a client would send, or the refusal to read it.
    fn request(
        &self,
        http_method: &::http::Method,
        target: &str,
        host: Option<&str>,
        catalog: &Catalog,
    ) -> Result<Result<Request, Denial>, ScenarioError> {
        let on = |host: &str| {
            let peer = self.peer();
            Request::from_http2(
                http_method.clone(),
                Some(host),
                target,
                Headers::default(),
                peer,
                &TrustedProxies::default(),
            )
        };
        match host {
            Some(host) => Ok(on(host)),
            None => meant_host(on, catalog),
        }
    }
}

/// A request to the host whose paths it fits: without a host, the path has to say which service is meant.
fn meant_host(
    on: impl Fn(&str) -> Result<Request, Denial>,
    catalog: &Catalog,
) -> Result<Result<Request, Denial>, ScenarioError> {
    let mut found = Vec::new();
    let mut wrong_verb = Vec::new();
    let mut others = Vec::new();
    for host in catalog.one_host_per_service() {
        let request = match on(host) {
            Ok(request) => request,
            Err(denial) => return Ok(Err(denial)),
        };
        let routed = catalog.route(request.host.as_str(), &request.method, &request.path);
        let list = match routed.map_err(|denial| denial.reason()) {
            Ok(_) => &mut found,
            Err(Reason::HttpMethodNotAllowed) => &mut wrong_verb,
            Err(_) => &mut others,
        };
        list.push((host, request));
    }
    // Where no host has the path, all answer the same.
    others.truncate(1);
    let meant = [found, wrong_verb, others].into_iter().find(|list| !list.is_empty()).unwrap_or_default();
    if meant.len() > 1 {
        let hosts = meant.into_iter().map(|(host, _)| host.to_owned()).collect();
        return Err(ScenarioError::SeveralHosts { hosts });
    }
    Ok(match meant.into_iter().next() {
        Some((_, request)) => Ok(request),
        None => Err(Denial::new(Reason::MethodNotFound, "no service is exposed")),
    })
}

fn named_call(
    method: &str,
    resource: &str,
    host: Option<&str>,
    catalog: &Catalog,
) -> Result<Call, ScenarioError> {
    let (service, resource) = full_name::split(resource);
    if resource.starts_with('/') || resource.ends_with('/') || resource.split('/').any(str::is_empty) {
        return Err(ScenarioError::NotAResource { resource: resource.to_owned() });
    }
    let of_service = match service {
        None | Some(RESOURCE_MANAGER) => None,
        Some(service) => Some(host_of(service, catalog)?),
    };
    Ok(catalog.call(method, host.or(of_service), resource)?)
}

/// The service that projects, folders and organizations belong to.
const RESOURCE_MANAGER: &str = "cloudresourcemanager.googleapis.com";

/// A host of the service that a full name of a resource begins with.
fn host_of<'c>(service: &str, catalog: &'c Catalog) -> Result<&'c str, ScenarioError> {
    let of_service = catalog.methods().iter().find(|method| method.service.name == service);
    let host = of_service.and_then(|method| method.service.hosts.first());
    host.map(String::as_str).ok_or_else(|| {
        let names: BTreeSet<&str> =
            catalog.methods().iter().map(|method| method.service.name.as_str()).collect();
        ScenarioError::NoSuchService {
            service: service.to_owned(),
            known: names.into_iter().map(str::to_owned).collect(),
        }
    })
}

impl ScenarioError {
    /// The next step. `say_host` is how the user of this front end names a host: ``write `host: {}` `` with the host in
    /// it.
    pub fn help(&self, say_host: impl Fn(&str) -> String) -> String {
        match self {
            Self::SeveralHosts { hosts } => {
                let host = hosts.first().map_or("…", String::as_str);
                format!("say which one is meant: {}", say_host(host))
            }
            Self::NotCallable(reason) => reason.help(say_host),
            Self::NotAResource { .. } => {
                "write it as the path does, without the service: `projects/demo/locations/…`".to_owned()
            }
            Self::NoSuchService { service, known } => {
                match nearest(service, known.iter().map(String::as_str)) {
                    Some(near) => format!("did you mean `//{near}/…`?"),
                    None => format!("services are {}", some_of(known.iter().map(String::as_str))),
                }
            }
            Self::NotACall(NotACall::NotCallable(reason)) => reason.help(say_host),
            Self::NotACall(NotACall::NotOverGrpc { .. }) => {
                "give its proto to the descriptor set of the service, or ask for it by `method` and `resource`".to_owned()
            }
            Self::NotACall(NotACall::NotAMessage(_)) => {
                "write the request message in the JSON of protobuf: `{\"name\": \"projects/…\"}`".to_owned()
            }
            Self::NoIssuer => {
                "name one with `--config`, or name the caller by `principal` instead".to_owned()
            }
        }
    }
}

impl Simulated {
    /// The attributes that conditions could read of the request.
    pub fn attributes(&self, call: &Call) -> Attributes<'_> {
        match &self.request {
            Some(request) => stages::attributes(request, call, self.time),
            None => Attributes { origin: self.origin, ..Attributes::at(self.time) },
        }
    }
}

impl ScenarioToken {
    /// A token; blanks around it belong to the file.
    pub fn new(text: &str) -> Self {
        Self { text: text.trim().to_owned(), answered: None }
    }

    fn authorization(&self) -> String {
        format!("Bearer {}", self.text)
    }
}

impl fmt::Debug for ScenarioToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Token(…)")
    }
}
