//! Deny rules that deny nothing, in whole or in part.

use std::collections::BTreeSet;

use super::exposed::Exposed;
use super::membership::Membership;
use super::tree::{Conditions, Tree, WrittenCondition};
use super::{Findings, and_more};
use crate::diagnostic::{Report, Span};
use crate::document::{Node, Spelling, Value};
use crate::policy::condition::Foresight;
use crate::policy::index::ResourceId;
use crate::policy::model::deny::{self, Pattern};
use crate::policy::model::member::ALL_USERS;

/// A deny rule.
pub(super) struct WrittenDenial {
    pub(super) resource: ResourceId,
    denied: Vec<WrittenPrincipal>,
    excepted: Vec<WrittenPrincipal>,
    permissions: Vec<WrittenPattern>,
    excepted_permissions: Vec<WrittenPattern>,
    condition: Option<WrittenCondition>,
    /// Where the list of denied principals begins.
    pub(super) principals_span: Span,
    /// Where the list of denied permissions begins.
    permissions_span: Span,
}

struct WrittenPrincipal {
    /// `None` for a deleted one, which matches no caller.
    identifier: Option<String>,
    text: String,
    span: Span,
}

struct WrittenPattern {
    pattern: Pattern,
    text: String,
    span: Span,
}

impl WrittenDenial {
    /// Every principal that it names.
    pub(super) fn identifiers(&self) -> impl Iterator<Item = &str> {
        let named = self.denied.iter().chain(&self.excepted);
        named.filter_map(|principal| principal.identifier.as_deref())
    }

    fn denies(&self, permission: &str) -> bool {
        self.permissions.iter().any(|written| written.pattern.matches(permission))
    }

    fn excepts(&self, permission: &str) -> bool {
        self.excepted_permissions.iter().any(|written| written.pattern.matches(permission))
    }
}

/// Reads the rules of a deny policy into the tree.
pub(super) fn read(
    tree: &mut Tree,
    resource: ResourceId,
    node: &Node,
    conditions: &mut Conditions,
    report: &mut Report,
) -> Option<()> {
    let mut fields = node.fields("a deny policy", Spelling::Proto, report)?;
    for rule in fields.required("rules", report)?.list(report)? {
        let mut fields = rule.fields("a rule", Spelling::Proto, report)?;
        let mut fields =
            fields.required("deny_rule", report)?.fields("a deny rule", Spelling::Proto, report)?;
        let denied = fields.required("denied_principals", report)?;
        let excepted = fields.optional("exception_principals");
        let permissions = fields.required("denied_permissions", report)?;
        let excepted_permissions = fields.optional("exception_permissions");
        let condition = fields.optional("denial_condition");
        let denial = WrittenDenial {
            resource,
            denied: principals(denied, deny::Place::Denied, tree, report),
            excepted: excepted
                .map(|node| principals(node, deny::Place::Excepted, tree, report))
                .unwrap_or_default(),
            permissions: patterns(permissions, report),
            excepted_permissions: excepted_permissions.map(|node| patterns(node, report)).unwrap_or_default(),
            condition: condition.and_then(|node| conditions.read(tree, node, report)),
            principals_span: first_span(denied),
            permissions_span: first_span(permissions),
        };
        tree.denials.push(denial);
    }
    Some(())
}

/// The first item of a list, which says more than its bracket.
fn first_span(list: &Node) -> Span {
    match &list.value {
        Value::List(items) => items.first().map_or(&list.span, |item| &item.span).clone(),
        _ => list.span.clone(),
    }
}

fn principals(node: &Node, place: deny::Place, tree: &Tree, report: &mut Report) -> Vec<WrittenPrincipal> {
    let texts = node.strings(report);
    let read = |(text, item): (&str, &Node)| WrittenPrincipal {
        identifier: deny::principal(text, &item.span, place, tree.context(), report),
        text: text.to_owned(),
        span: item.span.clone(),
    };
    texts.into_iter().map(read).collect()
}

fn patterns(node: &Node, report: &mut Report) -> Vec<WrittenPattern> {
    let texts = node.strings(report);
    let read = |(text, item): (&str, &Node)| {
        let pattern = Pattern::parse(text)?;
        Some(WrittenPattern { pattern, text: text.to_owned(), span: item.span.clone() })
    };
    texts.into_iter().filter_map(read).collect()
}

const FRUITLESS: &str = "deny rules that deny nothing";
const IDLE_EXCEPTIONS: &str = "exceptions without effect";

/// Tells of rules that deny nothing, and of exceptions that except nothing.
pub(super) fn fruitless(tree: &Tree, exposed: &Exposed<'_>, findings: &mut Findings<'_>) {
    let membership = Membership::of(&tree.groups);
    for rule in &tree.denials {
        permissions(rule, exposed, findings);
        people(rule, &membership, findings);
        condition(rule, tree, findings);
    }
}

