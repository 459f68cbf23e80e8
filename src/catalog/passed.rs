//! Calls that every gRPC server answers beside its API: health and reflection. The operator's configuration lets them pass to the
//! backend; no iam rule is for them.

use std::sync::Arc;

use super::descriptor::RpcDescriptors;
use super::limits::MethodLimits;
use super::method::{Exposure, Method, PermissionRule};
use super::resource::ResourceTemplate;
use crate::diagnostic::Place;

/// Which of them pass (`services.ID.grpc`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PassedRpcs {
    /// `grpc.health.v1.Health`, without a credential: balancers have none.
    pub health: bool,
    /// `grpc.reflection.v1` and `v1alpha`, with any valid credential: they tell of every method and message.
    pub reflection: bool,
}

const HEALTH: [&str; 2] = ["grpc.health.v1.Health.Check", "grpc.health.v1.Health.Watch"];
const REFLECTION: [&str; 2] = [
    "grpc.reflection.v1.ServerReflection.ServerReflectionInfo",
    "grpc.reflection.v1alpha.ServerReflection.ServerReflectionInfo",
];

impl PassedRpcs {
    /// The methods that pass, from place `index` on; `is_ruled` tells of those that an iam rule is for.
    pub(super) fn methods(
        self,
        index: usize,
        service: &Arc<Exposure>,
        place: &Place,
        is_ruled: impl Fn(&str) -> bool,
    ) -> Vec<Method> {
        let built_in = RpcDescriptors::default();
        let health = HEALTH.iter().filter(|_| self.health).map(|name| (*name, true));
        let reflection = REFLECTION.iter().filter(|_| self.reflection).map(|name| (*name, false));
        let passed = health.chain(reflection).filter(|(name, _)| !is_ruled(name));
        let method = |(index, (name, without_credential)): (usize, (&str, bool))| Method {
            index,
            service: service.clone(),
            name: name.to_owned(),
            permission: PermissionRule::None,
            scopes: Vec::new(),
            requirements: Vec::new(),
            allow_without_credential: without_credential,
            resource: ResourceTemplate::variable(""),
            resource_type: None,
            permission_type: Some(super::PermissionType::AdminRead),
            operation: None,
            unimplemented: false,
            rpc: built_in.find(name),
            rpc_fault: None,
            limits: MethodLimits::default(),
            place: place.clone(),
        };
        (index..).zip(passed).map(method).collect()
    }
}
