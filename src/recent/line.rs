//! What an audit line says of a decision, as far as a list shows it.

use std::borrow::Cow;
use std::sync::Arc;

use serde::Deserialize;

/// A line of the audit log that comes in.
#[derive(Clone, Debug)]
pub struct NewLine<'l> {
    /// Its full form, without its end.
    pub text: Arc<str>,
    /// What it says of a decision; `None` where nothing was decided.
    pub decision: Option<LineDecision<'l>>,
}

/// How the request of a line was decided.
#[derive(Clone, Debug)]
pub enum LineDecision<'l> {
    /// It was allowed.
    Allowed,
    /// It was refused, or a fault left it undecided (5xx).
    Denied(DeniedLine<'l>),
}

/// What a line says of a denial. Names are as the line has them.
#[derive(Clone, Debug)]
pub struct DeniedLine<'l> {
    /// The id of the request.
    pub id: Cow<'l, str>,
    /// The caller.
    pub principal: Option<Cow<'l, str>>,
    /// The full name of the method.
    pub method: Option<Cow<'l, str>>,
    /// Why.
    pub reason: Cow<'l, str>,
    /// The status that was sent.
    pub status: u16,
}

impl DeniedLine<'_> {
    /// Whether the request was refused, and not left undecided by a fault (5xx).
    pub(super) fn is_refusal(&self) -> bool {
        self.status < 500
    }
}

/// The facts of a line. Names are as the line has them: a client may have chosen them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DecisionFacts {
    /// The id of the request.
    pub id: String,
    /// When it came, as RFC 3339 writes it.
    pub time: String,
    /// `ALLOWED`, `DENIED` or `ANSWERED`.
    pub decision: String,
    /// The reason; `ALLOWED` where there was none to refuse.
    pub reason: String,
    /// The caller.
    pub principal: Option<String>,
    /// The name of the service.
    pub service: Option<String>,
    /// The full name of the method.
    pub method: Option<String>,
    /// The resource.
    pub resource: Option<String>,
    /// The HTTP method.
    pub http_method: Option<String>,
    /// The path.
    pub path: Option<String>,
    /// The status that was sent; 0 where the line has none.
    pub status: u16,
}

/// Which decisions a list shows. Words are compared without regard to case.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DecisionFilter {
    /// A part of the reason, or of `ALLOWED`.
    pub reason: String,
    /// A part of the name of the service or method.
    pub service: String,
    /// A part of the principal.
    pub principal: String,
}

impl DecisionFilter {
    /// Whether it shows all.
    pub fn is_empty(&self) -> bool {
        self.reason.is_empty() && self.service.is_empty() && self.principal.is_empty()
    }

    /// Whether a decision is one of those.
    pub fn lets(&self, facts: &DecisionFacts) -> bool {
        holds(&facts.reason, &self.reason)
            && (said(facts.service.as_deref(), &self.service) || said(facts.method.as_deref(), &self.service))
            && said(facts.principal.as_deref(), &self.principal)
    }
}

fn said(text: Option<&str>, part: &str) -> bool {
    part.is_empty() || text.is_some_and(|text| holds(text, part))
}

fn holds(text: &str, part: &str) -> bool {
    part.is_empty() || text.to_lowercase().contains(&part.trim().to_lowercase())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line<'l> {
    #[serde(borrow, default)]
    timestamp: Cow<'l, str>,
    #[serde(borrow)]
    insert_id: Cow<'l, str>,
    #[serde(borrow, default)]
    http_request: HttpRequest<'l>,
    #[serde(borrow)]
    proto_payload: Payload<'l>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct HttpRequest<'l> {
    #[serde(borrow)]
    request_method: Option<Cow<'l, str>>,
    status: u16,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Payload<'l> {
    #[serde(borrow)]
    authentication_info: Caller<'l>,
    #[serde(borrow)]
    service_name: Option<Cow<'l, str>>,
    #[serde(borrow)]
    method_name: Option<Cow<'l, str>>,
    #[serde(borrow)]
    resource_name: Option<Cow<'l, str>>,
    #[serde(borrow)]
    request_metadata: Metadata<'l>,
    #[serde(borrow)]
    metadata: Decision<'l>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Caller<'l> {
    #[serde(borrow)]
    principal_subject: Option<Cow<'l, str>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Metadata<'l> {
    #[serde(borrow)]
    request_attributes: Attributes<'l>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Attributes<'l> {
    #[serde(borrow)]
    path: Option<Cow<'l, str>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Decision<'l> {
    #[serde(borrow)]
    decision: Cow<'l, str>,
    #[serde(borrow)]
    reason: Cow<'l, str>,
}

impl DecisionFacts {
    /// Reads a line. `None` where it is not about a decision: a gap in the log, or what became of a cancel.
    pub fn parse(line: &str) -> Option<Self> {
        let line: Line<'_> = serde_json::from_str(line).ok()?;
        let payload = line.proto_payload;
        if payload.metadata.decision.is_empty() {
            return None;
        }
        let owned = |text: Option<Cow<'_, str>>| text.map(Cow::into_owned);
        Some(Self {
            id: line.insert_id.into_owned(),
            time: line.timestamp.into_owned(),
            decision: payload.metadata.decision.into_owned(),
            reason: payload.metadata.reason.into_owned(),
            principal: owned(payload.authentication_info.principal_subject),
            service: owned(payload.service_name),
            method: owned(payload.method_name),
            resource: owned(payload.resource_name),
            http_method: owned(line.http_request.request_method),
            path: owned(payload.request_metadata.request_attributes.path),
            status: line.http_request.status,
        })
    }

    /// Whether the request was refused, and not left undecided by a fault (5xx).
    pub fn is_refusal(&self) -> bool {
        self.decision == "DENIED" && self.status < 500
    }
}
