//! A line of the audit log ([`crate::audit`]), read back: what was asked, and how far the gate got with it.

use std::borrow::Cow;
use std::net::IpAddr;
use std::time::SystemTime;

use serde::Deserialize;

use crate::audit::{REDACTED, full_form};
use crate::http::Path;
use crate::principal::Principal;
use crate::reason::{Reason, Recorded};

/// A request as the log has it.
#[derive(Debug)]
pub(crate) struct LogLine {
    pub(crate) time: SystemTime,
    pub(crate) http_method: Option<http::Method>,
    pub(crate) host: Option<String>,
    pub(crate) path: Option<Path>,
    pub(crate) service: Option<String>,
    /// Whether it was a call over gRPC, whose resource is not in the path.
    pub(crate) is_grpc: bool,
    pub(crate) principal: Option<Principal>,
    pub(crate) ip: Option<IpAddr>,
    pub(crate) recorded: Recorded,
    /// The name of the method that was called.
    pub(crate) method: Option<String>,
    pub(crate) resource: Option<String>,
    /// What the policy in force said.
    pub(crate) ruling: LoggedRuling,
    /// What a shadow policy said, where it said otherwise.
    pub(crate) shadow: Option<LoggedRuling>,
}

/// What a policy said of a request, as the log has it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LoggedRuling {
    decision: String,
    pub(crate) reason: String,
    pub(crate) policy_revision: Option<String>,
    /// Where the rule that decided is written.
    #[serde(default, deserialize_with = "place")]
    pub(crate) rule: Option<String>,
    pub(crate) detail: Option<String>,
}

impl LoggedRuling {
    pub(crate) fn is_allowed(&self) -> bool {
        self.decision == "ALLOWED"
    }
}

/// The place of a rule.
fn place<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    #[derive(Deserialize)]
    struct LoggedRule {
        place: String,
    }
    Ok(Option::<LoggedRule>::deserialize(deserializer)?.map(|rule| rule.place))
}

