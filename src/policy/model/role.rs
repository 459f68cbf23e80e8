//! Roles: named sets of permissions, one file each, in the shape of google/iam/admin/v1/iam.proto (`Role`), which is
//! what `gcloud iam roles describe` prints.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use crate::diagnostic::{Place, Report, Severity, Span};
use crate::document::{Node, Spelling, Value, nearest};
use crate::source::PolicyFiles;

/// How far a role is in its life (`Role.RoleLaunchStage`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are Google's")]
pub enum LaunchStage {
    /// The proto's zero value: what an absent stage means.
    #[default]
    Alpha,
    Beta,
    Ga,
    Deprecated,
    /// The role is kept and contributes no permission.
    Disabled,
    Eap,
}

const STAGES: [(&str, LaunchStage); 6] = [
    ("ALPHA", LaunchStage::Alpha),
    ("BETA", LaunchStage::Beta),
    ("GA", LaunchStage::Ga),
    ("DEPRECATED", LaunchStage::Deprecated),
    ("DISABLED", LaunchStage::Disabled),
    ("EAP", LaunchStage::Eap),
];

/// One role.
#[derive(Clone, Debug)]
pub struct Role {
    /// `roles/x`, `projects/P/roles/x` or `organizations/N/roles/x`.
    pub name: String,
    /// Its stage.
    pub stage: LaunchStage,
    /// Whether it is marked as deleted.
    pub deleted: bool,
    /// Where its name is written.
    pub span: Span,
    permissions: Vec<String>,
}

impl Role {
    /// The permissions that a binding of this role grants: none where it is disabled or deleted.
    pub fn permissions(&self) -> &[String] {
        if self.is_dormant() { &[] } else { &self.permissions }
    }

    /// Whether the role grants nothing, whatever it includes.
    pub fn is_dormant(&self) -> bool {
        self.deleted || self.stage == LaunchStage::Disabled
    }
}

/// Where a role may be bound: everywhere, or at and below the resource that owns it.
pub(in crate::policy) fn owner(name: &str) -> Option<&str> {
    name.rsplit_once("/roles/").map(|(owner, _)| owner)
}

/// Every role that was read, by name.
#[derive(Debug, Default)]
pub struct Roles {
    by_name: BTreeMap<String, Role>,
    /// Whether mistakes have removed a role: a name that is not found may be defined.
    incomplete: bool,
}

impl Roles {
    /// Reads every file below `roles/`. `known` are the permissions that exposed methods ask for, with the place of
    /// the rule that does: a permission one edit away from one of them earns a warning.
    pub(in crate::policy) fn load(
        files: &PolicyFiles,
        known: &[(String, Place)],
        report: &mut Report,
    ) -> Self {
        let mut roles = Self::default();
        let errors_before = report.count(Severity::Error);
        for file in files.below("roles", report) {
            if let Some(node) = file.parse(report)
                && !is_list(&node, report)
                && let Some(role) = Role::read(&node, known, report)
            {
                roles.add(role, report);
            }
        }
        roles.incomplete = report.count(Severity::Error) > errors_before;
        roles
    }

    /// Takes a role in, unless its name is taken.
    pub(in crate::policy) fn add(&mut self, role: Role, report: &mut Report) {
        match self.by_name.entry(role.name.clone()) {
            Entry::Vacant(entry) => {
                entry.insert(role);
            }
            Entry::Occupied(first) => {
                report
                    .error(&role.span, format!("the role `{}` is defined twice", role.name))
                    .related(&first.get().span, "the first definition is here")
                    .help("delete one of the two files, or rename the role in one of them");
            }
        }
    }

    /// The role of this name.
    pub fn find(&self, name: &str) -> Option<&Role> {
        self.by_name.get(name)
    }

    /// Every role, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = &Role> {
        self.by_name.values()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// Whether a role may be missing because of a mistake that is in the report.
    pub(in crate::policy) fn is_incomplete(&self) -> bool {
        self.incomplete
    }

    /// The name that a mistyped one most likely meant.
    pub(in crate::policy) fn nearest(&self, typed: &str) -> Option<&str> {
        nearest(typed, self.by_name.keys().map(String::as_str))
    }
}

