//! An explanation for people: the answer first, then the stages, then the parts of the policy that affect it, then what
//! would turn it. Readable without colour.

use std::fmt::Write;

use super::page::Page;
use super::stage::StageResult;
use super::{Explained, SuggestedChange};
use crate::diagnostic::Place;
use crate::policy::explain::{
    Attached, ExplainedBinding, ExplainedBoundary, ExplainedRule, Explanation, Matched, Weighed,
};
use crate::policy::{Applies, ConditionOutcome};
use crate::simulation::ScenarioCall;

pub(super) fn render(explained: &Explained) -> String {
    let mut page = Page::default();
    page.verdict(explained);
    page.blank();
    page.stages(explained);
    if let Some(policy) = &explained.policy {
        page.boundaries(policy);
        page.rules(policy);
        page.bindings(policy);
    }
    page.changes(explained);
    page.into_text()
}

impl Page {
    fn heading(&mut self, text: &str) {
        self.blank();
        self.put("", text);
    }

    fn verdict(&mut self, explained: &Explained) {
        let word = if explained.is_allowed() { "ALLOWED  " } else { "DENIED  " };
        let may = if explained.is_allowed() { "may" } else { "may not" };
        let who = explained.caller();
        let indent = " ".repeat(word.len());
        match (&explained.answer.trace.call, explained.permission()) {
            (Some(call), Some(permission)) => {
                self.put(word, &format!("{who} {may} {permission}"));
                self.put(&indent, &format!("on {}", call.resource()));
            }
            (Some(call), None) => self.put(word, &format!("{who} {may} call {}", call.method.name)),
            (None, _) => self.put(word, &asked(&explained.question.what)),
        }
        self.put(&indent, &explained.because());
        let missing = explained.missing();
        if !missing.is_empty() {
            let missing = missing.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
            self.put(&indent, &format!("conditions read {missing}, which the question does not give"));
        }
    }

    fn stages(&mut self, explained: &Explained) {
        self.put("", "Stages");
        for told in &explained.stages {
            let first = format!("  {:<11}  {:<14}  ", told.state.name(), told.name);
            let says = match (told.state, told.says.as_str()) {
                (StageResult::NotReached, "") => String::new(),
                (StageResult::NotReached, says) => format!("would say: {says}"),
                (_, says) => says.to_owned(),
            };
            self.put(&first, &format!("{says}{}", in_brackets(told.rule.as_ref())));
        }
    }

    fn boundaries(&mut self, policy: &Explanation) {
        if policy.boundaries.is_empty() {
            return;
        }
        self.heading("Boundaries");
        for boundary in &policy.boundaries {
            self.boundary(boundary);
        }
    }

    fn boundary(&mut self, boundary: &ExplainedBoundary) {
        let ExplainedBoundary { name, principal_set, applies, place, .. } = boundary;
        let verdict = match (applies, &boundary.contained_in) {
            (Applies::No, _) => "not for the caller",
            (_, Some(_)) => "contains the resource",
            (Applies::Yes, None) => "DOES NOT CONTAIN THE RESOURCE",
            (Applies::Unknown(_), None) => "MAY NOT CONTAIN THE RESOURCE",
        };
        self.put("  ", &format!("{place}  {verdict}"));
        self.put("    binding     ", name);
        let member = match applies {
            Applies::Yes => "the caller is in it".to_owned(),
            Applies::No if boundary.condition.is_some() => {
                "the caller is not in it, or the condition is not for them".to_owned()
            }
            Applies::No => "the caller is not in it".to_owned(),
            Applies::Unknown(why) => format!("it is not known whether the caller is in it: {why}"),
        };
        self.put("    set         ", &format!("{principal_set}: {member}"));
        if let Some(condition) = &boundary.condition {
            self.put("    condition   ", &format!("`{condition}`"));
        }
        self.put("    policy      ", &format!("{} ({})", boundary.policy, boundary.policy_place));
        let listed = match &boundary.contained_in {
            Some(listed) => format!("{listed}, among {}", boundary.resources.len()),
            None => some_of(&boundary.resources),
        };
        self.put("    lists       ", &listed);
    }

    fn rules(&mut self, policy: &Explanation) {
        if policy.rules.is_empty() {
            return;
        }
        self.heading("Deny rules");
        for Attached { resource, told, omitted } in &policy.rules {
            self.put("  on ", resource);
            for rule in told {
                self.rule(rule);
            }
            self.omitted(*omitted, "rule");
        }
    }

    fn rule(&mut self, rule: &ExplainedRule) {
        let verdict = if rule.denies() { "DENIES" } else { "does not deny" };
        self.put("    ", &format!("{}  {verdict}", rule.place));
        let permission = match rule.permissions.iter().find(|(_, matches)| *matches) {
            Some((pattern, _)) => format!("matched by {pattern}"),
            None => "not of those that it denies".to_owned(),
        };
        self.put("      permission  ", &permission);
        if let Some((pattern, _)) = rule.excepted_permissions.iter().find(|(_, matches)| *matches) {
            self.put("      excepted    ", &format!("the permission, by {pattern}"));
        }
        self.put("      principal   ", &members(&rule.matched, rule.other_count));
        if !rule.excepted.is_empty() {
            self.put("      excepted    ", &format!("the caller, as {}", names(&rule.excepted)));
        } else if rule.other_excepted_count > 0 {
            self.put("      excepted    ", &format!("{}, not the caller", others(rule.other_excepted_count)));
        }
        self.condition(rule.condition.as_ref());
    }

