//! One table of the reasons for refusals, with everything that follows from each.
//!
//! A [`Reason`] decides the HTTP status, the google.rpc code, the ErrorInfo reason, the text the client reads, the
//! `WWW-Authenticate` challenge, the metric label, and what an audit line with it says of policy. No other place maps one
//! to another. The wording of the rows
//! that Google has is Google's own (measured; AIP-193, AIP-211, google/api/error_reason.proto).

mod called;
mod code;
mod denial;
mod outcome;

pub use self::called::CalledService;
pub use self::code::{code_name, code_number, code_of_http, http_of_code};
pub use self::denial::{Denial, FieldViolation, RefusedToken, TokenKind};
pub use self::outcome::{
    DecisionOutcome, DecisionStage, TOKEN_ACCEPTED, TOKEN_OUTCOMES, outcome, token_outcome,
};

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

/// The stages of a request, in their order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// Whether the request can be read, in one way only.
    Request,
    /// Which method is called.
    #[default]
    Route,
    /// Who calls it.
    Authenticate,
    /// What the token may be used for.
    Scope,
    /// Whether policy grants the permission.
    Policy,
    /// Whether the method does anything here.
    Implementation,
    /// Whether there is room for one more request.
    Admission,
    /// Whether the body is one that the method takes.
    Body,
    /// What comes of forwarding it.
    Upstream,
    /// None of them: a request may end so at any stage.
    Any,
}

/// What an audit line says of a request: how far the gate got, and with it what is known of the caller. A log can be replayed
/// on another policy as far as this tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Recorded {
    /// Policy let it through; what came then is not policy's.
    Allowed,
    /// A caller who was authenticated, with a scope of the method, lacked the permission.
    Lacking,
    /// Allowed, of a method that is not implemented.
    Unimplemented,
    /// A caller who was authenticated had none of the method's scopes.
    WithoutScope,
    /// No credential was sent.
    WithoutCredential,
    /// No method was found. No caller was authenticated.
    WithoutMethod,
    /// The request could not be read, or its credential proves nothing: refused whatever policies say.
    Regardless,
    /// Refused at a point that does not tell what policy would have said.
    Inconclusive,
}

