//! The look at what is attached to the chain: what matches the caller, how conditions come out, and how much of it is
//! told.

use std::sync::Arc;

use super::part::{Extent, Matched, Weighed};
use crate::policy::Policy;
use crate::policy::decide::Evaluation;
use crate::policy::index::{ConditionId, FileId, MemberId};
use crate::policy::refusal::Tested;
use crate::policy::subject::Subject;

/// Looks at what is attached to the chain, for one question.
pub(super) struct Examiner<'e> {
    pub(super) policy: &'e Policy,
    pub(super) subject: Subject<'e>,
    /// Every identifier of the subject.
    pub(super) identity: Vec<MemberId>,
    pub(super) extent: Extent,
    /// The outcomes of conditions at the decision. Where the budget ran out then, the explanation says so.
    pub(super) record: Vec<(ConditionId, Tested)>,
    /// Where the rule is written that decided, or came nearest: it is always told.
    pub(super) decisive: Option<(FileId, u32)>,
    /// For what the decision did not evaluate.
    pub(super) inquiry: Evaluation<'e>,
}

impl Examiner<'_> {
    pub(super) fn weigh(&mut self, id: ConditionId) -> Weighed {
        let recorded = self.record.iter().find(|(recorded, _)| *recorded == id);
        let tested = match recorded {
            Some((_, tested)) => tested.clone(),
            None => {
                self.inquiry.renew();
                self.inquiry.test(id)
            }
        };
        Weighed { tested, reads: self.inquiry.reads(id) }
    }

    /// Those of `members` that the subject is, in the order in which a decision asks for them.
    pub(super) fn matched(&self, members: impl Fn(MemberId) -> bool) -> Vec<Matched> {
        let matching = self.identity.iter().filter(|member| members(**member));
        let mut matched: Vec<Matched> = Vec::new();
        for member in matching {
            let name = self.policy.index().member_name(*member);
            if matched.iter().all(|other| other.member != name) {
                matched.push(Matched { through: self.way_to(&name), member: name });
            }
        }
        matched
    }

    fn way_to(&self, member: &str) -> Vec<Arc<str>> {
        let principal = self.subject.principal.map(|principal| principal.as_str());
        let names = principal.into_iter().chain(self.subject.sets.iter().map(|set| &**set));
        let mut names = names.filter(|name| *name != member);
        if self.subject.sets.iter().any(|set| &**set == member) {
            return Vec::new();
        }
        names.find_map(|name| self.policy.explain_index.way(name, member)).unwrap_or_default()
    }
}

/// The order in which things are told, and how many of them: those for the caller and the permission first.
pub(super) fn rank(for_caller: bool, for_permission: bool) -> u8 {
    match (for_caller, for_permission) {
        (true, true) => 0,
        (true, false) => 1,
        (false, true) => 2,
        (false, false) => 3,
    }
}

/// Of what is for the caller, at most so many are told.
const MOST_FOR_CALLER: usize = 200;
/// Of what is for the permission and other callers.
pub(super) const MOST_FOR_OTHERS: usize = 10;

/// How many of a rank are told.
pub(super) fn most(rank: u8, extent: Extent) -> usize {
    match (extent, rank) {
        (Extent::All, _) => usize::MAX,
        (Extent::Relevant, 0 | 1) => MOST_FOR_CALLER,
        (Extent::Relevant, 2) => MOST_FOR_OTHERS,
        (Extent::Relevant, _) => 0,
    }
}
