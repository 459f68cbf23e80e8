//! An API method as the gate knows it, and a call of one.

use std::fmt;
use std::sync::Arc;

use super::cors::CorsPolicy;
use super::limits::MethodLimits;
use super::operation::OperationMethod;
use super::resource::ResourceTemplate;
use super::rpc::RpcDescriptor;
use super::service::AuthenticationProvider;
use crate::diagnostic::Place;
use crate::http::HeaderNames;
use crate::http::field_path::overlap;
use crate::transcode::TranscodedMethod;

/// A method that is exposed: everything that later stages need to know, resolved at load.
#[derive(Debug)]
pub struct Method {
    /// Its place in [`crate::catalog::Catalog::methods`]; unique within a snapshot.
    pub index: usize,
    /// The service that exposes it.
    pub service: Arc<Exposure>,
    /// The full RPC name: `google.longrunning.Operations.CancelOperation`.
    pub name: String,
    /// The permission that IAM checks.
    pub permission: PermissionRule,
    /// The OAuth scopes of which a token needs one (google/api/auth.proto: any of them suffices). Empty where the
    /// method asks for none.
    pub scopes: Vec<String>,
    /// The providers of which a token has to be one's. Empty for any issuer that the operator accepts.
    pub requirements: Vec<TokenRequirement>,
    /// Whether a caller without a credential may ask (`allow_without_credential`); asks for no scope then.
    pub allow_without_credential: bool,
    /// How the path names the resource.
    pub resource: ResourceTemplate,
    /// What conditions see as `resource.type`, where the iam rule says it.
    pub resource_type: Option<String>,
    /// What kind of access it is to the audit log, where the iam rule says it.
    pub permission_type: Option<PermissionType>,
    /// What it does with long-running operations, if anything: by its name.
    pub operation: Option<OperationMethod>,
    /// Whether the answer is 501 once the caller is authorized.
    pub unimplemented: bool,
    /// Its messages, where a descriptor is known.
    pub rpc: Option<RpcDescriptor>,
    /// Why its messages do not name the resource, where a descriptor is known.
    pub rpc_fault: Option<String>,
    /// What one call of it may take.
    pub limits: MethodLimits,
    /// Where its iam rule is written.
    pub place: Place,
}

impl Method {
    /// Whether a caller needs no scope: the credential is optional, or any valid token will do.
    pub fn asks_for_no_scope(&self) -> bool {
        self.allow_without_credential || self.scopes.is_empty()
    }
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
    /// What goes upstream beside the request itself.
    pub forwarding: Forwarding,
    /// The web pages that may call it; `None` where the gate tells browsers nothing.
    pub cors: Option<CorsPolicy>,
    /// The URL by which OAuth clients know it (RFC 9728, `resource`), where the gate publishes its metadata.
    pub protected_resource: Option<String>,
    /// ErrorInfo.domain of its IAM denials: `iam.googleapis.com` unless the iam file says otherwise.
    pub error_domain: String,
}

/// What goes upstream beside the request itself: the caller's identity and the client's own fields, as the operator
/// says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forwarding {
    /// The client's `Authorization`.
    pub authorization: bool,
    /// `x-opgate-principal`: the verified principal, percent-encoded.
    pub principal: bool,
    /// `x-opgate-jwt-assertion`: the caller, in a token that the gate signs.
    pub assertion: bool,
    /// `x-request-id`: the id that the audit line and an error carry.
    pub request_id: bool,
    /// `x-forwarded-for` and `x-forwarded-proto`: the client's address and scheme, as far as they are known.
    pub origin: bool,
    /// The client's fields that may go upstream, `None` for all that a client may send. Fields that frame or describe
    /// the body always go.
    pub request_headers: Option<HeaderNames>,
}

/// A provider whose tokens a method takes, and for which audiences (google/api/auth.proto).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRequirement {
    /// The provider.
    pub provider: Arc<AuthenticationProvider>,
    /// A token needs one of these in `aud`; at least one.
    pub audiences: Vec<String>,
}

/// The IAM side of a method.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PermissionRule {
    /// The caller needs this permission on the resource.
    Required(String),
    /// `permission: none`, written in the file: a valid token with a scope is enough.
    None,
}

