//! The rules of a policy, for reports: every rule that can decide a call, by its place (the coverage of tests is
//! measured against them), and the pools whose groups and attributes rules name.

use std::collections::BTreeSet;

use super::Policy;
use super::index::MemberId;
use super::model::resource::ResourceName;
use crate::diagnostic::Place;

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RuleKind {
    /// A binding of an allow policy.
    Binding,
    /// A rule of a deny policy.
    DenyRule,
    /// A binding of a principal access boundary policy.
    Boundary,
}

/// A rule and where it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenRule {
    /// What it does.
    pub kind: RuleKind,
    /// Where it is written.
    pub place: Place,
}

impl Policy {
    /// Every rule that can decide some call: by kind, then in the order of the files. A binding whose members match no
    /// caller (`deleted:`) decides nothing and is left out; rules on one line count as one.
    pub fn rules(&self) -> Vec<WrittenRule> {
        let index = self.index();
        let bindings: BTreeSet<_> = index.bound.iter().map(|bound| (bound.file, bound.line)).collect();
        let denials: BTreeSet<_> = index.denials.iter().map(|rule| (rule.file, rule.line)).collect();
        let of_kind = |kind| move |place| WrittenRule { kind, place };
        let place = |(file, line)| index.place(file, line);
        let bindings = bindings.into_iter().map(place).map(of_kind(RuleKind::Binding));
        let denials = denials.into_iter().map(place).map(of_kind(RuleKind::DenyRule));
        let boundaries = self.boundaries.places().cloned().map(of_kind(RuleKind::Boundary));
        let mut rules: Vec<WrittenRule> = bindings.chain(denials).chain(boundaries).collect();
        rules.sort_by(|left, right| left.key().cmp(&right.key()));
        rules.dedup();
        rules
    }

    /// The identity pools of which some rule names a group or an attribute. For a caller of such a pool, the subject
    /// alone does not tell what the policy says.
    pub fn mapped_pools(&self) -> BTreeSet<&str> {
        let sets =
            self.index().members.iter().filter_map(|(_, member)| member.strip_prefix("principalSet://"));
        sets.filter_map(|set| set.split_once("/group/").or_else(|| set.split_once("/attribute.")))
            .map(|(pool, _)| pool)
            .collect()
    }

    /// Whether the answer may change with the groups that the caller's token asserts, where these are not known
    /// (`groups` of an issuer): some rule that could change it names such a group. What is allowed, a deny rule can
    /// change; what is refused, a binding or an exception of a deny rule.
    pub fn depends_on_asserted_groups(
        &self,
        permission: &str,
        resource: ResourceName<'_>,
        is_allowed: bool,
    ) -> bool {
        let index = self.index();
        if index.asserted.is_empty() {
            return false;
        }
        let is_asserted = |member: &MemberId| index.asserted.binary_search(member).is_ok();
        let holders = index.holders(permission);
        index.chain(resource).any(|attached| {
            let numbers = index.forbidden.get(&attached).into_iter().flatten();
            let mut denials = numbers
                .filter_map(|number| index.denials.get(*number))
                .filter(|rule| rule.permissions.contain(permission) && !rule.exceptions.contain(permission));
            if is_allowed {
                return denials.any(|rule| rule.denied.iter().any(is_asserted));
            }
            denials.any(|rule| rule.excepted.iter().any(is_asserted))
                || index
                    .attached(attached)
                    .any(|(member, bound)| is_asserted(&member) && holders.binary_search(&bound.role).is_ok())
        })
    }
}

