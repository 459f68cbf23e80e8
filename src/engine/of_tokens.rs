//! The counters of tokens: whose, of which kind, and what came of them.

use std::sync::Arc;

use prometheus::IntCounter;

use super::instruments::Instruments;
use crate::authn::Authenticator;
use crate::metrics::UNKNOWN;
use crate::principal::Caller;
use crate::reason::{Denial, Reason, TOKEN_ACCEPTED, TOKEN_OUTCOMES, TokenKind, token_outcome};

/// The counters of the issuers that are trusted, found without a look-up by hash.
#[derive(Debug)]
pub(super) struct TokenCounters(Vec<(Arc<str>, TokenKind, IntCounter)>);

impl TokenCounters {
    /// Those of each issuer, and of tokens of unknown issuers: all are 0 from the start.
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
                let (issuer, kind) = match of_token.or(of_caller) {
                    Some(known) => known,
                    // A client certificate may have expired too; it is not a token.
                    None if denial.reason() == Reason::TokenExpired => return,
                    None => (None, TokenKind::Jwt),
                };
                let issuer = issuer.map_or(UNKNOWN, |issuer| issuer);
                all.tokens.with_label_values(&[issuer, kind.as_str(), outcome]).inc();
            }
            (None, Some(caller)) => {
                // Not of a client certificate, which no issuer has made.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Exposition, Metrics, Names};

    #[test]
    fn a_client_certificate_that_has_expired_is_not_counted_as_a_token() {
        let metrics = Metrics::new().unwrap();
        let all = Instruments::register(metrics.registry()).unwrap();
        let counters = TokenCounters::new(&Authenticator::believing_nobody(), &all);
        let expired = || Denial::new(Reason::TokenExpired, "expired");
        counters.count(&all, None, Some(&expired()));
        let counted = |outcome: &str| {
            let text = metrics.scrape(Names::default).text(Exposition::Prometheus, &[]);
            let labels = format!("{{issuer=\"unknown\",kind=\"jwt\",outcome=\"{outcome}\"}} ");
            let line = text
                .lines()
                .find_map(|line| line.strip_prefix("opgate_tokens_total")?.strip_prefix(&*labels));
            line.map(str::to_owned)
        };
        assert_eq!(counted("expired").as_deref(), Some("0"));
        counters.count(&all, None, Some(&expired().of_token(TokenKind::Jwt, None)));
        counters.count(&all, None, Some(&Denial::new(Reason::TokenTooLarge, "too large")));
        assert_eq!((counted("expired").as_deref(), counted("too_large").as_deref()), (Some("1"), Some("1")));
    }
}
