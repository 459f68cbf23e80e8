//! Which kind of description a file is.

use crate::diagnostic::Report;
use crate::document::{Node, Value};
use crate::import::lookup::field;

/// The two kinds of description.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OpenApiVersion {
    /// `swagger: "2.0"`.
    Swagger2,
    /// `openapi: 3.x.y`.
    OpenApi3,
}

impl OpenApiVersion {
    /// What the file says that it is.
    pub(super) fn of(root: &Node, report: &mut Report) -> Option<Self> {
        let version = |name| match &field(root, name)?.value {
            Value::String(text) => Some(text.clone()),
            // Without quotes, YAML reads a number.
            Value::Float(number) => Some(format!("{number:.1}")),
            _ => None,
        };
        match (version("swagger"), version("openapi")) {
            (Some(version), _) if version == "2.0" => Some(Self::Swagger2),
            (_, Some(version)) if version.starts_with("3.") => Some(Self::OpenApi3),
            _ => {
                report
                    .error(&root.span, "the file is neither OpenAPI 3 nor Swagger 2.0")
                    .help("it begins with `openapi: 3.0.3` or the like, or with `swagger: \"2.0\"`");
                None
            }
        }
    }
}
