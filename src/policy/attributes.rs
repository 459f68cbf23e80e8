//! What conditions may ask of a request beside who, what and where
//! (<https://cloud.google.com/iam/docs/conditions-attribute-reference>).
//!
//! An attribute that is not known makes what asks for it impossible to evaluate: such a condition never grants, and
//! a deny rule with such a condition denies.

use std::net::IpAddr;
use std::time::SystemTime;

use serde_json::{Map, Value};

use crate::authn::Caller;
use crate::catalog::Call;

/// The attributes of one request.
#[derive(Clone, Copy, Debug)]
pub struct Attributes<'r> {
    /// `request.time`.
    pub time: SystemTime,
    /// `request.path`, as it was judged and is sent.
    pub path: Option<&'r str>,
    /// `request.host`, in lower case, without port.
    pub host: Option<&'r str>,
    /// `request.method`: the HTTP method.
    pub method: Option<&'r str>,
    /// `origin.ip`: the other end of the connection.
    pub origin: Option<IpAddr>,
    /// `resource.service`: the `name` of the google.api.Service.
    pub service: Option<&'r str>,
    /// `resource.type`: what the method's iam rule says its resource is.
    pub resource_type: Option<&'r str>,
    /// `request.auth.claims`: the verified token's.
    pub claims: Option<&'r Map<String, Value>>,
}

impl<'r> Attributes<'r> {
    /// The time and nothing else.
    pub fn at(time: SystemTime) -> Self {
        Self {
            time,
            path: None,
            host: None,
            method: None,
            origin: None,
            service: None,
            resource_type: None,
            claims: None,
        }
    }

    /// With what the call and the caller add.
    pub(super) fn of_call(self, call: &'r Call, caller: Option<&'r Caller>) -> Self {
        Self {
            service: Some(&call.method.service.name),
            resource_type: call.method.resource_type.as_deref(),
            claims: caller.map(|caller| &caller.claims),
            ..self
        }
    }
}
