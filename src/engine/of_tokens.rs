//! The counters of tokens: whose, of which kind, and what came of them.

use std::sync::Arc;

use prometheus::IntCounter;

use super::instruments::Instruments;
use crate::authn::Authenticator;
use crate::metrics::UNKNOWN;
use crate::principal::Caller;
use crate::reason::{Denial, TOKEN_ACCEPTED, TOKEN_OUTCOMES, TokenKind, token_outcome};

/// The counters of the issuers that are trusted, found without a look-up by hash.
#[derive(Debug)]
pub(super) struct TokenCounters(Vec<(Arc<str>, TokenKind, IntCounter)>);

impl TokenCounters {
    /// Those of each issuer, and of tokens that are no known issuer's: all are 0 from the start.
    pub(super) fn new(authn: &Authenticator, all: &Instruments) -> Self {
        let labels = |issuer: &str, kind: TokenKind| {
            for outcome in TOKEN_OUTCOMES {
                all.tokens.with_label_values(&[issuer, kind.as_str(), outcome]);
            }
        };
        for kind in TokenKind::ALL {
            labels(UNKNOWN, kind);
        }
        let of_issuer = |(issuer, kind): (&Arc<str>, TokenKind)| {
            labels(issuer, kind);
            all.awaits(issuer, kind);
            let accepted = all.tokens.with_label_values(&[&**issuer, kind.as_str(), TOKEN_ACCEPTED]);
            (issuer.clone(), kind, accepted)
        };
        Self(authn.token_issuers().map(of_issuer).collect())
    }

    /// Counts the token of a request, if it had one: of a caller who was known, or one that was refused.
    pub(super) fn count(&self, all: &Instruments, caller: Option<&Caller>, denial: Option<&Denial>) {
        let refused = denial.and_then(|denial| Some((denial, token_outcome(denial.reason())?)));
        match (refused, caller) {
            (Some((denial, outcome)), caller) => {
                let token = denial.token();
                let of_caller = caller.and_then(|caller| self.find(&caller.issuer));
                let of_token = token.map(|token| (token.issuer.as_ref(), token.kind));
                let of_caller = of_caller.map(|(issuer, kind, _)| (Some(issuer), *kind));
                let (issuer, kind) = of_token.or(of_caller).unwrap_or((None, TokenKind::Jwt));
                let issuer = issuer.map_or(UNKNOWN, |issuer| issuer);
                all.tokens.with_label_values(&[issuer, kind.as_str(), outcome]).inc();
            }
            (None, Some(caller)) => {
                // Not of a client certificate, which is no issuer's.
                if let Some((.., accepted)) = self.find(&caller.issuer) {
                    accepted.inc();
                }
            }
            (None, None) => {}
        }
    }

    fn find(&self, issuer: &str) -> Option<&(Arc<str>, TokenKind, IntCounter)> {
        self.0.iter().find(|(name, ..)| **name == *issuer)
    }
}
