//! What an operator has left out of each line.

use super::entry::{CallerIp, Decision, LogEntry, Metadata, RequestMetadata};

/// What is written in place of a text that is left out.
pub const REDACTED: &str = "[redacted]";

/// A fact that can be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Redaction {
    /// The client's address.
    CallerIp,
    /// Its `User-Agent`.
    UserAgent,
    /// Who called: every name of the caller.
    Principal,
    /// The host that was asked.
    Host,
    /// The path.
    Path,
    /// The resource: its name, and with it the path.
    Resource,
    /// The reason in full, and what the client was told.
    Detail,
    /// The client's certificate.
    ClientCertificate,
    /// The client's own ids of its request.
    ClientIds,
}

impl Redaction {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::CallerIp,
        Self::UserAgent,
        Self::Principal,
        Self::Host,
        Self::Path,
        Self::Resource,
        Self::Detail,
        Self::ClientCertificate,
        Self::ClientIds,
    ];

    /// Its name in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CallerIp => "caller_ip",
            Self::UserAgent => "user_agent",
            Self::Principal => "principal",
            Self::Host => "host",
            Self::Path => "path",
            Self::Resource => "resource",
            Self::Detail => "detail",
            Self::ClientCertificate => "client_certificate",
            Self::ClientIds => "client_ids",
        }
    }
}

/// What is left out of each line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Redacted(u16);

impl FromIterator<Redaction> for Redacted {
    fn from_iter<I: IntoIterator<Item = Redaction>>(redactions: I) -> Self {
        Self(redactions.into_iter().fold(0, |bits, redaction| bits | 1 << redaction as u16))
    }
}

impl Redacted {
    /// Whether nothing is.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    fn has(self, redaction: Redaction) -> bool {
        self.0 & (1 << redaction as u16) != 0
    }

    /// Leaves it out of a line. The reason in full may quote names: it goes with any of them.
    pub(super) fn apply(self, entry: &mut LogEntry<'_>) {
        let payload = &mut entry.payload;
        if self.has(Redaction::Principal) {
            let who = &mut payload.authentication;
            hide(&mut who.principal_subject);
            hide(&mut who.principal_email);
            if let Some((account, _)) = &mut who.service_account_key {
                *account = REDACTED;
            }
            if let Some(third) = &mut who.third_party {
                hide(&mut third.subject);
            }
        }
        if self.has(Redaction::Resource) {
            hide(&mut payload.resource_name);
        }
        if let Some(request) = &mut payload.request {
            self.apply_to_request(request);
        }
        let quoted =
            [Redaction::Detail, Redaction::Principal, Redaction::Resource, Redaction::Host, Redaction::Path];
        let hides_detail = quoted.into_iter().any(|redaction| self.has(redaction));
        if hides_detail && payload.status.code != 0 {
            payload.status = super::Status::of_code(payload.status.code);
        }
        if let Metadata::Decision(decision) = &mut payload.metadata {
            self.apply_to_decision(decision, hides_detail);
        }
    }

    fn apply_to_request(self, request: &mut RequestMetadata<'_>) {
        if self.has(Redaction::CallerIp) && request.caller_ip.is_some() {
            request.caller_ip = Some(CallerIp::Text(REDACTED));
        }
        if self.has(Redaction::UserAgent) {
            hide(&mut request.user_agent);
        }
        if self.has(Redaction::Host) {
            hide(&mut request.host);
        }
        if self.has(Redaction::Path) || self.has(Redaction::Resource) {
            hide(&mut request.path);
        }
    }

    fn apply_to_decision(self, decision: &mut Decision<'_>, hides_detail: bool) {
        if hides_detail {
            hide(&mut decision.detail);
            if let Some(shadow) = &mut decision.shadow {
                hide(&mut shadow.detail);
            }
        }
        if let Some(shown) = &mut decision.client_certificate {
            if self.has(Redaction::ClientCertificate) {
                shown.thumbprint = REDACTED;
                hide(&mut shown.uri);
            }
            if self.has(Redaction::ClientCertificate) || self.has(Redaction::Principal) {
                hide(&mut shown.principal);
                hide(&mut shown.uri);
            }
        }
        if self.has(Redaction::ClientIds) {
            hide(&mut decision.client_request_id);
            if decision.client_traceparent.is_some() {
                decision.client_traceparent = Some(REDACTED.into());
            }
        }
    }
}

fn hide(text: &mut Option<&str>) {
    if text.is_some() {
        *text = Some(REDACTED);
    }
}
