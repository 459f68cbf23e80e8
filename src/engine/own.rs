//! What the gate answers by itself: nothing is decided, no credential is asked for, and nothing goes upstream.

use std::collections::BTreeSet;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method};
use serde_json::json;

use super::exchange::{HEALTH_PROBED, Phase};
use super::{Decision, Engine, Exchange};
use crate::catalog::Exposure;
use crate::decision::preflight;
use crate::http::Request;
use crate::http::preflight::page_origin;
use crate::reason::{CalledService, Denial, Reason};

/// The reason of a request that the gate answered with the keys that verify its assertions.
pub const KEYS_PUBLISHED: &str = "KEYS_PUBLISHED";
/// The reason of a preflight that the gate answered.
pub const PREFLIGHT_ANSWERED: &str = "PREFLIGHT_ANSWERED";

/// The reason of a request for the metadata of a service.
pub const RESOURCE_METADATA_PUBLISHED: &str = "RESOURCE_METADATA_PUBLISHED";

/// Where the metadata of a resource without a path is (RFC 9728, section 3.1).
const METADATA_PATH: &str = "/.well-known/oauth-protected-resource";

/// An answer of the gate's own.
#[derive(Clone, Debug)]
pub enum OwnAnswer {
    /// The public keys that verify its assertions, as a JWK set.
    Keys(Bytes),
    /// The fields with which a browser lets a page send its request.
    Preflight(Vec<(HeaderName, HeaderValue)>),
    /// The metadata of the services on a host, as JSON (RFC 9728).
    ResourceMetadata(Bytes),
    /// Whether a balancer should send requests here.
    Health(bool),
}

impl OwnAnswer {
    /// The `reason` of the audit line and in metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Keys(_) => KEYS_PUBLISHED,
            Self::Preflight(_) => PREFLIGHT_ANSWERED,
            Self::ResourceMetadata(_) => RESOURCE_METADATA_PUBLISHED,
            Self::Health(_) => HEALTH_PROBED,
        }
    }
}

impl Engine {
    /// What the gate answers to this request by itself. `None` where it is to be decided.
    pub(super) fn own_answer(&self, exchange: &mut Exchange, request: &Request) -> Option<Decision> {
        // A method that has this path goes before: nothing that policy protects is shadowed.
        if request.is_health_probe && exchange.live.snapshot.catalog.at(&request.path).is_empty() {
            exchange.phase = Phase::Answering(HEALTH_PROBED);
            return Some(Decision::Answer(OwnAnswer::Health(self.is_in_service())));
        }
        let published = published_keys(exchange, request).or_else(|| resource_metadata(exchange, request));
        let answered = published.or_else(|| {
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

/// The metadata of the services on a host that have some: which authorization servers issue tokens for them, and which scopes
/// their methods take. It is public, and the challenges of 401 lead there. Scopes are the union: a client asks for those that
/// it needs.
fn resource_metadata(exchange: &Exchange, request: &Request) -> Option<Result<OwnAnswer, Denial>> {
    if request.path.as_str() != METADATA_PATH {
        return None;
    }
    let snapshot = &exchange.live.snapshot;
    let mut services = snapshot.catalog.services_on(request.host.as_str());
    let resource = services.find_map(|service| service.protected_resource.as_deref())?;
    if !is_read(request) {
        let denial = Denial::new(Reason::HttpMethodNotAllowed, "the metadata is read with GET or HEAD");
        return Some(Err(denial.allow("GET, HEAD")));
    }
    let methods = snapshot.catalog.methods().iter();
    let own = methods.filter(|method| method.service.protected_resource.as_deref() == Some(resource));
    let scopes: BTreeSet<&str> = own.flat_map(|method| &method.scopes).map(String::as_str).collect();
    let document = json!({
        "resource": resource,
        "authorization_servers": snapshot.authn.authorization_servers().collect::<BTreeSet<_>>(),
        "scopes_supported": scopes,
        "bearer_methods_supported": ["header"],
    });
    Some(Ok(OwnAnswer::ResourceMetadata(format!("{document}\n").into())))
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

    /// A denial in the words of the service that was called. Of a request that calls no method it is the one that is alone on
    /// the host.
    pub fn worded(&self, denial: Denial) -> Denial {
        let catalog = &self.live.snapshot.catalog;
        let service = match (&self.trace.call, &self.request) {
            (Some(call), _) => Some(&*call.method.service),
            (None, Some(request)) => {
                let mut services = catalog.services_on(request.host.as_str());
                let first = services.next();
                first.filter(|first| services.all(|other| other.name == first.name))
            }
            (None, None) => None,
        };
        match service {
            Some(service) => denial.of(CalledService {
                name: service.name.clone(),
                resource_metadata: service
                    .protected_resource
                    .as_ref()
                    .map(|resource| format!("{resource}{METADATA_PATH}")),
            }),
            None => denial,
        }
    }

    /// Whether the gate decides who may read the answer, whatever the backend says.
    pub fn has_cors(&self) -> bool {
        self.trace.call.as_ref().is_some_and(|call| call.method.service.cors.is_some())
    }
}
