//! A refusal: a reason of the table, and what one request adds to it.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use super::called::{CalledService, GOOGLES_REALM};
use super::{Challenge, OPGATE, PROOF_ALGORITHMS, Reason};
use crate::diagnostic::Place;

/// A refusal: the reason, and the details of this one request.
#[derive(Clone, Debug)]
pub struct Denial(Box<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    reason: Reason,
    message: Option<Cow<'static, str>>,
    detail: Cow<'static, str>,
    metadata: Vec<(&'static str, String)>,
    violations: Vec<FieldViolation>,
    domain: Option<String>,
    allow: Option<String>,
    retry_after: Option<String>,
    scopes: Option<String>,
    over_dpop: bool,
    proof_nonce: Option<String>,
    rule: Option<Place>,
    service: Option<CalledService>,
    token: Option<RefusedToken>,
    grpc_code: Option<u8>,
}

/// The token that a request was refused for, as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedToken {
    /// The name of the issuer that it would be of, as the operator's config has it.
    pub issuer: Option<Arc<str>>,
    /// What it is.
    pub kind: TokenKind,
}

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TokenKind {
    /// A JWT.
    Jwt,
    /// One that its issuer is asked about.
    Opaque,
}

impl TokenKind {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Jwt, Self::Opaque];

    /// The value of the label `kind`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Jwt => "jwt",
            Self::Opaque => "opaque",
        }
    }
}

/// A mistake in the request's message (google/rpc/error_details.proto, `BadRequest.FieldViolation`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldViolation {
    /// The path to the field; `None` for the message itself.
    pub field: Option<String>,
    /// What is wrong.
    pub description: String,
}

impl Denial {
    /// A denial. `detail` says exactly what was wrong; it goes to the audit log, never to the client.
    pub fn new(reason: Reason, detail: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Inner {
            reason,
            message: None,
            detail: detail.into(),
            metadata: Vec::new(),
            violations: Vec::new(),
            domain: None,
            allow: None,
            retry_after: None,
            scopes: None,
            over_dpop: false,
            proof_nonce: None,
            rule: None,
            service: None,
            token: None,
            grpc_code: None,
        }))
    }

    /// Adds to the detail how it came about.
    pub fn beside(mut self, note: &str) -> Self {
        self.0.detail = format!("{} ({note})", self.0.detail).into();
        self
    }

    /// Tells the client the detail too. Only for faults in what the client sent, never for policy.
    pub fn told(mut self) -> Self {
        self.0.message = Some(self.0.detail.clone());
        self
    }

    /// Replaces the reason's text for the client.
    pub fn message(mut self, message: impl Into<Cow<'static, str>>) -> Self {
        self.0.message = Some(message.into());
        self
    }

    /// Adds an entry to ErrorInfo.metadata.
    pub fn metadata(mut self, key: &'static str, value: impl Into<String>) -> Self {
        self.0.metadata.push((key, value.into()));
        self
    }

    /// Adds a violation to a google.rpc.BadRequest. Only for faults in what the client sent.
    pub fn violation(mut self, field: Option<&str>, description: impl Into<String>) -> Self {
        let field = field.map(str::to_owned);
        self.0.violations.push(FieldViolation { field, description: description.into() });
        self
    }

    /// Replaces ErrorInfo.domain.
    pub fn domain(mut self, domain: impl Into<String>) -> Self {
        self.0.domain = Some(domain.into());
        self
    }

    /// The methods of the `Allow` header (RFC 9110, section 10.2.1), comma-separated.
    pub fn allow(mut self, methods: impl Into<String>) -> Self {
        self.0.allow = Some(methods.into());
        self
    }

    /// When it is worth to ask again: `Retry-After`, in whole seconds (RFC 9110, section 10.2.3). Only where the gate knows.
    pub fn retry_after(mut self, time: Duration) -> Self {
        let seconds = time.as_secs() + u64::from(time.subsec_nanos() > 0);
        self.0.retry_after = Some(seconds.max(1).to_string());
        self
    }

    /// The scopes of the challenge (RFC 6750, section 3), space-separated.
    pub fn scopes(mut self, scopes: impl Into<String>) -> Self {
        self.0.scopes = Some(scopes.into());
        self
    }

    /// Makes the challenge one for the scheme `DPoP` (RFC 9449, section 7.1).
    pub fn over_dpop(mut self) -> Self {
        self.0.over_dpop = true;
        self
    }

    /// The nonce that the next proof has to have (RFC 9449, section 9).
    pub fn proof_nonce(mut self, nonce: impl Into<String>) -> Self {
        self.0.proof_nonce = Some(nonce.into());
        self
    }

    /// Names the service that was called, whose words the answer has.
    pub fn of(mut self, service: CalledService) -> Self {
        self.0.service = Some(service);
        self
    }

    /// Says which token it is about. What was said before stands.
    pub fn of_token(mut self, kind: TokenKind, issuer: Option<&Arc<str>>) -> Self {
        self.0.token.get_or_insert_with(|| RefusedToken { issuer: issuer.cloned(), kind });
        self
    }

    /// Replaces the code over gRPC.
    pub fn with_grpc_code(mut self, code: u8) -> Self {
        self.0.grpc_code = Some(code);
        self
    }

    /// Names the rule that decided.
    pub fn rule(mut self, rule: Place) -> Self {
        self.0.rule = Some(rule);
        self
    }
}

