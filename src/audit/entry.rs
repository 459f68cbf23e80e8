//! What a line of the audit log says: a Cloud Logging `LogEntry` with a `google.cloud.audit.AuditLog` payload
//! (google/logging/v2/log_entry.proto, google/cloud/audit/audit_log.proto), so that tools that read Google's audit logs
//! read ours. `AuditLog.metadata` holds what Google's messages have no field for.
//!
//! It borrows from the request. [`super::full`] and [`super::compact`] write it: no tree of JSON values is built.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime};

use crate::diagnostic::Place;

/// google.logging.type.LogSeverity, as far as it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// A read that went well.
    Info,
    /// A write that went well, and what became of a cancel.
    Notice,
    /// It was refused or failed, or lines are missing.
    Error,
}

impl Severity {
    /// Google's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "INFO",
            Self::Notice => "NOTICE",
            Self::Error => "ERROR",
        }
    }
}

/// The log that a line belongs to, as Cloud Audit Logs part them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Log {
    /// What changes something: `permissionType` ADMIN_WRITE.
    Activity,
    /// Everything else.
    DataAccess,
}

/// google.logging.v2.LogEntry.
#[derive(Clone, Debug)]
pub struct LogEntry<'e> {
    /// When the request's head was complete; of other lines, when what they tell was noticed.
    pub time: SystemTime,
    /// How much it matters.
    pub severity: Severity,
    /// Where it belongs.
    pub log: Log,
    /// The id of the request.
    pub request_id: &'e str,
    /// What makes the line's id of the request's: nothing, but for a second line of one request.
    pub suffix: &'static str,
    /// The trace that the request belongs to.
    pub trace: Option<TraceIds>,
    /// The long-running operation that was asked about: `operation.id` is the name of the resource.
    pub operation: Option<Operation>,
    /// The request and its answer in HTTP's words. `None` where the line is not about one.
    pub http_request: Option<HttpRequest<'e>>,
    /// What happened.
    pub payload: AuditLog<'e>,
}

/// The trace of a request (W3C Trace Context).
#[derive(Clone, Copy, Debug)]
pub struct TraceIds {
    /// Written as 32 hex digits.
    pub trace_id: u128,
    /// Written as 16 hex digits.
    pub span_id: u64,
    /// Whether its spans are exported.
    pub is_sampled: bool,
}

/// google.logging.v2.LogEntryOperation: all entries of a long-running operation have its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// It is asked about.
    Named,
    /// It is over.
    Last,
}

/// google.logging.type.HttpRequest.
#[derive(Clone, Debug)]
pub struct HttpRequest<'e> {
    /// The method that was judged.
    pub method: Option<&'e str>,
    /// The status that was sent; 499 where the client left.
    pub status: u16,
    /// Bytes of the answer's body.
    pub response_size: Option<u64>,
    /// From the head to the end of the answer.
    pub latency: Duration,
    /// The protocol.
    pub protocol: Option<Protocol>,
}

/// What a request came over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    Http11,
    /// HTTP/2 over TLS.
    H2,
    /// HTTP/2 without TLS.
    H2c,
    /// gRPC, over HTTP/2.
    Grpc,
}

impl Protocol {
    /// As `HttpRequest.protocol` has it.
    pub(super) fn version(self) -> &'static str {
        match self {
            Self::Http10 => "HTTP/1.0",
            Self::Http11 => "HTTP/1.1",
            Self::H2 | Self::H2c | Self::Grpc => "HTTP/2",
        }
    }

    /// As `AttributeContext.Request.protocol` has it: the name of ALPN.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Http10 => "http/1.0",
            Self::Http11 => "http/1.1",
            Self::H2 => "h2",
            Self::H2c => "h2c",
            Self::Grpc => "grpc",
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        [Self::Http10, Self::Http11, Self::H2, Self::H2c, Self::Grpc]
            .into_iter()
            .find(|known| known.as_str() == text)
    }
}

