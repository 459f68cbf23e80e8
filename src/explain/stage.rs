//! The stages that a request goes through, and their results.

use crate::catalog::{Call, PermissionRule};
use crate::decision::Stage;
use crate::diagnostic::Place;
use crate::policy::explain::Explanation;
use crate::policy::{Applies, Refusal};
use crate::reason::Denial;
use crate::simulation::{Scenario, ScenarioCaller, Simulated};

/// The result of a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StageResult {
    /// It lets the call pass.
    Passed,
    /// It refuses the call.
    Refused,
    /// An earlier stage refused; its own result is told where that is known.
    NotReached,
}

/// A stage, and its result.
#[derive(Clone, Debug)]
pub struct StageReport {
    /// Its name.
    pub name: &'static str,
    /// Its result.
    pub state: StageResult,
    /// Why.
    pub says: String,
    /// The rule that it applied, where there is one.
    pub rule: Option<Place>,
}

impl StageResult {
    /// The name of the result.
    pub fn name(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Refused => "REFUSED",
            Self::NotReached => "not reached",
        }
    }
}

/// All stages, in their order.
pub(super) fn tell(
    question: &Scenario,
    answer: &Simulated,
    policy: Option<&Explanation>,
) -> Vec<StageReport> {
    let teller = Teller { question, answer, policy };
    let mut told = vec![teller.route(), teller.authenticate(), teller.scope()];
    match &answer.trace.call {
        Some(call) if call.method.permission == PermissionRule::None => {
            let says = "the method asks for no permission".to_owned();
            let place = call.method.place.clone();
            told.push(teller.told("policy", teller.reached(Stage::Policy), says, Some(place)));
        }
        _ => told.extend(teller.policy()),
    }
    told.extend(answer.trace.call.as_ref().and_then(|call| teller.implementation(call)));
    told
}

struct Teller<'t> {
    question: &'t Scenario,
    answer: &'t Simulated,
    policy: Option<&'t Explanation>,
}

