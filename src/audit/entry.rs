//! The audit line: a Cloud Logging `LogEntry` with a `google.cloud.audit.AuditLog` payload
//! (google/logging/v2/log_entry.proto, google/cloud/audit/audit_log.proto), so that tools that read Google's audit logs
//! read ours. `AuditLog.metadata` holds what Google's messages have no field for.
//!
//! Written straight from the request: no tree of JSON values is built per request.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::time::SystemTime;

use serde::{Serialize, Serializer};

use crate::diagnostic::Place;

/// Text that a client has chosen, written up to a bound: a header field that HTTP/2 compresses to one byte would
/// otherwise be written out again and again.
#[derive(Clone, Copy, Debug)]
pub struct Bounded<'e> {
    text: &'e str,
    most: usize,
}

impl<'e> Bounded<'e> {
    /// Bytes of a path, a resource name or a reason in full.
    const LONG: usize = 1024;
    /// Bytes of a `User-Agent`.
    const SHORT: usize = 256;

    /// A path, a resource name, a reason.
    pub fn long(text: &'e str) -> Self {
        Self { text, most: Self::LONG }
    }

    /// A `User-Agent`.
    pub fn short(text: &'e str) -> Self {
        Self { text, most: Self::SHORT }
    }
}

impl Serialize for Bounded<'_> {
    /// The text, or its beginning and how much was left away.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.text.len() <= self.most {
            return serializer.serialize_str(self.text);
        }
        let end = self.text.floor_char_boundary(self.most);
        let (told, rest) = self.text.split_at_checked(end).unwrap_or_default();
        serializer.collect_str(&format_args!("{told}…[{} bytes more]", rest.len()))
    }
}

/// google.logging.v2.LogEntry.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "Google documents its fields")]
pub struct LogEntry<'e> {
    pub timestamp: String,
    pub severity: &'static str,
    pub insert_id: Cow<'e, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation: Option<Operation<'e>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_request: Option<HttpRequest<'e>>,
    pub proto_payload: AuditLog<'e>,
}

/// google.logging.v2.LogEntryOperation: all entries of a long-running operation have its id.
#[derive(Clone, Copy, Debug, Serialize)]
#[expect(missing_docs, reason = "Google documents its fields")]
pub struct Operation<'e> {
    pub id: Bounded<'e>,
    pub producer: &'e str,
    /// Whether it is over.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub last: bool,
}

/// google.logging.type.HttpRequest.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "Google documents its fields")]
pub struct HttpRequest<'e> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_method: Option<&'e str>,
    pub status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote_ip: Option<IpAddr>,
    pub latency: String,
}

/// google.cloud.audit.AuditLog.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "Google documents its fields")]
pub struct AuditLog<'e> {
    #[serde(rename = "@type")]
    pub type_url: &'static str,
    pub status: Status<'e>,
    pub authentication_info: AuthenticationInfo<'e>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_name: Option<&'e str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method_name: Option<&'e str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_name: Option<Bounded<'e>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authorization_info: Option<[AuthorizationInfo<'e>; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_metadata: Option<RequestMetadata<'e>>,
    pub metadata: Metadata<'e>,
}

/// What Google's messages have no field for.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Metadata<'e> {
    /// Of a request: how it was decided.
    Decision(Box<Decision<'e>>),
    /// Of a cancel that was let through earlier: what became of it.
    Cancel {
        /// What became of it.
        cancel: CancelOutcome<'e>,
    },
}

/// What became of a cancel.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CancelOutcome<'e> {
    /// `cancelled`, `succeeded`, `failed`, `deleted`, `unobserved` or `evicted`.
    pub outcome: &'e str,
    /// When the cancel came.
    pub request_time: String,
    /// When the end was seen.
    pub observe_time: String,
    /// What showed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seen_by: Option<&'e str>,
    /// The id of the cancel.
    pub request_id: &'e str,
}

/// google.rpc.Status: empty for OK.
#[derive(Debug, Default, Serialize)]
#[expect(missing_docs, reason = "Google documents its fields")]
pub struct Status<'e> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<Bounded<'e>>,
}

/// google.cloud.audit.AuthenticationInfo: empty where no caller was authenticated.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "Google documents its fields")]
pub struct AuthenticationInfo<'e> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub principal_subject: Option<&'e str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub principal_email: Option<&'e str>,
}

/// google.cloud.audit.AuthorizationInfo.
#[derive(Debug, Serialize)]
#[expect(missing_docs, reason = "Google documents its fields")]
pub struct AuthorizationInfo<'e> {
    pub resource: Bounded<'e>,
    pub permission: &'e str,
    pub granted: bool,
}

