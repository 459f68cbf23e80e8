//! The audit line of a request that is over.

use std::net::IpAddr;

use super::Event;
use crate::audit::{
    AuditLog, AuthenticationInfo, AuthorizationInfo, CallerIp, ClientCertificate, Confirmation, DecidingRule,
    Decision, HttpRequest, Kind, Log, LogEntry, Metadata, Operation, Protocol, RequestMetadata, RulePlace,
    Severity, ShadowRuling, Status, ThirdParty, TraceIds, UpstreamCall,
};
use crate::catalog::{OperationMethod, PermissionRule, PermissionType};
use crate::engine::ALLOWED;
use crate::http::{Request, Scheme, Version};
use crate::policy::{Grant, Granted, Permit, Policy, ResourceName, Subject};
use crate::principal::{Caller, Principal};
use crate::reason::{Denial, Stage};

impl Event<'_> {
    /// What the request is to the log. `is_exempt` is asked of a call that need not leave a line.
    pub fn kind(&self, is_exempt: impl FnOnce() -> bool) -> Kind<'_> {
        if self.denial.is_some() {
            return Kind::Refused;
        }
        let access = self.permission_type();
        match &self.trace.call {
            Some(call)
                if self.permit.is_some() && self.status < 400 && access != PermissionType::AdminWrite =>
            {
                // A line that says what a shadow would change is what the shadow is for.
                if self.shadow.as_ref().is_some_and(|shadow| shadow.differs()) {
                    Kind::Written
                } else if is_exempt() {
                    Kind::Unlogged
                } else if access == PermissionType::DataWrite {
                    Kind::Written
                } else {
                    Kind::AllowedRead { method: &call.method.name, request_id: self.request_id }
                }
            }
            _ => Kind::Written,
        }
    }

    /// Whether `auditConfigs` of the policy ask for no line of this call.
    pub fn is_exempt(&self, policy: &Policy) -> bool {
        let Some(call) = self.trace.call.as_deref() else { return false };
        let caller = self.trace.caller.as_deref();
        let subject = caller.map_or_else(Subject::anonymous, Subject::of_caller);
        let resource = ResourceName::new(call.resource());
        let asked =
            policy.asks_for_line(&call.method.service.name, resource, subject, self.permission_type());
        asked == Some(false)
    }

    /// What kind of access it is: as the service's files say, else by the HTTP method.
    pub fn permission_type(&self) -> PermissionType {
        let said = self.trace.call.as_ref().and_then(|call| call.method.permission_type);
        said.unwrap_or_else(|| {
            let is_read = self.request.is_none_or(|request| {
                if request.is_grpc() {
                    let rpc = self.trace.call.as_ref().and_then(|call| call.method.rpc.as_ref());
                    return rpc.is_some_and(|rpc| rpc.is_read);
                }
                matches!(request.method, ::http::Method::GET | ::http::Method::HEAD | ::http::Method::OPTIONS)
            });
            if is_read { PermissionType::AdminRead } else { PermissionType::AdminWrite }
        })
    }

    /// The audit line.
    pub fn log_entry(&self) -> LogEntry<'_> {
        let is_write = self.permission_type() == PermissionType::AdminWrite;
        let protocol = self.request.map(protocol);
        let failed = self.denial.is_some() || self.status >= 400;
        LogEntry {
            time: self.time,
            severity: match (failed, is_write) {
                (true, _) => Severity::Error,
                (false, true) => Severity::Notice,
                (false, false) => Severity::Info,
            },
            log: if is_write { Log::Activity } else { Log::DataAccess },
            request_id: self.request_id,
            suffix: "",
            trace: self.trace_context.map(|context| TraceIds {
                trace_id: u128::from_be_bytes(context.trace_id.bytes()),
                span_id: u64::from_be_bytes(context.span_id.bytes()),
                is_sampled: context.is_sampled,
            }),
            operation: self.operation(),
            http_request: Some(HttpRequest {
                method: self.request.map(|request| request.method.as_str()),
                status: self.status,
                response_size: self.response_size,
                latency: self.duration,
                protocol,
            }),
            payload: self.payload(protocol),
        }
    }

    fn payload(&self, protocol: Option<Protocol>) -> AuditLog<'_> {
        let call = self.trace.call.as_deref();
        let ip: Option<IpAddr> = match self.request {
            Some(request) => request.origin.address,
            None => self.peer.map(|peer| peer.ip().to_canonical()),
        };
        AuditLog {
            status: self.denial.map_or_else(|| Status::of_http(self.status), status_of),
            authentication: self.trace.caller.as_deref().map(authentication).unwrap_or_default(),
            service_name: call.map_or(self.service_of_host, |call| Some(call.method.service.name.as_str())),
            method_name: call.map(|call| call.method.name.as_str()),
            resource_name: call.map(|call| call.resource()),
            authorization: self.authorization(),
            request: Some(RequestMetadata {
                caller_ip: ip.map(CallerIp::Address),
                user_agent: self.user_agent(),
                host: self.request.map(|request| request.host.as_str()),
                path: self.request.map(|request| request.path.as_str()),
                scheme: self.request.map(scheme),
                protocol,
            }),
            metadata: Metadata::Decision(Box::new(self.metadata())),
        }
    }

    fn metadata(&self) -> Decision<'_> {
        Decision {
            decision: self.decision(),
            reason: self.reason(),
            policy_revision: self.revision,
            rule: self.rule(),
            shadow: self.shadow_ruling(),
            overridden_method: self.overridden_method(),
            detail: self.denial.map(Denial::detail),
            client_certificate: self.client_certificate(),
            confirmation: self.confirmation(),
            upstream: self.upstream.map(|(name, endpoint, latency)| UpstreamCall { name, endpoint, latency }),
            frontend: self.frontend,
            client_request_id: self.request.and_then(|request| request.client_request_id.as_deref()),
            client_traceparent: self
                .request
                .and_then(|request| request.trace)
                .map(|sent| sent.parent.to_string().into()),
        }
    }

    /// The operation that the request is about, where it is one of the calls that name one.
    fn operation(&self) -> Option<Operation> {
        let method = self.trace.call.as_ref()?.method.operation?;
        (method != OperationMethod::List).then_some(Operation::Named)
    }

    /// The rule that decided: the binding that granted, the rule of a method without a permission, or the rule that
    /// refused.
    pub(super) fn rule(&self) -> Option<DecidingRule<'_>> {
        match self.permit.map(Permit::grant) {
            Some(Grant::Binding(granted)) => Some(granting(granted)),
            Some(Grant::NoPermissionAsked) => {
                self.trace.call.as_ref().map(|call| DecidingRule::at(&call.method.place))
            }
            None => self.denial.and_then(Denial::deciding_rule).map(DecidingRule::at),
        }
    }

    /// What the shadow policy says, where it says otherwise: where both say the same, there is nothing to add.
    fn shadow_ruling(&self) -> Option<ShadowRuling<'_>> {
        let shadow = self.shadow.as_ref().filter(|shadow| shadow.differs())?;
        let verdict = &shadow.verdict;
        let rule = verdict.granted().map(granting).or_else(|| verdict.refused_by().map(DecidingRule::at));
        Some(ShadowRuling {
            decision: if verdict.is_allowed() { "ALLOWED" } else { "DENIED" },
            reason: verdict.reason().map_or(ALLOWED, |reason| reason.entry().name),
            policy_revision: shadow.revision,
            rule,
            detail: shadow.detail.as_deref(),
        })
    }

    /// The permission, where policy was asked; `granted` also where a later stage refused.
    fn authorization(&self) -> Option<AuthorizationInfo<'_>> {
        let call = self.trace.call.as_deref()?;
        let PermissionRule::Required(permission) = &call.method.permission else { return None };
        let is_refused_by_policy = self.trace.stage == Stage::Policy && self.denial.is_some();
        if !self.trace.granted && !is_refused_by_policy {
            return None;
        }
        Some(AuthorizationInfo {
            permission,
            granted: self.trace.granted,
            permission_type: self.permission_type().as_str(),
            resource_type: call.method.resource_type.as_deref(),
        })
    }

    fn client_certificate(&self) -> Option<ClientCertificate<'_>> {
        let channel = self.request?.channel.as_ref()?;
        let client = channel.shown.as_ref()?;
        Some(ClientCertificate {
            thumbprint: &client.thumbprint,
            uri: client.uri.as_deref(),
            principal: client.principal.as_ref().map(Principal::as_str),
            no_caller: match (channel.refused, &client.caller) {
                (Some(why), _) => Some(why.to_owned()),
                (None, caller) => caller.as_ref().err().map(ToString::to_string),
            },
        })
    }

    fn confirmation(&self) -> Option<Confirmation<'_>> {
        let confirmation = self.trace.caller.as_ref()?.confirmation.as_ref()?;
        Some(Confirmation {
            certificate: confirmation.certificate.as_deref(),
            key: confirmation.key.as_ref().map(|key| &*key.thumbprint),
        })
    }

    fn overridden_method(&self) -> Option<&str> {
        self.request?.overridden.as_ref().map(::http::Method::as_str)
    }

    fn user_agent(&self) -> Option<&str> {
        self.request?.headers.all("user-agent").next()?.to_str().ok()
    }
}

