//! Allow policies: who holds which role on a resource and on everything below it. The shape is that of
//! google/iam/v1/policy.proto (`Policy`), which is what `gcloud projects get-iam-policy` prints; the path of the
//! file below `allow/` is the name of the resource.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use crate::diagnostic::{Report, Source, Span};
use crate::document::{Fields, Node, Spelling, nearest};
use crate::policy::condition::Condition;
use crate::policy::model::audit_config::{AuditConfig, audit_configs};
use crate::policy::model::context::Context;
use crate::policy::model::exported;
use crate::policy::model::hierarchy::Hierarchy;
use crate::policy::model::located::Located;
use crate::policy::model::member::{ALL_AUTHENTICATED_USERS, ALL_USERS, Member};
use crate::policy::model::resource::{ROOTS, ResourceName};
use crate::policy::model::role;
use crate::policy::model::unmatched::Unmatched;
use crate::policy::spelling;
use crate::source::{PolicyFile, PolicyFiles};

/// The allow policy of one resource.
#[derive(Debug)]
pub struct AllowPolicy {
    /// The resource that it is attached to.
    pub resource: String,
    /// The file.
    pub source: Arc<Source>,
    /// The bindings that could be read.
    pub bindings: Vec<Binding>,
    /// Which calls leave a line in the audit log.
    pub(in crate::policy) audited: Vec<AuditConfig>,
}

/// A role and who holds it.
#[derive(Debug)]
pub struct Binding {
    /// The name of a role, which need not be defined: then it grants nothing.
    pub(in crate::policy) role: Located<String>,
    /// At least one member.
    pub(in crate::policy) members: Vec<Located<Member>>,
    /// What must hold for the binding to grant.
    pub(in crate::policy) condition: Option<Located<Condition>>,
    /// The 1-based line on which the binding begins.
    pub line: usize,
}

/// The files below `allow/`, each the only one of its resource.
pub(in crate::policy) fn files(files: &PolicyFiles, report: &mut Report) -> Vec<PolicyFile> {
    let mut files = files.below("allow", report);
    let mut seen: BTreeMap<Box<str>, PathBuf> = BTreeMap::new();
    files.retain(|file| {
        if let Some(first) = seen.get(&file.stem) {
            report
                .file_error(
                    file.path(),
                    format!("`{}` has a second allow policy, beside {}", file.stem, first.display()),
                )
                .help("keep one of the two files");
            return false;
        }
        seen.insert(file.stem.clone(), file.path().to_owned());
        true
    });
    files.retain(|file| match ResourceName::attachable(&file.stem) {
        Ok(_) => true,
        Err(error) => {
            report.file_error(file.path(), format!("`{}` names no resource: {error}", file.stem)).help(
                "the path below `allow/` is the resource's name, for example `allow/projects/demo.yaml`",
            );
            false
        }
    });
    for file in &files {
        if let Some(reason) = spelling::unnameable(&file.stem) {
            report
                .file_warning(file.path(), format!("this policy applies to no resource: {reason}"))
                .help("rename the file: its path below `allow/` is the resource's name, as requests name it");
        }
    }
    files
}

impl AllowPolicy {
    pub(in crate::policy) fn load(
        file: &PolicyFile,
        context: Context<'_>,
        report: &mut Report,
    ) -> Option<Self> {
        if exported::is_of_lines(file, report) {
            return None;
        }
        let node = file.parse(report)?;
        Self::read(&file.stem, &node, context, report)
    }