/// google.cloud.audit.AuditLog.
#[derive(Clone, Debug)]
pub struct AuditLog<'e> {
    /// The outcome; code 0 for success.
    pub status: Status<'e>,
    /// The caller; empty where none was authenticated.
    pub authentication: AuthenticationInfo<'e>,
    /// The service that was called: `cloudaicompanion.googleapis.com`.
    pub service_name: Option<&'e str>,
    /// The full name of the method.
    pub method_name: Option<&'e str>,
    /// The relative name of the resource.
    pub resource_name: Option<&'e str>,
    /// What IAM was asked, where it was.
    pub authorization: Option<AuthorizationInfo<'e>>,
    /// The request; `None` where the line is not about one.
    pub request: Option<RequestMetadata<'e>>,
    /// What Google's message has no field for.
    pub metadata: Metadata<'e>,
}

/// google.rpc.Status.
#[derive(Clone, Copy, Debug, Default)]
pub struct Status<'e> {
    /// google.rpc.Code; 0 for success.
    pub code: u8,
    /// The code's name, or what the client was told.
    pub message: &'e str,
}

/// google.cloud.audit.AuthenticationInfo.
#[derive(Clone, Debug, Default)]
pub struct AuthenticationInfo<'e> {
    /// The caller in IAM's words.
    pub principal_subject: Option<&'e str>,
    /// Their email address, where they have one.
    pub principal_email: Option<&'e str>,
    /// The key that signed, of a service account that signs its own tokens: account and key.
    pub service_account_key: Option<(&'e str, &'e str)>,
    /// A caller of an identity pool, as their issuer names them.
    pub third_party: Option<ThirdParty<'e>>,
}

/// A caller as their issuer names them.
#[derive(Clone, Debug)]
pub struct ThirdParty<'e> {
    /// The issuer's name in the configuration.
    pub issuer: &'e str,
    /// `sub` of the token.
    pub subject: Option<&'e str>,
}

/// google.cloud.audit.AuthorizationInfo. Its resource is that of the line.
#[derive(Clone, Debug)]
pub struct AuthorizationInfo<'e> {
    /// The permission that was asked for.
    pub permission: &'e str,
    /// Whether policy grants it.
    pub granted: bool,
    /// `ADMIN_READ`, `ADMIN_WRITE`, `DATA_READ` or `DATA_WRITE`.
    pub permission_type: &'e str,
    /// The type of the resource, where the service's files say it.
    pub resource_type: Option<&'e str>,
}

/// google.cloud.audit.RequestMetadata, and the AttributeContext.Request in it.
#[derive(Clone, Debug)]
pub struct RequestMetadata<'e> {
    /// The client's address.
    pub caller_ip: Option<CallerIp<'e>>,
    /// Its `User-Agent`.
    pub user_agent: Option<&'e str>,
    /// The host that was asked.
    pub host: Option<&'e str>,
    /// The path, without the query.
    pub path: Option<&'e str>,
    /// `http` or `https`, as the client used it.
    pub scheme: Option<&'e str>,
    /// The protocol.
    pub protocol: Option<Protocol>,
}

/// The address of a client.
#[derive(Clone, Copy, Debug)]
pub enum CallerIp<'e> {
    /// As it is.
    Address(IpAddr),
    /// In place of it.
    Text(&'e str),
}

/// What Google's messages have no field for.
#[derive(Clone, Debug)]
pub enum Metadata<'e> {
    /// Of a request: how it was decided.
    Decision(Box<Decision<'e>>),
    /// Of a cancel that was let through earlier: what became of it.
    Cancel(CancelOutcome<'e>),
    /// Of the log: lines that are missing before this one.
    Lost(LostLines),
}

/// The decision, and the policy and the rule that made it.
#[derive(Clone, Debug)]
pub struct Decision<'e> {
    /// `ALLOWED` or `DENIED`; `ANSWERED` where the gate answered by itself, and nothing was decided.
    pub decision: &'e str,
    /// The reason, as metrics and the client's ErrorInfo have it; `ALLOWED` where there was none to refuse.
    pub reason: &'e str,
    /// Names the policy tree.
    pub policy_revision: &'e str,
    /// The rule that granted, or the one that refused.
    pub rule: Option<DecidingRule<'e>>,
    /// What the shadow policy says, where it says otherwise.
    pub shadow: Option<ShadowRuling<'e>>,
    /// The method that was sent, where a header named the one that was judged.
    pub overridden_method: Option<&'e str>,
    /// The reason in full. The client does not see it.
    pub detail: Option<&'e str>,
    /// The certificate that the client showed over TLS.
    pub client_certificate: Option<ClientCertificate<'e>>,
    /// The key that the token is bound to and that the client has shown: as the token's `cnf`.
    pub confirmation: Option<Confirmation<'e>>,
    /// The backend that was used.
    pub upstream: Option<UpstreamCall<'e>>,
    /// What was asked, where that is not the gate's own way: `ext_authz`, `forward_auth` or `authzen`.
    pub frontend: Option<&'e str>,
    /// The client's own id of its request (`x-request-id`).
    pub client_request_id: Option<&'e str>,
    /// The client's own `traceparent`.
    pub client_traceparent: Option<Cow<'e, str>>,
}

