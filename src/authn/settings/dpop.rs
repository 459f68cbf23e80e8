//! What an issuer's tokens have to be bound to, and the kinds of proof that are accepted.

use crate::principal::confirmation::DpopRule;

/// Which tokens are accepted, by what they are bound to. The binding of a bound token is always checked, whatever this
/// says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PossessionRule {
    /// Whether a token that is bound to nothing is refused.
    pub required: bool,
    /// Whether tokens may be bound to a client's TLS certificate (RFC 8705).
    pub mtls: bool,
    /// Whether tokens may be bound to a key that signs a proof for each request (RFC 9449), and how those are judged.
    pub dpop: Option<DpopRule>,
}

impl Default for PossessionRule {
    fn default() -> Self {
        Self { required: false, mtls: true, dpop: Some(DpopRule::default()) }
    }
}

impl PossessionRule {
    /// The same for claims that are only assumed: a question need not give the binding that every good token would
    /// have.
    pub(in crate::authn) fn of_assumed(self) -> Self {
        Self { required: false, ..self }
    }
}
