//! The model as lint sees it: names are numbers, conditions are analysed, and members can be a caller or not.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::SystemTime;

use super::findings::Findings;
use super::membership::Membership;
use crate::diagnostic::{Source, Span};
use crate::document::nearest;
use crate::policy::condition::{Condition, StaticOutcome, TagAsked};
use crate::policy::index::{MemberId, OfMember, OfResource, OfRole, ResourceId, RoleId};
use crate::policy::model::Model;
use crate::policy::model::allow::{AllowPolicy, Binding};
use crate::policy::model::deny::{DenyPolicy, DenyRule};
use crate::policy::model::groups::Groups;
use crate::policy::model::hierarchy::Hierarchy;
use crate::policy::model::located::{Located, Location};
use crate::policy::model::member::{ALL_AUTHENTICATED_USERS, ALL_USERS, Member};
use crate::policy::model::resource::ResourceName;
use crate::policy::model::role::{self, Roles};
use crate::policy::model::tags::Tags;
use crate::policy::names::NameTable;

/// A view over the policies of a tree.
pub(super) struct PolicyView<'m> {
    model: &'m Model,
    now: SystemTime,
    pub(super) bindings: Vec<BindingView<'m>>,
    pub(super) denials: Vec<DenialView<'m>>,
    /// Every condition once, however often it is written.
    conditions: Vec<AnalysedCondition>,
    /// The numbers of conditions by their text.
    numbers: HashMap<&'m str, usize>,
    pub(super) resource_names: NameTable<OfResource>,
    pub(super) role_names: NameTable<OfRole>,
    pub(super) member_names: NameTable<OfMember>,
}

/// A binding.
pub(super) struct BindingView<'m> {
    pub(super) resource: ResourceId,
    pub(super) role: RoleId,
    pub(super) members: Box<[MemberView]>,
    /// The number of its condition; see [`PolicyView::condition`].
    pub(super) condition: Option<usize>,
    written: &'m Binding,
    source: &'m Arc<Source>,
}

/// A member of a binding.
pub(super) struct MemberView {
    /// `None` for a deleted one, which matches no caller.
    pub(super) id: Option<MemberId>,
    /// Whether it can be a caller: not deleted, not misspelt, and not a group without members.
    pub(super) is_somebody: bool,
    /// Whether loading has reported already that it matches no caller.
    pub(super) is_told: bool,
    location: Location,
}

/// A deny rule.
pub(super) struct DenialView<'m> {
    pub(super) resource: ResourceId,
    pub(super) rule: &'m DenyRule,
    pub(super) condition: Option<usize>,
    source: &'m Arc<Source>,
}

/// What static analysis tells of a condition.
pub(super) struct AnalysedCondition {
    pub(super) outcome: StaticOutcome,
    /// Whether it reads `resource.type`.
    pub(super) reads_type: bool,
    /// Tags that it asks for and no resource has: what to say, and the next step.
    missing_tags: Vec<(String, String)>,
}

impl<'m> PolicyView<'m> {
    pub(super) fn of(model: &'m Model, now: SystemTime) -> Self {
        let mut view = Self {
            model,
            now,
            bindings: Vec::new(),
            denials: Vec::new(),
            conditions: Vec::new(),
            numbers: HashMap::new(),
            resource_names: NameTable::default(),
            role_names: NameTable::default(),
            member_names: NameTable::default(),
        };
        let membership = Membership::of(&model.definitions.groups);
        for policy in &model.allow {
            view.add_allow(policy, &membership);
        }
        for policy in &model.deny {
            view.add_deny(policy);
        }
        view
    }

    fn add_allow(&mut self, policy: &'m AllowPolicy, membership: &Membership<'_>) {
        let resource = self.resource_names.intern(&policy.resource);
        for written in &policy.bindings {
            let role = self.role_names.intern(&written.role.value);
            let members = written.members.iter().map(|member| self.member(member, membership)).collect();
            let condition = written.condition.as_ref().map(|condition| self.number(&condition.value));
            let source = &policy.source;
            self.bindings.push(BindingView { resource, role, members, condition, written, source });
        }
    }

