//! One table of the reasons for refusals, with everything that follows from each.
//!
//! A [`Reason`] decides the HTTP status, the google.rpc code, the ErrorInfo reason, the text the client reads, the
//! `WWW-Authenticate` challenge and the metric label. No other place maps one to another. The wording of the rows
//! that Google has is Google's own (measured; AIP-193, AIP-211, google/api/error_reason.proto).

use std::borrow::Cow;

/// The parameters of `WWW-Authenticate` beside the realm (RFC 6750, section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Challenge {
    /// No such header: a credential would not help.
    None,
    /// The realm alone: no credential was sent.
    Realm,
    /// `error="invalid_token"`.
    InvalidToken,
    /// `error="insufficient_scope"` and the scopes that would do.
    InsufficientScope,
    /// `error="invalid_dpop_proof"` (RFC 9449, section 7.1).
    InvalidProof,
    /// `error="use_dpop_nonce"` (RFC 9449, section 9).
    UseNonce,
}

/// The algorithms that a proof may be signed with, as the challenge lists them.
pub const PROOF_ALGORITHMS: &str = "RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 EdDSA";

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// The reason that this row describes.
    pub reason: Reason,
    /// HTTP status code.
    pub status: u16,
    /// google.rpc.Code name, `error.status` in the body.
    pub code: &'static str,
    /// ErrorInfo.reason, also the `reason` label of metrics and the word in decision tests.
    pub name: &'static str,
    /// ErrorInfo.domain.
    pub domain: &'static str,
    /// `error.message`, unless the denial brings its own.
    pub message: &'static str,
    /// The challenge of the answer.
    pub challenge: Challenge,
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $reason:ident = $status:literal $code:literal $name:literal $domain:ident $challenge:ident $message:expr;)*) => {
        /// Why a request was refused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason {
            $($(#[$doc])* $reason,)*
        }

        impl Reason {
            /// Every reason, in the table's order.
            pub const ALL: &'static [Self] = &[$(Self::$reason),*];

            /// The reason's row.
            pub fn entry(self) -> &'static Entry {
                match self {
                    $(Self::$reason => &Entry {
                        reason: Self::$reason,
                        status: $status,
                        code: $code,
                        name: $name,
                        domain: $domain,
                        message: $message,
                        challenge: Challenge::$challenge,
                    },)*
                }
            }
        }
    };
}

/// The domain of the reasons of google/api/error_reason.proto.
const GOOGLE: &str = "googleapis.com";
/// The domain of IAM's own denials.
const IAM: &str = "iam.googleapis.com";
/// The domain of reasons that Google's table does not have.
const OPGATE: &str = "opgate";

const MISSING: &str = "Request is missing required authentication credential. Expected OAuth 2 access token, login \
    cookie or other valid authentication credential. See \
    https://developers.google.com/identity/sign-in/web/devconsole-project.";
const INVALID: &str = "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie \
    or other valid authentication credential. See \
    https://developers.google.com/identity/sign-in/web/devconsole-project.";