    fn bindings(&mut self, policy: &Explanation) {
        self.heading("Bindings");
        for Attached { resource, told, omitted } in &policy.bindings {
            self.put("  on ", resource);
            for binding in told {
                self.binding(binding);
            }
            self.omitted(*omitted, "binding");
        }
        let bare: Vec<&str> = policy
            .chain
            .iter()
            .filter(|name| policy.bindings.iter().all(|attached| attached.resource != **name))
            .map(|name| &**name)
            .collect();
        if !bare.is_empty() {
            self.put("  none on ", &bare.join(", "));
        }
    }

    fn binding(&mut self, binding: &ExplainedBinding) {
        let verdict = match (binding.grants(), binding.would_grant()) {
            (true, _) => "GRANTS",
            (false, true) => "would grant, but for its condition",
            (false, false) => "does not grant",
        };
        self.put("    ", &format!("{}  {verdict}", binding.place));
        let role = match (binding.holds, binding.dormant) {
            (true, _) => "holds the permission",
            (false, true) => "is disabled or deleted, and holds nothing",
            (false, false) if binding.role_place.is_none() => "is bound but not defined here",
            (false, false) => "lacks the permission",
        };
        let place = in_brackets(binding.role_place.as_ref());
        self.put("      role        ", &format!("{} {role}{place}", binding.role));
        self.put("      member      ", &members(&binding.matched, binding.other_count));
        self.condition(binding.condition.as_ref());
    }

    fn condition(&mut self, condition: Option<&Weighed>) {
        let Some(Weighed { tested, reads }) = condition else { return };
        let title = tested.title.as_ref().map(|title| format!(" ({title})")).unwrap_or_default();
        let outcome = match &tested.outcome {
            ConditionOutcome::Holds => "holds".to_owned(),
            ConditionOutcome::Fails => "does not hold".to_owned(),
            ConditionOutcome::Unknown(why) => format!("cannot be evaluated: {why}"),
        };
        self.put("      condition   ", &format!("`{}`{title} {outcome}", tested.expression));
        for read in reads {
            let value = read.value.as_deref().unwrap_or("not known");
            self.put("                  ", &format!("{} = {value}", read.name));
        }
    }

    fn omitted(&mut self, count: usize, what: &str) {
        if count > 0 {
            let plural = if count == 1 { "" } else { "s" };
            self.put("    ", &format!("… and {count} other {what}{plural}"));
        }
    }

    fn changes(&mut self, explained: &Explained) {
        if explained.changes.is_empty() {
            return;
        }
        self.heading(match (explained.is_allowed(), explained.changes.len()) {
            (true, 1) => "What would refuse it",
            (true, _) => "What would refuse it: all of",
            (false, 1) => "What would allow it",
            (false, _) => "What would allow it: all of",
        });
        for step in &explained.changes {
            match step.as_slice() {
                [only] => self.put("  - ", &sentence(only)),
                several => {
                    self.put("  - ", "one of");
                    for change in several {
                        self.put("    - ", &sentence(change));
                    }
                }
            }
        }
    }
}

fn asked(what: &ScenarioCall) -> String {
    match what {
        ScenarioCall::Request { http_method, target, host } => {
            let host = host.as_deref().map(|host| format!(" at {host}")).unwrap_or_default();
            format!("{http_method} {target}{host}")
        }
        ScenarioCall::Method { method, resource, .. } => format!("{method} on {resource}"),
        ScenarioCall::Rpc { rpc, message, .. } => format!("{rpc} over gRPC with {message}"),
    }
}

fn in_brackets(place: Option<&Place>) -> String {
    place.map(|place| format!(" ({place})")).unwrap_or_default()
}

pub(super) fn sentence(change: &SuggestedChange) -> String {
    format!("{}{}", change.text, in_brackets(change.place.as_ref()))
}

fn names(matched: &[Matched]) -> String {
    let name = |matched: &Matched| {
        let mut name = matched.member.to_string();
        if !matched.through.is_empty() {
            let _ = write!(name, " through {}", matched.through.join(", "));
        }
        name
    };
    matched.iter().map(name).collect::<Vec<_>>().join("; ")
}

fn members(matched: &[Matched], other_count: usize) -> String {
    match (matched, other_count) {
        ([], count) => format!("not the caller, but {}", others(count)),
        (matched, 0) => format!("the caller, as {}", names(matched)),
        (matched, count) => format!("the caller, as {}; {}", names(matched), others(count)),
    }
}

fn others(count: usize) -> String {
    if count == 1 { "1 other".to_owned() } else { format!("{count} others") }
}

/// The first of a list, and how many more there are.
fn some_of(names: &[String]) -> String {
    const MOST: usize = 5;
    let first = names.iter().take(MOST).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(MOST) {
        0 if names.is_empty() => "nothing".to_owned(),
        0 => first,
        more => format!("{first} and {more} more"),
    }
}
