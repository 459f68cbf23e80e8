//! One record per request, from which the audit line and the metrics are both made: they cannot disagree.
//!
//! The audit line is a Cloud Logging `LogEntry` with a `google.cloud.audit.AuditLog` payload
//! (google/cloud/audit/audit_log.proto), so that tools that read Google's audit logs read ours. It never holds a
//! token.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::authn::Caller;
use crate::catalog::{Call, PermissionRule};
use crate::gate::Trail;
use crate::http::{Request, Version};
use crate::metrics::{ALLOWED, MethodInstruments, Metrics};
use crate::policy::{Grant, Permit};
use crate::reason::Denial;

/// Everything that is told of a request once it is over.
#[derive(Debug)]
pub struct Event<'e> {
    /// When its head was complete.
    pub time: SystemTime,
    /// From then to the end of the answer.
    pub duration: Duration,
    /// Names the request and its decision.
    pub request_id: &'e str,
    /// The policy that decided.
    pub revision: &'e str,
    /// The request, or `None` where its head could not be read.
    pub request: Option<&'e Request>,
    /// The other end of the connection.
    pub peer: Option<SocketAddr>,
    /// How far the decision got.
    pub trail: &'e Trail,
    /// The proof, where the request was allowed.
    pub permit: Option<&'e Permit>,
    /// The refusal, or the upstream's failure after a permit.
    pub denial: Option<&'e Denial>,
    /// The status that was sent; 0 where the client was gone.
    pub status: u16,
    /// The endpoint that was asked, and for how long.
    pub upstream: Option<(&'e str, SocketAddr, Duration)>,
}

impl Event<'_> {
    /// The `reason` label: why it was refused, or that it was not.
    fn reason(&self) -> &'static str {
        self.denial.map_or(ALLOWED, |denial| denial.reason().entry().name)
    }

    /// Counts it.
    pub fn observe(&self, metrics: &Metrics, instruments: &[MethodInstruments]) {
        let method = self.trail.call.as_ref().map(|call| &*call.method);
        let own = method.and_then(|method| instruments.get(method.index));
        match own {
            Some(own) if self.denial.is_none() && self.status == 200 => own.allowed.inc(),
            _ => metrics.count(method, self.status, self.reason()),
        }
        if let Some(own) = own {
            own.duration.observe(self.duration.as_secs_f64());
        }
        if let Some((upstream, _, duration)) = self.upstream {
            metrics.upstream_duration.with_label_values(&[upstream]).observe(duration.as_secs_f64());
        }
    }

    /// The audit line.
    pub fn audit_line(&self) -> String {
        let call = self.trail.call.as_deref();
        let mut payload = json!({
            "@type": "type.googleapis.com/google.cloud.audit.AuditLog",
            "status": self.status_proto(),
            "authenticationInfo": self.trail.caller.as_deref().map_or_else(|| json!({}), authentication_info),
            "requestMetadata": {
                "callerIp": self.peer.map(|peer| peer.ip().to_string()),
                "callerSuppliedUserAgent": self.header("user-agent"),
                "requestAttributes": {
                    "id": self.request_id,
                    "time": timestamp(self.time),
                    "method": self.request.map(|request| request.method.as_str()),
                    "host": self.request.map(|request| request.host.as_str()),
                    "path": self.request.map(|request| request.path.as_str()),
                    "protocol": self.request.map(|request| protocol(request.version)),
                },
            },
            "metadata": self.decision(),
        });
        if let (Some(call), Some(payload)) = (call, payload.as_object_mut()) {
            payload.insert("serviceName".to_owned(), json!(call.method.service.name));
            payload.insert("methodName".to_owned(), json!(call.method.name));
            payload.insert("resourceName".to_owned(), json!(call.resource()));
            payload.insert("authorizationInfo".to_owned(), self.authorization_info(call));
        }
        let entry = json!({
            "timestamp": timestamp(self.time),
            "severity": if self.denial.is_some() { "WARNING" } else { "INFO" },
            "insertId": self.request_id,
            "httpRequest": {
                "requestMethod": self.request.map(|request| request.method.as_str()),
                "status": self.status,
                "remoteIp": self.peer.map(|peer| peer.ip().to_string()),
                "latency": format!("{:.6}s", self.duration.as_secs_f64()),
            },
            "protoPayload": payload,
        });
        entry.to_string()
    }

    /// What was decided and by which rule: `AuditLog.metadata`.
    fn decision(&self) -> Value {
        let mut decision = json!({
            "decision": if self.permit.is_some() { "ALLOWED" } else { "DENIED" },
            "reason": self.reason(),
            "policyRevision": self.revision,
        });
        let rule = match self.permit.map(Permit::grant) {
            Some(Grant::Binding(binding)) => Some(json!({
                "role": binding.role,
                "member": binding.member,
                "resource": binding.resource,
                "place": binding.place.to_string(),
            })),
            Some(Grant::NoPermissionAsked) => Some(json!({ "place": call_place(self.trail) })),
            None => {
                self.denial.and_then(Denial::deciding_rule).map(|place| json!({ "place": place.to_string() }))
            }
        };
        let members = [
            ("rule", rule),
            ("detail", self.denial.map(|denial| json!(denial.detail()))),
            (
                "upstream",
                self.upstream.map(|(name, endpoint, duration)| {
                    json!({
                        "name": name,
                        "endpoint": endpoint.to_string(),
                        "latency": format!("{:.6}s", duration.as_secs_f64()),
                    })
                }),
            ),
        ];
        if let Some(decision) = decision.as_object_mut() {
            for (name, value) in members {
                if let Some(value) = value {
                    decision.insert(name.to_owned(), value);
                }
            }
        }
        decision
    }

    /// google.rpc.Status: empty for OK, as audit logs write it.
    fn status_proto(&self) -> Value {
        match self.denial {
            None => json!({}),
            Some(denial) => json!({
                "code": denial.reason().entry().code_number(),
                "message": denial.public_message(),
            }),
        }
    }

    /// The permission that was asked for; `granted` is true only with a permit.
    fn authorization_info(&self, call: &Call) -> Value {
        match &call.method.permission {
            PermissionRule::None => json!([]),
            PermissionRule::Required(permission) => json!([{
                "resource": call.resource(),
                "permission": permission,
                "granted": self.permit.is_some(),
            }]),
        }
    }

    fn header(&self, name: &'static str) -> Option<&str> {
        self.request?.headers.all(name).next()?.to_str().ok()
    }
}

fn authentication_info(caller: &Caller) -> Value {
    let mut info = json!({ "principalSubject": caller.principal.as_str() });
    if let (Some(email), Some(info)) = (caller.principal.email(), info.as_object_mut()) {
        info.insert("principalEmail".to_owned(), json!(email));
    }
    info
}

fn call_place(trail: &Trail) -> Option<String> {
    trail.call.as_ref().map(|call| call.method.place.to_string())
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::Http10 => "HTTP/1.0",
        Version::Http11 => "HTTP/1.1",
        Version::Http2 => "HTTP/2",
    }
}

/// RFC 3339 in UTC with microseconds.
fn timestamp(time: SystemTime) -> String {
    jiff::Timestamp::try_from(time).map_or_else(|_| String::new(), |timestamp| format!("{timestamp:.6}"))
}
