//! `make bench-check`: what makes it fail, what it only tells, and the file that it reads (benches/counts/budget.rs).

#[path = "../../benches/counts/budget.rs"]
mod compared;

use std::collections::BTreeMap;

use self::compared::{Budget, Circumstances, Comparison, Cost, Counted};
use crate::harness::root;

fn stage(instructions: u64, allocations: f64) -> Cost {
    Cost { instructions, allocations: Some(allocations), system_calls: None }
}

fn exchange(instructions: u64, calls: &[(&str, u64)]) -> Cost {
    let calls: BTreeMap<String, u64> =
        calls.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
    Cost { instructions, allocations: None, system_calls: Some(calls) }
}

fn counted(rows: &[(&str, Cost)]) -> Counted {
    let rows = rows.iter().map(|(name, cost)| ((*name).to_owned(), cost.clone())).collect();
    let circumstances = Circumstances { profile: "soak".into(), rustc: "rustc 1".into(), cc: "cc 1".into() };
    Counted { circumstances, rows }
}

/// The budget that allows exactly this, by way of its text.
fn budget(rows: &[(&str, Cost)]) -> Budget {
    Budget::parse(&counted(rows).to_budget()).unwrap()
}

/// What a budget of one row says of what was counted of it.
fn compared(allowed: Cost, cost: Cost) -> Comparison {
    budget(&[("route", allowed)]).compare(&counted(&[("route", cost)]))
}

#[test]
fn five_percent_more_instructions_pass_and_one_more_does_not() {
    let compared = |counted| compared(stage(1_000_000, 2.0), stage(counted, 2.0));
    assert_eq!(compared(1_050_000), Comparison::default());
    assert_eq!(compared(1_050_001).exceeded, ["route: 1050001 instructions, budget 1000000 (+5.0 %)"]);
}

#[test]
fn five_percent_fewer_instructions_are_told_and_do_not_fail() {
    let compared = |counted| compared(stage(1_000_000, 2.0), stage(counted, 2.0));
    assert_eq!(compared(950_000), Comparison::default());
    assert_eq!(compared(949_999).fallen, ["route: 949999 instructions, budget 1000000 (-5.0 %)"]);
    assert!(compared(949_999).exceeded.is_empty());
}

#[test]
fn what_other_threads_do_meanwhile_exceeds_no_budget() {
    assert_eq!(compared(stage(1000, 2.0), stage(6000, 2.0)), Comparison::default());
    assert_eq!(compared(stage(6000, 2.0), stage(1000, 2.0)), Comparison::default());
    let exceeded = compared(stage(1000, 2.0), stage(6001, 2.0)).exceeded;
    assert_eq!(exceeded, ["route: 6001 instructions, budget 1000 (+500.1 %)"]);
}

#[test]
fn one_allocation_more_fails() {
    let comparison = compared(stage(1000, 2.0), stage(1000, 3.0));
    assert_eq!(comparison.exceeded, ["route: 3 allocations, budget 2"]);
    let comparison = compared(stage(1000, 2.0), stage(1000, 1.0));
    assert_eq!(comparison.fallen, ["route: 1 allocations, budget 2"]);
    assert_eq!(compared(stage(1000, 2.0), stage(1000, 2.4)), Comparison::default());
}

#[test]
fn system_calls_are_compared_exactly_and_by_name() {
    let allowed = exchange(1000, &[("recvfrom", 2), ("sendto", 2), ("statx", 1)]);
    let made = exchange(1000, &[("recvfrom", 3), ("sendto", 2), ("futex", 1)]);
    let comparison = compared(allowed, made);
    assert_eq!(comparison.exceeded, ["route: 1 x futex, budget 0", "route: 3 x recvfrom, budget 2"]);
    assert_eq!(comparison.fallen, ["route: 0 x statx, budget 1"]);
}

#[test]
fn a_row_without_a_budget_and_a_budget_without_a_row_fail() {
    let budget = budget(&[("route", stage(1000, 2.0)), ("gone", stage(1, 0.0))]);
    let comparison = budget.compare(&counted(&[("route", stage(1000, 2.0)), ("new", stage(1, 0.0))]));
    assert_eq!(comparison.exceeded, ["new: it has no budget", "gone: it has a budget, and was not counted"]);
}

#[test]
fn another_compiler_is_told() {
    let mut counted = counted(&[("route", stage(1000, 2.0))]);
    let budget = Budget::parse(&counted.to_budget()).unwrap();
    counted.circumstances.rustc = "rustc 2".to_owned();
    let told = budget.compare(&counted).other_circumstances;
    assert_eq!(told, ["rustc: `rustc 1` in the budget, `rustc 2` here"]);
}

#[test]
fn an_accepted_budget_allows_exactly_what_was_counted() {
    let rows = [
        ("head of 870 bytes, parse", stage(4321, 7.3)),
        ("exchange, no token: 401", exchange(129_000, &[("recvfrom", 5), ("sendto", 2)])),
    ];
    assert_eq!(budget(&rows).compare(&counted(&rows)), Comparison::default());
}

#[test]
fn the_budget_of_the_repository_is_read() {
    let text = std::fs::read_to_string(root().join("benches/budget.yaml")).unwrap();
    let budget = Budget::parse(&text).unwrap();
    assert_eq!(budget.circumstances.profile, "soak", "the profile that `make bench` builds");
    assert!(budget.rows.values().all(|cost| cost.instructions > 0));
    assert!(budget.rows.values().any(|cost| cost.system_calls.is_some()));
}

#[test]
fn a_mistake_in_the_budget_is_refused() {
    let text = "circumstances: {profile: soak, rustc: a, cc: b}\nrows:\n  route: {instructons: 3}\n";
    assert!(Budget::parse(text).unwrap_err().contains("instructons"));
}