/// The algorithms that a proof may be signed with, as the challenge lists them.
pub const PROOF_ALGORITHMS: &str = "RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 EdDSA";

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct ReasonRow {
    /// The reason that this row describes.
    pub reason: Reason,
    /// The stage that refuses for it.
    pub stage: Stage,
    /// What an audit line with it says of the request, where no permission was granted.
    pub recorded: Recorded,
    /// Whether a decision test may expect it: whether a decision can end in it. Bodies are judged after the decision, and a
    /// test asks neither listeners nor upstreams.
    pub is_testable: bool,
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
    ($($(#[$doc:meta])* $reason:ident = $stage:ident $recorded:ident $testable:literal, $status:literal $code:literal $name:literal $domain:ident $challenge:ident $message:expr;)*) => {
        /// Why a request was refused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason {
            $($(#[$doc])* $reason,)*
        }

        impl Reason {
            /// Every reason, in the table's order.
            pub const ALL: &'static [Self] = &[$(Self::$reason),*];

            /// The reason of a name, as audit lines, metrics and decision tests have it.
            pub fn named(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|reason| reason.entry().name == name)
            }

            /// The reason's row.
            pub fn entry(self) -> &'static ReasonRow {
                match self {
                    $(Self::$reason => &ReasonRow {
                        reason: Self::$reason,
                        stage: Stage::$stage,
                        recorded: Recorded::$recorded,
                        is_testable: $testable,
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
    // Stage, what an audit line with it says, whether a decision test may expect it; then the answer: status, code, reason,
    // domain, challenge, message.
    /// The head, target or a header can be read in two ways, or in none.
    RequestMalformed = Request Regardless true, 400 "INVALID_ARGUMENT" "REQUEST_MALFORMED" OPGATE None "Request is malformed.";
    /// The query carries a parameter that would change what was judged.
    QueryParameterRefused = Request Inconclusive true, 400 "INVALID_ARGUMENT" "QUERY_PARAMETER_REFUSED" OPGATE None "Request has a query parameter that is not accepted.";
    /// A body where the method takes none, or a body that names something else than the path.
    BodyRefused = Body Allowed false, 400 "INVALID_ARGUMENT" "REQUEST_BODY_REFUSED" OPGATE None "Request body must be empty.";
    /// The body is larger than the method's bound.
    BodyTooLarge = Body Allowed false, 413 "INVALID_ARGUMENT" "REQUEST_BODY_TOO_LARGE" OPGATE None "Request body is too large.";
    /// The body has a content coding other than gzip.
    BodyCodingUnsupported = Body Allowed false, 415 "INVALID_ARGUMENT" "REQUEST_BODY_CODING_UNSUPPORTED" OPGATE None "Request body has a content coding that is not supported. Send it with gzip, or with none.";
    /// The proxy that asks has not shown the body, and the method's body rule needs it.
    BodyNotShown = Body Allowed false, 403 "PERMISSION_DENIED" "REQUEST_BODY_NOT_SHOWN" OPGATE None "Request body was not shown to the authorization service.";
    /// The request would have to be changed before it is forwarded, and the proxy that asks cannot do that.
    RewriteNeeded = Body Allowed false, 400 "INVALID_ARGUMENT" "REQUEST_REWRITE_NEEDED" OPGATE None "Request has a form that is not accepted here.";
    /// The body did not arrive in time.
    BodyTimeout = Body Allowed false, 408 "DEADLINE_EXCEEDED" "REQUEST_BODY_TIMEOUT" OPGATE None "Request body did not arrive in time.";
    /// The head did not arrive in time.
    HeadTimeout = Request Regardless false, 408 "DEADLINE_EXCEEDED" "REQUEST_HEAD_TIMEOUT" OPGATE None "Request head did not arrive in time.";
    /// The head has too many bytes or fields.
    HeadTooLarge = Request Regardless false, 431 "INVALID_ARGUMENT" "REQUEST_HEAD_TOO_LARGE" OPGATE None "Request header fields are too large.";
    /// The request target has too many bytes.
    TargetTooLong = Request Regardless false, 414 "INVALID_ARGUMENT" "REQUEST_TARGET_TOO_LONG" OPGATE None "Request target is too long.";
    /// The connection's TLS was set up for another host.
    Misdirected = Request Regardless false, 421 "INVALID_ARGUMENT" "REQUEST_MISDIRECTED" OPGATE None "Request is for a host that this connection does not lead to.";
    /// A browser asks whether a page may send a request, and it may not.
    PreflightRefused = Request Regardless false, 403 "PERMISSION_DENIED" "PREFLIGHT_REFUSED" OPGATE None "The page may not send this request.";
    /// A message of a gRPC request is malformed, or has two readings.
    MessageRefused = Request Inconclusive true, 400 "INVALID_ARGUMENT" "GRPC_MESSAGE_REFUSED" OPGATE None "Request message is malformed.";
    /// A gRPC message names no resource, or names it in a way that has more than one reading.
    ResourceNameRefused = Request Inconclusive true, 400 "INVALID_ARGUMENT" "RESOURCE_NAME_REFUSED" OPGATE None "Request message does not name a resource.";
    /// A message of a gRPC request is larger than the bound. Over gRPC: RESOURCE_EXHAUSTED.
    MessageTooLarge = Request Inconclusive false, 413 "INVALID_ARGUMENT" "GRPC_MESSAGE_TOO_LARGE" OPGATE None "Request message is too large.";
    /// The messages of a gRPC request are compressed with something else than gzip. Over gRPC: UNIMPLEMENTED.
    MessageEncodingUnsupported = Request Inconclusive false, 415 "INVALID_ARGUMENT" "GRPC_ENCODING_UNSUPPORTED" OPGATE None "Request messages have an encoding that is not supported. Send them with gzip, or with none.";
    /// The message of a gRPC request that names the resource did not arrive in time.
    MessageTimeout = Request Inconclusive false, 408 "DEADLINE_EXCEEDED" "GRPC_MESSAGE_TIMEOUT" OPGATE None "Request message did not arrive in time.";
    /// gRPC-Web, Connect, or gRPC over HTTP/1: the gate does not speak them.
    RpcProtocolUnsupported = Route WithoutMethod false, 415 "INVALID_ARGUMENT" "RPC_PROTOCOL_UNSUPPORTED" OPGATE None "The protocol of the call is not supported. Use gRPC over HTTP/2, or HTTP with JSON.";
    /// No exposed method has this path.
    MethodNotFound = Route WithoutMethod true, 404 "NOT_FOUND" "METHOD_NOT_FOUND" OPGATE None "Method not found.";
    /// A discovery document or a batch, which the gate does not offer.
    NotOffered = Route WithoutMethod true, 404 "NOT_FOUND" "NOT_OFFERED" OPGATE None "Not offered here.";
    /// The path exists under another HTTP method.
    HttpMethodNotAllowed = Route WithoutMethod true, 405 "INVALID_ARGUMENT" "HTTP_METHOD_NOT_ALLOWED" OPGATE None "HTTP method is not allowed for this path.";
    /// No credential was sent.
    CredentialsMissing = Authenticate WithoutCredential true, 401 "UNAUTHENTICATED" "CREDENTIALS_MISSING" GOOGLE Realm MISSING;
    /// A credential was sent that proves nothing.
    TokenInvalid = Authenticate Regardless true, 401 "UNAUTHENTICATED" "JWT_TOKEN_INVALID" GOOGLE InvalidToken INVALID;
    /// The token is longer than `limits.token_bytes`. Not 401: a new token would be as long.
    TokenTooLarge = Authenticate Regardless false, 431 "INVALID_ARGUMENT" "ACCESS_TOKEN_TOO_LARGE" OPGATE None "Request has a credential that is too large.";
    /// The token was good once.
    TokenExpired = Authenticate Regardless true, 401 "UNAUTHENTICATED" "ACCESS_TOKEN_EXPIRED" GOOGLE InvalidToken INVALID;
    /// A token of a kind that is not an access token here: an ID token, an unknown `typ`, an opaque token without an
    /// issuer that could be asked.
    TokenTypeUnsupported = Authenticate Regardless true, 401 "UNAUTHENTICATED" "ACCESS_TOKEN_TYPE_UNSUPPORTED" GOOGLE InvalidToken INVALID;
    /// The token is bound to a key, and the proof that came with it is not valid.
    ProofInvalid = Authenticate Regardless false, 401 "UNAUTHENTICATED" "DPOP_PROOF_INVALID" OPGATE InvalidProof INVALID;
    /// A proof with the nonce of this answer would do.
    ProofNonceMissing = Authenticate Regardless false, 401 "UNAUTHENTICATED" "DPOP_NONCE_REQUIRED" OPGATE UseNonce INVALID;
    /// An authorization scheme other than Bearer and DPoP.
    CredentialTypeUnsupported = Authenticate Regardless false, 401 "UNAUTHENTICATED" "CREDENTIAL_TYPE_UNSUPPORTED" GOOGLE Realm INVALID;
    /// More than one credential.
    CredentialsOverloaded = Authenticate Regardless false, 400 "INVALID_ARGUMENT" "OVERLOADED_CREDENTIALS" GOOGLE None "Request has more than one authentication credential.";
    /// The token holds none of the scopes that the method accepts.
    ScopeInsufficient = Scope WithoutScope true, 403 "PERMISSION_DENIED" "ACCESS_TOKEN_SCOPE_INSUFFICIENT" GOOGLE InsufficientScope "Request had insufficient authentication scopes.";
    /// No allow policy on the resource or above it grants the permission.
    PermissionDenied = Policy Lacking true, 403 "PERMISSION_DENIED" "IAM_PERMISSION_DENIED" IAM None "Permission denied.";
    /// The method is declared, authorized, and not implemented behind this gate.
    Unimplemented = Implementation Unimplemented true, 501 "UNIMPLEMENTED" "METHOD_UNIMPLEMENTED" OPGATE None "Method is not implemented.";
    /// Nothing can be decided yet: keys are not loaded, an issuer does not answer about an opaque token, or no more
    /// proofs of possession can be remembered.
    NotReady = Authenticate Inconclusive false, 503 "UNAVAILABLE" "GATE_NOT_READY" OPGATE None "The service is currently unavailable.";
    /// The token names a key that its issuer may have made since it was last asked: it is not known yet whether it is
    /// good.
    KeyPending = Authenticate Inconclusive false, 503 "UNAVAILABLE" "SIGNING_KEY_PENDING" OPGATE None "The service is currently unavailable.";
    /// The connection has as many requests under way as it may have.
    TooManyStreams = Request Regardless false, 429 "RESOURCE_EXHAUSTED" "STREAM_LIMIT_EXCEEDED" OPGATE None "Too many requests at one time.";
    /// The principal has as many requests under way as it may have.
    PrincipalLimit = Admission Inconclusive false, 429 "RESOURCE_EXHAUSTED" "PRINCIPAL_LIMIT_EXCEEDED" OPGATE None "Too many requests at one time.";
    /// The address has as many requests under way, or not allowed yet, as it may have.
    AddressLimit = Admission Inconclusive false, 429 "RESOURCE_EXHAUSTED" "ADDRESS_LIMIT_EXCEEDED" OPGATE None "Too many requests at one time.";
    /// As many proofs as may be are remembered for the key that the token is bound to.
    ProofLimit = Authenticate Inconclusive false, 429 "RESOURCE_EXHAUSTED" "DPOP_PROOF_LIMIT_EXCEEDED" OPGATE None "Too many proofs of possession by one key in a short time.";
    /// The gate has as many requests under way as it may have.
    Overloaded = Admission Inconclusive false, 503 "UNAVAILABLE" "GATE_OVERLOADED" OPGATE None "The service is currently unavailable.";
    /// There is no place for the request's audit line, and the operator wants no gap in the log.
    AuditUnavailable = Admission Inconclusive false, 503 "UNAVAILABLE" "AUDIT_LOG_UNAVAILABLE" OPGATE None "The service is currently unavailable.";
    /// The backend of the service does not speak HTTP/2, which gRPC needs.
    GrpcNotForwarded = Upstream Inconclusive false, 501 "UNIMPLEMENTED" "GRPC_NOT_FORWARDED" OPGATE None "The service takes no gRPC calls here.";
    /// No backend has the request: none could be reached, or it said that it has not begun.
    UpstreamUnavailable = Upstream Inconclusive false, 503 "UNAVAILABLE" "UPSTREAM_UNAVAILABLE" OPGATE None "The service is currently unavailable.";
    /// The backend has as many exchanges under way as it may have.
    UpstreamOverloaded = Upstream Inconclusive false, 503 "UNAVAILABLE" "UPSTREAM_OVERLOADED" OPGATE None "The service is currently unavailable.";
    /// The backend did not answer in time.
    UpstreamTimeout = Upstream Inconclusive false, 504 "DEADLINE_EXCEEDED" "UPSTREAM_TIMEOUT" OPGATE None "Deadline expired before operation could complete.";
    /// The backend answered something that is not HTTP, or closed the connection within its answer.
    UpstreamInvalid = Upstream Inconclusive false, 502 "UNAVAILABLE" "UPSTREAM_INVALID" OPGATE None "The service sent an invalid response.";
    /// The client went away before it had its answer.
    ClientClosed = Any Inconclusive false, 499 "CANCELLED" "CLIENT_CLOSED_REQUEST" OPGATE None "The client closed the request.";
    /// The client did not take its answer in time.
    AnswerNotTaken = Any Inconclusive false, 499 "CANCELLED" "RESPONSE_NOT_TAKEN" OPGATE None "The client did not take the response in time.";
    /// The gate ended the request: its grace period was over, or it failed.
    CutOff = Any Inconclusive false, 503 "UNAVAILABLE" "REQUEST_CUT_OFF" OPGATE None "The service is currently unavailable.";
    /// A bug of the gate: refused, since what cannot be decided is denied.
    Internal = Any Inconclusive false, 500 "INTERNAL" "INTERNAL" OPGATE None "Internal error.";
}

impl ReasonRow {
    /// The number of [`ReasonRow::code`] (google/rpc/code.proto), as `google.rpc.Status.code` holds it.
    pub fn code_number(&self) -> u8 {
        code_number(self.code)
    }

    /// The number of the code over gRPC. It is another one where gRPC's own libraries send another one, and clients look for that
    /// (gRPC, "Status codes and their use"): a method that is not there, a message that is too large, an encoding that is not known.
    pub fn grpc_code(&self) -> u8 {
        code_number(match self.reason {
            Reason::MethodNotFound
            | Reason::NotOffered
            | Reason::HttpMethodNotAllowed
            | Reason::MessageEncodingUnsupported
            | Reason::RpcProtocolUnsupported => "UNIMPLEMENTED",
            Reason::MessageTooLarge | Reason::HeadTooLarge => "RESOURCE_EXHAUSTED",
            _ => self.code,
        })
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
    fn what_a_line_says_of_a_request_follows_from_the_stages_around_policy() {
        for reason in Reason::ALL {
            let row = reason.entry();
            let said = match row.stage {
                Stage::Route => Recorded::WithoutMethod,
                Stage::Scope => Recorded::WithoutScope,
                Stage::Policy => Recorded::Lacking,
                Stage::Implementation => Recorded::Unimplemented,
                Stage::Body => Recorded::Allowed,
                Stage::Admission | Stage::Upstream | Stage::Any => Recorded::Inconclusive,
                Stage::Request | Stage::Authenticate => {
                    let policy_was_asked = [
                        Recorded::Allowed,
                        Recorded::Lacking,
                        Recorded::Unimplemented,
                        Recorded::WithoutScope,
                        Recorded::WithoutMethod,
                    ];
                    assert!(!policy_was_asked.contains(&row.recorded), "{reason:?}");
                    row.recorded
                }
            };
            assert_eq!(row.recorded, said, "{reason:?}");
        }
    }

    #[test]
    fn a_test_expects_what_a_decision_can_end_in() {
        for reason in Reason::ALL.iter().filter(|reason| reason.entry().is_testable) {
            assert!(reason.entry().stage <= Stage::Implementation, "{reason:?}");
        }
        let expected = Reason::ALL.iter().filter(|reason| reason.entry().is_testable).count();
        assert_eq!(expected, 14);
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
