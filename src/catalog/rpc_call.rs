//! A call over gRPC: its message names the resource.

use std::borrow::Cow;
use std::sync::Arc;

use super::method::{BodyRule, Call, Method};

impl Call {
    /// A call over gRPC whose message has these values at the fields that name the resource; none, of a call whose message is
    /// not there yet.
    pub fn of_rpc(method: Arc<Method>, values: &[Cow<'_, str>]) -> Self {
        let fields = method.rpc.as_ref().map(|rpc| rpc.fields.clone()).unwrap_or_default();
        let values = values.iter().map(|value| value.clone().into_owned());
        let bindings: Vec<(Arc<str>, String)> = fields.paths().iter().cloned().zip(values).collect();
        // Before the message is there, the resource is not known.
        let is_known = bindings.len() == fields.paths().len();
        Self {
            resource_name: if is_known { method.resource.name(&bindings) } else { Some("".into()) },
            method,
            bindings,
            body: BodyRule::Message,
            body_field: None,
            is_head_of_get: false,
            transcoding: None,
        }
    }
}
