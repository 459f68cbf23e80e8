//! `proof_of_possession` of an issuer: which key its tokens have to be bound to.

use super::check::choice;
use crate::authn::{DpopRule, PossessionRule};
use crate::diagnostic::Report;
use crate::document::{Node, Spelling};

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