/// The rule that decided.
#[derive(Clone, Debug)]
pub struct DecidingRule<'e> {
    /// The role that was granted.
    pub role: Option<&'e str>,
    /// File and line: `policies/allow/projects/demo.yaml:6`.
    pub place: RulePlace<'e>,
}

/// Where a rule is written.
#[derive(Clone, Debug)]
pub enum RulePlace<'e> {
    /// A place.
    Place(&'e Place),
    /// A place, as text.
    Text(&'e str),
}

impl fmt::Display for RulePlace<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Place(place) => place.fmt(formatter),
            Self::Text(text) => formatter.write_str(text),
        }
    }
}

impl<'e> DecidingRule<'e> {
    /// A rule of which only the place is known.
    pub fn at(place: &'e Place) -> Self {
        Self { role: None, place: RulePlace::Place(place) }
    }
}

/// What a policy that is not in force says of a request.
#[derive(Clone, Debug)]
pub struct ShadowRuling<'e> {
    /// `ALLOWED` or `DENIED`.
    pub decision: &'e str,
    /// The reason, as that of a decision; `ALLOWED` where there is none to refuse.
    pub reason: &'e str,
    /// Names the tree of the shadow.
    pub policy_revision: &'e str,
    /// The rule of the shadow that grants, or the one that refuses.
    pub rule: Option<DecidingRule<'e>>,
    /// The reason in full.
    pub detail: Option<&'e str>,
}

/// A client's certificate, verified; `authenticationInfo` says whether its holder is also the caller.
#[derive(Clone, Debug)]
pub struct ClientCertificate<'e> {
    /// SHA-256 over it, in base64url.
    pub thumbprint: &'e str,
    /// The URI that it names its holder by.
    pub uri: Option<&'e str>,
    /// The holder in IAM's words.
    pub principal: Option<&'e str>,
    /// Why it makes no caller by itself.
    pub no_caller: Option<String>,
}

/// The key of a token (RFC 7800, section 3.1).
#[derive(Clone, Debug)]
pub struct Confirmation<'e> {
    /// SHA-256 over the client's certificate (RFC 8705, section 3.1).
    pub certificate: Option<&'e str>,
    /// SHA-256 over the key of the client's proof (RFC 9449, section 6.1).
    pub key: Option<&'e str>,
}

/// The call of a backend.
#[derive(Clone, Debug)]
pub struct UpstreamCall<'e> {
    /// The upstream's name.
    pub name: &'e str,
    /// Its endpoint.
    pub endpoint: SocketAddr,
    /// From choosing it to the end of its answer.
    pub latency: Duration,
}

/// What became of a cancel.
#[derive(Clone, Debug)]
pub struct CancelOutcome<'e> {
    /// `cancelled`, `succeeded`, `failed`, `deleted`, `unobserved` or `evicted`.
    pub outcome: &'e str,
    /// When the cancel came.
    pub request_time: SystemTime,
    /// When the end was seen.
    pub observe_time: SystemTime,
    /// What showed it.
    pub seen_by: Option<&'e str>,
    /// The id of the cancel.
    pub request_id: &'e str,
}

/// Lines that are missing in the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LostLines {
    /// Lines that found no room in the queue.
    pub queue_full: u64,
    /// Lines that the output did not take.
    pub write: u64,
    /// Lines that could not be made.
    pub encode: u64,
}

impl LostLines {
    /// All of them.
    pub fn total(self) -> u64 {
        self.queue_full + self.write + self.encode
    }
}
