//! OPTIONS of a service that says `allow_cors: true`: its backend receives and answers them (google/api/endpoint.proto).
//!
//! As ESPv2 does it, each path of a method gets a route for OPTIONS, which asks for no credential. The routes lead to one
//! method of the service, [`OPTIONS_METHOD`]: so such a request is decided, recorded and counted like any other. The paths
//! of methods that are not exposed get closed routes: OPTIONS of them goes nowhere either.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::limits::MethodLimits;
use super::method::{BodyRule, Exposure, Method, PermissionRule};
use super::resolve::Definition;
use super::resource::ResourceTemplate;
use super::router::RouteTarget;
use super::service::HttpBinding;
use crate::diagnostic::Span;

/// The name, in audit lines and metrics, of the method that OPTIONS requests call which go to the backend.
pub const OPTIONS_METHOD: &str = "opgate.cors.Options";

impl Method {
    /// Whether it stands for OPTIONS requests by the service's `allow_cors`.
    pub fn is_options(&self) -> bool {
        self.name == OPTIONS_METHOD
    }
}

/// The method of a service whose file says `allow_cors` at `span`.
pub(super) fn method(index: usize, service: Arc<Exposure>, limits: MethodLimits, span: &Span) -> Method {
    Method {
        index,
        service,
        name: OPTIONS_METHOD.to_owned(),
        permission: PermissionRule::None,
        scopes: Vec::new(),
        allow_without_credential: true,
        requirements: Vec::new(),
        resource: ResourceTemplate::variable(""),
        resource_type: None,
        permission_type: None,
        operation: None,
        unimplemented: false,
        rpc: None,
        rpc_fault: None,
        limits,
        place: span.place(),
    }
}

/// The bindings of OPTIONS, each with whether it is open. A path has one where none of its own rules takes OPTIONS: neither
/// one that names it nor one for any method, which would be run without a credential.
pub(super) fn bindings(definition: &Definition) -> Vec<(HttpBinding, bool)> {
    let open = definition.rpcs.iter().flat_map(|rpc| rpc.bindings.iter().map(|(binding, _)| (binding, true)));
    let closed =
        definition.closed.iter().flat_map(|http| http.bindings.iter().map(|binding| (binding, false)));
    let all: Vec<_> = open.chain(closed).collect();
    let takes_options = |binding: &HttpBinding| {
        binding.http_method.as_ref().is_none_or(|method| *method == ::http::Method::OPTIONS)
    };
    let mut seen: BTreeSet<String> = all
        .iter()
        .filter(|(binding, _)| takes_options(binding))
        .map(|(binding, _)| binding.template.normal_shape())
        .collect();
    let mut bindings = Vec::new();
    for (binding, is_open) in all {
        if seen.insert(binding.template.normal_shape()) {
            let http_method = Some(::http::Method::OPTIONS);
            bindings.push((HttpBinding { http_method, ..binding.clone() }, is_open));
        }
    }
    bindings
}

/// Where such a binding leads.
pub(super) fn target(method: &Arc<Method>, is_open: bool) -> RouteTarget {
    if is_open {
        RouteTarget::Open {
            method: method.clone(),
            body: BodyRule::Empty,
            body_field: None,
            transcoding: None,
        }
    } else {
        RouteTarget::Closed { rpc: OPTIONS_METHOD.to_owned() }
    }
}
