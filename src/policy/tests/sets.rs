//! Callers in many sets: what rules name is found whichever side is longer, and for each policy anew.

use std::fmt::Write as _;
use std::time::UNIX_EPOCH;

use super::*;
use crate::principal::{Caller, Scopes};

const OPERATION: &str = "projects/demo/locations/l/operations/o";
const CANCEL: &str = "demo.operations.cancel";

fn group(number: usize) -> String {
    format!("group:team-{number:04}@example.com")
}

/// A caller in these groups.
fn caller(groups: impl Iterator<Item = usize>) -> Caller {
    let ana = Principal::user("ana@example.com").unwrap();
    let mut caller = Caller::assumed(ana, Scopes::default(), UNIX_EPOCH);
    caller.sets.extend(groups.map(|number| group(number).into()));
    caller
}

/// A policy in which Bob, and these groups, may cancel, and in which a rule denies that to some groups but for others. Any
/// group may be asserted by a token; `nested` are the groups with members of their own.
fn policy(granted: &[usize], denied: &[usize], excepted: &[usize], nested: &[(usize, usize)]) -> Policy {
    let mut allow = "bindings:\n- role: roles/canceller\n  members:\n  - user:bob@example.com\n".to_owned();
    let mut groups = String::new();
    for number in 0..=2000 {
        let inner = nested.iter().filter(|(outer, _)| *outer == number).map(|(_, inner)| group(*inner));
        let inner: Vec<String> = inner.collect();
        writeln!(groups, "team-{number:04}@example.com: {inner:?}").unwrap();
    }
    for number in granted {
        writeln!(allow, "  - {}", group(*number)).unwrap();
    }
    let written = |numbers: &[usize]| -> Vec<String> {
        numbers.iter().map(|number| group(*number).replace("group:", "principalSet://goog/group/")).collect()
    };
    let deny = format!(
        "displayName: freeze\nrules:\n- denyRule:\n    deniedPrincipals: {:?}\n    exceptionPrincipals: {:?}\n    \
         deniedPermissions: ['demo.googleapis.com/operations.cancel']\n",
        written(denied),
        written(excepted),
    );
    let mut files = vec![("allow/projects/demo.yaml", allow.as_str()), ("groups.yaml", &groups)];
    if !denied.is_empty() {
        files.push(("deny/projects/demo/freeze.yaml", &deny));
    }
    loaded(&files)
}

/// The member by which they may cancel.
fn member(policy: &Policy, caller: &Caller) -> Option<String> {
    let decided = decide(policy, Subject::of_caller(caller), CANCEL, OPERATION);
    decided.ok().map(|granted| granted.member.to_string())
}

fn all(numbers: std::ops::Range<usize>) -> Vec<usize> {
    numbers.collect()
}

#[test]
fn a_caller_in_a_thousand_groups_has_what_one_of_them_has() {
    let many = caller(0..1000);
    let one = policy(&[500], &[], &[], &[]);
    assert_eq!(member(&one, &many), Some(group(500)));
    // What is remembered of the caller is not taken for what another policy says of it.
    let none = policy(&[1000], &[], &[], &[]);
    assert_eq!(member(&none, &many), None);
    assert_eq!(member(&one, &many), Some(group(500)));
    // Where the policy names more groups than the caller is in.
    let few = caller([7, 2000].into_iter());
    assert_eq!(member(&policy(&all(0..1000), &[], &[], &[]), &few), Some(group(7)));
    assert_eq!(member(&policy(&all(8..1000), &[], &[], &[]), &few), None);
}

#[test]
fn groups_of_groups_are_among_those_of_a_token() {
    let nested = policy(&[9], &[], &[], &[(9, 3)]);
    assert_eq!(member(&nested, &caller(0..5)), Some(group(9)));
    assert_eq!(member(&nested, &caller(4..8)), None);
}

#[test]
fn a_rule_that_denies_one_of_a_thousand_groups_denies_unless_another_is_excepted() {
    let many = caller(0..1000);
    let granted = all(0..1000);
    assert!(member(&policy(&granted, &[1500], &[], &[]), &many).is_some());
    assert_eq!(member(&policy(&granted, &[999], &[], &[]), &many), None);
    assert!(member(&policy(&granted, &[999], &[1, 2000], &[]), &many).is_some());
    assert_eq!(member(&policy(&granted, &all(900..2000), &[2000], &[]), &caller([5, 999].into_iter())), None);
    assert_eq!(member(&policy(&granted, &[1500], &[], &[(1500, 3)]), &many), None);
}