impl Teller<'_> {
    fn refused_at(&self, stage: Stage) -> Option<&Denial> {
        self.answer.decided.as_ref().err().filter(|_| self.answer.trace.stage == stage)
    }

    /// The result of a stage, as far as the gate tells.
    fn reached(&self, stage: Stage) -> StageResult {
        match (&self.answer.decided, self.answer.trace.stage) {
            (Ok(_), _) => StageResult::Passed,
            (Err(_), refused) if refused == stage => StageResult::Refused,
            (Err(_), refused) if refused < stage => StageResult::NotReached,
            (Err(_), _) => StageResult::Passed,
        }
    }

    fn told(&self, name: &'static str, state: StageResult, says: String, rule: Option<Place>) -> StageReport {
        StageReport { name, state, says, rule }
    }

    fn route(&self) -> StageReport {
        let state = self.reached(Stage::Route);
        match (self.refused_at(Stage::Route), &self.answer.trace.call) {
            (Some(denial), _) => self.told("route", state, denial.detail().to_owned(), None),
            (None, Some(call)) => {
                let method = &call.method;
                let says = format!("{} of {}", method.name, method.service.name);
                self.told("route", state, says, Some(method.place.clone()))
            }
            (None, None) => self.told("route", state, "no method".to_owned(), None),
        }
    }

    fn authenticate(&self) -> StageReport {
        let state = self.reached(Stage::Authenticate);
        let says = match (self.refused_at(Stage::Authenticate), &self.answer.trace.caller) {
            (Some(denial), _) => denial.detail().to_owned(),
            (None, Some(caller)) => {
                let sets: Vec<&str> = caller.sets.iter().map(|set| &**set).collect();
                let sets =
                    if sets.is_empty() { String::new() } else { format!(", also {}", sets.join(", ")) };
                match self.question.who {
                    ScenarioCaller::Token(_) => {
                        let bound = match &caller.confirmation {
                            Some(bound) => format!("; the token is good only with {bound}"),
                            None => String::new(),
                        };
                        format!("{}{sets}, by issuer `{}`{bound}", caller.principal, caller.issuer)
                    }
                    ScenarioCaller::Claims(_) => format!(
                        "assumed: {}{sets}, as issuer `{}` would sign these claims",
                        caller.principal, caller.issuer
                    ),
                    ScenarioCaller::Principal { .. } | ScenarioCaller::Anonymous => {
                        format!("assumed: {}{sets}", caller.principal)
                    }
                }
            }
            (None, None) if state == StageResult::NotReached => String::new(),
            (None, None) => "no credential, and the method asks for none".to_owned(),
        };
        self.told("authenticate", state, says, None)
    }

    fn scope(&self) -> StageReport {
        let state = self.reached(Stage::Scope);
        let says = match (self.refused_at(Stage::Scope), &self.answer.trace.caller, &self.answer.trace.call) {
            (Some(denial), ..) => denial.detail().to_owned(),
            (None, Some(caller), Some(call)) => {
                let scopes = caller.scopes.iter().collect::<Vec<_>>().join(" ");
                let said =
                    self.question.scopes.is_some() || matches!(self.question.who, ScenarioCaller::Token(_));
                if let Some(audience) = caller.scopes.audience() {
                    format!("none, and `{audience}` in their place")
                } else if call.method.asks_for_no_scope() {
                    "the method asks for no scope".to_owned()
                } else if said || scopes != call.method.scopes.join(" ") {
                    scopes
                } else {
                    format!("assumed: {scopes}, which the method accepts")
                }
            }
            (None, None, _) if state == StageResult::Passed => "there is no token to have scopes".to_owned(),
            (None, ..) => String::new(),
        };
        self.told("scope", state, says, None)
    }

    /// Boundaries, deny rules and bindings, which the gate counts as one stage.
    fn policy(&self) -> [StageReport; 3] {
        let gate = self.reached(Stage::Policy);
        let Some(policy) = self.policy else {
            return ["boundaries", "deny", "allow"]
                .map(|name| self.told(name, StageResult::NotReached, String::new(), None));
        };
        let refused = policy.decided.as_ref().err();
        let states = match (gate, refused) {
            (StageResult::NotReached, _) => [StageResult::NotReached; 3],
            (_, None) => [StageResult::Passed; 3],
            (_, Some(Refusal::OutOfBounds(_))) => {
                [StageResult::Refused, StageResult::NotReached, StageResult::NotReached]
            }
            (_, Some(Refusal::Denied(_))) => {
                [StageResult::Passed, StageResult::Refused, StageResult::NotReached]
            }
            (_, Some(_)) => [StageResult::Passed, StageResult::Passed, StageResult::Refused],
        };
        let [boundaries, deny, allow] = states;
        [self.boundaries(policy, boundaries), self.deny(policy, deny), self.allow(policy, allow)]
    }

    fn boundaries(&self, policy: &Explanation, state: StageResult) -> StageReport {
        let (says, rule) = match &policy.decided {
            Err(Refusal::OutOfBounds(out)) => {
                ("the resource is out of bounds".to_owned(), Some(out.place.clone()))
            }
            _ if policy.boundaries.is_empty() => ("none is bound to a principal set".to_owned(), None),
            _ if policy.boundaries.iter().all(|one| one.applies == Applies::No) => {
                ("none is bound to the caller".to_owned(), None)
            }
            _ => ("the resource is within bounds".to_owned(), None),
        };
        self.told("boundaries", state, says, rule)
    }

    fn deny(&self, policy: &Explanation, state: StageResult) -> StageReport {
        let denying = policy.denying().next();
        let (says, rule) = match denying {
            Some((resource, rule)) => (format!("a rule on {resource} denies it"), Some(rule.place.clone())),
            None if policy.rules.is_empty() => ("there is no deny rule on the chain".to_owned(), None),
            None => ("no rule denies it".to_owned(), None),
        };
        self.told("deny", state, says, rule)
    }

    fn allow(&self, policy: &Explanation, state: StageResult) -> StageReport {
        let (says, rule) = match policy.granting().next() {
            Some((resource, binding)) => {
                (format!("{} on {resource} grants it", binding.role), Some(binding.place.clone()))
            }
            None => ("no binding on the chain grants it".to_owned(), None),
        };
        self.told("allow", state, says, rule)
    }

    fn implementation(&self, call: &Call) -> Option<StageReport> {
        call.method.unimplemented.then(|| {
            let state = self.reached(Stage::Implementation);
            let says = "the method is marked unimplemented".to_owned();
            self.told("implementation", state, says, Some(call.method.place.clone()))
        })
    }
}
