//! An explanation for programs: `TroubleshootIamPolicyResponse` of google.cloud.policytroubleshooter.iam (v3, and
//! v3beta for boundaries); objects named `opgate` hold what that has no field for.
//!
//! Google's troubleshooter may say that it does not know a state. A gate has to decide, so a state here is definite.

use serde_json::{Map, Value, json};

use super::{Explained, SuggestedChange};
use crate::diagnostic::Place;
use crate::policy::explain::{
    Attached, ExplainedBinding, ExplainedBoundary, ExplainedRule, Explanation, Matched, Weighed,
};
use crate::policy::model::deny;
use crate::policy::{Applies, ConditionOutcome};

pub(super) fn render(explained: &Explained) -> Value {
    let mut response = Map::new();
    let access = if explained.is_allowed() { "CAN_ACCESS" } else { "CANNOT_ACCESS" };
    response.insert("overallAccessState".to_owned(), access.into());
    if let Some(tuple) = access_tuple(explained) {
        response.insert("accessTuple".to_owned(), tuple);
    }
    if let Some(policy) = &explained.policy {
        let writer = ExplanationWriter { explained, policy };
        response.insert("allowPolicyExplanation".to_owned(), writer.allow());
        response.insert("denyPolicyExplanation".to_owned(), writer.deny());
        response.insert("pabPolicyExplanation".to_owned(), writer.boundaries());
    }
    response.insert("opgate".to_owned(), gate(explained));
    Value::Object(response)
}

/// google.cloud.policytroubleshooter.iam.v3.AccessTuple.
fn access_tuple(explained: &Explained) -> Option<Value> {
    let trace = &explained.answer.trace;
    let call = trace.call.as_ref()?;
    let permission = explained.permission()?;
    let principal = trace
        .caller
        .as_ref()
        .map(|caller| caller.principal.email().unwrap_or_else(|| caller.principal.as_str()).to_owned());
    Some(json!({
        "principal": principal,
        "fullResourceName": full_name(&call.method.service.name, call.resource()),
        "permission": permission,
        "permissionFqdn": deny::qualified(permission),
        "conditionContext": {
            "resource": {
                "service": call.method.service.name,
                "name": call.resource(),
                "type": call.method.resource_type,
            },
            "request": { "receiveTime": time(explained) },
        },
    }))
}

/// The gate's answer: Google has no field for its stages.
fn gate(explained: &Explained) -> Value {
    let trace = &explained.answer.trace;
    let refusal = explained.answer.decided.as_ref().err().map(|denial| denial.reason().entry());
    let stages: Vec<Value> = explained
        .stages
        .iter()
        .map(|told| {
            json!({
                "stage": told.name,
                "state": told.state.name().to_uppercase().replace(' ', "_"),
                "says": told.says,
                "rule": told.rule.as_ref().map(place),
            })
        })
        .collect();
    let changes = explained.changes.iter();
    let changes: Vec<Vec<Value>> = changes.map(|step| step.iter().map(change).collect()).collect();
    json!({
        "decision": if explained.is_allowed() { "allowed" } else { "denied" },
        "reason": refusal.map(|entry| entry.name),
        "httpStatus": refusal.map(|entry| entry.status),
        "because": explained.because(),
        "rule": explained.rule().map(place),
        "principal": trace.caller.as_ref().map(|caller| caller.principal.as_str()),
        "sets": trace.caller.as_ref().map(|caller| &*caller.sets),
        "service": trace.call.as_ref().map(|call| &call.method.service.name),
        "method": trace.call.as_ref().map(|call| &call.method.name),
        "resource": trace.call.as_ref().map(|call| call.resource()),
        "time": time(explained),
        "policyRevision": explained.revision,
        "stages": stages,
        "missingAttributes": explained.missing(),
        "changes": changes,
    })
}

fn change(change: &SuggestedChange) -> Value {
    json!({ "kind": change.kind, "text": change.text, "rule": change.place.as_ref().map(place) })
}

struct ExplanationWriter<'w> {
    explained: &'w Explained,
    policy: &'w Explanation,
}

