//! What became of a decision, and at which stage: the labels of `opgate_decisions_total`.
//!
//! The question behind it is whether the gate does its work. A refusal is work: `denied`, however wrong the client was.
//! `undecided` is a fault of the gate, and an error budget counts it: no keys, no room, an end before the decision.
//! `pending` is neither: a token names a key that is not known yet, which any stranger can make up.

use super::{Reason, Stage};

/// What became of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DecisionOutcome {
    /// The call was allowed, whatever came of forwarding it.
    Allowed,
    /// It was refused, or its client did not wait.
    Denied,
    /// The gate could not decide, or could not go on.
    Undecided,
    /// The decision waits for a key that may not exist.
    Pending,
}

impl DecisionOutcome {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Allowed, Self::Denied, Self::Undecided, Self::Pending];

    /// The value of the label `decision`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Denied => "denied",
            Self::Undecided => "undecided",
            Self::Pending => "pending",
        }
    }
}

/// The stages of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DecisionStage {
    /// Reading the request in one way.
    Parse,
    /// Finding the method.
    Route,
    /// Finding out who calls.
    Authenticate,
    /// Comparing the scopes.
    Scope,
    /// Asking policy.
    Iam,
    /// Whether the method does anything, and whether there is room.
    Admit,
    /// Judging the body. What is allowed has passed this last stage.
    Body,
}

impl DecisionStage {
    /// All of them, in their order.
    pub const ALL: [Self; 7] =
        [Self::Parse, Self::Route, Self::Authenticate, Self::Scope, Self::Iam, Self::Admit, Self::Body];

    /// The value of the label `stage`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Parse => "parse",
            Self::Route => "route",
            Self::Authenticate => "authenticate",
            Self::Scope => "scope",
            Self::Iam => "iam",
            Self::Admit => "admit",
            Self::Body => "body",
        }
    }

    /// The one that a stage of a request belongs to. Nothing is decided after the body.
    pub fn of(stage: Stage) -> Self {
        match stage {
            Stage::Request => Self::Parse,
            Stage::Route => Self::Route,
            Stage::Authenticate => Self::Authenticate,
            Stage::Scope => Self::Scope,
            Stage::Policy => Self::Iam,
            Stage::Implementation | Stage::Admission => Self::Admit,
            Stage::Body | Stage::Upstream | Stage::Any => Self::Body,
        }
    }
}

/// The outcome of a request's decision, and the stage that it came to.
///
/// `refused` is why it was refused or failed, `permitted` whether it was allowed before that, and `reached` how far the
/// decision got.
pub fn outcome(refused: Option<Reason>, permitted: bool, reached: Stage) -> (DecisionOutcome, DecisionStage) {
    let Some(reason) = refused else { return (DecisionOutcome::Allowed, DecisionStage::Body) };
    let outcome = match class(reason) {
        Class::Outcome(outcome) => outcome,
        Class::UnlessPermitted(_) if permitted => DecisionOutcome::Allowed,
        // A head that never became a request was cut off with a connection that its client flooded.
        Class::UnlessPermitted(_) if reached == Stage::Request => DecisionOutcome::Denied,
        Class::UnlessPermitted(outcome) => outcome,
    };
    let stage = match (outcome, reason.entry().stage) {
        (DecisionOutcome::Allowed, _) => DecisionStage::Body,
        (_, Stage::Any) if permitted => DecisionStage::Body,
        (_, Stage::Any) => DecisionStage::of(reached),
        (_, stage) => DecisionStage::of(stage),
    };
    (outcome, stage)
}

enum Class {
    /// Of every decision that ends so.
    Outcome(DecisionOutcome),
    /// Of a decision that was not made before.
    UnlessPermitted(DecisionOutcome),
}

