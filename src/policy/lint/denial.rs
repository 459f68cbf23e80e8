//! Deny rules that deny nothing, in whole or in part.

use std::collections::BTreeSet;

use super::exposed::Exposed;
use super::findings::{Findings, and_more};
use super::membership::Membership;
use super::view::{DenialView, PolicyView};
use crate::policy::condition::StaticOutcome;
use crate::policy::model::deny::DenyPrincipal;
use crate::policy::model::member::ALL_USERS;

const FRUITLESS: &str = "deny rules that deny nothing";
const IDLE_EXCEPTIONS: &str = "exceptions without effect";

/// Tells of rules that deny nothing, and of exceptions that except nothing.
pub(super) fn fruitless(view: &PolicyView<'_>, exposed: &Exposed<'_>, findings: &mut Findings<'_>) {
    let membership = Membership::of(view.groups());
    for denial in &view.denials {
        permissions(denial, exposed, findings);
        principals(denial, &membership, findings);
        condition(denial, view, findings);
    }
}

fn permissions(denial: &DenialView<'_>, exposed: &Exposed<'_>, findings: &mut Findings<'_>) {
    let Some(first_span) = &denial.permissions_span() else { return };
    let mut denied = exposed.permissions().filter(|permission| denial.denies(permission)).peekable();
    let Some(first) = denied.peek().copied() else {
        let texts = denial.rule.denied_permissions.iter().map(|written| &*written.text);
        let (first, more) = (texts.clone().next().unwrap_or_default(), texts.count().saturating_sub(1));
        findings.note(
            FRUITLESS,
            first_span,
            format!("no exposed method asks for what this rule denies: {}", and_more(first, more)),
            "remove the rule, or deny what a method asks for (services/*.iam.yaml)",
        );
        return;
    };
    let exceptions = &denial.rule.exception_permissions;
    if denied.all(|permission| denial.excepts(permission)) {
        let span = exceptions.first().map(|written| denial.span(written.location));
        findings.warning(
            FRUITLESS,
            span.as_ref().unwrap_or(first_span),
            format!("all that this rule denies is excepted again, `{first}` for one: it denies nothing"),
            "remove the rule, or some of its `exceptionPermissions`",
        );
        return;
    }
    for exception in exceptions {
        let excepts = |permission: &str| exception.pattern.matches(permission) && denial.denies(permission);
        if !exposed.permissions().any(excepts) {
            findings.note(
                IDLE_EXCEPTIONS,
                &denial.span(exception.location),
                format!("`{}` excepts nothing that this rule denies and a method asks for", exception.text),
                "remove it, or fix its spelling",
            );
        }
    }
}

/// The principals of a rule, with those who are in its groups.
struct Principals<'w> {
    denied: BTreeSet<&'w str>,
    excepted: BTreeSet<&'w str>,
    membership: &'w Membership<'w>,
}

impl<'w> Principals<'w> {
    fn of(denial: &DenialView<'w>, membership: &'w Membership<'w>) -> Self {
        let identifiers = |principals: &'w [DenyPrincipal]| -> BTreeSet<&'w str> {
            principals.iter().filter_map(|principal| principal.identifier.as_deref()).collect()
        };
        Self {
            denied: identifiers(&denial.rule.denied_principals),
            excepted: identifiers(&denial.rule.exception_principals),
            membership,
        }
    }

    /// Whether a name is one of those that are listed, or in a group that is.
    fn is_among(&self, name: &str, listed: &BTreeSet<&str>) -> bool {
        listed.contains(name) || self.membership.groups_of(name).any(|group| listed.contains(group))
    }

    fn are_all_excepted(&self) -> bool {
        self.denied.iter().all(|name| self.is_excepted(name))
    }

    fn is_excepted(&self, name: &str) -> bool {
        let members = || self.membership.members_of(name).filter(|member| !member.starts_with("group:"));
        self.is_among(name, &self.excepted)
            || (name.starts_with("group:") && members().all(|member| self.is_among(member, &self.excepted)))
    }