impl WrittenRule {
    fn key(&self) -> (RuleKind, &str, usize) {
        (self.kind, &self.place.file, self.place.line)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Pools;
    use super::super::tests::{grants, loaded};
    use super::*;
    use crate::diagnostic::Report;
    use crate::source::PolicyFiles;

    #[test]
    fn every_rule_is_listed_once_whatever_it_expands_to() {
        let policy = loaded(&[
            (
                "allow/projects/demo.yaml",
                "bindings:\n- role: roles/viewer\n  members: ['user:ana@example.com', 'user:bob@example.com']\n\
                 - role: roles/canceller\n  members: ['user:ana@example.com']\n\
                 - role: roles/canceller\n  members: ['deleted:user:max@example.com?uid=1']\n",
            ),
            ("allow/projects/abc.yaml", &grants("roles/viewer", "allUsers")),
            (
                "deny/projects/demo/never.yaml",
                "rules:\n- denyRule:\n    deniedPrincipals: ['principalSet://goog/public:all']\n    \
                 deniedPermissions: [demo.googleapis.com/operations.cancel]\n",
            ),
        ]);
        let rules: Vec<String> = policy
            .rules()
            .iter()
            .map(|rule| {
                let file = rule.place.file.rsplit_once("/projects/").unwrap().1;
                format!("{:?} {file}:{}", rule.kind, rule.place.line)
            })
            .collect();
        assert_eq!(
            rules,
            [
                "Binding abc.yaml:2",
                "Binding demo.yaml:2",
                "Binding demo.yaml:4",
                "DenyRule demo/never.yaml:2"
            ]
        );
    }

    #[test]
    fn pools_are_mapped_where_a_rule_names_a_group_or_an_attribute() {
        let pool = |name: &str| format!("iam.googleapis.com/locations/global/workforcePools/{name}");
        let member = |name: &str, rest: &str| format!("principalSet://{}/{rest}", pool(name));
        let policy = loaded(&[
            ("allow/projects/a.yaml", &grants("roles/viewer", &member("a", "group/oncall"))),
            ("allow/projects/b.yaml", &grants("roles/viewer", &member("b", "attribute.team/x"))),
            ("allow/projects/c.yaml", &grants("roles/viewer", &member("c", "*"))),
            (
                "deny/projects/d/some.yaml",
                &format!(
                    "rules:\n- denyRule:\n    deniedPrincipals: ['{}']\n    \
                     deniedPermissions: [demo.googleapis.com/operations.cancel]\n",
                    member("d", "group/staff"),
                ),
            ),
        ]);
        assert_eq!(policy.mapped_pools().into_iter().collect::<Vec<_>>(), [pool("a"), pool("b"), pool("d")]);
    }

    #[test]
    fn an_answer_depends_on_groups_of_a_token_where_a_rule_that_could_change_it_names_one() {
        let denial = |denied: &str, more: &str| {
            format!(
                "rules:\n- denyRule:\n    deniedPrincipals: ['{denied}']\n    \
                 deniedPermissions: [demo.googleapis.com/operations.cancel]\n{more}"
            )
        };
        let group = "principalSet://goog/group/ops@example.com";
        let depends = |files: &[(&str, &str)], permission: &str, is_allowed: bool| {
            let mut pools = Pools::configured();
            pools.add_group_domains(&["example.com".to_owned()]);
            let mut report = Report::new();
            let roles = [
                (
                    "roles/canceller.yaml",
                    "name: roles/canceller\nincludedPermissions: [demo.operations.cancel]\n",
                ),
                (
                    "groups.yaml",
                    "leads@example.org: ['group:ops@example.com']\nlocal@example.org: ['user:ana@example.com']\n",
                ),
            ];
            let files = PolicyFiles::in_memory("policies", roles.into_iter().chain(files.iter().copied()));
            let policy = Policy::load_among(&pools, files, &[], &mut report);
            assert!(!report.is_fatal(), "{}", report.render(false));
            policy.depends_on_asserted_groups(permission, ResourceName::new("projects/demo/x/y"), is_allowed)
        };
        let cancel = "demo.operations.cancel";
        for member in ["group:ops@example.com", "group:leads@example.org"] {
            let binding = grants("roles/canceller", member);
            let files = [("allow/projects/demo.yaml", binding.as_str())];
            assert!(depends(&files, cancel, false), "{member}");
            assert!(!depends(&files, cancel, true), "{member}");
            assert!(!depends(&files, "demo.operations.get", false), "{member}");
        }
        let local = grants("roles/canceller", "group:local@example.org");
        assert!(!depends(&[("allow/projects/demo.yaml", &local)], cancel, false));
        let other = grants("roles/canceller", "group:ops@example.com");
        assert!(!depends(&[("allow/projects/other.yaml", &other)], cancel, false));
        let denied = denial(group, "");
        let files = [("deny/projects/demo/x.yaml", denied.as_str())];
        assert!(depends(&files, cancel, true) && !depends(&files, cancel, false));
        let excepted =
            denial("principalSet://goog/public:all", &format!("    exceptionPrincipals: ['{group}']\n"));
        let files = [("deny/projects/demo/x.yaml", excepted.as_str())];
        assert!(depends(&files, cancel, false) && !depends(&files, cancel, true));
    }

    #[test]
    fn a_policy_that_grants_nothing_has_no_rules() {
        assert_eq!(Policy::deny_all().rules(), []);
    }
}
