//! Allow policies within what other tools print around them: the results of Cloud Asset Inventory
//! (google/cloud/asset/v1/assets.proto, `Asset` and `IamPolicySearchResult`).
//!
//! A file of the tree is about one resource. So one result is read where it is about that resource, and several are
//! refused with the command that takes the right one out.

use crate::diagnostic::{Report, Span};
use crate::document::{Node, Value};
use crate::policy::model::hierarchy::Hierarchy;
use crate::policy::model::resource::ResourceName;
use crate::principal::value::decoded;
use crate::source::PolicyFile;

/// How a tool wraps a policy: the names of its fields for the policy and for the resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Wrapper {
    policy: &'static str,
    resource: &'static str,
}

/// `gcloud asset export` in snake case, `gcloud asset list`, `gcloud asset search-all-iam-policies`.
const WRAPPERS: [Wrapper; 3] = [
    Wrapper { policy: "iam_policy", resource: "name" },
    Wrapper { policy: "iamPolicy", resource: "name" },
    Wrapper { policy: "policy", resource: "resource" },
];

/// What stands before a bucket in a relative name, and not in a full one.
const BUCKETS: &str = "projects/_/buckets/";

/// The policy of a resource in what was read from its file. `None` where it is not clear; the report says why.
pub(super) fn policy<'n>(
    node: &'n Node,
    resource: &str,
    hierarchy: &Hierarchy,
    report: &mut Report,
) -> Option<&'n Node> {
    let node = match &node.value {
        Value::List(items) => match items.as_slice() {
            [only] => only,
            several => {
                let wrapper = several.iter().find_map(wrapper).map(|(wrapper, _)| wrapper);
                let select = wrapper.map(|wrapper| selection(".[] | ", wrapper, resource));
                tell_of_several(several.len(), select, &node.span, report);
                return None;
            }
        },
        _ => node,
    };
    let Some((wrapper, inner)) = wrapper(node) else { return Some(node) };
    let Some(named) = field(node, wrapper.resource) else { return Some(inner) };
    let own = relative(named.string(report)?);
    if is_same(&own, resource, hierarchy) {
        return Some(inner);
    }
    tell_of_another(&own, resource, &named.span, format!("allow/{own}.json"), report);
    None
}

/// Checks that a policy which names its resource in Cloud Storage's way (`projects/_/buckets/b`) is about the resource of
/// the file. `_` stands for any project.
pub(super) fn check_resource_id(node: &Node, resource: &str, hierarchy: &Hierarchy, report: &mut Report) {
    let Some(own) = node.string(report).map(|own| relative(own.trim_end_matches('/'))) else { return };
    let root = ResourceName::new(resource).root();
    let in_any =
        own.strip_prefix("projects/_").is_some_and(|below| resource.strip_prefix(root) == Some(below));
    if !own.is_empty() && !in_any && !is_same(&own, resource, hierarchy) {
        tell_of_another(&own, resource, &node.span, format!("allow/{own}.json"), report);
    }
}

/// Checks that a deny policy which says what it is attached to is in the folder of that resource: its name is
/// `policies/ATTACHMENT_POINT/denypolicies/ID`, with the attachment point percent-encoded (google/iam/v2/policy.proto,
/// `Policy.name`). A name of another form is the author's own.
pub(super) fn check_attachment_point(
    node: &Node,
    resource: &str,
    hierarchy: &Hierarchy,
    report: &mut Report,
) {
    let point =
        node.string(report).and_then(|name| name.strip_prefix("policies/")?.rsplit_once("/denypolicies/"));
    let Some((point, id)) = point else { return };
    let Some(point) = decoded(point) else {
        report
            .error(&node.span, "the attachment point in this name is not UTF-8")
            .help("write the name as `gcloud iam policies get` prints it, or leave it out");
        return;
    };
    let own = relative(&format!("//{}", point.trim_start_matches('/')));
    if is_same(&own, resource, hierarchy) {
        return;
    }
    let file = format!("deny/{own}/{id}.json");
    let Some((project, number)) = possible_number(&own, resource, hierarchy) else {
        return tell_of_another(&own, resource, &node.span, file, report);
    };
    // The tree need not know the numbers of its projects.
    report
        .warning(
            &node.span,
            format!("this is the policy of `{own}`, and hierarchy.yaml does not say that this is `{resource}`"),
        )
        .help(format!(
            "if {number} is the number of `{project}`, say so in hierarchy.yaml: `{project}: {{projectNumber: {number}}}`; \
             else move the file: `{file}`"
        ));
}

/// The number of the project that a name begins with, where it has a number there.
fn number_of_project(name: &str) -> Option<&str> {
    let id = ResourceName::new(name).root().strip_prefix("projects/")?;
    (!id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit())).then_some(id)
}

