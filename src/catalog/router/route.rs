//! A route: one binding of a method, and where it leads.

use std::sync::Arc;

use crate::catalog::method::{BodyRule, Exposure, Method};
use crate::catalog::template::Template;
use crate::diagnostic::Span;
use crate::transcode::TranscodedMethod;

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
        /// How its requests become messages of gRPC, where they do.
        transcoding: Option<Arc<TranscodedMethod>>,
    },
    /// To a method that no iam rule exposes.
    Closed {
        /// The full RPC name.
        rpc: String,
    },
}