/// What kind of access a method is, as Cloud Audit Logs part them (google/cloud/audit/audit_log.proto,
/// `AuthorizationInfo.PermissionType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PermissionType {
    /// It reads metadata or configuration.
    AdminRead,
    /// It writes metadata or configuration.
    AdminWrite,
    /// It reads data of users.
    DataRead,
    /// It writes data of users.
    DataWrite,
}

impl PermissionType {
    /// All of them, by Google's names.
    pub const NAMES: [(&'static str, Self); 4] = [
        ("ADMIN_READ", Self::AdminRead),
        ("ADMIN_WRITE", Self::AdminWrite),
        ("DATA_READ", Self::DataRead),
        ("DATA_WRITE", Self::DataWrite),
    ];

    /// Google's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AdminRead => "ADMIN_READ",
            Self::AdminWrite => "ADMIN_WRITE",
            Self::DataRead => "DATA_READ",
            Self::DataWrite => "DATA_WRITE",
        }
    }
}

/// What body a call may bring (docs/services.md, "Bodies").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyRule {
    /// No byte.
    Empty,
    /// Nothing, `{}`, `""` or `{"name": <the path's name>}`; forwarded as nothing.
    EmptyMessage,
    /// A bounded JSON object whose fields agree with the path.
    Message,
    /// Bounded bytes, forwarded as they come.
    Stream,
}

impl BodyRule {
    /// The rule for a request with this HTTP method. The body of a GET, HEAD or DELETE has no defined meaning (RFC
    /// 9110, sections 9.3.1, 9.3.2 and 9.3.5): one server reads it, another takes it for the next request. So such a
    /// request has no body, whatever a file says.
    pub fn on(self, http_method: &::http::Method) -> Self {
        match *http_method {
            ::http::Method::GET | ::http::Method::HEAD | ::http::Method::DELETE => Self::Empty,
            _ => self,
        }
    }
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
    /// What body it may bring. A property of the binding that matched, not of the method: published services bind
    /// one RPC both with a body and without.
    pub body: BodyRule,
    /// The one field of the request message that the body holds (`body: book` in the http rule), or `None` where it
    /// holds the whole message (`body: "*"`) or nothing.
    pub body_field: Option<Arc<str>>,
    /// How the request becomes a message of gRPC, where it does.
    pub transcoding: Option<Arc<TranscodedMethod>>,
    /// The relative name of the resource, where it is not the value of one path variable.
    pub resource_name: Option<Box<str>>,
    /// Whether it is a HEAD that took the route of GET.
    pub is_head_of_get: bool,
}

impl Call {
    /// A path variable's value.
    pub fn binding(&self, field: &str) -> Option<&str> {
        self.bindings.iter().find(|(name, _)| &**name == field).map(|(_, value)| value.as_str())
    }

    /// The relative name of the resource that IAM is asked about; empty where the method has none.
    pub fn resource(&self) -> &str {
        match &self.resource_name {
            Some(name) => name,
            None => self.method.resource.whole().and_then(|field| self.binding(field)).unwrap_or_default(),
        }
    }

    /// Whether a decoded query key would set a field that the path sets: the field itself, a part of it (`name.x`,
    /// `name[x]`) or the message around it. A backend that reads the query after the path would act on another
    /// resource than the one that was judged. `bookId`, `book_id` and `BookID` are one field here, since proto JSON
    /// reads the first two alike and some JSON libraries all three.
    pub fn binds_query_key(&self, key: &str) -> bool {
        self.bindings.iter().any(|(field, _)| overlap(field, key))
    }

    /// The path variables that a JSON body could set once more, as the body would spell them: the steps into the
    /// body, and the value that the body must agree with.
    pub fn bindings_in_body(&self) -> impl Iterator<Item = (&str, &str)> {
        self.bindings.iter().filter_map(|(field, value)| {
            let field = match &self.body_field {
                None => field,
                Some(outer) => field.strip_prefix(&**outer)?.strip_prefix('.')?,
            };
            Some((field, value.as_str()))
        })
    }
}
