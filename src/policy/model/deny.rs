//! Deny policies: what is forbidden on a resource and below it, whatever a binding grants. The shape is that of
//! google/iam/v2/policy.proto and deny.proto, which is what `gcloud iam policies get … --kind=denypolicies` prints; the
//! path of the file is the resource and an id of the author's: `deny/projects/demo/freeze.yaml`.
//!
//! A rule that cannot be evaluated must not be passed over: it would leave allowed what it forbids. So a principal that
//! cannot be matched here (a principal set whose members are not known, a group without an entry) is an error at load,
//! and a condition that has no value for a request denies it.

use std::fmt;
use std::path::Path;

use crate::diagnostic::{Report, Span};
use crate::document::{self, Node, Spelling};
use crate::policy::condition::Condition;
use crate::policy::model::allow::{Context, warn_of_unreachable};
use crate::policy::model::member::{ALL_USERS, Member};
use crate::policy::model::resource::ResourceName;
use crate::policy::spelling;
use crate::principal::Principal;
use crate::source::directory::{self, TreeFile};

const USER: &str = "principal://goog/subject/";
const SERVICE_ACCOUNT: &str = "principal://iam.googleapis.com/projects/-/serviceAccounts/";

/// A deny policy of one resource.
#[derive(Debug)]
pub struct DenyPolicy {
    /// The resource that it is attached to.
    pub resource: String,
    /// The file, as the user would type it.
    pub file: String,
    /// Its rules.
    pub rules: Vec<DenyRule>,
}

/// The principals and permissions of one rule, and its exceptions.
#[derive(Debug)]
pub struct DenyRule {
    /// Canonical identifiers; deleted principals are left out.
    pub denied_principals: Vec<String>,
    /// The same, for the principals that are excepted.
    pub exception_principals: Vec<String>,
    /// The permissions that are denied.
    pub denied_permissions: Permissions,
    /// The permissions that are excepted.
    pub exception_permissions: Permissions,
    /// When the rule holds; at all times where there is none.
    pub(in crate::policy) condition: Option<Condition>,
    /// The 1-based line on which the rule begins.
    pub line: usize,
}

/// A set of permissions as deny rules write it: `SERVICE/resource.verb`, `SERVICE/resource.*`, `SERVICE/*.verb`,
/// `SERVICE/*.*`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Permissions(Vec<Pattern>);

/// One of [`Permissions`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::policy) struct Pattern {
    /// `cloudaicompanion`, of `cloudaicompanion.googleapis.com/operations.cancel`.
    service: Box<str>,
    resource: Option<Box<str>>,
    verb: Option<Box<str>>,
}

/// The files below `deny/`, each attached to the resource that its folder names.
pub(in crate::policy) fn load(
    directory: &Path,
    context: Context<'_>,
    report: &mut Report,
) -> Vec<DenyPolicy> {
    let files = directory::files(directory, "deny", report);
    files.iter().filter_map(|file| DenyPolicy::load(file, context, report)).collect()
}