/// The binding that grants.
fn granting(granted: &Granted) -> DecidingRule<'_> {
    DecidingRule { role: Some(&granted.role), place: RulePlace::Place(&granted.place) }
}

/// The code of a refusal, and what the client was told of this one request. The fixed text of a reason adds nothing to the
/// code's name.
fn status_of(denial: &Denial) -> Status<'_> {
    let status = Status::of_code(denial.reason().entry().code_number());
    Status { message: denial.own_message().unwrap_or(status.message), ..status }
}

fn authentication(caller: &Caller) -> AuthenticationInfo<'_> {
    let email = caller.principal.email();
    AuthenticationInfo {
        principal_subject: Some(caller.principal.as_str()),
        principal_email: email,
        service_account_key: email.zip(caller.own_key.as_deref()),
        third_party: caller
            .principal
            .pool()
            .map(|_| ThirdParty { issuer: &caller.issuer, subject: caller.subject.as_deref() }),
    }
}

fn protocol(request: &Request) -> Protocol {
    if request.is_grpc() {
        return Protocol::Grpc;
    }
    match (request.version, &request.channel) {
        (Version::Http10, _) => Protocol::Http10,
        (Version::Http11, _) => Protocol::Http11,
        (Version::Http2, Some(_)) => Protocol::H2,
        (Version::Http2, None) => Protocol::H2c,
    }
}

/// The scheme that the client used, as far as that is known.
fn scheme(request: &Request) -> &'static str {
    let of_connection = if request.channel.is_some() { Scheme::Https } else { Scheme::Http };
    match request.origin.scheme.unwrap_or(of_connection) {
        Scheme::Http => "http",
        Scheme::Https => "https",
    }
}
