//! A route: one binding of a method, and how it stands to another that matches the same requests.

use std::sync::Arc;

use crate::catalog::method::{BodyRule, Call, Exposure, Method};
use crate::catalog::template::Template;
use crate::diagnostic::Span;
use crate::http::Path;

/// One binding of a method.
#[derive(Debug)]
pub struct Route {
    /// The service whose method it is.
    pub service: Arc<Exposure>,
    /// The HTTP method, or `None` for any.
    pub http_method: Option<::http::Method>,
    /// The path.
    pub template: Template,
    /// Where it leads.
    pub target: RouteTarget,
}

/// A route and where its template is written, kept together while conflicts can still be reported.
pub type WrittenRoute = (Arc<Route>, Span);

/// Where a route leads.
#[derive(Debug)]
pub enum RouteTarget {
    /// To an exposed method.
    Open {
        /// The method.
        method: Arc<Method>,
        /// What body it takes.
        body: BodyRule,
        /// The field that the body holds, where it is not the whole message.
        body_field: Option<Arc<str>>,
    },
    /// To a method that no iam rule exposes.
    Closed {
        /// The full RPC name.
        rpc: String,
    },
}

impl Route {
    /// The full RPC name.
    pub(super) fn rpc(&self) -> &str {
        match &self.target {
            RouteTarget::Open { method, .. } => &method.name,
            RouteTarget::Closed { rpc } => rpc,
        }
    }

    pub(super) fn long_name(&self) -> String {
        format!("`{}` of `{}`", self.rpc(), self.service.id)
    }

    /// Whether a request that matches both, being of one shape, is the same call either way.
    pub(super) fn reads_like(&self, other: &Self) -> bool {
        let same_target = match (&self.target, &other.target) {
            (RouteTarget::Closed { rpc }, RouteTarget::Closed { rpc: other }) => rpc == other,
            (
                RouteTarget::Open { method, body, body_field },
                RouteTarget::Open { method: other, body: other_body, body_field: other_field },
            ) => method.index == other.index && body == other_body && body_field == other_field,
            _ => false,
        };
        Arc::ptr_eq(&self.service, &other.service) && same_target && self.template == other.template
    }

    /// Whether two routes of one shape cannot stand side by side: both lead somewhere, or one is what the other's
    /// backend might run instead.
    pub(super) fn is_rival(&self, other: &Self) -> bool {
        let is_spelled_alike = || self.template.shape() == other.template.shape();
        match (self.is_open(), other.is_open()) {
            (true, true) => self.service.upstream == other.service.upstream || is_spelled_alike(),
            (false, false) => false,
            (true, false) => other.hides(self),
            (false, true) => self.hides(other),
        }
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self.target, RouteTarget::Open { .. })
    }

    /// Whether a closed route stands in the way of an open one that matches the same request on the same host: the
    /// backend would run the closed method.
    pub(super) fn hides(&self, open: &Self) -> bool {
        self.service.upstream == open.service.upstream && !self.runs_the_same(open)
    }

    /// Whether a backend that takes one for the other does the same. Several services may bring one RPC on one path, as
    /// those with long-running operations do; of that one, the service that exposes it decides.
    pub(super) fn runs_the_same(&self, other: &Self) -> bool {
        self.rpc() == other.rpc() && self.template == other.template
    }

    /// The call that a request makes which takes this route; `None` where it leads to no exposed method.
    pub(super) fn call(&self, http_method: &::http::Method, path: &Path) -> Option<Call> {
        match &self.target {
            RouteTarget::Closed { .. } => None,
            RouteTarget::Open { method, body, body_field } => Some(Call {
                method: method.clone(),
                bindings: self.template.capture(path),
                body: body.on(http_method),
                body_field: body_field.clone(),
            }),
        }
    }
}
