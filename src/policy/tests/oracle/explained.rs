//! An explanation tells what the engine decided, and its parts come to the same.

use super::*;
use crate::policy::explain::{Attached, ExplainedBinding, Explanation, Extent, Remedy};

fn explain(
    policy: &Policy,
    subject: Subject<'_>,
    permission: &str,
    resource: &str,
    extent: Extent,
) -> Explanation {
    let attributes = Attributes::at(SystemTime::UNIX_EPOCH);
    policy.explain(subject, permission, ResourceName::new(resource), &attributes, extent)
}

fn bindings(explanation: &Explanation) -> impl Iterator<Item = (&str, &ExplainedBinding)> {
    let told = |attached: &Attached<ExplainedBinding>| attached.told.len();
    assert!(explanation.bindings.iter().all(|attached| told(attached) + attached.omitted > 0));
    explanation
        .bindings
        .iter()
        .flat_map(|attached| attached.told.iter().map(|binding| (&*attached.resource, binding)))
}

/// The rule that the engine names is there, and says what the engine says of it.
fn names_the_rule(explanation: &Explanation) -> bool {
    let granted_by = |granted: &Granted, binding: (&str, &ExplainedBinding)| {
        let (resource, binding) = binding;
        resource == &*granted.resource
            && binding.place == granted.place
            && binding.role == granted.role
            && binding.matched.iter().any(|matched| matched.member == granted.member)
    };
    let mut bindings = bindings(explanation);
    match &explanation.decided {
        Ok(granted) => bindings.any(|binding| granted_by(granted, binding) && binding.1.grants()),
        Err(Refusal::OutOfBounds(out)) => explanation.boundaries.iter().any(|boundary| {
            boundary.place == out.place
                && boundary.contained_in.is_none()
                && boundary.applies != crate::policy::Applies::No
        }),
        Err(Refusal::Denied(denied)) => explanation.denying().any(|(resource, rule)| {
            resource == &denied.resource
                && rule.place == denied.place
                && rule.matched.iter().any(|matched| matched.member == denied.member)
                && rule.condition.as_ref().map(|weighed| &weighed.tested) == denied.condition.as_ref()
        }),
        Err(Refusal::ConditionNotMet(unmet)) => bindings.any(|binding| {
            granted_by(&unmet.binding, binding)
                && binding.1.would_grant()
                && binding.1.condition.as_ref().map(|weighed| &weighed.tested) == Some(&unmet.tested)
        }),
        Err(Refusal::PermissionNotInRole { nearest, .. }) => {
            bindings.any(|binding| granted_by(nearest, binding) && !binding.1.holds)
        }
        Err(Refusal::NoBinding) => bindings.all(|(_, binding)| binding.matched.is_empty()),
    }
}

/// An explanation costs a hundred decisions: a quarter of the worlds will do.
fn few() -> TestRunner {
    let all = Config::default().cases;
    TestRunner::new(Config { cases: all.div_ceil(4), failure_persistence: None, ..Config::default() })
}

#[test]
fn an_explanation_comes_to_what_was_decided() {
    let callers = callers();
    let seen = Cell::new([0_usize; 6]);
    few()
        .run(&worlds(), |world| {
            let policy = world.policy();
            for (member, subject, permission, resource) in questions(&callers) {
                for extent in [Extent::All, Extent::Relevant] {
                    let told = explain(&policy, subject, permission, resource, extent);
                    let decided = decide(&policy, subject, permission, resource);
                    prop_assert_eq!(&told.decided, &decided);
                    let granted = told.granting().next().is_some();
                    let denied = told.denying().next().is_some();
                    let parts = granted && !denied && !told.is_out_of_bounds();
                    prop_assert_eq!(parts, decided.is_ok(), "{:?} {} {}", member, permission, resource);
                    prop_assert!(
                        names_the_rule(&told),
                        "{:?} {} {}: {:#?}",
                        member,
                        permission,
                        resource,
                        told
                    );
                    prop_assert!(decided.is_err() || !told.steps.is_empty());
                }
                let kind = match decide(&policy, subject, permission, resource) {
                    Ok(_) => 0,
                    Err(Refusal::OutOfBounds(_)) => 1,
                    Err(Refusal::Denied(_)) => 2,
                    Err(Refusal::ConditionNotMet(_)) => 3,
                    Err(Refusal::PermissionNotInRole { .. }) => 4,
                    Err(Refusal::NoBinding) => 5,
                };
                let mut counts = seen.get();
                counts[kind] += 1;
                seen.set(counts);
            }
            Ok(())
        })
        .unwrap();
    assert!(seen.get().iter().all(|count| *count > 20), "{:?}", seen.get());
}

