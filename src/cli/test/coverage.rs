//! Which rules the tests exercise: if no test is decided by a rule, a mistake in the rule goes unnoticed.

use std::collections::HashSet;

use crate::diagnostic::Place;
use crate::policy::{RuleKind, WrittenRule};

/// The rules of a tree, and those of them that decided some test.
#[derive(Debug)]
pub(super) struct Coverage {
    rules: Vec<(WrittenRule, bool)>,
}

impl Coverage {
    /// `exercised` are the places of the rules that decided.
    pub(super) fn of<'p>(rules: &[WrittenRule], exercised: impl Iterator<Item = &'p Place>) -> Self {
        let exercised: HashSet<(&str, usize)> = exercised.map(|place| (&*place.file, place.line)).collect();
        let is_exercised = |rule: &WrittenRule| exercised.contains(&(&*rule.place.file, rule.place.line));
        let rules = rules.iter().map(|rule| (rule.clone(), is_exercised(rule)));
        Self { rules: rules.collect() }
    }

    /// How many rules of a kind decided some test, and how many there are.
    pub(super) fn count(&self, kind: RuleKind) -> (usize, usize) {
        let of_kind = || self.rules.iter().filter(|(rule, _)| rule.kind == kind);
        (of_kind().filter(|(_, exercised)| *exercised).count(), of_kind().count())
    }

    /// The rules that decided none.
    pub(super) fn missed(&self) -> impl Iterator<Item = &WrittenRule> {
        self.rules.iter().filter(|(_, exercised)| !exercised).map(|(rule, _)| rule)
    }
}
