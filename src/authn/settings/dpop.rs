//! What an issuer's tokens have to be bound to, and what is taken for proof of it.

/// Which tokens are taken, by what they are bound to. A token that is bound to something is held to it, whatever this says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PossessionRule {
    /// Whether a token that is bound to nothing is refused.
    pub required: bool,
    /// Whether tokens may be bound to a client's TLS certificate (RFC 8705).
    pub mtls: bool,
    /// Whether tokens may be bound to a key that signs a proof for each request (RFC 9449), and how those are judged.
    pub dpop: Option<DpopRule>,
}

/// How the proofs of RFC 9449 are judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DpopRule {
    /// Whether a proof needs a nonce that the gate has given out.
    pub nonces: bool,
    /// A port that clients may name beside the scheme's own and the listener's: that of what stands in front of the gate.
    pub public_port: Option<u16>,
}

impl Default for PossessionRule {
    fn default() -> Self {
        Self { required: false, mtls: true, dpop: Some(DpopRule::default()) }
    }
}

impl PossessionRule {
    /// The same for claims that are only assumed: what every good token would say of its key, nobody cares to write down.
    pub(in crate::authn) fn of_assumed(self) -> Self {
        Self { required: false, ..self }
    }
}
