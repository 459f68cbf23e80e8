//! The comparison, line by line and in bounded memory: what two trees say to one request, and the changes so far.

use std::collections::{BTreeMap, HashMap};

use crate::catalog::PermissionRule;
use crate::reason::Recorded;
use crate::simulation::log_line::LogLine;
use crate::simulation::replay::{MissingInput, Replay, ReplayOutcome, ReplayTree};

/// Different changes that are told apart; more are counted.
const MOST: usize = 10_000;

/// Which way access went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Direction {
    /// Refused before, let through now.
    Gained,
    /// Let through before, refused now.
    Revoked,
}

/// A question, as far as changes are told apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct ChangedCall {
    pub(super) change: Direction,
    /// `None` for a caller without a credential.
    pub(super) principal: Option<String>,
    /// What is asked for: a permission, or the method where it asks for none.
    pub(super) permission: String,
    pub(super) method: String,
    pub(super) resource: String,
    pub(super) host: String,
}

/// A question whose answer changed, how often it was asked, and the two answers to the first.
#[derive(Debug)]
pub(super) struct Changed {
    pub(super) question: ChangedCall,
    pub(super) requests: u64,
    pub(super) old: ReplayOutcome,
    pub(super) new: ReplayOutcome,
}

/// Everything that was found.
#[derive(Debug, Default)]
pub(super) struct Changes {
    changed: Vec<Changed>,
    /// Where a question stands in `changed`.
    known: HashMap<ChangedCall, usize>,
    /// Requests whose change is counted and not listed.
    pub(super) unlisted: u64,
    pub(super) gained: u64,
    pub(super) revoked: u64,
    pub(super) unchanged: u64,
    pub(super) doubts: BTreeMap<MissingInput, u64>,
    /// Requests that the old tree decides otherwise than the log says, and the line of the first.
    pub(super) otherwise: u64,
    pub(super) first_otherwise: Option<u64>,
}

impl Changes {
    /// Puts a line to both trees. `number` is the line's, from 1.
    pub(super) fn compare(&mut self, line: &LogLine, number: u64, old: &ReplayTree, new: &ReplayTree) {
        match line.recorded {
            Recorded::Regardless => {
                self.unchanged += 1;
                return;
            }
            Recorded::Inconclusive => return self.cannot_tell(MissingInput::Refusal),
            _ => {}
        }
        let called = old.route(line);
        let logged = called.as_ref().ok().map(|call| call.method.clone());
        let decide = |tree: &ReplayTree, call| tree.decide(line, call, logged.as_deref());
        let before = called.map_or_else(|replay| replay, |call| decide(old, call));
        let after = new.route(line).map_or_else(|replay| replay, |call| decide(new, call));
        let is_of_old = self.check(line, number, &before.answer);
        match (&before.answer, &after.answer) {
            (ReplayOutcome::Unknown(doubt), _) | (_, ReplayOutcome::Unknown(doubt)) => {
                self.cannot_tell(*doubt)
            }
            (ReplayOutcome::Refused { .. }, ReplayOutcome::Allowed(_)) => {
                self.gained += 1;
                self.note(Direction::Gained, line, before, after);
            }
            (ReplayOutcome::Allowed(_), ReplayOutcome::Refused { .. }) => {
                self.revoked += 1;
                self.note(Direction::Revoked, line, before, after);
            }
            // Something was in play that neither tree shows.
            _ if !is_of_old => self.cannot_tell(MissingInput::Tree),
            (ReplayOutcome::Allowed(_), ReplayOutcome::Allowed(_))
            | (ReplayOutcome::Refused { .. }, ReplayOutcome::Refused { .. }) => {
                self.unchanged += 1;
            }
        }
    }

    fn cannot_tell(&mut self, doubt: MissingInput) {
        *self.doubts.entry(doubt).or_default() += 1;
    }

    /// Notes where the old tree is not the one that the log was written under: it decides otherwise. Returns whether it
    /// may be.
    fn check(&mut self, line: &LogLine, number: u64, answer: &ReplayOutcome) -> bool {
        let allowed = match answer {
            ReplayOutcome::Allowed(_) => true,
            ReplayOutcome::Refused { .. } => false,
            ReplayOutcome::Unknown(_) => return true,
        };
        let is_of_old = allowed == (line.recorded == Recorded::Allowed);
        if !is_of_old {
            self.otherwise += 1;
            self.first_otherwise.get_or_insert(number);
        }
        is_of_old
    }

    fn note(&mut self, change: Direction, line: &LogLine, before: Replay, after: Replay) {
        // One of the two trees let it through, and so knows the method.
        let call = after.call.as_ref().or(before.call.as_ref());
        let method = call.map(|call| &call.method);
        let name = method.map(|method| method.name.clone()).unwrap_or_default();
        let question = ChangedCall {
            change,
            principal: line.principal.as_ref().map(ToString::to_string),
            permission: match method.map(|method| &method.permission) {
                Some(PermissionRule::Required(permission)) => permission.clone(),
                Some(PermissionRule::None) | None => name.clone(),
            },
            method: name,
            resource: call.map(|call| call.resource().to_owned()).unwrap_or_default(),
            host: line.host.clone().unwrap_or_default(),
        };
        if let Some(changed) = self.known.get(&question).and_then(|index| self.changed.get_mut(*index)) {
            changed.requests += 1;
        } else if self.changed.len() == MOST {
            self.unlisted += 1;
        } else {
            self.known.insert(question.clone(), self.changed.len());
            self.changed.push(Changed { question, requests: 1, old: before.answer, new: after.answer });
        }
    }

    /// The changes of one kind, the most frequent first.
    pub(super) fn of_kind(&self, change: Direction) -> Vec<&Changed> {
        let mut found: Vec<&Changed> =
            self.changed.iter().filter(|changed| changed.question.change == change).collect();
        found.sort_by_key(|changed| std::cmp::Reverse(changed.requests));
        found
    }

    /// Requests without a known answer.
    pub(super) fn doubtful(&self) -> u64 {
        self.doubts.values().sum()
    }

    /// All requests.
    pub(super) fn requests(&self) -> u64 {
        self.gained + self.revoked + self.unchanged + self.doubtful()
    }
}