    pub(in crate::policy) fn read(
        resource: &str,
        node: &Node,
        context: Context<'_>,
        report: &mut Report,
    ) -> Option<Self> {
        let node = exported::policy(node, resource, context.hierarchy, report)?;
        let mut fields = node.fields("an allow policy", Spelling::Proto, report)?;
        warn_of_unreachable(resource, fields.span(), context.hierarchy, report);
        let version = read_version(&mut fields, report);
        check_kind(&mut fields, report);
        // Cloud Storage's.
        if let Some(id) = fields.optional("resourceId") {
            exported::check_resource_id(id, resource, context.hierarchy, report);
        }
        fields.ignore(&["etag", "iamOwned"]);
        let audited =
            fields.optional("auditConfigs").map(|node| audit_configs(node, report)).unwrap_or_default();
        let items = fields.optional("bindings").and_then(|node| node.list(report)).unwrap_or_default();
        let mut reader = PolicyReader {
            resource,
            version,
            context,
            lines: LineCounter::new(&node.span.source),
            warned: BTreeSet::new(),
            unmatched: BTreeMap::new(),
        };
        let bindings = items.iter().filter_map(|item| reader.binding(item, report)).collect();
        reader.tell_unmatched(report);
        fields.finish(report);
        Some(Self { resource: resource.to_owned(), source: node.span.source.clone(), bindings, audited })
    }
}

struct PolicyReader<'r> {
    resource: &'r str,
    version: Option<i64>,
    context: Context<'r>,
    lines: LineCounter<'r>,
    /// Groups without an entry, and pools without an issuer, that were warned of: once per file is enough.
    warned: BTreeSet<String>,
    /// Members that no caller can be, by kind: the first with its place, and how many more there are. An export may hold
    /// hundreds.
    unmatched: BTreeMap<Unmatched, (String, Span, usize)>,
}