impl ExplanationWriter<'_> {
    fn allow(&self) -> Value {
        let granted = self.policy.granting().next().is_some();
        let policies = self.policy.bindings.iter().map(|attached| self.allow_policy(attached));
        json!({
            "allowAccessState": allow_state(granted, !granted && any_unknown(self.policy)),
            "explainedPolicies": policies.collect::<Vec<_>>(),
            "relevance": relevance(!self.explained.is_allowed() || granted),
        })
    }

    fn allow_policy(&self, attached: &Attached<ExplainedBinding>) -> Value {
        let granted = attached.told.iter().any(ExplainedBinding::grants);
        let unknown = attached.told.iter().any(is_unknown);
        json!({
            "allowAccessState": allow_state(granted, !granted && unknown),
            "fullResourceName": self.full_name(&attached.resource),
            "bindingExplanations": attached.told.iter().map(binding).collect::<Vec<_>>(),
            "relevance": relevance(granted || attached.told.iter().any(ExplainedBinding::would_grant)),
            "opgate": { "resource": attached.resource, "omittedBindings": attached.omitted },
        })
    }

    fn deny(&self) -> Value {
        let denied = self.policy.denying().next().is_some();
        let resources = self.policy.rules.iter().map(|attached| self.deny_resource(attached));
        json!({
            "denyAccessState": deny_state(denied),
            "explainedResources": resources.collect::<Vec<_>>(),
            "relevance": relevance(denied),
            "permissionDeniable": true,
        })
    }

    fn deny_resource(&self, attached: &Attached<ExplainedRule>) -> Value {
        let denied = attached.told.iter().any(ExplainedRule::denies);
        // One explained policy per file, in the order in which their first rules are told.
        let mut files: Vec<(&str, Vec<&ExplainedRule>)> = Vec::new();
        for rule in &attached.told {
            match files.iter_mut().find(|(file, _)| **file == *rule.place.file) {
                Some((_, rules)) => rules.push(rule),
                None => files.push((&rule.place.file, vec![rule])),
            }
        }
        let policies = files.iter().map(|(file, rules)| {
            let denied = rules.iter().any(|rule| rule.denies());
            json!({
                "denyAccessState": deny_state(denied),
                "ruleExplanations": rules.iter().map(|rule| deny_rule(rule)).collect::<Vec<_>>(),
                "relevance": relevance(denied),
                "opgate": { "file": file },
            })
        });
        json!({
            "denyAccessState": deny_state(denied),
            "fullResourceName": self.full_name(&attached.resource),
            "explainedPolicies": policies.collect::<Vec<_>>(),
            "relevance": relevance(denied),
            "opgate": { "resource": attached.resource, "omittedRules": attached.omitted },
        })
    }

    /// google.cloud.policytroubleshooter.iam.v3beta.PABPolicyExplanation.
    fn boundaries(&self) -> Value {
        let boundaries = &self.policy.boundaries;
        let state = if self.policy.is_out_of_bounds() {
            "PAB_ACCESS_STATE_NOT_ALLOWED"
        } else if boundaries.iter().all(|boundary| boundary.applies == Applies::No) {
            "PAB_ACCESS_STATE_NOT_ENFORCED"
        } else {
            "PAB_ACCESS_STATE_ALLOWED"
        };
        json!({
            "principalAccessBoundaryAccessState": state,
            "explainedBindingsAndPolicies": boundaries.iter().map(boundary).collect::<Vec<_>>(),
            "relevance": relevance(self.policy.is_out_of_bounds()),
        })
    }

    /// The full name of something on the chain.
    fn full_name(&self, resource: &str) -> String {
        let service = self.explained.answer.trace.call.as_ref().map(|call| call.method.service.name.as_str());
        full_name(service.unwrap_or_default(), resource)
    }
}

/// `//SERVICE/NAME`: projects, folders and organizations are the resource manager's, whatever lies below the service's.
fn full_name(service: &str, resource: &str) -> String {
    let collection = resource.split('/').next().unwrap_or_default();
    let is_root = resource.split('/').count() == 2;
    match collection {
        "projects" | "folders" | "organizations" if is_root => {
            format!("//cloudresourcemanager.googleapis.com/{resource}")
        }
        _ => format!("//{service}/{resource}"),
    }
}

