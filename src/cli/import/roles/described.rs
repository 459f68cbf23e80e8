//! Roles as `gcloud` prints them, in the shape of google/iam/admin/v1/iam.proto (`Role`).

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::documents;
use crate::diagnostic::{Report, Source, Span};
use crate::document::{self, Node, Spelling, Value};
use crate::policy::model::role::is_role_name;

/// A role of the input.
#[derive(Debug)]
pub(super) struct DescribedRole {
    pub(super) name: String,
    pub(super) title: Option<String>,
    pub(super) stage: Option<String>,
    pub(super) deleted: bool,
    /// `None` where the input does not list them.
    pub(super) permissions: Option<Vec<String>>,
    span: Span,
}

/// Most roles that a command in a help names.
const MOST_NAMED: usize = 20;

/// The roles of a text. What is wrong is in the report.
pub(super) fn read(source: &Arc<Source>, report: &mut Report) -> Vec<DescribedRole> {
    let documents = documents::split(source);
    let mut found = Vec::new();
    for document in &documents {
        if let Some(node) = document::parse(document, report) {
            found.extend(roles(&node, report));
        }
    }
    found
}

/// One role, a list of them, or the answer of the API's `roles.list`.
fn roles(node: &Node, report: &mut Report) -> Vec<DescribedRole> {
    let listed = match &node.value {
        Value::Null => return Vec::new(),
        Value::List(items) => Some(items.as_slice()),
        Value::Map(entries) => entries.iter().find_map(|(key, value)| match (&key.value, &value.value) {
            (Value::String(key), Value::List(items)) if key == "roles" => Some(items.as_slice()),
            _ => None,
        }),
        _ => None,
    };
    match listed {
        Some(items) => items.iter().filter_map(|item| role(item, report)).collect(),
        None => role(node, report).into_iter().collect(),
    }
}

fn role(node: &Node, report: &mut Report) -> Option<DescribedRole> {
    let mut fields = node.fields("a role", Spelling::Proto, report)?;
    let name = fields.required("name", report).and_then(|node| name(node, report));
    let title = fields.optional_string("title", report).map(str::to_owned);
    let stage = fields.optional_string("stage", report).map(str::to_owned);
    let deleted = fields.optional("deleted").and_then(|node| node.boolean(report)).unwrap_or_default();
    let permissions = fields.optional("includedPermissions").map(|node| {
        let permissions = node.strings(report).into_iter();
        permissions.map(|(permission, _)| permission.to_owned()).collect()
    });
    fields.ignore(&["description", "etag"]);
    fields.finish(report);
    let (name, span) = name?;
    Some(DescribedRole { name, title, stage, deleted, permissions, span })
}

fn name(node: &Node, report: &mut Report) -> Option<(String, Span)> {
    let text = node.string(report)?;
    // The parts of the name become the path of a file.
    if is_role_name(text) && !text.split('/').any(|part| part.starts_with('.')) {
        return Some((text.to_owned(), node.span.clone()));
    }
    report
        .error(&node.span, format!("`{text}` is not the name of a role"))
        .help("pass the output of `gcloud iam roles describe` as it is");
    None
}

/// Checks the roles of all texts together, and removes those that come again.
pub(super) fn check(roles: &mut Vec<DescribedRole>, report: &mut Report) {
    let mut seen: BTreeMap<String, (Span, Option<Vec<String>>)> = BTreeMap::new();
    roles.retain(|role| match seen.get(&role.name) {
        None => {
            seen.insert(role.name.clone(), (role.span.clone(), role.permissions.clone()));
            true
        }
        Some((_, permissions)) if *permissions == role.permissions => false,
        Some((first, _)) => {
            let message = format!("the role `{}` is described twice, with other permissions", role.name);
            report
                .error(&role.span, message)
                .related(first, "the first description is here")
                .help("remove one of the two");
            false
        }
    });
    match roles.first() {
        None if !report.is_fatal() => {
            report
                .file_error(Path::new("-"), "there is no role in the input")
                .help("pass the output of `gcloud iam roles describe ROLE`");
        }
        Some(first) if roles.iter().all(|role| role.permissions.is_none()) => {
            let message =
                "no role of the input lists its permissions: `gcloud iam roles list` leaves them out";
            report
                .error(&first.span, message)
                .help(format!("describe the roles one by one:\n{}", command(roles)));
        }
        _ => {}
    }
}

/// The line of shell that describes the roles, or those that a project binds where they are too many.
fn command(roles: &[DescribedRole]) -> String {
    const BOUND: &str =
        "$(gcloud projects get-iam-policy PROJECT --flatten=bindings --format='value(bindings.role)')";
    let names = if roles.len() <= MOST_NAMED {
        roles.iter().map(|role| role.name.as_str()).collect::<Vec<_>>().join(" ")
    } else {
        BOUND.to_owned()
    };
    format!(
        "for role in {names}; do echo ---; gcloud iam roles describe \"$role\"; done | opgate import roles -"
    )
}
