//! How the methods of a catalog are called over gRPC, and which are not.

use std::path::PathBuf;
use std::sync::Arc;

use super::Catalog;
use super::method::Method;
use super::router::{NoRpcRoute, RpcRoutes};
use crate::diagnostic::Place;
use crate::http::Path as RequestPath;
use crate::reason::Denial;

/// An exposed method that cannot be called over gRPC, or not on every host of its service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotOverGrpc {
    /// The id of the service.
    pub service: String,
    /// The full RPC name.
    pub method: String,
    /// Why.
    pub why: NoRpcRoute,
    /// Where its iam rule is written.
    pub place: Place,
}

/// A descriptor set that lacks a type, so that it describes no messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IncompleteDescriptors {
    /// The id of the service.
    pub service: String,
    /// What is missing.
    pub why: String,
    /// The file.
    pub file: PathBuf,
}

impl Catalog {
    /// Gives each method whose messages are known its route over gRPC.
    pub(super) fn route_rpcs(&mut self) {
        let mut not_over_grpc = Vec::new();
        let mut left_out = |method: &Arc<Method>, why: NoRpcRoute| {
            not_over_grpc.push(NotOverGrpc {
                service: method.service.id.clone(),
                method: method.name.clone(),
                why,
                place: method.place.clone(),
            });
        };
        self.rpcs = RpcRoutes::build(&self.methods, &self.router, &mut left_out);
        // Where a service has a descriptor set, those without one are worth a word.
        let has_some = |method: &Method| {
            let of_service = |other: &&Arc<Method>| Arc::ptr_eq(&other.service, &method.service);
            self.methods
                .iter()
                .filter(of_service)
                .filter_map(|other| other.rpc.as_ref())
                .any(|rpc| !rpc.is_built_in)
        };
        let unknown = |method: &&Arc<Method>| method.rpc.is_none() && !method.is_options();
        for method in self.methods.iter().filter(unknown).filter(|method| has_some(method)) {
            let why = method.rpc_fault.clone().map_or(NoRpcRoute::NoDescriptor, NoRpcRoute::Fields);
            left_out(method, why);
        }
        self.not_over_grpc = not_over_grpc;
    }

    /// The exposed methods that cannot be called over gRPC, of services of which others can.
    pub fn not_over_grpc(&self) -> &[NotOverGrpc] {
        &self.not_over_grpc
    }

    /// Finds the method that a call over gRPC is of. `host` is in lower case, without port.
    ///
    /// # Errors
    /// 404 where there is none.
    pub fn route_rpc(&self, host: &str, path: &RequestPath) -> Result<Arc<Method>, Denial> {
        self.rpcs.route(host, path)
    }

    /// The descriptor sets that lack a type.
    pub fn incomplete_descriptors(&self) -> &[IncompleteDescriptors] {
        &self.incomplete
    }
}