/// Each reason has its class here: a new one does not compile without.
fn class(reason: Reason) -> Class {
    use DecisionOutcome::{Allowed, Denied, Pending, Undecided};
    match reason {
        Reason::RequestMalformed
        | Reason::QueryParameterRefused
        | Reason::MessageRefused
        | Reason::ResourceNameRefused
        | Reason::MessageTooLarge
        | Reason::MessageEncodingUnsupported
        | Reason::MessageTimeout
        | Reason::RpcProtocolUnsupported
        | Reason::BodyRefused
        | Reason::BodyTooLarge
        | Reason::BodyCodingUnsupported
        | Reason::BodyNotShown
        | Reason::RewriteNeeded
        | Reason::BodyTimeout
        | Reason::HeadTimeout
        | Reason::HeadTooLarge
        | Reason::TargetTooLong
        | Reason::Misdirected
        | Reason::PreflightRefused
        | Reason::MethodNotFound
        | Reason::NotOffered
        | Reason::HttpMethodNotAllowed
        | Reason::CredentialsMissing
        | Reason::TokenInvalid
        | Reason::TokenTooLarge
        | Reason::TokenExpired
        | Reason::TokenTypeUnsupported
        | Reason::ProofInvalid
        | Reason::ProofNonceMissing
        | Reason::CredentialTypeUnsupported
        | Reason::CredentialsOverloaded
        | Reason::ScopeInsufficient
        | Reason::PermissionDenied
        | Reason::Unimplemented
        // What a client takes beyond its own share is its own doing: others are served.
        | Reason::TooManyStreams
        | Reason::PrincipalLimit
        | Reason::AddressLimit
        | Reason::ProofLimit => Class::Outcome(Denied),
        Reason::KeyPending => Class::Outcome(Pending),
        Reason::NotReady | Reason::Overloaded | Reason::AuditUnavailable | Reason::Internal => {
            Class::Outcome(Undecided)
        }
        // The backend's: the decision was made.
        Reason::UpstreamUnavailable
        | Reason::UpstreamOverloaded
        | Reason::GrpcNotForwarded
        | Reason::UpstreamTimeout
        | Reason::UpstreamInvalid => Class::Outcome(Allowed),
        Reason::ClientClosed | Reason::AnswerNotTaken => Class::UnlessPermitted(Denied),
        Reason::CutOff => Class::UnlessPermitted(Undecided),
    }
}

/// The outcome of a token that is good.
pub const TOKEN_ACCEPTED: &str = "accepted";
/// What comes of a token: the values of the label `outcome` of `opgate_tokens_total`.
pub const TOKEN_OUTCOMES: [&str; 8] = [
    TOKEN_ACCEPTED,
    "expired",
    "invalid",
    "unsupported",
    "too_large",
    "unproven",
    "key_pending",
    "not_ready",
];

/// What a refusal says of a token; `None` where it is about something else.
pub fn token_outcome(reason: Reason) -> Option<&'static str> {
    match reason {
        Reason::TokenExpired => Some("expired"),
        Reason::TokenInvalid => Some("invalid"),
        Reason::TokenTypeUnsupported => Some("unsupported"),
        Reason::TokenTooLarge => Some("too_large"),
        Reason::ProofInvalid | Reason::ProofNonceMissing | Reason::ProofLimit => Some("unproven"),
        Reason::KeyPending => Some("key_pending"),
        Reason::NotReady => Some("not_ready"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_an_outcome_and_a_stage() {
        let table: String = Reason::ALL
            .iter()
            .map(|reason| {
                let told = |permitted| {
                    let (outcome, stage) = outcome(Some(*reason), permitted, Stage::Authenticate);
                    format!("{} {}", outcome.as_str(), stage.as_str())
                };
                let (before, after) = (told(false), told(true));
                let after = if before == after { String::new() } else { format!(", if permitted {after}") };
                format!("{:<30} {before}{after}\n", reason.entry().name)
            })
            .collect();
        insta::assert_snapshot!(table);
        let flooded = outcome(Some(Reason::CutOff), false, Stage::Request);
        assert_eq!(flooded, (DecisionOutcome::Denied, DecisionStage::Parse), "a client's own doing");
        assert_eq!(outcome(None, true, Stage::Policy), (DecisionOutcome::Allowed, DecisionStage::Body));
    }

    #[test]
    fn every_outcome_of_a_token_but_the_good_one_has_a_reason() {
        let told: std::collections::BTreeSet<_> =
            Reason::ALL.iter().filter_map(|reason| token_outcome(*reason)).chain([TOKEN_ACCEPTED]).collect();
        assert_eq!(told, TOKEN_OUTCOMES.into_iter().collect());
    }

    #[test]
    fn an_answer_of_the_5xx_that_is_not_the_backends_is_not_a_denial() {
        for reason in Reason::ALL {
            let row = reason.entry();
            let (told, _) = outcome(Some(*reason), row.stage == Stage::Upstream, Stage::Route);
            let is_fault = row.status >= 500 && row.stage != Stage::Implementation;
            assert_eq!(told != DecisionOutcome::Denied, is_fault, "{reason:?}");
        }
    }
}
