//! What the sender of a credential has to have beside it (RFC 7800, `cnf`).

use std::fmt;

/// What the sender of a token has to have: all of it, where there is more than one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confirmation {
    /// `x5t#S256`: SHA-256 over the client's certificate, in base64url (RFC 8705, section 3.1).
    pub certificate: Option<Box<str>>,
    /// `jkt`: the key that signs the proofs (RFC 9449, section 6.1).
    pub key: Option<BoundKey>,
}

/// A key that signs proofs, and how they are judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoundKey {
    /// SHA-256 over the key, in base64url (RFC 7638).
    pub thumbprint: Box<str>,
    /// The issuer's rule.
    pub rule: DpopRule,
}

impl fmt::Display for Confirmation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let certificate =
            self.certificate.as_ref().map(|thumbprint| format!("the client certificate `{thumbprint}`"));
        let key = self.key.as_ref().map(|key| format!("a DPoP proof by the key `{}`", key.thumbprint));
        let parts: Vec<String> = [certificate, key].into_iter().flatten().collect();
        formatter.write_str(&parts.join(" and "))
    }
}

/// How the proofs of RFC 9449 are judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DpopRule {
    /// Whether a proof needs a nonce that the gate has given out.
    pub nonces: bool,
    /// A port that clients may name beside the scheme's own and the listener's: that of a proxy in front of the gate.
    pub public_port: Option<u16>,
}