    fn add_deny(&mut self, policy: &'m DenyPolicy) {
        let resource = self.resource_names.intern(&policy.resource);
        for rule in &policy.rules {
            let condition = rule.condition.as_ref().map(|condition| self.number(&condition.value));
            self.denials.push(DenialView { resource, rule, condition, source: &policy.source });
        }
    }

    fn member(&mut self, written: &Located<Member>, membership: &Membership<'_>) -> MemberView {
        let member = &written.value;
        let id = member.identifier().map(|identifier| match identifier.domain() {
            None => self.member_names.intern(identifier.text()),
            Some(_) => self.member_names.intern(&identifier.to_string()),
        });
        let is_doubtful = member.doubt().is_some();
        let (is_missing, is_empty) = match member {
            Member::Group(group) => {
                let name = group.as_str();
                (!self.groups().contains(name), !membership.is_populated(name))
            }
            _ => (false, false),
        };
        MemberView {
            id,
            is_somebody: id.is_some() && !is_doubtful && !is_empty,
            is_told: is_doubtful || is_missing,
            location: written.location,
        }
    }

    /// The number of a condition. Each text is analysed once: policies repeat them.
    fn number(&mut self, condition: &'m Condition) -> usize {
        if let Some(number) = self.numbers.get(&*condition.expression) {
            return *number;
        }
        let (outcome, asked) = condition.analyse(self.tags(), self.now);
        let missing_tags = asked.iter().filter_map(|asked| missing_tag(self.tags(), asked)).collect();
        let number = self.conditions.len();
        self.conditions.push(AnalysedCondition {
            outcome,
            reads_type: condition.reads_resource_type(),
            missing_tags,
        });
        self.numbers.insert(&condition.expression, number);
        number
    }

    pub(super) fn roles(&self) -> &'m Roles {
        &self.model.definitions.roles
    }

    pub(super) fn groups(&self) -> &'m Groups {
        &self.model.definitions.groups
    }

    pub(super) fn hierarchy(&self) -> &'m Hierarchy {
        &self.model.definitions.hierarchy
    }

    fn tags(&self) -> &'m Tags {
        &self.model.definitions.tags
    }

    /// The role of a binding, where it is defined.
    pub(super) fn role(&self, id: RoleId) -> Option<&'m role::Role> {
        self.roles().find(self.role_names.text(id)?)
    }

    pub(super) fn role_name(&self, id: RoleId) -> Arc<str> {
        self.role_names.text(id).cloned().unwrap_or_default()
    }

    pub(super) fn resource_name(&self, id: ResourceId) -> Arc<str> {
        self.resource_names.text(id).cloned().unwrap_or_default()
    }

    pub(super) fn member_name(&self, id: MemberId) -> Arc<str> {
        self.member_names.text(id).cloned().unwrap_or_default()
    }

    /// What static analysis tells of a condition, where there is one.
    pub(super) fn condition(&self, number: Option<usize>) -> Option<&AnalysedCondition> {
        self.conditions.get(number?)
    }

    /// The resources with policies on a resource's chain, nearest first.
    pub(super) fn chain(&self, resource: ResourceId) -> Vec<ResourceId> {
        let name = self.resource_name(resource);
        let name = ResourceName::new(&name);
        let other = self.hierarchy().other_name(name).unwrap_or_default();
        let mut others = ResourceName::new(&other).chain();
        let own = name.chain().flat_map(|name| [Some(name), others.next()]).flatten();
        let names = own.chain(self.hierarchy().ancestors(name.root()));
        names.filter_map(|name| self.resource_names.find(name)).collect()
    }

    /// Every role that is bound, once.
    pub(super) fn bound_roles(&self) -> BTreeSet<RoleId> {
        self.bindings.iter().map(|binding| binding.role).collect()
    }

    pub(super) fn all_users(&self) -> Option<MemberId> {
        self.member_names.find(ALL_USERS)
    }

    pub(super) fn all_authenticated_users(&self) -> Option<MemberId> {
        self.member_names.find(ALL_AUTHENTICATED_USERS)
    }

    /// Whether a binding may ever grant anything.
    pub(super) fn is_fruitful(&self, binding: &BindingView<'_>) -> bool {
        let condition = self.condition(binding.condition);
        let can_hold = condition.is_none_or(|condition| {
            matches!(condition.outcome, StaticOutcome::DependsOnRequest | StaticOutcome::AlwaysTrue)
        });
        can_hold
            && self.role(binding.role).is_some()
            && binding.members.iter().any(|member| member.is_somebody)
    }
}

