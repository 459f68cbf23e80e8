//! Reads `boundaries/`: boundary policies and their bindings, one of either per file, in the shapes that `gcloud iam
//! principal-access-boundary-policies describe` and `gcloud iam policy-bindings describe` print.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use crate::cel::{Environment, Program, Type};
use crate::diagnostic::{Place, Report, Span};
use crate::document::{Fields, Node, Spelling, Value};
use crate::policy::condition;
use crate::policy::model::principal_set::PrincipalSet;
use crate::policy::model::resource::ResourceName;
use crate::policy::pools::Pools;
use crate::policy::spelling;
use crate::source::PolicyFiles;

/// Most `&&`, `||` and `!` in the condition of a policy binding (<https://cloud.google.com/iam/quotas>).
const MAX_LOGIC_OPERATORS: usize = 10;

/// What a file holds, and the collection that its name ends in.
const POLICY: (&str, &str) = ("a boundary policy", "principalAccessBoundaryPolicies");
const BINDING: (&str, &str) = ("a policy binding", "policyBindings");

/// A boundary policy put on a principal set (google.iam.v3.PolicyBinding).
#[derive(Debug)]
pub(in crate::policy) struct BoundaryBinding {
    pub(in crate::policy) name: Arc<str>,
    pub(in crate::policy) set: PrincipalSet,
    pub(in crate::policy) condition: Option<PrincipalCondition>,
    pub(in crate::policy) policy: Arc<BoundaryPolicy>,
    pub(in crate::policy) place: Place,
}

/// google.iam.v3.PrincipalAccessBoundaryPolicy.
#[derive(Debug)]
pub(in crate::policy) struct BoundaryPolicy {
    /// `organizations/7/locations/global/principalAccessBoundaryPolicies/ours`.
    pub(in crate::policy) name: Arc<str>,
    /// Relative names of projects, folders and organizations, and where each is written.
    pub(in crate::policy) resources: Vec<(String, Place)>,
    pub(in crate::policy) place: Place,
}

/// A condition on who is bound.
#[derive(Debug)]
pub(in crate::policy) struct PrincipalCondition {
    pub(in crate::policy) program: Program,
    pub(in crate::policy) expression: Arc<str>,
}

/// `principal.type` and `principal.subject`
/// (<https://cloud.google.com/iam/docs/conditions-attribute-reference#principal>).
pub(in crate::policy) const PRINCIPAL_TYPE: &str = "principal.type";
pub(in crate::policy) const PRINCIPAL_SUBJECT: &str = "principal.subject";

static ENVIRONMENT: LazyLock<Environment> = LazyLock::new(|| {
    Environment::new().variable(PRINCIPAL_TYPE, Type::String).variable(PRINCIPAL_SUBJECT, Type::String)
});

/// A policy binding whose policy is not looked up yet.
struct Unresolved {
    name: Arc<str>,
    set: PrincipalSet,
    condition: Option<PrincipalCondition>,
    policy: (String, Span),
    span: Span,
}

/// Reads the files below `boundaries/`: every binding with its policy, in the order of the files.
pub(in crate::policy) fn load(
    files: &PolicyFiles,
    pools: &Pools,
    report: &mut Report,
) -> Vec<BoundaryBinding> {
    let files = files.below("boundaries", report);
    let nodes = files.iter().filter_map(|file| file.parse(report)).collect::<Vec<_>>();
    read(&nodes, pools, report)
}