    /// Whether nothing but groups without a member is denied.
    fn are_all_empty(&self) -> bool {
        let is_empty = |name: &str| name.starts_with("group:") && !self.membership.is_populated(name);
        self.denied.iter().all(|name| is_empty(name))
    }

    /// Whether credentials say who is denied: it cannot be told here whether an exception is one of them.
    fn are_open(&self) -> bool {
        self.denied.contains(ALL_USERS) || self.denied.iter().any(|name| is_set(name))
    }

    /// Whether somebody with a name, or in it, may be denied.
    fn overlap(&self, name: &str) -> bool {
        // To except a group excepts a denied principal in it, too.
        let mut around = self.denied.iter().flat_map(|denied| self.membership.groups_of(denied));
        self.is_among(name, &self.denied)
            || around.any(|group| group == name)
            || self.membership.members_of(name).any(|member| self.is_among(member, &self.denied))
            || self.membership.members_of(name).any(is_set)
    }
}

/// Whether a name is of a set of federated identities. Only a credential says which of them a caller is in.
fn is_set(name: &str) -> bool {
    name.starts_with("principalSet:")
}

fn principals<'w>(denial: &DenialView<'w>, membership: &'w Membership<'w>, findings: &mut Findings<'_>) {
    let Some(span) = &denial.principals_span() else { return };
    let principals = Principals::of(denial, membership);
    if principals.denied.is_empty() {
        findings.warning(
            FRUITLESS,
            span,
            "all principals of this rule are deleted: it denies no caller",
            "remove the rule, or name the principals to deny",
        );
        return;
    }
    if principals.are_all_excepted() {
        let why = if principals.are_all_empty() {
            "the groups of this rule have no members in groups.yaml: it denies no caller"
        } else {
            "all principals of this rule are excepted again: it denies no caller"
        };
        findings.warning(FRUITLESS, span, why, "remove the rule, or some of its `exceptionPrincipals`");
        return;
    }
    if principals.are_open() {
        return;
    }
    for exception in &denial.rule.exception_principals {
        let Some(name) = exception.identifier.as_deref().filter(|name| !is_set(name)) else { continue };
        if !principals.overlap(name) {
            findings.note(
                IDLE_EXCEPTIONS,
                &denial.span(exception.location),
                format!("`{}` is not denied by this rule: this exception changes nothing", exception.text),
                "remove it, or deny a group that it is in",
            );
        }
    }
}

fn condition(rule: &DenialView<'_>, view: &PolicyView<'_>, findings: &mut Findings<'_>) {
    let Some(analysed) = view.condition(rule.condition) else { return };
    let Some(span) = &rule.condition_span() else { return };
    match &analysed.outcome {
        // Loading has reported what is never known.
        StaticOutcome::DependsOnRequest | StaticOutcome::NeverKnown => {}
        StaticOutcome::NeverTrue if analysed.lacks_tags() => {}
        StaticOutcome::AlwaysTrue => {
            findings.note(
                "conditions that are always true",
                span,
                "this condition is always true: the rule denies at all times",
                "remove it, or write the condition that is meant",
            );
        }
        StaticOutcome::NeverTrue => {
            let message = "this condition is never true: the rule denies nothing";
            findings.warning(FRUITLESS, span, message, "remove the rule, or fix the condition");
        }
        StaticOutcome::Expired => {
            let message = "the time of this condition is over: the rule denies nothing any more";
            findings.warning(FRUITLESS, span, message, "remove the rule, or set a later time");
        }
        StaticOutcome::Failing(why) => {
            findings.warning(
                "conditions that never have a value",
                span,
                format!("this condition never has a value, so the rule denies at all times: {why}"),
                "fix the condition, or remove it to say so",
            );
        }
    }
    analysed.tell_missing_tags(span, "the rule denies nothing", findings);
}