impl BindingView<'_> {
    /// Where its role is written.
    pub(super) fn role_span(&self) -> Span {
        self.written.role.location.span(self.source)
    }

    /// Where one of its members is written.
    pub(super) fn member_span(&self, member: &MemberView) -> Span {
        member.location.span(self.source)
    }

    /// Where its condition is written, where it has one.
    pub(super) fn condition_span(&self) -> Option<Span> {
        Some(self.written.condition.as_ref()?.location.span(self.source))
    }
}

impl DenialView<'_> {
    /// Every identifier that it names.
    pub(super) fn identifiers(&self) -> impl Iterator<Item = &str> {
        let named = self.rule.denied_principals.iter().chain(&self.rule.exception_principals);
        named.filter_map(|principal| principal.identifier.as_deref())
    }

    /// A part of it in its file.
    pub(super) fn span(&self, location: Location) -> Span {
        location.span(self.source)
    }

    /// Where the first of those it denies is written, which says more than the bracket of the list.
    pub(super) fn principals_span(&self) -> Option<Span> {
        Some(self.span(self.rule.denied_principals.first()?.location))
    }

    /// Where the first of what it denies is written.
    pub(super) fn permissions_span(&self) -> Option<Span> {
        Some(self.span(self.rule.denied_permissions.first()?.location))
    }

    /// Where its condition is written, where it has one.
    pub(super) fn condition_span(&self) -> Option<Span> {
        Some(self.span(self.rule.condition.as_ref()?.location))
    }

    pub(super) fn denies(&self, permission: &str) -> bool {
        self.rule.denied_permissions.iter().any(|written| written.pattern.matches(permission))
    }

    pub(super) fn excepts(&self, permission: &str) -> bool {
        self.rule.exception_permissions.iter().any(|written| written.pattern.matches(permission))
    }
}

impl AnalysedCondition {
    /// Tells of tags that no resource has. `idle` is what that makes of a rule whose condition is never true.
    pub(super) fn tell_missing_tags(&self, span: &Span, idle: &str, findings: &mut Findings<'_>) {
        for (message, help) in &self.missing_tags {
            let message = match self.outcome {
                StaticOutcome::NeverTrue => format!("{message}: {idle}"),
                _ => message.clone(),
            };
            findings.warning("tags that no resource has", span, message, help);
        }
    }

    /// Whether a tag that no resource has is the reason why it is never true.
    pub(super) fn lacks_tags(&self) -> bool {
        !self.missing_tags.is_empty()
    }
}

fn missing_tag(tags: &Tags, asked: &TagAsked) -> Option<(String, String)> {
    let TagAsked { key, value } = asked;
    let is_key = tags.keys().any(|known| known == key);
    let (tag, near) = match value {
        Some(value) if is_key && tags.values(key).any(|known| known == value) => return None,
        Some(value) if is_key => (format!("{key}: {value}"), nearest(value, tags.values(key))),
        None if is_key => return None,
        _ => (key.clone(), nearest(key, tags.keys())),
    };
    let help = match near {
        Some(near) => format!("did you mean `{near}`?"),
        None => {
            "add it to tags.yaml where a resource has it: a tag that is not there counts as absent".to_owned()
        }
    };
    Some((format!("no resource has the tag `{tag}`"), help))
}