fn binding(binding: &ExplainedBinding) -> Value {
    let matched = binding.matched.iter().map(|matched| (&matched.member, true));
    let others = binding.others.iter().map(|member| (member, false));
    let memberships: Map<String, Value> =
        matched.chain(others).map(|(member, matches)| (member.to_string(), membership(matches))).collect();
    let mut explained = json!({
        "allowAccessState": allow_state(binding.grants(), is_unknown(binding)),
        "role": binding.role,
        "rolePermission":
            if binding.holds { "ROLE_PERMISSION_INCLUDED" } else { "ROLE_PERMISSION_NOT_INCLUDED" },
        "rolePermissionRelevance": relevance(binding.holds),
        "combinedMembership": membership(!binding.matched.is_empty()),
        "memberships": memberships,
        "relevance": relevance(binding.would_grant()),
        "opgate": {
            "rule": place(&binding.place),
            "roleDefinition": binding.role_place.as_ref().map(place),
            "roleDisabled": binding.dormant,
            "roleUndefined": binding.role_place.is_none(),
            "through": through(&binding.matched),
            "otherMembers": binding.other_count,
        },
    });
    add_condition(&mut explained, binding.condition.as_ref());
    explained
}

fn deny_rule(rule: &ExplainedRule) -> Value {
    let permissions = |patterns: &[(String, bool)]| {
        patterns
            .iter()
            .map(|(pattern, matches)| (pattern.clone(), permission_match(*matches)))
            .collect::<Map<String, Value>>()
    };
    let principals = |matched: &[Matched]| {
        matched
            .iter()
            .map(|matched| (matched.member.to_string(), membership(true)))
            .collect::<Map<String, Value>>()
    };
    let mut denied = principals(&rule.matched);
    denied.extend(rule.others.iter().map(|member| (member.to_string(), membership(false))));
    let mut explained = json!({
        "denyAccessState": deny_state(rule.denies()),
        "combinedDeniedPermission": permission_match(rule.is_of_permission()),
        "deniedPermissions": permissions(&rule.permissions),
        "combinedExceptionPermission": permission_match(rule.excepts_permission()),
        "exceptionPermissions": permissions(&rule.excepted_permissions),
        "combinedDeniedPrincipal": membership(!rule.matched.is_empty()),
        "deniedPrincipals": denied,
        "combinedExceptionPrincipal": membership(!rule.excepted.is_empty()),
        "exceptionPrincipals": principals(&rule.excepted),
        "relevance": relevance(rule.speaks),
        "opgate": {
            "rule": place(&rule.place),
            "through": through(&rule.matched),
            "otherDeniedPrincipals": rule.other_count,
            "otherExceptionPrincipals": rule.other_excepted_count,
        },
    });
    add_condition(&mut explained, rule.condition.as_ref());
    explained
}

fn boundary(boundary: &ExplainedBoundary) -> Value {
    let contains = boundary.contained_in.is_some();
    let allows = if contains { "PAB_ACCESS_STATE_ALLOWED" } else { "PAB_ACCESS_STATE_NOT_ALLOWED" };
    let (state, enforced, doubt) = match &boundary.applies {
        Applies::Yes => (allows, "POLICY_BINDING_STATE_ENFORCED", None),
        Applies::No => ("PAB_ACCESS_STATE_NOT_ENFORCED", "POLICY_BINDING_STATE_NOT_ENFORCED", None),
        Applies::Unknown(why) => (
            if contains { allows } else { "PAB_ACCESS_STATE_UNKNOWN_INFO" },
            "POLICY_BINDING_STATE_UNKNOWN_INFO",
            Some(why),
        ),
    };
    let relevant = relevance(boundary.applies != Applies::No);
    let resources: Vec<Value> = boundary
        .resources
        .iter()
        .map(|listed| {
            let includes = boundary.contained_in.as_ref() == Some(listed);
            json!({
                "resource": full_name("", listed),
                "resourceInclusionState": inclusion(includes),
                "relevance": relevance(includes),
            })
        })
        .collect();
    json!({
        "bindingAndPolicyAccessState": state,
        "relevance": relevant,
        "explainedPolicyBinding": {
            "policyBinding": {
                "name": boundary.name,
                "target": { "principalSet": boundary.principal_set },
                "policy": boundary.policy,
                "condition": boundary.condition.as_ref().map(|expression| json!({ "expression": expression })),
            },
            "policyBindingState": enforced,
            "relevance": relevant,
        },
        "explainedPolicy": {
            "policy": { "name": boundary.policy },
            "policyAccessState": allows,
            "explainedRules": [{
                "effect": "ALLOW",
                "ruleAccessState": allows,
                "combinedResourceInclusionState": inclusion(contains),
                "explainedResources": resources,
                "relevance": relevant,
            }],
            "relevance": relevant,
        },
        "opgate": {
            "rule": place(&boundary.place),
            "policyRule": place(&boundary.policy_place),
            "doubt": doubt,
        },
    })
}

