//! An API method as the gate knows it, and a call of one.

use std::fmt;
use std::sync::Arc;

use crate::diagnostic::Place;

/// A method that is exposed: everything that later stages need to know, resolved at load.
#[derive(Debug)]
pub struct Method {
    /// Its place in [`crate::catalog::Catalog::methods`]; unique within a snapshot.
    pub index: usize,
    /// The service that exposes it.
    pub service: Arc<Exposure>,
    /// The full RPC name: `google.longrunning.Operations.CancelOperation`.
    pub name: String,
    /// What IAM asks for.
    pub permission: PermissionRule,
    /// The OAuth scopes of which a token needs one (google/api/auth.proto: any of them suffices).
    pub scopes: Vec<String>,
    /// Whether a caller without a credential may ask (`allow_without_credential`); asks for no scope then.
    pub allow_without_credential: bool,
    /// The path variable that holds the resource name.
    pub resource_field: String,
    /// What body it takes.
    pub body: BodyRule,
    /// Whether the answer is 501 once the caller is authorized.
    pub unimplemented: bool,
    /// Where its iam rule is written.
    pub place: Place,
}

/// A service as the operator's config exposes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exposure {
    /// The name of its files under `services/`: `cloudaicompanion`.
    pub id: String,
    /// `name` of the google.api.Service: `cloudaicompanion.googleapis.com`.
    pub name: String,
    /// The hosts it answers on, in lower case, without port; `*` for any.
    pub hosts: Vec<String>,
    /// The upstream its calls go to.
    pub upstream: String,
    /// Whether `Authorization` goes upstream.
    pub forwards_authorization: bool,
    /// ErrorInfo.domain of its IAM denials: `iam.googleapis.com` unless the iam file says otherwise.
    pub error_domain: String,
}

/// The IAM side of a method.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PermissionRule {
    /// The caller needs this permission on the resource.
    Required(String),
    /// `permission: none`, said outright: a valid token with a scope is enough.
    None,
}

/// What body a method takes (DESIGN, section 5, "Body").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyRule {
    /// No byte.
    Empty,
    /// Nothing, `{}` or `{"name": <the path's name>}`; forwarded as nothing.
    EmptyMessage,
    /// A bounded JSON object whose fields agree with the path.
    Message,
    /// Bounded bytes, forwarded as they come.
    Stream,
}

impl fmt::Display for BodyRule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Empty => "empty",
            Self::EmptyMessage => "empty_message",
            Self::Message => "message",
            Self::Stream => "stream",
        })
    }
}

/// A request seen as a call of a method.
#[derive(Clone, Debug)]
pub struct Call {
    /// The method.
    pub method: Arc<Method>,
    /// The path variables by field path, decoded: `name` → `projects/p/locations/l/operations/o`.
    pub bindings: Vec<(Arc<str>, String)>,
}

impl Call {
    /// A path variable's value.
    pub fn binding(&self, field: &str) -> Option<&str> {
        self.bindings.iter().find(|(name, _)| &**name == field).map(|(_, value)| value.as_str())
    }

    /// The relative name of the resource that IAM is asked about; empty where the method has none.
    pub fn resource(&self) -> &str {
        self.binding(&self.method.resource_field).unwrap_or_default()
    }
}
