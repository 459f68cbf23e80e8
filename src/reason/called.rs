//! What an answer says of the service that was called: its challenge, its words and its ErrorInfo domain.
//!
//! Google's services answer in Google's words, with Google's realm: client libraries know them. Any other service speaks for
//! itself: a challenge that named accounts.google.com would lead its users to the wrong login.

use super::{Challenge, Reason};

/// The service that a refused request was for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CalledService {
    /// Its name: `lab.example.com`.
    pub name: String,
    /// Where its metadata is (RFC 9728), if it has any.
    pub resource_metadata: Option<String>,
}

/// The realm of Google's services.
pub(super) const GOOGLES_REALM: &str = "https://accounts.google.com/";

impl CalledService {
    /// Whether it is one of Google's.
    pub fn is_googles(&self) -> bool {
        self.name.ends_with(".googleapis.com")
    }

    /// The realm of its challenges (RFC 9110, section 11.5).
    pub(super) fn realm(&self) -> &str {
        if self.is_googles() { GOOGLES_REALM } else { &self.name }
    }

    /// `error_description` of a challenge (RFC 6750, section 3): for developers, and no more than the status tells.
    pub(super) fn description(&self, reason: Reason) -> Option<&'static str> {
        if self.is_googles() {
            return None;
        }
        Some(match (reason, reason.entry().challenge) {
            (Reason::TokenExpired, _) => "The access token has expired",
            (Reason::TokenTypeUnsupported, _) => "The token is not an access token of this service",
            (_, Challenge::InvalidToken) => "The access token is not valid",
            (_, Challenge::InsufficientScope) => "The access token has none of the scopes",
            (_, Challenge::InvalidProof) => "The proof of possession is not valid",
            (_, Challenge::UseNonce) => "The proof of possession needs the nonce of this response",
            (_, Challenge::None | Challenge::Realm) => return None,
        })
    }

    /// The text for the client, where Google's speaks of Google's login.
    pub(super) fn message(&self, reason: Reason) -> &'static str {
        let entry = reason.entry();
        if self.is_googles() || entry.status != 401 {
            return entry.message;
        }
        match reason {
            Reason::CredentialsMissing => {
                "Request is missing required authentication credential. Expected OAuth 2 access token."
            }
            _ => "Request had invalid authentication credentials. Expected OAuth 2 access token.",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reason::Denial;

    fn of(reason: Reason, name: &str, metadata: bool) -> Denial {
        let resource_metadata =
            metadata.then(|| format!("https://{name}/.well-known/oauth-protected-resource"));
        Denial::new(reason, "").scopes("a b").of(CalledService { name: name.to_owned(), resource_metadata })
    }

    #[test]
    fn a_challenge_names_the_services_own_realm() {
        let challenge =
            |reason, metadata| of(reason, "lab.example.com", metadata).challenge().unwrap_or_default();
        let cases = [
            (Reason::CredentialsMissing, false, r#"Bearer realm="lab.example.com""#),
            (
                Reason::CredentialsMissing,
                true,
                r#"Bearer realm="lab.example.com", resource_metadata="https://lab.example.com/.well-known/oauth-protected-resource""#,
            ),
            (
                Reason::TokenExpired,
                false,
                r#"Bearer realm="lab.example.com", error="invalid_token", error_description="The access token has expired""#,
            ),
            (
                Reason::ScopeInsufficient,
                false,
                r#"Bearer realm="lab.example.com", error="insufficient_scope", error_description="The access token has none of the scopes", scope="a b""#,
            ),
            (Reason::PermissionDenied, true, ""),
        ];
        for (reason, metadata, expected) in cases {
            assert_eq!(challenge(reason, metadata), expected);
        }
        let proof = challenge(Reason::ProofNonceMissing, false);
        assert!(
            proof.starts_with(r#"DPoP realm="lab.example.com", error="use_dpop_nonce", error_description="#),
            "{proof}"
        );
        assert!(proof.ends_with(&format!("algs=\"{}\"", crate::reason::PROOF_ALGORITHMS)), "{proof}");
    }

    #[test]
    fn googles_services_answer_in_googles_words() {
        for reason in Reason::ALL {
            let (google, plain) =
                (of(*reason, "pubsub.googleapis.com", false), Denial::new(*reason, "").scopes("a b"));
            assert_eq!(google.challenge(), plain.challenge(), "{reason:?}");
            assert_eq!(google.public_message(), plain.public_message(), "{reason:?}");
        }
    }

    #[test]
    fn other_services_never_send_their_users_to_google() {
        for reason in Reason::ALL {
            let denial = of(*reason, "lab.example.com", true);
            let told = format!("{} {}", denial.public_message(), denial.challenge().unwrap_or_default());
            assert!(!told.contains("google"), "{told}");
        }
    }

    #[test]
    fn what_google_has_no_reason_for_has_the_services_domain() {
        for (reason, expected) in [
            (Reason::CredentialsMissing, "googleapis.com"),
            (Reason::PermissionDenied, "iam.googleapis.com"),
            (Reason::BodyRefused, "lab.example.com"),
            (Reason::Unimplemented, "lab.example.com"),
        ] {
            assert_eq!(of(reason, "lab.example.com", false).error_domain(), expected);
        }
        assert_eq!(Denial::new(Reason::MethodNotFound, "").error_domain(), "opgate");
    }
}
