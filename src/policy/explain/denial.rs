//! The deny rules of one resource.

use std::sync::Arc;

use super::examiner::{Examiner, most, rank};
use super::part::{Attached, Extent, Matched, Weighed};
use crate::diagnostic::Place;
use crate::policy::index::{CompiledDenyRule, ResourceId};

/// A deny rule, and which of its parts matched.
#[derive(Clone, Debug)]
pub struct ExplainedRule {
    /// What it denies, as written, and whether the permission is of it.
    pub permissions: Vec<(String, bool)>,
    /// What of it is excepted, as written, and whether the permission is of it.
    pub excepted_permissions: Vec<(String, bool)>,
    /// The denied principals that the caller is.
    pub matched: Vec<Matched>,
    /// Other denied principals, where they are told.
    pub others: Vec<Arc<str>>,
    /// How many other denied principals there are.
    pub other_count: usize,
    /// The excepted principals that the caller is.
    pub excepted: Vec<Matched>,
    /// How many other excepted principals there are.
    pub other_excepted_count: usize,
    /// Its condition, where it has one.
    pub condition: Option<Weighed>,
    /// Whether it covers the caller and the permission, and excepts neither, as the engine says.
    pub speaks: bool,
    /// Where it is written.
    pub place: Place,
}

impl ExplainedRule {
    /// Whether it denies the permission to the caller.
    pub fn denies(&self) -> bool {
        self.speaks && self.condition.as_ref().is_none_or(|weighed| weighed.tested.lets_deny())
    }

    /// Whether the permission is one that it denies.
    pub fn is_of_permission(&self) -> bool {
        self.permissions.iter().any(|(_, matches)| *matches)
    }

    /// Whether the permission is one that it excepts.
    pub fn excepts_permission(&self) -> bool {
        self.excepted_permissions.iter().any(|(_, matches)| *matches)
    }
}

impl Examiner<'_> {
    /// The deny rules of a resource; `None` where it has none.
    pub(super) fn rules(&mut self, resource: ResourceId) -> Option<Attached<ExplainedRule>> {
        let index = self.policy.index();
        let mut rules: Vec<(u8, &CompiledDenyRule)> =
            index.forbidden(resource).map(|rule| (self.rank_of(rule), rule)).collect();
        if rules.is_empty() {
            return None;
        }
        // The sort is stable: within a rank they stay as they were read.
        let is_decisive = |rule: &CompiledDenyRule| self.decisive == Some((rule.file, rule.line));
        rules.sort_by_key(|(rank, rule)| (*rank, !is_decisive(rule)));
        let all = rules.len();
        let mut told = Vec::new();
        for same in rules.chunk_by(|left, right| left.0 == right.0) {
            let most = same.first().map_or(0, |(rank, _)| most(*rank, self.extent));
            told.extend(same.iter().take(most).map(|(_, rule)| self.rule(rule)));
        }
        Some(Attached { resource: index.resource_name(resource), omitted: all - told.len(), told })
    }

    fn rank_of(&self, rule: &CompiledDenyRule) -> u8 {
        let for_caller = self.identity.iter().any(|member| rule.denied.binary_search(member).is_ok());
        rank(for_caller, rule.permissions.contain(self.inquiry.permission))
    }

    fn rule(&mut self, rule: &CompiledDenyRule) -> ExplainedRule {
        let index = self.policy.index();
        let permission = self.inquiry.permission;
        let matched = self.matched(|member| rule.denied.binary_search(&member).is_ok());
        let excepted = self.matched(|member| rule.excepts(member));
        let others = rule.denied.iter().filter(|member| !self.identity.contains(member));
        let others: Vec<Arc<str>> = others.map(|member| index.member_name(*member)).collect();
        ExplainedRule {
            permissions: rule.permissions.matching(permission),
            excepted_permissions: rule.exceptions.matching(permission),
            speaks: !matched.is_empty() && self.inquiry.speaks_of(rule),
            other_excepted_count: rule.excepted.len() - excepted.len(),
            matched,
            other_count: others.len(),
            others: if self.extent == Extent::All { others } else { Vec::new() },
            excepted,
            condition: rule.condition.map(|id| self.weigh(id)),
            place: index.place(rule.file, rule.line),
        }
    }
}