impl PolicyReader<'_> {
    fn binding(&mut self, node: &Node, report: &mut Report) -> Option<Binding> {
        let mut fields = node.fields("a binding", Spelling::Proto, report)?;
        let role = fields.required("role", report).and_then(|node| self.role(node, report));
        let members = fields.required("members", report).map(|node| self.members(node, report));
        // An empty condition is an error, and the binding must not become an unconditional one: `Some(None)` grants
        // nothing. `null` is written where there is none, in JSON above all.
        let is_null = fields.is_written_null("condition");
        let conditional = fields.key("condition").filter(|_| !is_null);
        if is_null {
            fields.ignore(&["condition"]);
        }
        let condition = conditional.map(|key| {
            let role = role.as_ref().map(|role| role.value.as_str());
            self.check_conditional(&key.span, role, members.as_deref(), report);
            let Some(node) = fields.optional("condition") else {
                report.error(&key.span, "the condition of this binding is empty").help(
                    "write `condition: {expression: \"…\"}`, or remove the key if the binding holds at all times",
                );
                return None;
            };
            Condition::read(node, self.context.tags, report)
        });
        // The discovery documents of some services have it; nothing here asks for it.
        fields.ignore(&["bindingId"]);
        fields.finish(report);
        let (role, members) = (role?, members?);
        let condition = match condition {
            None => None,
            Some(read) => Some(read?),
        };
        if members.is_empty() {
            return None;
        }
        Some(Binding { role, members, condition, line: self.lines.line(node.span.range.start) })
    }

    /// What IAM asks of a binding with a condition (google/iam/v1/policy.proto, `version`;
    /// <https://cloud.google.com/iam/docs/conditions-overview#limitations>).
    fn check_conditional(
        &self,
        span: &Span,
        role: Option<&str>,
        members: Option<&[Located<Member>]>,
        report: &mut Report,
    ) {
        if self.version != Some(3) {
            let written =
                self.version.map_or("it has none".to_owned(), |version| format!("it has {version}"));
            report
                .error(span, format!("a condition needs a policy of version 3, and {written}"))
                .help("write `version: 3` at the top of the file");
        }
        if let Some(role @ ("roles/owner" | "roles/editor" | "roles/viewer")) = role {
            report
                .error(span, format!("the basic role `{role}` cannot be bound with a condition"))
                .help("bind a predefined or custom role that holds what is needed");
        }
        let public = members.into_iter().flatten().find_map(|member| match &member.value {
            Member::AllUsers => Some(ALL_USERS),
            Member::AllAuthenticatedUsers => Some(ALL_AUTHENTICATED_USERS),
            _ => None,
        });
        if let Some(member) = public {
            report
                .error(span, format!("a binding of `{member}` cannot have a condition"))
                .help("name the members, or bind without a condition");
        }
    }

    fn role(&mut self, node: &Node, report: &mut Report) -> Option<Located<String>> {
        let name = node.string(report)?;
        let Some(role) = self.context.roles.find(name) else {
            if !role::is_role_name(name) {
                report
                    .error(&node.span, format!("`{name}` is not the name of a role"))
                    .help("write `roles/ID`, `projects/PROJECT/roles/ID` or `organizations/NUMBER/roles/ID`");
                return None;
            }
            // It grants nothing. One warning tells of all such roles (`policy::undefined`).
            return Some(Located::new(name.to_owned(), &node.span));
        };
        if let Some(owner) = role::owner(name)
            && !self.lies_in(owner)
        {
            let resource = self.resource;
            let root = ResourceName::new(resource).root();
            if owner.starts_with("organizations/") && self.is_adrift(root) {
                // An export has such bindings, and the tree may not say yet where the project lies.
                if self.warned.insert(name.to_owned()) {
                    report
                        .warning(
                            &node.span,
                            format!("`{name}` is bound on `{resource}`, and hierarchy.yaml does not say that this lies in `{owner}`: the binding grants nothing"),
                        )
                        .help(format!("add a line to hierarchy.yaml, `{root}: {owner}`, or the folders between"));
                }
                return None;
            }
            let diagnostic = report.error(
                &node.span,
                format!(
                    "`{name}` can only be bound on `{owner}` and below, and `{resource}` does not lie there"
                ),
            );
            if owner.starts_with("organizations/") && !root.starts_with("organizations/") {
                diagnostic.help(format!("if it does, say so in hierarchy.yaml: `{root}: {owner}`"));
            } else {
                diagnostic.help(format!(
                    "bind a role that belongs to `{root}` or to what it lies in, or one named `roles/…`"
                ));
            }
            return None;
        }
        if role.is_dormant() {
            let state = if role.deleted { "deleted" } else { "disabled" };
            report
                .warning(&node.span, format!("the role `{name}` is {state}: this binding grants nothing"))
                .related(&role.span, "the role is defined here");
        }
        Some(Located::new(name.to_owned(), &node.span))
    }

    /// Whether hierarchy.yaml does not say in which organization a project or folder lies.
    fn is_adrift(&self, root: &str) -> bool {
        let hierarchy = self.context.hierarchy;
        let top = hierarchy.ancestors(root).last().unwrap_or(root);
        ["projects/", "folders/"].iter().any(|kind| top.starts_with(kind))
    }

    /// Whether the policy's resource is the owner of a custom role, or below it.
    fn lies_in(&self, owner: &str) -> bool {
        self.context.hierarchy.may_lie_in(ResourceName::new(self.resource).root(), owner)
    }

    /// Warns of a member that no caller can be. Of a pool that no issuer has once per file: an export may hold
    /// thousands.
    fn doubt(&mut self, text: &str, member: &Member, span: &Span, report: &mut Report) {
        if let Member::Unmatched(kind, _) = member {
            let first = || (text.to_owned(), span.clone(), 0);
            self.unmatched.entry(*kind).and_modify(|(.., more)| *more += 1).or_insert_with(first);
        } else if let Some((doubt, help)) = member.doubt().or_else(|| member.caution()) {
            report.warning(span, format!("`{text}` {doubt}")).help(help);
        } else if let Some((doubt, help)) = self.context.pools.doubt(text)
            && self.warned.insert(doubt.clone())
        {
            report.warning(span, format!("`{text}` {doubt}")).help(help);
        }
    }

    /// Warns of members that no caller can be, once for each kind.
    fn tell_unmatched(&self, report: &mut Report) {
        for (kind, (text, span, more)) in &self.unmatched {
            let (doubt, help) = kind.doubt(text);
            let count =
                if *more == 0 { String::new() } else { format!(" (and {more} more members of this kind)") };
            report.warning(span, format!("`{text}` {doubt}{count}")).help(help);
        }
    }

    fn members(&mut self, node: &Node, report: &mut Report) -> Vec<Located<Member>> {
        let Some(items) = node.list(report) else { return Vec::new() };
        if items.is_empty() {
            report
                .error(&node.span, "a binding needs at least one member")
                .help("remove the binding, or name the members that hold the role");
        }
        let mut members = Vec::with_capacity(items.len());
        for item in items {
            let Some(text) = item.string(report) else { continue };
            let member = match Member::parse(text) {
                Ok(member) => member,
                Err(error) => {
                    let diagnostic = report.error(&item.span, error.message);
                    if let Some(help) = error.help {
                        diagnostic.help(help);
                    }
                    continue;
                }
            };
            self.doubt(text, &member, &item.span, report);
            if let Member::Group(group) = &member
                && !self.context.groups.contains(group.as_str())
                && self.context.pools.asserts_group(group.as_str()) != Some(true)
                && self.warned.insert(group.as_str().to_owned())
            {
                self.context.groups.warn_of_missing(group.as_str(), &item.span, report);
            }
            members.push(Located::new(member, &item.span));
        }
        members
    }
}