reasons! {
    /// The head, target or a header can be read in two ways, or in none.
    RequestMalformed = 400 "INVALID_ARGUMENT" "REQUEST_MALFORMED" OPGATE None "Request is malformed.";
    /// The query carries a parameter that would change what was judged.
    QueryParameterRefused = 400 "INVALID_ARGUMENT" "QUERY_PARAMETER_REFUSED" OPGATE None "Request has a query parameter that is not accepted.";
    /// A body where the method takes none, or a body that names something else than the path.
    BodyRefused = 400 "INVALID_ARGUMENT" "REQUEST_BODY_REFUSED" OPGATE None "Request body must be empty.";
    /// The body is larger than the method's bound.
    BodyTooLarge = 413 "INVALID_ARGUMENT" "REQUEST_BODY_TOO_LARGE" OPGATE None "Request body is too large.";
    /// The body did not arrive in time.
    BodyTimeout = 408 "DEADLINE_EXCEEDED" "REQUEST_BODY_TIMEOUT" OPGATE None "Request body did not arrive in time.";
    /// The head did not arrive in time.
    HeadTimeout = 408 "DEADLINE_EXCEEDED" "REQUEST_HEAD_TIMEOUT" OPGATE None "Request head did not arrive in time.";
    /// The head has too many bytes or fields.
    HeadTooLarge = 431 "INVALID_ARGUMENT" "REQUEST_HEAD_TOO_LARGE" OPGATE None "Request header fields are too large.";
    /// The request target has too many bytes.
    TargetTooLong = 414 "INVALID_ARGUMENT" "REQUEST_TARGET_TOO_LONG" OPGATE None "Request target is too long.";
    /// The connection's TLS was set up for another host.
    Misdirected = 421 "INVALID_ARGUMENT" "REQUEST_MISDIRECTED" OPGATE None "Request is for a host that this connection does not lead to.";
    /// No exposed method has this path.
    MethodNotFound = 404 "NOT_FOUND" "METHOD_NOT_FOUND" OPGATE None "Method not found.";
    /// The path exists under another HTTP method.
    HttpMethodNotAllowed = 405 "INVALID_ARGUMENT" "HTTP_METHOD_NOT_ALLOWED" OPGATE None "HTTP method is not allowed for this path.";
    /// No credential was sent.
    CredentialsMissing = 401 "UNAUTHENTICATED" "CREDENTIALS_MISSING" GOOGLE Realm MISSING;
    /// A credential was sent that proves nothing.
    TokenInvalid = 401 "UNAUTHENTICATED" "JWT_TOKEN_INVALID" GOOGLE InvalidToken INVALID;
    /// The token was good once.
    TokenExpired = 401 "UNAUTHENTICATED" "ACCESS_TOKEN_EXPIRED" GOOGLE InvalidToken INVALID;
    /// A token of a kind that is not an access token here: an ID token, an unknown `typ`, an opaque token without an
    /// issuer that could be asked.
    TokenTypeUnsupported = 401 "UNAUTHENTICATED" "ACCESS_TOKEN_TYPE_UNSUPPORTED" GOOGLE InvalidToken INVALID;
    /// The token is bound to a key, and the proof that came with it is not valid.
    ProofInvalid = 401 "UNAUTHENTICATED" "DPOP_PROOF_INVALID" OPGATE InvalidProof INVALID;
    /// A proof with the nonce of this answer would do.
    ProofNonceMissing = 401 "UNAUTHENTICATED" "DPOP_NONCE_REQUIRED" OPGATE UseNonce INVALID;
    /// An authorization scheme other than Bearer and DPoP.
    CredentialTypeUnsupported = 401 "UNAUTHENTICATED" "CREDENTIAL_TYPE_UNSUPPORTED" GOOGLE Realm INVALID;
    /// More than one credential.
    CredentialsOverloaded = 400 "INVALID_ARGUMENT" "OVERLOADED_CREDENTIALS" GOOGLE None "Request has more than one authentication credential.";
    /// The token holds none of the scopes that the method accepts.
    ScopeInsufficient = 403 "PERMISSION_DENIED" "ACCESS_TOKEN_SCOPE_INSUFFICIENT" GOOGLE InsufficientScope "Request had insufficient authentication scopes.";
    /// No allow policy on the resource or above it grants the permission.
    PermissionDenied = 403 "PERMISSION_DENIED" "IAM_PERMISSION_DENIED" IAM None "Permission denied.";
    /// The method is declared, authorized, and not implemented behind this gate.
    Unimplemented = 501 "UNIMPLEMENTED" "METHOD_UNIMPLEMENTED" OPGATE None "Method is not implemented.";
    /// Nothing can be decided yet: keys are not loaded, an issuer does not answer about an opaque token, or no more
    /// proofs of possession can be remembered.
    NotReady = 503 "UNAVAILABLE" "GATE_NOT_READY" OPGATE None "The service is currently unavailable.";
    /// The token names a key that its issuer may have made since it was last asked: it is not known yet whether it is
    /// good.
    KeyPending = 503 "UNAVAILABLE" "SIGNING_KEY_PENDING" OPGATE None "The service is currently unavailable.";
    /// The connection has as many requests under way as it may have.
    TooManyStreams = 429 "RESOURCE_EXHAUSTED" "STREAM_LIMIT_EXCEEDED" OPGATE None "Too many requests at one time.";
    /// The principal has as many requests under way as it may have.
    PrincipalLimit = 429 "RESOURCE_EXHAUSTED" "PRINCIPAL_LIMIT_EXCEEDED" OPGATE None "Too many requests at one time.";
    /// The address has as many requests under way, or not allowed yet, as it may have.
    AddressLimit = 429 "RESOURCE_EXHAUSTED" "ADDRESS_LIMIT_EXCEEDED" OPGATE None "Too many requests at one time.";
    /// As many proofs as may be are remembered for the key that the token is bound to.
    ProofLimit = 429 "RESOURCE_EXHAUSTED" "DPOP_PROOF_LIMIT_EXCEEDED" OPGATE None "Too many proofs of possession by one key in a short time.";
    /// The gate has as many requests under way as it may have.
    Overloaded = 503 "UNAVAILABLE" "GATE_OVERLOADED" OPGATE None "The service is currently unavailable.";
    /// No backend has the request: none could be reached, or it said that it has not begun.
    UpstreamUnavailable = 503 "UNAVAILABLE" "UPSTREAM_UNAVAILABLE" OPGATE None "The service is currently unavailable.";
    /// The backend has as many exchanges under way as it may have.
    UpstreamOverloaded = 503 "UNAVAILABLE" "UPSTREAM_OVERLOADED" OPGATE None "The service is currently unavailable.";
    /// The backend did not answer in time.
    UpstreamTimeout = 504 "DEADLINE_EXCEEDED" "UPSTREAM_TIMEOUT" OPGATE None "Deadline expired before operation could complete.";
    /// The backend answered something that is not HTTP, or closed the connection within its answer.
    UpstreamInvalid = 502 "UNAVAILABLE" "UPSTREAM_INVALID" OPGATE None "The service sent an invalid response.";
    /// The client went away before it had its answer.
    ClientClosed = 499 "CANCELLED" "CLIENT_CLOSED_REQUEST" OPGATE None "The client closed the request.";
    /// The client did not take its answer in time.
    AnswerNotTaken = 499 "CANCELLED" "RESPONSE_NOT_TAKEN" OPGATE None "The client did not take the response in time.";
    /// The gate ended the request: its grace period was over, or it failed.
    CutOff = 503 "UNAVAILABLE" "REQUEST_CUT_OFF" OPGATE None "The service is currently unavailable.";
    /// A bug of the gate: refused, since what cannot be decided is denied.
    Internal = 500 "INTERNAL" "INTERNAL" OPGATE None "Internal error.";
}