fn add_condition(explained: &mut Value, condition: Option<&Weighed>) {
    let Some(Weighed { tested, reads }) = condition else { return };
    let Some(fields) = explained.as_object_mut() else { return };
    let mut written = Map::from_iter([("expression".to_owned(), Value::from(&*tested.expression))]);
    written.extend(tested.title.as_ref().map(|title| ("title".to_owned(), Value::from(&**title))));
    let explanation = match &tested.outcome {
        ConditionOutcome::Holds => json!({ "value": true }),
        ConditionOutcome::Fails => json!({ "value": false }),
        // google.rpc.Code.FAILED_PRECONDITION
        ConditionOutcome::Unknown(why) => json!({ "errors": [{ "code": 9, "message": why }] }),
    };
    let reads: Map<String, Value> =
        reads.iter().map(|read| (read.name.to_owned(), json!(read.value))).collect();
    fields.insert("condition".to_owned(), Value::Object(written));
    fields.insert("conditionExplanation".to_owned(), explanation);
    if let Some(ours) = fields.get_mut("opgate").and_then(Value::as_object_mut) {
        ours.insert("conditionReads".to_owned(), Value::Object(reads));
    }
}

fn through(matched: &[Matched]) -> Map<String, Value> {
    let nested = matched.iter().filter(|matched| !matched.through.is_empty());
    nested.map(|matched| (matched.member.to_string(), json!(matched.through))).collect()
}

/// Whether a binding would grant if its condition had a value.
fn is_unknown(binding: &ExplainedBinding) -> bool {
    let unknown = |weighed: &Weighed| matches!(weighed.tested.outcome, ConditionOutcome::Unknown(_));
    binding.would_grant() && binding.condition.as_ref().is_some_and(unknown)
}

fn any_unknown(policy: &Explanation) -> bool {
    policy.bindings.iter().flat_map(|attached| &attached.told).any(is_unknown)
}

fn allow_state(granted: bool, unknown: bool) -> &'static str {
    match (granted, unknown) {
        (true, _) => "ALLOW_ACCESS_STATE_GRANTED",
        (false, true) => "ALLOW_ACCESS_STATE_UNKNOWN_CONDITIONAL",
        (false, false) => "ALLOW_ACCESS_STATE_NOT_GRANTED",
    }
}

fn deny_state(denied: bool) -> &'static str {
    if denied { "DENY_ACCESS_STATE_DENIED" } else { "DENY_ACCESS_STATE_NOT_DENIED" }
}

fn membership(matches: bool) -> Value {
    let state = if matches { "MEMBERSHIP_MATCHED" } else { "MEMBERSHIP_NOT_MATCHED" };
    json!({ "membership": state, "relevance": relevance(matches) })
}

fn permission_match(matches: bool) -> Value {
    let state = if matches { "PERMISSION_PATTERN_MATCHED" } else { "PERMISSION_PATTERN_NOT_MATCHED" };
    json!({ "permissionMatchingState": state, "relevance": relevance(matches) })
}

fn inclusion(includes: bool) -> &'static str {
    if includes { "RESOURCE_INCLUSION_STATE_INCLUDED" } else { "RESOURCE_INCLUSION_STATE_NOT_INCLUDED" }
}

fn relevance(high: bool) -> &'static str {
    if high { "HEURISTIC_RELEVANCE_HIGH" } else { "HEURISTIC_RELEVANCE_NORMAL" }
}

fn place(place: &Place) -> Value {
    json!({ "file": place.file, "line": place.line })
}

fn time(explained: &Explained) -> Option<String> {
    let time = jiff::Timestamp::try_from(explained.time()).ok()?;
    Some(time.to_string())
}
