//! What an issuer's tokens have to be bound to, and the kinds of proof that are accepted.

use crate::diagnostic::Report;
use crate::document::scalar::choice;
use crate::document::{Node, Spelling};
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

/// A kind of proof.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Mtls,
    Dpop,
}

const KINDS: [(&str, Kind); 2] = [("mtls", Kind::Mtls), ("dpop", Kind::Dpop)];

/// Reads it. Mistakes in the default have been reported already.
pub(super) fn possession(node: &Node, report: &mut Report) -> PossessionRule {
    let Some(mut fields) = node.fields("`proof_of_possession`", Spelling::Exact, report) else {
        return PossessionRule::default();
    };
    let tokens = fields.optional("tokens");
    let kinds = fields.optional("kinds");
    let nonces = fields.optional("nonces");
    let public_port = fields.optional("public_port");
    fields.finish(report);

    let required = tokens.and_then(|node| choice(node, &[("optional", false), ("required", true)], report));
    let kinds: Option<Vec<Kind>> = kinds.and_then(|node| {
        let items = node.list(report)?;
        Some(items.iter().filter_map(|item| choice(item, &KINDS, report)).collect())
    });
    let taken = |kind| kinds.as_ref().is_none_or(|kinds| kinds.contains(&kind));
    let rule = DpopRule {
        nonces: nonces.and_then(|node| node.boolean(report)).unwrap_or_default(),
        public_port: public_port.and_then(|node| port(node, report)),
    };
    for (name, node) in [("nonces", nonces), ("public_port", public_port)] {
        if let Some(node) = node.filter(|_| !taken(Kind::Dpop)) {
            report
                .error(&node.span, format!("`{name}` is about DPoP proofs, and `kinds` does not accept any"))
                .help("leave it out, or name `dpop` among `kinds`");
        }
    }
    PossessionRule {
        required: required.unwrap_or_default(),
        mtls: taken(Kind::Mtls),
        dpop: taken(Kind::Dpop).then_some(rule),
    }
}

fn port(node: &Node, report: &mut Report) -> Option<u16> {
    let written = node.integer(report)?;
    let port = u16::try_from(written).ok().filter(|port| *port > 0);
    if port.is_none() {
        report
            .error(&node.span, format!("`{written}` is not a port"))
            .help("write the one that clients connect to, such as `8443`");
    }
    port
}
