//! What the gate answers by itself: nothing is decided, no credential is asked for, and nothing goes upstream.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method};

use super::exchange::Phase;
use super::{Decision, Engine, Exchange};
use crate::catalog::Exposure;
use crate::decision::preflight;
use crate::http::Request;
use crate::http::preflight::page_origin;
use crate::reason::{Denial, Reason};

/// The reason of a request that the gate answered with the keys that verify its assertions.
pub const KEYS_PUBLISHED: &str = "KEYS_PUBLISHED";
/// The reason of a preflight that the gate answered.
pub const PREFLIGHT_ANSWERED: &str = "PREFLIGHT_ANSWERED";

/// An answer of the gate's own.
#[derive(Clone, Debug)]
pub enum OwnAnswer {
    /// The public keys that verify its assertions, as a JWK set.
    Keys(Bytes),
    /// The fields with which a browser lets a page send its request.
    Preflight(Vec<(HeaderName, HeaderValue)>),
}

impl OwnAnswer {
    /// The `reason` of the audit line and in metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Keys(_) => KEYS_PUBLISHED,
            Self::Preflight(_) => PREFLIGHT_ANSWERED,
        }
    }
}

impl Engine {
    /// What the gate answers to this request by itself. `None` where it is to be decided.
    pub(super) fn own_answer(&self, exchange: &mut Exchange, request: &Request) -> Option<Decision> {
        let answered = published_keys(exchange, request).or_else(|| {
            let answered = preflight(&exchange.live.snapshot, request)?;
            Some(answered.map(OwnAnswer::Preflight))
        })?;
        Some(match answered {
            Ok(answer) => {
                exchange.phase = Phase::Answering(answer.reason());
                Decision::Answer(answer)
            }
            Err(denial) => Decision::Refused(denial),
        })
    }
}

/// The keys that verify assertions, where that is what the request is for. They are public: no credential is asked for or
/// looked at, and no host or query makes a difference. 405 for any method but GET and HEAD: nothing under that path is
/// ever forwarded.
fn published_keys(exchange: &Exchange, request: &Request) -> Option<Result<OwnAnswer, Denial>> {
    let assertions = exchange.live.assertions()?;
    if !assertions.are_published_at(&request.path) {
        return None;
    }
    Some(if is_read(request) {
        Ok(OwnAnswer::Keys(assertions.jwks()))
    } else {
        let denial =
            Denial::new(Reason::HttpMethodNotAllowed, "`assertion.jwks_path` is read with GET or HEAD");
        Err(denial.allow("GET, HEAD"))
    })
}

fn is_read(request: &Request) -> bool {
    matches!(request.method, Method::GET | Method::HEAD)
}

impl Exchange {
    /// The fields with which the page that sent the request can read the answer to it, where the service says `cors`. Of a
    /// request that calls no method, any service on its host may say so: such an answer tells of none of them.
    pub fn cors_fields(&self) -> Vec<(HeaderName, HeaderValue)> {
        let Some(request) = &self.request else { return Vec::new() };
        let Some(origin) = page_origin(&request.headers) else { return Vec::new() };
        let allowed = |service: &Exposure| {
            let fields = service.cors.as_ref()?.answer(origin);
            (!fields.is_empty()).then_some(fields)
        };
        let found = match &self.trace.call {
            Some(call) => allowed(&call.method.service),
            None => self.live.snapshot.catalog.services_on(request.host.as_str()).find_map(allowed),
        };
        found.unwrap_or_default()
    }

    /// Whether the gate decides who may read the answer, whatever the backend says.
    pub fn has_cors(&self) -> bool {
        self.trace.call.as_ref().is_some_and(|call| call.method.service.cors.is_some())
    }
}