impl DenyPolicy {
    fn load(file: &TreeFile, context: Context<'_>, report: &mut Report) -> Option<Self> {
        let resource = file.stem.rsplit_once('/').map_or("", |(resource, _)| resource);
        if let Err(error) = ResourceName::attachable(resource) {
            report
                .file_error(&file.path, format!("`{resource}` names no resource: {error}"))
                .help("put the file into a folder of its resource's name, for example `deny/projects/demo/freeze.yaml`");
            return None;
        }
        if let Some(reason) = spelling::unnameable(resource) {
            report.file_error(&file.path, format!("this policy denies nothing: {reason}")).help(
                "rename the folder: its path below `deny/` is the resource's name, as requests name it",
            );
            return None;
        }
        let node = document::read(&file.path, report)?;
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
        fields.ignore(&[
            "name",
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
        let file = node.span.source.path.display().to_string();
        Some(Self { resource: resource.to_owned(), file, rules })
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
        denied_principals: principals(denied?, context, report),
        exception_principals: excepted.map(|node| exceptions(node, context, report)).unwrap_or_default(),
        denied_permissions: read_permissions(permissions?, report),
        exception_permissions: excepted_permissions
            .map(|node| read_permissions(node, report))
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

fn principals(node: &Node, context: Context<'_>, report: &mut Report) -> Vec<String> {
    let texts = node.strings(report);
    if texts.is_empty() {
        report
            .error(&node.span, "the list of principals is empty")
            .help("name the principals to deny, `principalSet://goog/public:all` for everybody");
    }
    texts
        .into_iter()
        .filter_map(|(text, item)| principal(text, &item.span, Place::Denied, context, report))
        .collect()
}

fn exceptions(node: &Node, context: Context<'_>, report: &mut Report) -> Vec<String> {
    let mut found = Vec::new();
    for (text, item) in node.strings(report) {
        match principal(text, &item.span, Place::Excepted, context, report) {
            // google/iam/v2/deny.proto does not allow it in `exception_principals`.
            Some(identifier) if identifier == ALL_USERS => {
                report
                    .error(&item.span, "a rule cannot except everybody: it would deny no caller")
                    .help("remove the rule, or name the principals to except");
            }
            Some(identifier) => found.push(identifier),
            None => {}
        }
    }
    found
}

/// A principal in the spelling of IAM v2 (<https://cloud.google.com/iam/docs/principal-identifiers#v2>), as the
/// canonical identifier that callers are compared with; `None` for a deleted one, which matches no caller.
pub(in crate::policy) fn principal(
    text: &str,
    span: &Span,
    place: Place,
    context: Context<'_>,
    report: &mut Report,
) -> Option<String> {
    const GROUP: &str = "principalSet://goog/group/";
    let canonical = |parsed: Result<Principal, _>, report: &mut Report| match parsed {
        Ok(principal) => Some(principal.as_str().to_owned()),
        Err(error) => {
            let error: crate::principal::NotAnEmail = error;
            report
                .error(span, format!("`{text}` ends in something that is {error}"))
                .help("write the whole address");
            None
        }
    };
    if text == "principalSet://goog/public:all" {
        return Some(ALL_USERS.to_owned());
    }
    if let Some(deleted) = text.strip_prefix("deleted:")
        && is_deleted(deleted, [USER, GROUP, SERVICE_ACCOUNT])
    {
        return None;
    }
    let emails =
        [USER, SERVICE_ACCOUNT].into_iter().find_map(|prefix| Some((prefix, text.strip_prefix(prefix)?)));
    if let Some((prefix, email)) = emails {
        let written = if prefix == USER { Principal::user(email) } else { Principal::service_account(email) };
        let written = canonical(written, report)?;
        // Callers with this email have the other kind of identifier. The rule would not match them, and would let them
        // pass.
        if Principal::from_email(email).is_ok_and(|caller| caller.as_str() != written) {
            let (what, prefix) = match prefix {
                USER => ("an email under `gserviceaccount.com` is a service account", SERVICE_ACCOUNT),
                _ => ("the email of a service account ends in `gserviceaccount.com`", USER),
            };
            report
                .error(span, format!("`{text}` matches no caller: {what}"))
                .help(format!("write `{prefix}{email}`"));
            return None;
        }
        return possible(text, written, span, place, context, report);
    }
    if let Some(email) = text.strip_prefix(GROUP) {
        let group = canonical(Principal::group(email), report)?;
        if let Some(missing) = context.groups.missing_within(&group) {
            let message = if missing == group {
                format!("`{group}` has no entry in groups.yaml: it would have no members here")
            } else {
                format!(
                    "`{missing}`, which is in `{group}`, has no entry in groups.yaml: it would have no members here"
                )
            };
            report.error(span, message).help("list its members in groups.yaml");
        } else if let Some((member, doubt)) = context.groups.doubtful_within(&group, context.pools) {
            let message = format!("`{member}`, which is in `{group}`, {doubt}");
            place.tell(span, message, "fix or remove it in groups.yaml".to_owned(), report);
        }
        return Some(group);
    }
    // `/type/` names a set by a kind of identity (all service accounts of a project, for example). Which callers are in it
    // is not known here, so it cannot be denied.
    let federated = text.starts_with("principal://iam.googleapis.com/")
        || (text.starts_with("principalSet://iam.googleapis.com/") && !text.contains("/type/"));
    if federated && let Ok(Member::Identity(_) | Member::PrincipalSet(_)) = Member::parse(text) {
        return possible(text, text.to_owned(), span, place, context, report);
    }
    let diagnostic =
        report.error(span, format!("`{text}` is not a principal that a deny rule can be evaluated for here"));
    match text.split_once(':') {
        Some(("user", email)) => diagnostic.help(format!("deny rules write a user `{USER}{email}`")),
        Some(("serviceAccount", email)) => {
            diagnostic.help(format!("deny rules write a service account `{SERVICE_ACCOUNT}{email}`"))
        }
        Some(("group", email)) => diagnostic.help(format!("deny rules write a group `{GROUP}{email}`")),
        _ => diagnostic.help(format!(
            "write `{USER}EMAIL`, `{GROUP}EMAIL`, `{SERVICE_ACCOUNT}EMAIL`, a federated `principal://` or \
             `principalSet://`, or `principalSet://goog/public:all`"
        )),
    };
    None
}

/// Where a principal stands in a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::policy) enum Place {
    /// Among the denied principals. One that matches no caller leaves allowed what the rule is to deny: an error.
    Denied,
    /// Among the exceptions. One that matches no caller denies more than was meant: a warning.
    Excepted,
}

impl Place {
    fn tell(self, span: &Span, message: String, help: String, report: &mut Report) {
        match self {
            Self::Denied => report.error(span, message).help(help),
            Self::Excepted => report.warning(span, message).help(help),
        };
    }
}

/// The identifier of a well spelled principal, unless no caller can have it.
fn possible(
    text: &str,
    identifier: String,
    span: &Span,
    place: Place,
    context: Context<'_>,
    report: &mut Report,
) -> Option<String> {
    let member = Member::parse(&identifier).ok()?;
    if let Some((doubt, help)) = member.doubt() {
        // Misspelt whatever the configuration is: it is left out, with an error or a warning.
        place.tell(span, format!("`{text}` {doubt}"), help, report);
        return None;
    }
    if let Some((doubt, help)) = context.pools.doubt(&identifier) {
        place.tell(span, format!("`{text}` {doubt}"), help, report);
    } else if let Some((caution, help)) = member.caution() {
        report.warning(span, format!("`{text}` {caution}")).help(help);
    }
    Some(identifier)
}

/// Whether the text behind `deleted:` names one identity or group that once existed. A text in another spelling may
/// have been meant for a principal that still exists, so it is an error.
fn is_deleted(text: &str, kinds: [&str; 3]) -> bool {
    if let Some((email, uid)) = text.split_once("?uid=") {
        let email = kinds.iter().find_map(|kind| email.strip_prefix(kind));
        let is_number = !uid.is_empty() && uid.bytes().all(|byte| byte.is_ascii_digit());
        return is_number && email.is_some_and(|email| Principal::user(email).is_ok());
    }
    // Federated identities have no uid.
    text.starts_with("principal://iam.googleapis.com/")
        && matches!(Member::parse(text), Ok(Member::Identity(_)))
}

fn read_permissions(node: &Node, report: &mut Report) -> Permissions {
    let mut patterns = Vec::new();
    let texts = node.strings(report);
    if texts.is_empty() {
        report.error(&node.span, "the list of permissions is empty").help("name one, or leave the field out");
    }
    for (text, item) in texts {
        match Pattern::parse(text) {
            Some(pattern) => patterns.push(pattern),
            None => {
                let diagnostic =
                    report.error(&item.span, format!("`{text}` is not a permission of a deny rule"));
                let mut parts = text.split('.');
                match (text.contains('/'), parts.next(), parts.next(), parts.next(), parts.next()) {
                    (false, Some(service), Some(resource), Some(verb), None) => diagnostic
                        .help(format!("deny rules write it `{service}.googleapis.com/{resource}.{verb}`")),
                    _ => diagnostic.help(
                        "write `SERVICE.googleapis.com/RESOURCE.VERB`; `*` may stand for the resource, the verb or both",
                    ),
                };
            }
        }
    }
    Permissions(patterns)
}

impl Permissions {
    /// Whether a permission (`cloudaicompanion.operations.cancel`) is one of them.
    pub fn contain(&self, permission: &str) -> bool {
        self.0.iter().any(|pattern| pattern.matches(permission))
    }

    /// Each pattern as written, and whether it covers a permission.
    pub(in crate::policy) fn matching(&self, permission: &str) -> Vec<(String, bool)> {
        self.0.iter().map(|pattern| (pattern.to_string(), pattern.matches(permission))).collect()
    }
}

/// A caller as IAM v2 spells them.
pub fn principal_as_written(principal: &Principal) -> String {
    let text = principal.as_str();
    match text.split_once(':') {
        Some(("user", email)) => format!("{USER}{email}"),
        Some(("serviceAccount", email)) => format!("{SERVICE_ACCOUNT}{email}"),
        _ => text.to_owned(),
    }
}

/// A permission as IAM v2 spells it: `cloudaicompanion.googleapis.com/operations.cancel`.
pub fn qualified(permission: &str) -> String {
    match permission.split_once('.') {
        Some((service, rest)) => format!("{}/{rest}", host_of(service)),
        None => permission.to_owned(),
    }
}

/// The host that stands for the service of permissions; that of the resource manager has another name.
fn host_of(service: &str) -> String {
    let service = if service == "resourcemanager" { "cloudresourcemanager" } else { service };
    format!("{service}.googleapis.com")
}

impl fmt::Display for Pattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = |part: &Option<Box<str>>| part.as_deref().unwrap_or("*").to_owned();
        write!(formatter, "{}/{}.{}", host_of(&self.service), part(&self.resource), part(&self.verb))
    }
}

impl Pattern {
    /// Reads `FQDN/resource.verb`. The service of a permission is the FQDN without `.googleapis.com`; the resource
    /// manager is the exception (<https://cloud.google.com/iam/docs/deny-permissions-support>).
    pub(in crate::policy) fn parse(text: &str) -> Option<Self> {
        let (host, rest) = text.split_once('/')?;
        let service = match host.strip_suffix(".googleapis.com")? {
            "cloudresourcemanager" => "resourcemanager",
            service => service,
        };
        let (resource, verb) = rest.split_once('.')?;
        let is_word = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let part = |word: &str| match word {
            "*" => Some(None),
            word if is_word(word) => Some(Some(word.into())),
            _ => None,
        };
        let plain = service.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if service.is_empty() || !plain {
            return None;
        }
        Some(Self { service: service.into(), resource: part(resource)?, verb: part(verb)? })
    }

    /// Whether the pattern covers a permission.
    pub(in crate::policy) fn matches(&self, permission: &str) -> bool {
        let Some((service, rest)) = permission.split_once('.') else { return false };
        let Some((resource, verb)) = rest.split_once('.') else { return false };
        let fits =
            |wanted: &Option<Box<str>>, word: &str| wanted.as_deref().is_none_or(|wanted| wanted == word);
        service == &*self.service && fits(&self.resource, resource) && fits(&self.verb, verb)
    }
}

#[cfg(test)]
mod tests;
