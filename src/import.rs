//! Makes the two files of a service from a description that another tool reads or writes.
//!
//! ```text
//! OpenAPI, grpc-gateway ─► ImportedService ─► written ─► services/ID.yaml, services/ID.iam.yaml
//! ```
//!
//! Nothing is opened that the description does not open. What cannot be translated is in the report, with its place, and what
//! a person has to decide is a comment in the iam file: such a method is not exposed. The files are as the [catalog](crate::catalog)
//! reads them, and only the command that writes them asks it whether it does. Pure: text comes in, and text goes out.

pub mod grpc_gateway;
mod lookup;
mod method;
mod naming;
pub mod openapi;
mod path;
mod words;
mod written;

pub use self::method::{CredentialRule, ImportedMethod, ImportedService, Provider, Requirement};
pub use self::written::{ImportedFiles, written};

use crate::diagnostic::Report;
use crate::document::Node;

/// What the person who imports says beside the description.
#[derive(Clone, Debug, Default)]
pub struct ImportOptions {
    /// The service's name, where the description has none or another one is meant.
    pub service: Option<String>,
    /// The first part of every permission; by default the first label of the service's name.
    pub permission_prefix: Option<String>,
    /// The resource above those of paths that name none at the top; by default `projects/` and the first label.
    pub parent: Option<String>,
    /// Whether one of several scopes will do where the description asks for all of them.
    pub any_scope: bool,
}

impl ImportOptions {
    /// `None` where the service's name is chosen and cannot be one; the report says so. `root` is the description.
    fn check(&self, root: &Node, report: &mut Report) -> Option<()> {
        let Some(name) = self.service.as_deref().filter(|name| !is_service_name(name)) else {
            return Some(());
        };
        report
            .file_error(
                &root.span.source.path,
                format!("`--service` is not a DNS name: `{}`", name.escape_debug()),
            )
            .help("write the host that clients call, like `lab.example.com`, in lower case and without port");
        None
    }

    /// The first label of a service's name, as permissions and selectors begin.
    fn short_name(service: &str) -> String {
        let label = service.trim_start_matches("*.").split('.').next().unwrap_or_default();
        words::word(label)
    }

    /// The first part of every permission of a service.
    pub(crate) fn prefix(&self, service: &str) -> String {
        self.permission_prefix.clone().unwrap_or_else(|| Self::short_name(service))
    }

    /// The resource above those of flat paths.
    pub(crate) fn parent(&self, service: &str) -> String {
        let label = service.trim_start_matches("*.").split('.').next().unwrap_or_default();
        self.parent.clone().unwrap_or_else(|| format!("projects/{label}"))
    }
}

/// Whether a text can be the name of a service: a DNS name in lower case.
pub(crate) fn is_service_name(text: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    text.len() <= 253 && text.strip_prefix("*.").unwrap_or(text).split('.').all(is_label)
}
