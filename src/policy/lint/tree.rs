//! The tree as it is written, with the place of everything that can be underlined.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use super::Findings;
use super::denial::{self, WrittenDenial};
use super::membership::Membership;
use crate::diagnostic::{Report, Span};
use crate::document::{self, Node, Spelling, nearest};
use crate::policy::condition::{self, Condition, Foresight, TagAsked};
use crate::policy::index::{MemberId, Principal, Resource, ResourceId, Role, RoleId};
use crate::policy::model::allow::{self, Context};
use crate::policy::model::groups::Groups;
use crate::policy::model::hierarchy::Hierarchy;
use crate::policy::model::member::{ALL_AUTHENTICATED_USERS, ALL_USERS, Member};
use crate::policy::model::resource::ResourceName;
use crate::policy::model::role::{self, Roles};
use crate::policy::model::tags::Tags;
use crate::policy::names::Names;
use crate::policy::pools::Pools;
use crate::source::directory;

/// A policies directory.
pub(super) struct Tree {
    pub(super) roles: Roles,
    pub(super) hierarchy: Hierarchy,
    pub(super) groups: Groups,
    pub(super) tags: Tags,
    /// Loading has reported unknown pools; the second reading doubts no pool.
    pools: Pools,
    pub(super) bindings: Vec<WrittenBinding>,
    pub(super) denials: Vec<WrittenDenial>,
    /// Every condition once, however often it is written.
    pub(super) conditions: Vec<Foreseen>,
    pub(super) resource_names: Names<Resource>,
    pub(super) role_names: Names<Role>,
    pub(super) member_names: Names<Principal>,
}

/// A binding.
pub(super) struct WrittenBinding {
    pub(super) resource: ResourceId,
    pub(super) role: RoleId,
    pub(super) role_span: Span,
    pub(super) members: Box<[WrittenMember]>,
    pub(super) condition: Option<WrittenCondition>,
}

/// A member of a binding.
pub(super) struct WrittenMember {
    /// `None` for a deleted one, which matches no caller.
    pub(super) id: Option<MemberId>,
    /// Whether it can be a caller: not deleted, not misspelt, and not a group without members.
    pub(super) is_somebody: bool,
    /// Whether loading has reported already that it matches no caller.
    pub(super) is_told: bool,
    pub(super) span: Span,
}

/// A condition where it is written.
pub(super) struct WrittenCondition {
    /// Its number among [`Tree::conditions`].
    pub(super) number: usize,
    pub(super) span: Span,
}

/// What can be said of a condition before any request.
pub(super) struct Foreseen {
    pub(super) foresight: Foresight,
    /// Tags that it asks for and no resource has: what to say, and the next step.
    missing_tags: Vec<(String, String)>,
}

impl Tree {
    pub(super) fn read(directory: &Path, now: SystemTime, report: &mut Report) -> Self {
        let hierarchy = Hierarchy::load(directory, report);
        let mut tree = Self {
            roles: Roles::load(directory, &[], report),
            groups: Groups::load(directory, report),
            tags: Tags::load(directory, &hierarchy, report),
            hierarchy,
            pools: Pools::default(),
            bindings: Vec::new(),
            denials: Vec::new(),
            conditions: Vec::new(),
            resource_names: Names::default(),
            role_names: Names::default(),
            member_names: Names::default(),
        };
        let mut conditions = Conditions { now, numbers: HashMap::new() };
        for file in allow::files(directory, report) {
            if let Some(node) = document::read(&file.path, report) {
                tree.read_allow(&file.stem, &node, &mut conditions, report);
            }
        }
        for file in directory::files(directory, "deny", report) {
            if let Some(node) = document::read(&file.path, report) {
                let resource = file.stem.rsplit_once('/').map_or("", |(resource, _)| resource);
                let resource = tree.resource_names.intern(resource);
                denial::read(&mut tree, resource, &node, &mut conditions, report);
            }
        }
        // Only here are all groups known.
        let membership = Membership::of(&tree.groups);
        let populated = |name: &str| !name.starts_with("group:") || membership.is_populated(name);
        for member in tree.bindings.iter_mut().flat_map(|binding| &mut binding.members) {
            let name = member.id.and_then(|id| tree.member_names.text(id));
            member.is_somebody &= name.is_some_and(|name| populated(name));
        }
        tree
    }