/// Reads files that are parsed.
pub(in crate::policy) fn read(nodes: &[Node], pools: &Pools, report: &mut Report) -> Vec<BoundaryBinding> {
    let mut policies: BTreeMap<Arc<str>, (Arc<BoundaryPolicy>, Span)> = BTreeMap::new();
    let mut unresolved: Vec<Unresolved> = Vec::new();
    for node in nodes {
        if has_key(node, "target") {
            let Some(binding) = read_binding(node, pools, report) else { continue };
            match unresolved.iter().find(|other| other.name == binding.name) {
                Some(first) => twice(&binding.name, &binding.span, &first.span, report),
                None => unresolved.push(binding),
            }
        } else if let Some(policy) = read_policy(node, report) {
            match policies.get(&policy.name) {
                Some((_, first)) => twice(&policy.name, &node.span, first, report),
                None => {
                    policies.insert(policy.name.clone(), (Arc::new(policy), node.span.clone()));
                }
            }
        }
    }
    for (name, (_, span)) in &policies {
        if !unresolved.iter().any(|binding| binding.policy.0 == **name) {
            report
                .warning(span, format!("`{name}` is bound to no principal set"))
                .help("add its policy bindings, as `gcloud iam policy-bindings describe` prints them, to `boundaries/`");
        }
    }
    unresolved.into_iter().filter_map(|binding| binding.resolve(&policies, report)).collect()
}

impl Unresolved {
    /// The binding with the policy that it names.
    fn resolve(
        self,
        policies: &BTreeMap<Arc<str>, (Arc<BoundaryPolicy>, Span)>,
        report: &mut Report,
    ) -> Option<BoundaryBinding> {
        let Self { name, set, condition, policy: (wanted, span), span: own } = self;
        let Some((policy, _)) = policies.get(wanted.as_str()) else {
            report.error(&span, format!("there is no boundary policy `{wanted}`")).help(
                "put the output of `gcloud iam principal-access-boundary-policies describe` into a file below \
                 `boundaries/`",
            );
            return None;
        };
        Some(BoundaryBinding { name, set, condition, policy: Arc::clone(policy), place: own.place() })
    }
}

fn has_key(node: &Node, name: &str) -> bool {
    let Value::Map(entries) = &node.value else { return false };
    entries.iter().any(|(key, _)| matches!(&key.value, Value::String(text) if text == name))
}

fn twice(name: &str, span: &Span, first: &Span, report: &mut Report) {
    report
        .error(span, format!("`{name}` is given twice"))
        .related(first, "first here")
        .help("keep one of the two files");
}

/// The `name` of a resource of IAM v3, which ends in `collection/id`.
fn read_name(
    fields: &mut Fields<'_>,
    (what, collection): (&str, &str),
    report: &mut Report,
) -> Option<Arc<str>> {
    let node = fields.required("name", report)?;
    let text = node.string(report)?;
    let mut parts = text.rsplit('/').skip(1);
    if ResourceName::attachable(text).is_err() || parts.next() != Some(collection) {
        report
            .error(&node.span, format!("`{text}` is not the name of {what}"))
            .help(format!("write `organizations/NUMBER/locations/global/{collection}/ID`"));
        return None;
    }
    Some(text.into())
}

fn ignore_bookkeeping(fields: &mut Fields<'_>) {
    fields.ignore(&["uid", "etag", "display_name", "annotations", "create_time", "update_time"]);
}

/// google.iam.v3.PrincipalAccessBoundaryPolicy.
fn read_policy(node: &Node, report: &mut Report) -> Option<BoundaryPolicy> {
    let mut fields = node.fields("a principal access boundary policy", Spelling::Proto, report)?;
    ignore_bookkeeping(&mut fields);
    let name = read_name(&mut fields, POLICY, report);
    let details = fields.required("details", report);
    fields.finish(report);
    let mut fields = details?.fields("the details", Spelling::Proto, report)?;
    // `1`, `2`, … or `latest`. Opgate bounds every permission, which is stricter than any of these versions.
    fields.ignore(&["enforcement_version"]);
    let rules = fields.required("rules", report);
    fields.finish(report);
    let mut resources = Vec::new();
    for rule in rules?.list(report)? {
        let Some(mut fields) = rule.fields("a boundary rule", Spelling::Proto, report) else { continue };
        fields.optional_string("description", report);
        let listed = fields.required("resources", report);
        let effect = fields.required("effect", report);
        fields.finish(report);
        if let Some(effect) = effect
            && let Some(text) = effect.string(report)
            && text != "ALLOW"
        {
            report
                .error(&effect.span, format!("a boundary rule has no effect `{text}`"))
                .help("write `effect: ALLOW`: a boundary lists what can be reached");
        }
        for (text, item) in listed.map(|node| node.strings(report)).unwrap_or_default() {
            if let Some(resource) = read_resource(text, &item.span, report) {
                resources.push((resource, item.span.place()));
            }
        }
    }
    Some(BoundaryPolicy { name: name?, resources, place: node.span.place() })
}