/// The bindings that an explanation says must go are the ones that must go: an allowed call is refused without all of
/// them, and only then.
#[test]
fn without_the_bindings_that_are_named_nothing_is_allowed() {
    let callers = callers();
    let turned = Cell::new(0_usize);
    few()
        .run(&worlds(), |world| {
            let policy = world.policy();
            for (_, subject, permission, resource) in questions(&callers) {
                let told = explain(&policy, subject, permission, resource, Extent::Relevant);
                if told.decided.is_err() {
                    continue;
                }
                let named: BTreeSet<(String, usize)> = told
                    .steps
                    .iter()
                    .flat_map(|step| &step.alternatives)
                    .map(|remedy| match remedy {
                        Remedy::Unbind { binding, resource, .. } => (resource.to_string(), binding.line),
                        other => panic!("{other:?}"),
                    })
                    .collect();
                let mut without = world.clone();
                let mut lines = std::collections::BTreeMap::<usize, usize>::new();
                without.bindings.retain(|binding| {
                    // The first stands on the third line of its resource's policy.
                    let line = lines.entry(binding.attached).or_insert(2);
                    *line += 1;
                    !named.contains(&(ATTACHED[binding.attached].to_owned(), *line))
                });
                prop_assert_eq!(without.bindings.len() + named.len(), world.bindings.len());
                prop_assert!(decide(&without.policy(), subject, permission, resource).is_err());
                turned.set(turned.get() + 1);
            }
            Ok(())
        })
        .unwrap();
    assert!(turned.get() > 100, "only {} answers turned", turned.get());
}

/// Every allowed caller is listed, by themselves or in a set; every listed caller gets the decision that the list says.
#[test]
fn who_can_lists_every_caller_who_can() {
    let callers = callers();
    let seen = Cell::new([0_usize; 2]);
    let attributes = Attributes::at(SystemTime::UNIX_EPOCH);
    few()
        .run(&worlds(), |world| {
            let policy = world.policy();
            for (resource, permission) in
                ASKED.into_iter().flat_map(|resource| PERMISSIONS.map(|permission| (resource, permission)))
            {
                let holders = policy.who_can(permission, ResourceName::new(resource), &attributes);
                for (member, principal) in &callers {
                    let decided = decide(&policy, Subject::of(principal), permission, resource);
                    let listed = holders.iter().find(|holder| *holder.name == **member);
                    if let Some(holder) = listed {
                        prop_assert_eq!(&holder.decided, &decided);
                        prop_assert!(!holder.is_set && !holder.grants.is_empty());
                    }
                    let identities = world.identities(Some(*member));
                    let in_a_set =
                        holders.iter().any(|holder| holder.is_set && identities.contains(&*holder.name));
                    prop_assert!(decided.is_err() || listed.is_some() || in_a_set, "{} {}", member, resource);
                    let mut counts = seen.get();
                    counts[0] += usize::from(decided.is_ok());
                    counts[1] += usize::from(listed.is_some());
                    seen.set(counts);
                }
            }
            Ok(())
        })
        .unwrap();
    assert!(seen.get().iter().all(|count| *count > 20), "{:?}", seen.get());
}

/// What a caller is said to hold is what is decided, and nothing that is allowed is missing.
#[test]
fn what_can_lists_everything_that_a_caller_can() {
    let callers = callers();
    let seen = Cell::new([0_usize; 2]);
    let attributes = Attributes::at(SystemTime::UNIX_EPOCH);
    few()
        .run(&worlds(), |world| {
            let policy = world.policy();
            for (member, subject, permission, resource) in questions(&callers) {
                let decided = decide(&policy, subject, permission, resource);
                let held = policy.held(subject, permission, ResourceName::new(resource), &attributes, false);
                match &held {
                    Some(held) => prop_assert_eq!(&held.decided, &decided),
                    None => prop_assert!(decided.is_err(), "{:?} {} {}", member, permission, resource),
                }
                // What is held by a binding is found where the binding is.
                if let Ok(granted) = &decided {
                    prop_assert!(policy.bound_resources(subject).contains(&granted.resource));
                }
                let mut counts = seen.get();
                counts[usize::from(decided.is_ok())] += usize::from(held.is_some());
                seen.set(counts);
            }
            Ok(())
        })
        .unwrap();
    assert!(seen.get().iter().all(|count| *count > 20), "{:?}", seen.get());
}