/// The project and the number that two names have if they are the same resource, by id and by number of a project,
/// though hierarchy.yaml knows no other name of either. `None` where they cannot be the same.
fn possible_number<'n>(own: &'n str, resource: &'n str, hierarchy: &Hierarchy) -> Option<(&'n str, &'n str)> {
    let roots = (ResourceName::new(own).root(), ResourceName::new(resource).root());
    let same_below = own.strip_prefix(roots.0) == resource.strip_prefix(roots.1);
    let are_projects = roots.0.starts_with("projects/") && roots.1.starts_with("projects/");
    let has_other = |root| hierarchy.other_name(ResourceName::new(root)).is_some();
    if !same_below || !are_projects || has_other(roots.0) || has_other(roots.1) {
        return None;
    }
    match (number_of_project(own), number_of_project(resource)) {
        (Some(number), None) => Some((roots.1, number)),
        (None, Some(number)) => Some((roots.0, number)),
        _ => None,
    }
}

/// Reports that a policy is in the file of another resource than it is of; `file` is where it belongs.
fn tell_of_another(own: &str, resource: &str, span: &Span, file: String, report: &mut Report) {
    let diagnostic =
        report.error(span, format!("this is the policy of `{own}`, and the file is about `{resource}`"));
    let (root, other) = (ResourceName::new(resource).root(), ResourceName::new(own).root());
    match number_of_project(own) {
        Some(number) if root.starts_with("projects/") && own.strip_prefix(other) == resource.strip_prefix(root) => {
            diagnostic.help(format!(
                "if {number} is the number of `{root}`, say so in hierarchy.yaml: `{root}: {{projectNumber: {number}}}`"
            ))
        }
        _ => diagnostic.help(format!("move the file: `{file}`")),
    };
}

/// Reports a file of one result per line, as `gcloud asset export` writes it. Returns whether it is one.
pub(super) fn is_of_lines(file: &PolicyFile, report: &mut Report) -> bool {
    let Some(source) = file.source() else { return false };
    let mut lines = source.text.lines().filter(|line| !line.trim().is_empty());
    let is_value = |line: &str| line.starts_with('{') && line.trim_end().ends_with('}');
    let (Some(first), Some(second)) = (lines.next(), lines.next()) else { return false };
    if !is_value(first) || !is_value(second) {
        return false;
    }
    let wrapper = WRAPPERS.into_iter().find(|wrapper| first.contains(&format!("\"{}\"", wrapper.policy)));
    let count = lines.count() + 2;
    let select = wrapper.map(|wrapper| selection("", wrapper, &file.stem));
    let span = Span { source: source.clone(), range: 0..first.len() };
    tell_of_several(count, select, &span, report);
    true
}

fn tell_of_several(count: usize, select: Option<String>, span: &Span, report: &mut Report) {
    let diagnostic =
        report.error(span, format!("the file has {count} policies, and a file is about one resource"));
    match select {
        Some(select) => {
            diagnostic.help(format!("take the one of this resource out of it: `jq '{select}' FILE`"))
        }
        None => {
            diagnostic.help("put each into the file of its resource, `allow/projects/demo.json` for example")
        }
    };
}

/// The jq filter that selects the policy of a resource.
fn selection(each: &str, wrapper: Wrapper, resource: &str) -> String {
    let Wrapper { policy, resource: field } = wrapper;
    let resource = resource.strip_prefix(BUCKETS).unwrap_or(resource);
    format!("{each}select(.{field} | endswith(\"/{resource}\")) | .{policy}")
}

fn wrapper(node: &Node) -> Option<(Wrapper, &Node)> {
    WRAPPERS.into_iter().find_map(|wrapper| {
        let inner = field(node, wrapper.policy)?;
        matches!(inner.value, Value::Map(_)).then_some((wrapper, inner))
    })
}

fn field<'n>(node: &'n Node, name: &str) -> Option<&'n Node> {
    let Value::Map(entries) = &node.value else { return None };
    entries
        .iter()
        .find(|(key, _)| matches!(&key.value, Value::String(key) if key == name))
        .map(|(_, value)| value)
}

/// The relative name of what a full one names: `//cloudresourcemanager.googleapis.com/projects/demo`.
fn relative(full: &str) -> String {
    let Some((service, name)) = full.strip_prefix("//").and_then(|rest| rest.split_once('/')) else {
        return full.to_owned();
    };
    // Buckets have no project in their full name.
    match service {
        "storage.googleapis.com" if !name.contains('/') => format!("{BUCKETS}{name}"),
        _ => name.to_owned(),
    }
}

fn is_same(name: &str, resource: &str, hierarchy: &Hierarchy) -> bool {
    name == resource || hierarchy.other_name(ResourceName::new(name)).as_deref() == Some(resource)
}