fn permissions(rule: &WrittenDenial, exposed: &Exposed<'_>, findings: &mut Findings<'_>) {
    let mut denied = exposed.permissions().filter(|permission| rule.denies(permission)).peekable();
    let Some(first) = denied.peek().copied() else {
        let texts = rule.permissions.iter().map(|written| written.text.as_str());
        let (first, more) = (texts.clone().next().unwrap_or_default(), texts.count().saturating_sub(1));
        findings.note(
            FRUITLESS,
            &rule.permissions_span,
            format!("no exposed method asks for what this rule denies: {}", and_more(first, more)),
            "remove the rule, or deny what a method asks for (services/*.iam.yaml)",
        );
        return;
    };
    if denied.all(|permission| rule.excepts(permission)) {
        let span = rule.excepted_permissions.first().map_or(&rule.permissions_span, |written| &written.span);
        findings.warning(
            FRUITLESS,
            span,
            format!("all that this rule denies is excepted again, `{first}` for one: it denies nothing"),
            "remove the rule, or some of its `exceptionPermissions`",
        );
        return;
    }
    for exception in &rule.excepted_permissions {
        let excepts = |permission: &str| exception.pattern.matches(permission) && rule.denies(permission);
        if !exposed.permissions().any(excepts) {
            findings.note(
                IDLE_EXCEPTIONS,
                &exception.span,
                format!("`{}` excepts nothing that this rule denies and a method asks for", exception.text),
                "remove it, or fix its spelling",
            );
        }
    }
}

fn people<'w>(rule: &'w WrittenDenial, membership: &Membership<'_>, findings: &mut Findings<'_>) {
    let identifiers = |principals: &'w [WrittenPrincipal]| -> BTreeSet<&'w str> {
        principals.iter().filter_map(|principal| principal.identifier.as_deref()).collect()
    };
    let (denied, excepted) = (identifiers(&rule.denied), identifiers(&rule.excepted));
    let among = |name: &str, named: &BTreeSet<&str>| {
        named.contains(name) || membership.groups_of(name).any(|group| named.contains(group))
    };
    if denied.is_empty() {
        findings.warning(
            FRUITLESS,
            &rule.principals_span,
            "all principals of this rule are deleted: it denies no caller",
            "remove the rule, or name the principals to deny",
        );
        return;
    }
    let is_nobody = |name: &str| name.starts_with("group:") && !membership.is_populated(name);
    let is_excepted = |name: &str| {
        let members = || membership.members_of(name).filter(|member| !member.starts_with("group:"));
        among(name, &excepted)
            || (name.starts_with("group:") && members().all(|member| among(member, &excepted)))
    };
    if denied.iter().all(|name| is_excepted(name)) {
        let why = if denied.iter().all(|name| is_nobody(name)) {
            "the groups of this rule have no members in groups.yaml: it denies no caller"
        } else {
            "all principals of this rule are excepted again: it denies no caller"
        };
        findings.warning(
            FRUITLESS,
            &rule.principals_span,
            why,
            "remove the rule, or some of its `exceptionPrincipals`",
        );
        return;
    }
    // Only a credential says which sets of federated identities a caller is in.
    let is_set = |name: &&str| name.starts_with("principalSet:");
    if denied.contains(ALL_USERS) || denied.iter().any(is_set) {
        return;
    }
    // To except a group excepts a denied principal in it, too.
    let around: BTreeSet<&str> = denied.iter().flat_map(|name| membership.groups_of(name)).collect();
    let overlaps = |name: &str| {
        among(name, &denied)
            || around.contains(name)
            || membership.members_of(name).any(|member| among(member, &denied))
            || membership.members_of(name).any(|member| is_set(&member))
    };
    for exception in &rule.excepted {
        let Some(name) = exception.identifier.as_deref().filter(|name| !is_set(name)) else { continue };
        if !overlaps(name) {
            findings.note(
                IDLE_EXCEPTIONS,
                &exception.span,
                format!("`{}` is not denied by this rule: this exception changes nothing", exception.text),
                "remove it, or deny a group that it is in",
            );
        }
    }
}

fn condition(rule: &WrittenDenial, tree: &Tree, findings: &mut Findings<'_>) {
    let Some(condition) = &rule.condition else { return };
    let Some(foreseen) = tree.foresight(Some(condition)) else { return };
    let span = &condition.span;
    match &foreseen.foresight {
        // Loading has reported what is never known.
        Foresight::Open | Foresight::Unknown => {}
        Foresight::Never if foreseen.lacks_tags() => {}
        Foresight::Always => {
            findings.note(
                "conditions that are always true",
                span,
                "this condition is always true: the rule denies at all times",
                "remove it, or write the condition that is meant",
            );
        }
        Foresight::Never => {
            let message = "this condition is never true: the rule denies nothing";
            findings.warning(FRUITLESS, span, message, "remove the rule, or fix the condition");
        }
        Foresight::Expired => {
            let message = "the time of this condition is over: the rule denies nothing any more";
            findings.warning(FRUITLESS, span, message, "remove the rule, or set a later time");
        }
        Foresight::Failing(why) => {
            findings.warning(
                "conditions that never have a value",
                span,
                format!("this condition never has a value, so the rule denies at all times: {why}"),
                "fix the condition, or remove it to say so",
            );
        }
    }
    foreseen.tell_missing_tags(span, "the rule denies nothing", findings);
}