    fn read_allow(
        &mut self,
        resource: &str,
        node: &Node,
        conditions: &mut Conditions,
        report: &mut Report,
    ) -> Option<()> {
        let mut fields = node.fields("an allow policy", Spelling::Proto, report)?;
        let resource = self.resource_names.intern(resource);
        for item in fields.optional("bindings")?.list(report)? {
            let mut fields = item.fields("a binding", Spelling::Proto, report)?;
            let role = fields.required("role", report)?;
            let members = fields.required("members", report)?;
            let condition = fields.optional("condition");
            let binding = WrittenBinding {
                resource,
                role: self.role_names.intern(role.string(report)?),
                role_span: role.span.clone(),
                members: members
                    .strings(report)
                    .into_iter()
                    .filter_map(|(text, item)| self.member(text, item))
                    .collect(),
                condition: condition.and_then(|node| conditions.read(self, node, report)),
            };
            self.bindings.push(binding);
        }
        Some(())
    }

    fn member(&mut self, text: &str, item: &Node) -> Option<WrittenMember> {
        let member = Member::parse(text).ok()?;
        let id = member.identifier().map(|identifier| match identifier.domain() {
            None => self.member_names.intern(identifier.text()),
            Some(_) => self.member_names.intern(&identifier.to_string()),
        });
        let is_doubtful = member.doubt().is_some();
        let is_missing = match &member {
            Member::Group(group) => !self.groups.contains(group.as_str()),
            _ => false,
        };
        let is_told = is_doubtful || is_missing;
        Some(WrittenMember { id, is_somebody: !is_doubtful, is_told, span: item.span.clone() })
    }

    /// What bindings and deny rules are checked against.
    pub(super) fn context(&self) -> Context<'_> {
        Context {
            roles: &self.roles,
            hierarchy: &self.hierarchy,
            groups: &self.groups,
            tags: &self.tags,
            pools: &self.pools,
        }
    }

    /// The role of a binding, which is defined.
    pub(super) fn role(&self, id: RoleId) -> Option<&role::Role> {
        self.roles.find(self.role_names.text(id)?)
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

    /// What can be said of a condition before any request, where it has one.
    pub(super) fn foresight(&self, condition: Option<&WrittenCondition>) -> Option<&Foreseen> {
        self.conditions.get(condition?.number)
    }

    /// The resources with policies on a resource's chain, nearest first.
    pub(super) fn chain(&self, resource: ResourceId) -> Vec<ResourceId> {
        let name = self.resource_name(resource);
        let name = ResourceName::new(&name);
        let other = self.hierarchy.other_name(name).unwrap_or_default();
        let mut others = ResourceName::new(&other).chain();
        let own = name.chain().flat_map(|name| [Some(name), others.next()]).flatten();
        let names = own.chain(self.hierarchy.ancestors(name.root()));
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
    pub(super) fn is_fruitful(&self, binding: &WrittenBinding) -> bool {
        let condition = self.foresight(binding.condition.as_ref());
        let can_hold = condition
            .is_none_or(|condition| matches!(condition.foresight, Foresight::Open | Foresight::Always));
        can_hold && binding.members.iter().any(|member| member.is_somebody)
    }
}

/// Reads conditions, each text once: policies repeat them.
pub(super) struct Conditions {
    now: SystemTime,
    numbers: HashMap<Box<str>, usize>,
}

impl Conditions {
    pub(super) fn read(
        &mut self,
        tree: &mut Tree,
        node: &Node,
        report: &mut Report,
    ) -> Option<WrittenCondition> {
        let (text, span, _) = condition::read_expression(node, report)?;
        let number = match self.numbers.get(text) {
            Some(number) => *number,
            None => {
                let (foresight, tags) =
                    Condition::read(node, &tree.tags, report)?.foresee(&tree.tags, self.now);
                let missing_tags = tags.iter().filter_map(|asked| missing_tag(&tree.tags, asked)).collect();
                tree.conditions.push(Foreseen { foresight, missing_tags });
                self.numbers.insert(text.into(), tree.conditions.len() - 1);
                tree.conditions.len() - 1
            }
        };
        Some(WrittenCondition { number, span: span.clone() })
    }
}

impl Foreseen {
    /// Tells of tags that no resource has. `idle` is what that makes of a rule whose condition is never true.
    pub(super) fn tell_missing_tags(&self, span: &Span, idle: &str, findings: &mut Findings<'_>) {
        for (message, help) in &self.missing_tags {
            let message = match self.foresight {
                Foresight::Never => format!("{message}: {idle}"),
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
