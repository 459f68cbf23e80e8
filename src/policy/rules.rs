//! The rules of a policy, for reports: every rule that can decide a call, by its place (the coverage of tests is
//! measured against them), and the pools whose groups and attributes rules name.

use std::collections::BTreeSet;

use super::Policy;
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
}

impl WrittenRule {
    fn key(&self) -> (RuleKind, &str, usize) {
        (self.kind, &self.place.file, self.place.line)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{grants, loaded};
    use super::*;

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
    fn a_policy_that_grants_nothing_has_no_rules() {
        assert_eq!(Policy::deny_all().rules(), []);
    }
}