/// Why a line is not an audit line.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LogLineError {
    #[error("{message} (column {column})")]
    Json { message: String, column: usize },
    #[error("`protoPayload` is of the type `{0}`")]
    Type(String),
    #[error("`{0}` is not a time")]
    Time(String),
    #[error("`{0}` is not an HTTP method")]
    HttpMethod(String),
    #[error("`{0}` is not an address")]
    Address(String),
    #[error("`{0}` is not a path that opgate accepts")]
    Path(String),
    #[error("`{0}` is not a caller: {1}")]
    Principal(String, crate::principal::NotAPrincipal),
    #[error("`{0}` is not a decision")]
    Decision(String),
    #[error("the line is about no request: it tells of a cancel's outcome, or of lines that are missing")]
    Note,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LoggedEntry {
    timestamp: String,
    http_request: Option<LoggedHttp>,
    proto_payload: Payload,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LoggedHttp {
    request_method: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Payload {
    #[serde(rename = "@type")]
    type_url: String,
    #[serde(default)]
    authentication_info: LoggedAuthentication,
    service_name: Option<String>,
    method_name: Option<String>,
    resource_name: Option<String>,
    authorization_info: Option<Vec<LoggedAuthorization>>,
    #[serde(default)]
    request_metadata: LoggedRequest,
    metadata: Metadata,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct LoggedAuthentication {
    principal_subject: Option<String>,
}

#[derive(Deserialize)]
struct LoggedAuthorization {
    granted: bool,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct LoggedRequest {
    caller_ip: Option<String>,
    #[serde(default)]
    request_attributes: LoggedAttributes,
}

#[derive(Default, Deserialize)]
struct LoggedAttributes {
    /// As older versions wrote it; now it is in `httpRequest`.
    method: Option<String>,
    host: Option<String>,
    path: Option<String>,
    protocol: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    decision: Option<String>,
    #[serde(default)]
    reason: String,
    policy_revision: Option<String>,
    #[serde(default, deserialize_with = "place")]
    rule: Option<String>,
    detail: Option<String>,
    shadow: Option<LoggedRuling>,
}

const AUDIT_LOG: &str = "type.googleapis.com/google.cloud.audit.AuditLog";

impl From<serde_json::Error> for LogLineError {
    /// Without the library's own number of the line, which is always 1.
    fn from(error: serde_json::Error) -> Self {
        let text = error.to_string();
        let message = text.split(" at line ").next().unwrap_or(&text).to_owned();
        Self::Json { message, column: error.column() }
    }
}

/// The full form of a line, which may be compact.
///
/// # Errors
/// What looks like a compact line and is not one.
pub(crate) fn full_line(bytes: &[u8]) -> Result<Cow<'_, [u8]>, LogLineError> {
    // What is not UTF-8 is not JSON: the parser says so.
    let Ok(line) = std::str::from_utf8(bytes) else { return Ok(Cow::Borrowed(bytes)) };
    Ok(match full_form(line)? {
        Cow::Borrowed(line) => Cow::Borrowed(line.as_bytes()),
        Cow::Owned(line) => Cow::Owned(line.into_bytes()),
    })
}

impl LogLine {
    /// Reads a line, in full or compact form, as this or an older version wrote it.
    ///
    /// # Errors
    /// What is not an audit line of opgate's, and [`LogLineError::Note`] for one that is about no request.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, LogLineError> {
        let bytes = full_line(bytes)?;
        let LoggedEntry { timestamp, http_request, proto_payload: payload } = serde_json::from_slice(&bytes)?;
        if payload.type_url != AUDIT_LOG {
            return Err(LogLineError::Type(payload.type_url));
        }
        let recorded = payload.recorded()?;
        let time: jiff::Timestamp = timestamp.parse().map_err(|_| LogLineError::Time(timestamp))?;
        let LoggedAttributes { method, host, path, protocol } = payload.request_metadata.request_attributes;
        let method = http_request.and_then(|request| request.request_method).or(method);
        // What is left out of the log is not known, and what it holds in part is not used: the letter that marks the cut is
        // in no parsed path.
        let known = |text: &String| text != REDACTED;
        let path = path.filter(|path| known(path) && !path.contains('…'));
        let Metadata { decision, reason, policy_revision, rule, detail, shadow } = payload.metadata;
        let principal = payload.authentication_info.principal_subject;
        let is_anonymous = principal.is_none();
        let principal = principal.filter(known);
        let hides_caller = !is_anonymous && principal.is_none();
        Ok(Self {
            time: time.into(),
            http_method: method.map(http_method).transpose()?,
            host: host.filter(known),
            path: path.map(|path| Path::parse(&path).map_err(|_| LogLineError::Path(path))).transpose()?,
            service: payload.service_name,
            is_grpc: protocol.as_deref() == Some("grpc"),
            principal: principal.map(caller).transpose()?,
            ip: payload.request_metadata.caller_ip.filter(known).map(address).transpose()?,
            // Such a caller must not be taken for one without a credential.
            recorded: if hides_caller { Recorded::Inconclusive } else { recorded },
            method: payload.method_name,
            resource: payload.resource_name,
            ruling: LoggedRuling {
                decision: decision.unwrap_or_default(),
                reason,
                policy_revision,
                rule,
                detail,
            },
            shadow,
        })
    }
}

fn http_method(text: String) -> Result<http::Method, LogLineError> {
    text.parse().map_err(|_| LogLineError::HttpMethod(text))
}

fn address(text: String) -> Result<IpAddr, LogLineError> {
    text.parse().map_err(|_| LogLineError::Address(text))
}

fn caller(text: String) -> Result<Principal, LogLineError> {
    Principal::parse(&text).map_err(|error| LogLineError::Principal(text, error))
}

impl Payload {
    fn recorded(&self) -> Result<Recorded, LogLineError> {
        let Some(decision) = &self.metadata.decision else { return Err(LogLineError::Note) };
        match decision.as_str() {
            // Any later failure comes from an upstream or the client.
            "ALLOWED" => return Ok(Recorded::Allowed),
            // The gate's own keys, which no policy protects.
            "ANSWERED" => return Ok(Recorded::Regardless),
            "DENIED" => {}
            other => return Err(LogLineError::Decision(other.to_owned())),
        }
        let granted = self.authorization_info.iter().flatten().any(|info| info.granted);
        // A reason of another version of opgate says nothing here.
        let Some(reason) = Reason::named(&self.metadata.reason) else {
            return Ok(Recorded::Inconclusive);
        };
        Ok(match reason.entry().recorded {
            Recorded::Unimplemented => Recorded::Unimplemented,
            // What failed after the permission was granted is not policy's.
            _ if granted => Recorded::Allowed,
            recorded => recorded,
        })
    }
}