impl Entry {
    /// The number of [`Entry::code`] (google/rpc/code.proto), as `google.rpc.Status.code` holds it.
    pub fn code_number(&self) -> u8 {
        match self.code {
            "CANCELLED" => 1,
            "INVALID_ARGUMENT" => 3,
            "DEADLINE_EXCEEDED" => 4,
            "NOT_FOUND" => 5,
            "PERMISSION_DENIED" => 7,
            "RESOURCE_EXHAUSTED" => 8,
            "UNIMPLEMENTED" => 12,
            "INTERNAL" => 13,
            "UNAVAILABLE" => 14,
            "UNAUTHENTICATED" => 16,
            _ => 2,
        }
    }
}

/// A refusal: the reason, and the details of this one request.
#[derive(Clone, Debug)]
pub struct Denial(Box<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    reason: Reason,
    message: Option<Cow<'static, str>>,
    detail: Cow<'static, str>,
    metadata: Vec<(&'static str, String)>,
    domain: Option<String>,
    allow: Option<String>,
    scopes: Option<String>,
    over_dpop: bool,
    proof_nonce: Option<String>,
    rule: Option<crate::diagnostic::Place>,
}

impl Denial {
    /// A denial. `detail` says exactly what was wrong; it goes to the audit log, never to the client.
    pub fn new(reason: Reason, detail: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Inner {
            reason,
            message: None,
            detail: detail.into(),
            metadata: Vec::new(),
            domain: None,
            allow: None,
            scopes: None,
            over_dpop: false,
            proof_nonce: None,
            rule: None,
        }))
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

    /// Names the rule that decided.
    pub fn rule(mut self, rule: crate::diagnostic::Place) -> Self {
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

    /// The text for the client.
    pub fn public_message(&self) -> &str {
        self.0.message.as_deref().unwrap_or(self.0.reason.entry().message)
    }

    /// The reason in full, for the audit log.
    pub fn detail(&self) -> &str {
        &self.0.detail
    }

    /// ErrorInfo.metadata.
    pub fn metadata_entries(&self) -> &[(&'static str, String)] {
        &self.0.metadata
    }

    /// ErrorInfo.domain.
    pub fn error_domain(&self) -> &str {
        self.0.domain.as_deref().unwrap_or(self.0.reason.entry().domain)
    }

    /// The `Allow` header's value.
    pub fn allowed_methods(&self) -> Option<&str> {
        self.0.allow.as_deref()
    }

    /// The `WWW-Authenticate` header's value, or `None` where the reason has no challenge.
    pub fn challenge(&self) -> Option<String> {
        const REALM: &str = "realm=\"https://accounts.google.com/\"";
        let challenge = self.0.reason.entry().challenge;
        let error = match challenge {
            Challenge::None => return None,
            Challenge::Realm => String::new(),
            Challenge::InvalidToken => ", error=\"invalid_token\"".to_owned(),
            Challenge::InvalidProof => ", error=\"invalid_dpop_proof\"".to_owned(),
            Challenge::UseNonce => ", error=\"use_dpop_nonce\"".to_owned(),
            Challenge::InsufficientScope => {
                let scopes = self.0.scopes.as_deref().unwrap_or_default();
                format!(", error=\"insufficient_scope\", scope=\"{scopes}\"")
            }
        };
        let of_proof = matches!(challenge, Challenge::InvalidProof | Challenge::UseNonce);
        Some(if self.0.over_dpop || of_proof {
            format!("DPoP {REALM}{error}, algs=\"{PROOF_ALGORITHMS}\"")
        } else {
            format!("Bearer {REALM}{error}")
        })
    }

    /// The `DPoP-Nonce` header's value.
    pub fn nonce_for_proofs(&self) -> Option<&str> {
        self.0.proof_nonce.as_deref()
    }

    /// The rule that decided, where one did.
    pub fn deciding_rule(&self) -> Option<&crate::diagnostic::Place> {
        self.0.rule.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_spelled_as_aip_193_asks() {
        let shape = regex::Regex::new("^[A-Z][A-Z0-9_]+[A-Z0-9]$").unwrap();
        let mut names: Vec<_> = Reason::ALL.iter().map(|reason| reason.entry().name).collect();
        assert!(names.iter().all(|name| shape.is_match(name) && name.len() <= 63));
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Reason::ALL.len());
    }

    #[test]
    fn every_code_has_its_number() {
        assert!(Reason::ALL.iter().all(|reason| reason.entry().code_number() != 2));
    }

    #[test]
    fn a_challenge_comes_with_401_and_with_scopes_alone() {
        for reason in Reason::ALL {
            let entry = reason.entry();
            let challenged = entry.challenge != Challenge::None;
            let expected = entry.status == 401 || *reason == Reason::ScopeInsufficient;
            assert_eq!(challenged, expected, "{reason:?}");
        }
    }

    #[test]
    fn the_table_reads_as_documented() {
        let table: String = Reason::ALL
            .iter()
            .map(|reason| {
                let entry = reason.entry();
                format!("{:<30} {} {:<18} {}\n", entry.name, entry.status, entry.code, entry.domain)
            })
            .collect();
        insta::assert_snapshot!(table);
    }
}