impl Role {
    pub(in crate::policy) fn read(
        node: &Node,
        known: &[(String, Place)],
        report: &mut Report,
    ) -> Option<Self> {
        let mut fields = node.fields("a role", Spelling::Proto, report)?;
        let name = fields.required("name", report).and_then(|node| Some((read_name(node, report)?, node)));
        for described in ["title", "description", "etag"] {
            fields.optional_string(described, report);
        }
        let permissions = match fields.optional("includedPermissions") {
            Some(node) => read_permissions(node, known, report),
            None => Vec::new(),
        };
        let stage = fields.optional("stage").and_then(|node| read_stage(node, report));
        let deleted = fields.optional("deleted").and_then(|node| node.boolean(report));
        fields.finish(report);
        let (name, name_node) = name?;
        Some(Self {
            name,
            stage: stage.unwrap_or_default(),
            deleted: deleted.unwrap_or_default(),
            span: name_node.span.clone(),
            permissions,
        })
    }
}

/// Reports a list of roles, as `gcloud iam roles list --format=json` prints it.
fn is_list(node: &Node, report: &mut Report) -> bool {
    let is_list = matches!(node.value, Value::List(_));
    if is_list {
        report.error(&node.span, "the file has a list, and a file below `roles/` defines one role").help(
            format!(
                "make a file of each: `opgate import roles {}`, and delete this one",
                node.span.source.path.display()
            ),
        );
    }
    is_list
}

fn read_name(node: &Node, report: &mut Report) -> Option<String> {
    let name = node.string(report)?;
    if is_role_name(name) {
        return Some(name.to_owned());
    }
    report
        .error(&node.span, format!("`{name}` is not the name of a role"))
        .help("write `roles/ID`, `projects/PROJECT/roles/ID` or `organizations/NUMBER/roles/ID`; an ID has letters, digits, `_` and `.`");
    None
}

/// Whether the text has the form of a role's name.
pub fn is_role_name(text: &str) -> bool {
    let parts: Vec<&str> = text.split('/').collect();
    let id = match parts.as_slice() {
        ["roles", id] => id,
        ["projects" | "organizations", owner, "roles", id] if is_owner(owner) => id,
        _ => return false,
    };
    !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.'))
}

/// The id or number of a project, `example.com:lab` among them, or the number of an organization. Names of roles stand in
/// commands that are printed: no character of one means anything to a shell.
fn is_owner(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte))
}

fn read_stage(node: &Node, report: &mut Report) -> Option<LaunchStage> {
    let text = node.string(report)?;
    let stage = STAGES.iter().find(|(name, _)| *name == text);
    if stage.is_none() {
        let names = STAGES.map(|(name, _)| name);
        let help = match nearest(&text.to_ascii_uppercase(), names.into_iter()) {
            Some(name) => format!("did you mean `{name}`?"),
            None => format!("stages are {}", names.join(", ")),
        };
        report.error(&node.span, format!("`{text}` is not a stage")).help(help);
    }
    stage.map(|(_, stage)| *stage)
}

fn read_permissions(node: &Node, known: &[(String, Place)], report: &mut Report) -> Vec<String> {
    let mut permissions = Vec::new();
    for (text, item) in node.strings(report) {
        if !is_permission(text) {
            let diagnostic = report.error(&item.span, format!("`{text}` is not a permission"));
            if text.contains('*') {
                diagnostic.help("a role lists its permissions one by one; there are no wildcards");
            } else {
                diagnostic.help("write `service.resource.verb`, for example `dataproc.operations.cancel`");
            }
            continue;
        }
        if let Some((meant, place)) = slip_of(text, known) {
            report
                .warning(&item.span, format!("no exposed method asks for `{text}`"))
                .help(format!("did you mean `{meant}`, for which {place} asks?"));
        }
        permissions.push(text.to_owned());
    }
    permissions
}

/// `service.resource.verb`, or `service.example.com/resource.verb` as newer services spell it.
pub(in crate::policy) fn is_permission(text: &str) -> bool {
    let word = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
    };
    let words = |text: &str, least: usize| text.split('.').count() >= least && text.split('.').all(word);
    match text.split_once('/') {
        Some((service, permission)) => words(service, 2) && words(permission, 2),
        None => words(text, 3),
    }
}

/// The known permission that this unknown one is a single edit away from.
fn slip_of<'k>(text: &str, known: &'k [(String, Place)]) -> Option<&'k (String, Place)> {
    if known.iter().any(|(permission, _)| permission == text) {
        return None;
    }
    known.iter().find(|(permission, _)| {
        // Both are verbs of their own.
        let get_and_set = |left: &str, right: &str| left.ends_with(".get") && right.ends_with(".set");
        permission.len().abs_diff(text.len()) <= 1
            && strsim::damerau_levenshtein(permission, text) == 1
            && !get_and_set(permission, text)
            && !get_and_set(text, permission)
    })
}

#[cfg(test)]
mod tests;
