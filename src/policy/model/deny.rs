//! Deny policies: what is forbidden on a resource and below it, whatever a binding grants. The shape is that of
//! google/iam/v2/policy.proto and deny.proto, which is what `gcloud iam policies get … --kind=denypolicies` prints; the
//! path of the file is the resource and an id of the author's: `deny/projects/demo/freeze.yaml`.
//!
//! A rule that cannot be evaluated must not be passed over: it would leave allowed what it forbids. So a principal that
//! cannot be matched here (a principal set whose members are not known, a group without an entry) is an error at load,
//! and a condition that has no value for a request denies it.

mod permission;
mod principal;

use std::sync::Arc;

pub(in crate::policy) use self::permission::WrittenPattern;
pub use self::permission::{Permissions, qualified};
pub(in crate::policy) use self::principal::DenyPrincipal;
pub use self::principal::principal_as_written;
use crate::diagnostic::{Report, Source};
use crate::document::{Node, Spelling};
use crate::policy::condition::Condition;
use crate::policy::model::allow::warn_of_unreachable;
use crate::policy::model::context::Context;
use crate::policy::model::exported;
use crate::policy::model::located::Located;
use crate::policy::model::resource::ResourceName;
use crate::policy::spelling;
use crate::source::{PolicyFile, PolicyFiles};

/// A deny policy of one resource.
#[derive(Debug)]
pub struct DenyPolicy {
    /// The resource that it is attached to.
    pub resource: String,
    /// The file.
    pub source: Arc<Source>,
    /// Its rules.
    pub rules: Vec<DenyRule>,
}

/// The principals and permissions of one rule, and its exceptions.
#[derive(Debug)]
pub struct DenyRule {
    /// The principals that are denied.
    pub(in crate::policy) denied_principals: Vec<DenyPrincipal>,
    /// The principals that are excepted.
    pub(in crate::policy) exception_principals: Vec<DenyPrincipal>,
    /// The permissions that are denied.
    pub(in crate::policy) denied_permissions: Vec<WrittenPattern>,
    /// The permissions that are excepted.
    pub(in crate::policy) exception_permissions: Vec<WrittenPattern>,
    /// When the rule holds; at all times where there is none.
    pub(in crate::policy) condition: Option<Located<Condition>>,
    /// The 1-based line on which the rule begins.
    pub line: usize,
}

/// The files below `deny/`, each attached to the resource that its folder names.
pub(in crate::policy) fn load(
    files: &PolicyFiles,
    context: Context<'_>,
    report: &mut Report,
) -> Vec<DenyPolicy> {
    let files = files.below("deny", report);
    files.iter().filter_map(|file| DenyPolicy::load(file, context, report)).collect()
}

impl DenyPolicy {
    fn load(file: &PolicyFile, context: Context<'_>, report: &mut Report) -> Option<Self> {
        let resource = file.stem.rsplit_once('/').map_or("", |(resource, _)| resource);
        if let Err(error) = ResourceName::attachable(resource) {
            report
                .file_error(file.path(), format!("`{resource}` names no resource: {error}"))
                .help("put the file into a folder of its resource's name, for example `deny/projects/demo/freeze.yaml`");
            return None;
        }
        if let Some(reason) = spelling::unnameable(resource).or_else(|| spelling::misspelt(resource)) {
            report.file_error(file.path(), format!("this policy denies nothing: {reason}")).help(
                "rename the folder: its path below `deny/` is the resource's name, as requests name it",
            );
            return None;
        }
        let node = file.parse(report)?;
        Self::read(resource, &node, context, report)
    }

    pub(in crate::policy) fn read(
        resource: &str,
        node: &Node,
        context: Context<'_>,
        report: &mut Report,
    ) -> Option<Self> {
        let mut fields = node.fields("a deny policy", Spelling::Proto, report)?;
        warn_of_unreachable(resource, fields.span(), context.hierarchy, report);
        if let Some(name) = fields.optional("name") {
            exported::check_attachment_point(name, resource, context.hierarchy, report);
        }
        fields.ignore(&[
            "uid",
            "display_name",
            "annotations",
            "etag",
            "create_time",
            "update_time",
            "delete_time",
            "managing_authority",
        ]);
        if let Some(kind) = fields.optional("kind")
            && let Some(text) = kind.string(report)
            && text != "DenyPolicy"
        {
            report
                .error(&kind.span, format!("`{text}` is not the kind of a deny policy"))
                .help("a deny policy is of kind `DenyPolicy`");
        }
        let rules = fields.required("rules", report).and_then(|node| node.list(report)).unwrap_or_default();
        let rules = rules.iter().filter_map(|rule| read_rule(rule, context, report)).collect();
        fields.finish(report);
        Some(Self { resource: resource.to_owned(), source: node.span.source.clone(), rules })
    }
}

/// google.iam.v2.PolicyRule.
fn read_rule(node: &Node, context: Context<'_>, report: &mut Report) -> Option<DenyRule> {
    let mut fields = node.fields("a rule", Spelling::Proto, report)?;
    fields.optional_string("description", report);
    let rule = fields.required("deny_rule", report);
    fields.finish(report);
    let mut fields = rule?.fields("a deny rule", Spelling::Proto, report)?;
    let denied = fields.required("denied_principals", report);
    let excepted = fields.optional("exception_principals");
    let permissions = fields.required("denied_permissions", report);
    let excepted_permissions = fields.optional("exception_permissions");
    let condition =
        fields.optional("denial_condition").map(|node| Condition::read(node, context.tags, report));
    fields.finish(report);
    let rule = DenyRule {
        denied_principals: principal::read_denied(denied?, context, report),
        exception_principals: excepted
            .map(|node| principal::read_excepted(node, context, report))
            .unwrap_or_default(),
        denied_permissions: permission::read(permissions?, report),
        exception_permissions: excepted_permissions
            .map(|node| permission::read(node, report))
            .unwrap_or_default(),
        // A wrong condition is already an error. Without it the rule would mean something else.
        condition: match condition {
            None => None,
            Some(read) => Some(read?),
        },
        line: node.span.source.line(node.span.range.start),
    };
    Some(rule)
}

#[cfg(test)]
mod tests;