/// Cloud Storage's JSON API says of a policy what it is.
fn check_kind(fields: &mut Fields<'_>, report: &mut Report) {
    if let Some(node) = fields.optional("kind")
        && let Some(kind) = node.string(report)
        && kind != "storage#policy"
    {
        let help = match kind {
            "DenyPolicy" => "a deny policy stands below `deny/`, in the folder of its resource",
            _ => "remove the line, unless the file belongs elsewhere",
        };
        report.error(&node.span, format!("`{kind}` is not the kind of an allow policy")).help(help);
    }
}

/// google/iam/v1/policy.proto: 0, 1 and 3 are valid, anything else is rejected.
fn read_version(fields: &mut Fields<'_>, report: &mut Report) -> Option<i64> {
    let node = fields.optional("version")?;
    let version = node.integer(report)?;
    if !matches!(version, 0 | 1 | 3) {
        report
            .error(&node.span, format!("an allow policy has no version {version}"))
            .help("write `version: 1`, or 3 where a binding has a condition");
    }
    Some(version)
}

pub(in crate::policy) fn warn_of_unreachable(
    resource: &str,
    span: &Span,
    hierarchy: &Hierarchy,
    report: &mut Report,
) {
    if ResourceName::new(resource).root() == resource && hierarchy.is_deserted(resource) {
        report
            .warning(span, format!("no project lies in `{resource}`: this policy applies to no project"))
            .help(format!(
                "add the projects that do to hierarchy.yaml, for example `projects/demo: {resource}`"
            ));
    }
    let collection = resource.split('/').next().unwrap_or_default();
    if !ROOTS.contains(&collection)
        && let Some(root) = nearest(collection, ROOTS.into_iter())
    {
        report
            .warning(span, format!("`{resource}` lies in no project: its name begins with `{collection}`"))
            .help(format!("did you mean `allow/{root}/…`?"));
    }
}

/// Line numbers of ascending offsets, without counting from the top each time: a file may hold a million bindings.
struct LineCounter<'s> {
    source: &'s Source,
    offset: usize,
    line: usize,
}

impl<'s> LineCounter<'s> {
    fn new(source: &'s Source) -> Self {
        Self { source, offset: 0, line: 1 }
    }

    fn line(&mut self, offset: usize) -> usize {
        // An alias stands where its anchor was written, which may be further up.
        if offset < self.offset {
            (self.offset, self.line) = (0, 1);
        }
        let between = self.source.text.as_bytes().get(self.offset..offset).unwrap_or_default();
        self.line += between.iter().filter(|byte| **byte == b'\n').count();
        self.offset = offset;
        self.line
    }
}

#[cfg(test)]
mod tests;