/// What the answer, the audit line and the metrics read.
impl Denial {
    /// The reason.
    pub fn reason(&self) -> Reason {
        self.0.reason
    }

    /// The google.rpc.Code of the answer over gRPC.
    pub fn grpc_code(&self) -> u8 {
        self.0.grpc_code.unwrap_or_else(|| self.0.reason.entry().grpc_code())
    }

    /// The token that it is about.
    pub fn token(&self) -> Option<&RefusedToken> {
        self.0.token.as_ref()
    }

    /// The text for the client.
    pub fn public_message(&self) -> &str {
        let otherwise = match &self.0.service {
            Some(service) => service.message(self.0.reason),
            None => self.0.reason.entry().message,
        };
        self.0.message.as_deref().unwrap_or(otherwise)
    }

    /// What the client is told of this one request, where that is more than the reason's fixed text.
    pub fn own_message(&self) -> Option<&str> {
        self.0.message.as_deref()
    }

    /// The reason in full, for the audit log.
    pub fn detail(&self) -> &str {
        &self.0.detail
    }

    /// ErrorInfo.metadata.
    pub fn metadata_entries(&self) -> &[(&'static str, String)] {
        &self.0.metadata
    }

    /// BadRequest.field_violations.
    pub fn violations(&self) -> &[FieldViolation] {
        &self.0.violations
    }

    /// The `Accept-Encoding` header's value: the codings that would do (RFC 9110, sections 12.5.3 and 15.5.16).
    pub fn accepted_codings(&self) -> Option<&'static str> {
        (self.0.reason == Reason::BodyCodingUnsupported).then_some("gzip, identity")
    }

    /// ErrorInfo.domain.
    pub fn error_domain(&self) -> &str {
        let of_the_table = self.0.reason.entry().domain;
        let otherwise = match &self.0.service {
            Some(service) if of_the_table == OPGATE => &service.name,
            _ => of_the_table,
        };
        self.0.domain.as_deref().unwrap_or(otherwise)
    }

    /// The value of `Retry-After`.
    pub fn retried_after(&self) -> Option<&str> {
        self.0.retry_after.as_deref()
    }

    /// The `Allow` header's value.
    pub fn allowed_methods(&self) -> Option<&str> {
        self.0.allow.as_deref()
    }

    /// The `WWW-Authenticate` header's value, or `None` where the reason has no challenge.
    pub fn challenge(&self) -> Option<String> {
        let Inner { reason, service, scopes, .. } = &*self.0;
        let challenge = reason.entry().challenge;
        let error = match challenge {
            Challenge::None => return None,
            Challenge::Realm => None,
            Challenge::InvalidToken => Some("invalid_token"),
            Challenge::InvalidProof => Some("invalid_dpop_proof"),
            Challenge::UseNonce => Some("use_dpop_nonce"),
            Challenge::InsufficientScope => Some("insufficient_scope"),
        };
        let service = service.as_ref();
        let insufficient = challenge == Challenge::InsufficientScope;
        let of_proof = matches!(challenge, Challenge::InvalidProof | Challenge::UseNonce);
        let over_dpop = self.0.over_dpop || of_proof;
        let parameters = [
            ("realm", Some(service.map_or(GOOGLES_REALM, CalledService::realm))),
            ("error", error),
            ("error_description", service.and_then(|service| service.description(*reason))),
            ("scope", insufficient.then(|| scopes.as_deref().unwrap_or_default())),
            ("algs", over_dpop.then_some(PROOF_ALGORITHMS)),
            ("resource_metadata", service.and_then(|service| service.resource_metadata.as_deref())),
        ];
        let mut value = String::with_capacity(128);
        value.push_str(if over_dpop { "DPoP" } else { "Bearer" });
        let mut mark = " ";
        for (name, parameter) in parameters {
            let Some(parameter) = parameter else { continue };
            for piece in [mark, name, "=\"", parameter, "\""] {
                value.push_str(piece);
            }
            mark = ", ";
        }
        Some(value)
    }

    /// The `DPoP-Nonce` header's value.
    pub fn nonce_for_proofs(&self) -> Option<&str> {
        self.0.proof_nonce.as_deref()
    }

    /// The rule that decided, where one did.
    pub fn deciding_rule(&self) -> Option<&Place> {
        self.0.rule.as_ref()
    }
}
