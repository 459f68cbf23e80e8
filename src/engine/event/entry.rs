//! The audit line of a request that is over.

use std::net::IpAddr;
use std::time::Duration;

use super::Event;
use crate::audit::{
    AuditLog, AuthenticationInfo, AuthorizationInfo, Bounded, ClientCertificate, Confirmation, DecidingRule,
    Decision, HttpRequest, LogEntry, Metadata, RequestAttributes, RequestMetadata, ShadowRuling, Status,
    UpstreamCall, timestamp,
};
use crate::catalog::PermissionRule;
use crate::engine::ALLOWED;
use crate::http::Version;
use crate::policy::{Grant, Granted, Permit};
use crate::principal::Principal;
use crate::reason::Denial;

impl Event<'_> {
    /// The audit line.
    pub fn log_entry(&self) -> LogEntry<'_> {
        let call = self.trace.call.as_deref();
        let method = self.request.map(|request| request.method.as_str());
        let time = timestamp(self.time);
        let ip: Option<IpAddr> = match self.request {
            Some(request) => request.origin.address,
            None => self.peer.map(|peer| peer.ip().to_canonical()),
        };
        LogEntry {
            timestamp: time.clone(),
            severity: if self.denial.is_some() { "WARNING" } else { "INFO" },
            insert_id: self.request_id.into(),
            operation: None,
            http_request: Some(HttpRequest {
                request_method: method,
                status: self.status,
                remote_ip: ip,
                latency: seconds(self.duration),
            }),
            proto_payload: AuditLog {
                type_url: "type.googleapis.com/google.cloud.audit.AuditLog",
                status: self.denial.map_or_else(Status::default, |denial| Status {
                    code: Some(denial.reason().entry().code_number()),
                    message: Some(Bounded::long(denial.public_message())),
                }),
                authentication_info: self.trace.caller.as_deref().map_or_else(
                    AuthenticationInfo::default,
                    |caller| AuthenticationInfo {
                        principal_subject: Some(caller.principal.as_str()),
                        principal_email: caller.principal.email(),
                    },
                ),
                service_name: call.map(|call| call.method.service.name.as_str()),
                method_name: call.map(|call| call.method.name.as_str()),
                resource_name: call.map(|call| Bounded::long(call.resource())),
                authorization_info: self.authorization_info(),
                request_metadata: Some(RequestMetadata {
                    caller_ip: ip,
                    caller_supplied_user_agent: self.user_agent().map(Bounded::short),
                    request_attributes: RequestAttributes {
                        id: self.request_id,
                        time,
                        method,
                        host: self.request.map(|request| request.host.as_str()),
                        path: self.request.map(|request| Bounded::long(request.path.as_str())),
                        protocol: self.request.map(|request| protocol(request.version)),
                    },
                }),
                metadata: Metadata::Decision(Box::new(Decision {
                    decision: self.decision(),
                    reason: self.reason(),
                    policy_revision: self.revision,
                    rule: self.rule(),
                    shadow: self.shadow_ruling(),
                    overridden_method: self.overridden_method(),
                    detail: self.denial.map(|denial| Bounded::long(denial.detail())),
                    client_certificate: self.client_certificate(),
                    confirmation: self.confirmation(),
                    upstream: self.upstream.map(|(name, endpoint, duration)| UpstreamCall {
                        name,
                        endpoint,
                        latency: seconds(duration),
                    }),
                })),
            },
        }
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
            detail: shadow.detail.as_deref().map(Bounded::long),
        })
    }

    /// The permission that was checked; `granted` also where the body was refused after it.
    fn authorization_info(&self) -> Option<[AuthorizationInfo<'_>; 1]> {
        let call = self.trace.call.as_deref()?;
        match &call.method.permission {
            PermissionRule::None => None,
            PermissionRule::Required(permission) => Some([AuthorizationInfo {
                resource: Bounded::long(call.resource()),
                permission,
                granted: self.trace.granted,
            }]),
        }
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
    DecidingRule {
        role: Some(&granted.role),
        member: Some(&granted.member),
        resource: Some(&granted.resource),
        place: &granted.place,
    }
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::Http10 => "HTTP/1.0",
        Version::Http11 => "HTTP/1.1",
        Version::Http2 => "HTTP/2",
    }
}

/// google.protobuf.Duration in JSON.
fn seconds(duration: Duration) -> String {
    format!("{:.6}s", duration.as_secs_f64())
}
