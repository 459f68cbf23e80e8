//! What body an operation takes.

use std::collections::HashSet;

use super::dialect::OpenApiVersion;
use crate::diagnostic::Report;
use crate::document::Node;
use crate::import::lookup::{References, entries, field, items, text, texts};

/// The body of an operation, as rules say it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Body {
    /// `body` of the http rule.
    pub(super) http: Option<&'static str>,
    /// `body` of the iam rule.
    pub(super) iam: Option<&'static str>,
    pub(super) question: Option<String>,
    pub(super) remark: Option<String>,
}

impl Body {
    /// The body that a description gives. `parameters` are resolved.
    pub(super) fn of<'n>(
        (root, references): (&'n Node, &References<'n>),
        operation: &'n Node,
        parameters: &[&'n Node],
        dialect: OpenApiVersion,
        report: &mut Report,
    ) -> Self {
        let types: Option<Vec<String>> = match dialect {
            OpenApiVersion::OpenApi3 => match field(operation, "requestBody") {
                None => None,
                Some(body) => match references.resolve(body, report) {
                    Some(body) => {
                        let content = field(body, "content");
                        Some(
                            content.into_iter().flat_map(entries).map(|(kind, ..)| kind.to_owned()).collect(),
                        )
                    }
                    None => return Self::asked("its body is described in another file"),
                },
            },
            OpenApiVersion::Swagger2 => {
                let is_in =
                    |place: &str| parameters.iter().any(|parameter| text(parameter, "in") == Some(place));
                let consumes =
                    field(operation, "consumes").or(field(root, "consumes")).map(texts).unwrap_or_default();
                match (is_in("body"), is_in("formData")) {
                    (false, false) => None,
                    (true, _) => Some(consumes),
                    (false, true) if consumes.is_empty() => {
                        Some(vec!["application/x-www-form-urlencoded".to_owned()])
                    }
                    (false, true) => Some(consumes),
                }
            }
        };
        types.map(|types| Self::of_types(&types)).unwrap_or_default()
    }

    fn of_types(types: &[String]) -> Self {
        let bare = |kind: &String| kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let is_json =
            |kind: &String| matches!(bare(kind).as_str(), "application/json" | "*/*" | "application/*");
        if types.is_empty() || types.iter().all(is_json) {
            return Self { http: Some("*"), ..Self::default() };
        }
        let others: Vec<String> =
            types.iter().filter(|kind| !is_json(kind)).map(|kind| format!("`{kind}`")).collect();
        let others = others.join(", ");
        if types.iter().any(is_json) {
            let remark =
                format!("bodies of the types {others} are refused: only `application/json` is judged");
            return Self { http: Some("*"), remark: Some(remark), ..Self::default() };
        }
        let question = format!(
            "its bodies are {others}, which the gate cannot judge; expose it if the backend takes the resource from the path \
             alone"
        );
        Self { http: Some("*"), iam: Some("stream"), question: Some(question), remark: None }
    }

    fn asked(question: &str) -> Self {
        Self { http: Some("*"), question: Some(question.to_owned()), ..Self::default() }
    }
}

/// The parameters of an operation and of its path, with references followed; the operation's own first.
pub(super) fn parameters<'n>(
    references: &References<'n>,
    of: &[&'n Node],
    report: &mut Report,
) -> Vec<&'n Node> {
    let lists = of.iter().filter_map(|node| field(node, "parameters"));
    let mut known = HashSet::new();
    let resolved = lists.flat_map(items).filter_map(|parameter| references.resolve(parameter, report));
    resolved.filter(|parameter| known.insert((text(parameter, "in"), text(parameter, "name")))).collect()
}