fn read_resource(text: &str, span: &Span, report: &mut Report) -> Option<String> {
    let name = text.strip_prefix("//cloudresourcemanager.googleapis.com/");
    let plain = |name: &&str| {
        let known = ["projects/", "folders/", "organizations/"].iter().any(|root| name.starts_with(root));
        known && name.split('/').count() == 2 && ResourceName::attachable(name).is_ok()
    };
    let Some(name) = name.filter(plain) else {
        report.error(span, format!("`{text}` is not a resource that a boundary can list")).help(
            "write `//cloudresourcemanager.googleapis.com/projects/ID`, or `folders/NUMBER` or `organizations/NUMBER`",
        );
        return None;
    };
    if let Some(reason) = spelling::unnameable(name) {
        report
            .error(span, format!("`{text}` lists nothing: {reason}"))
            .help("write the name as `gcloud projects list` prints it; `organizations/NUMBER` holds all of its projects");
        return None;
    }
    Some(name.to_owned())
}

/// google.iam.v3.PolicyBinding.
fn read_binding(node: &Node, pools: &Pools, report: &mut Report) -> Option<Unresolved> {
    let mut fields = node.fields("a policy binding", Spelling::Proto, report)?;
    ignore_bookkeeping(&mut fields);
    fields.ignore(&["policy_uid"]);
    let name = read_name(&mut fields, BINDING, report);
    let target = fields.required("target", report);
    let kind = fields.optional("policy_kind");
    let policy = fields.required("policy", report);
    let condition = fields.optional("condition");
    fields.finish(report);
    if let Some(kind) = kind
        && let Some(text) = kind.string(report)
        && text != "PRINCIPAL_ACCESS_BOUNDARY"
    {
        report
            .error(&kind.span, format!("policies of kind `{text}` cannot be enforced by opgate"))
            .help("the kind is `PRINCIPAL_ACCESS_BOUNDARY`");
    }
    let condition = condition.map(|node| PrincipalCondition::read(node, report));
    let mut fields = target?.fields("a target", Spelling::Proto, report)?;
    let set = fields.required("principal_set", report);
    fields.finish(report);
    let set = set?;
    let text = set.string(report)?;
    let Some(parsed) = PrincipalSet::parse(text) else {
        report
            .error(&set.span, format!("`{text}` is not a principal set that a boundary can be bound to"))
            .help(
                "write `//cloudresourcemanager.googleapis.com/` and a project, folder or organization, or \
             `//iam.googleapis.com/` and a workforce pool, workload identity pool or Workspace",
            );
        return None;
    };
    if let Some((doubt, help)) = parsed.doubt(pools) {
        report.error(&set.span, format!("`{text}` {doubt}")).help(help);
    }
    let policy = policy?;
    Some(Unresolved {
        name: name?,
        set: parsed,
        // A wrong condition is already an error. Without it the binding would mean something else.
        condition: match condition {
            None => None,
            Some(read) => Some(read?),
        },
        policy: (policy.string(report)?.to_owned(), policy.span.clone()),
        span: node.span.clone(),
    })
}

impl PrincipalCondition {
    fn read(node: &Node, report: &mut Report) -> Option<Self> {
        let (text, span, _) = condition::read_expression(node, report)?;
        let program = condition::compile(text, &ENVIRONMENT, span, MAX_LOGIC_OPERATORS, report)?;
        Some(Self { program, expression: text.into() })
    }
}