/// google.cloud.audit.RequestMetadata.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "Google documents its fields")]
pub struct RequestMetadata<'e> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caller_ip: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caller_supplied_user_agent: Option<Bounded<'e>>,
    pub request_attributes: RequestAttributes<'e>,
}

/// google.rpc.context.AttributeContext.Request.
#[derive(Debug, Serialize)]
#[expect(missing_docs, reason = "Google documents its fields")]
pub struct RequestAttributes<'e> {
    pub id: &'e str,
    pub time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<&'e str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<&'e str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<Bounded<'e>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<&'static str>,
}

/// Ours: the decision, and the policy and the rule that made it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Decision<'e> {
    /// `ALLOWED` or `DENIED`; `ANSWERED` where the gate sent its public keys, and nothing was decided.
    pub decision: &'static str,
    /// The reason, as metrics and the client's ErrorInfo have it; `ALLOWED` where there was none to refuse.
    pub reason: &'static str,
    /// Names the policy tree.
    pub policy_revision: &'e str,
    /// The rule that granted, or the one that refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<DecidingRule<'e>>,
    /// What the shadow policy says, where it says otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shadow: Option<ShadowRuling<'e>>,
    /// The method that was sent, where a header named the one that was judged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overridden_method: Option<&'e str>,
    /// The reason in full. The client does not see it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<Bounded<'e>>,
    /// The certificate that the client showed over TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<ClientCertificate<'e>>,
    /// The key that the token is bound to and that the client has shown: as the token's `cnf`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confirmation: Option<Confirmation<'e>>,
    /// The backend that was used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream: Option<UpstreamCall<'e>>,
}

/// What a policy that is not in force says of a request.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ShadowRuling<'e> {
    /// `ALLOWED` or `DENIED`.
    pub decision: &'static str,
    /// The reason, as that of a decision; `ALLOWED` where there is none to refuse.
    pub reason: &'static str,
    /// Names the tree of the shadow.
    pub policy_revision: &'e str,
    /// The rule of the shadow that grants, or the one that refuses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<DecidingRule<'e>>,
    /// The reason in full.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<Bounded<'e>>,
}

/// The rule that decided.
#[derive(Debug, Serialize)]
pub struct DecidingRule<'e> {
    /// The role that was granted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<&'e str>,
    /// The member of the binding that the caller matched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub member: Option<&'e str>,
    /// The resource that the binding's policy is attached to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<&'e str>,
    /// File and line: `policies/allow/projects/demo.yaml:6`.
    #[serde(serialize_with = "as_text")]
    pub place: &'e Place,
}

impl<'e> DecidingRule<'e> {
    /// A rule of which only the place is known.
    pub fn at(place: &'e Place) -> Self {
        Self { role: None, member: None, resource: None, place }
    }
}

/// A client's certificate, verified; `authenticationInfo` says whether its holder is also the caller.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientCertificate<'e> {
    /// SHA-256 over it, in base64url.
    pub thumbprint: &'e str,
    /// The URI that it names its holder by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uri: Option<&'e str>,
    /// The holder in IAM's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub principal: Option<&'e str>,
    /// Why it makes no caller by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_caller: Option<String>,
}

/// The key of a token (RFC 7800, section 3.1).
#[derive(Debug, Serialize)]
pub struct Confirmation<'e> {
    /// SHA-256 over the client's certificate (RFC 8705, section 3.1).
    #[serde(rename = "x5t#S256", skip_serializing_if = "Option::is_none")]
    pub certificate: Option<&'e str>,
    /// SHA-256 over the key of the client's proof (RFC 9449, section 6.1).
    #[serde(rename = "jkt", skip_serializing_if = "Option::is_none")]
    pub key: Option<&'e str>,
}

/// The call of a backend.
#[derive(Debug, Serialize)]
pub struct UpstreamCall<'e> {
    /// The upstream's name.
    pub name: &'e str,
    /// Its endpoint.
    pub endpoint: SocketAddr,
    /// From choosing it to the end of its answer.
    pub latency: String,
}

fn as_text<S: Serializer>(place: &&Place, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(place)
}

/// RFC 3339 in UTC with microseconds.
pub(crate) fn timestamp(time: SystemTime) -> String {
    jiff::Timestamp::try_from(time).map_or_else(|_| String::new(), |timestamp| format!("{timestamp:.6}"))
}
