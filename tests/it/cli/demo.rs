//! `opgate demo`, as far as it goes without a walk; the walk itself is `make demo`.

use super::Workspace;

#[test]
fn without_its_configuration_it_says_where_to_run_it() {
    let workspace = Workspace::new().remove("config");
    let outcome = workspace.opgate(&["demo", "--once"]);
    assert_eq!(outcome.code, Some(3));
    super::check::assert_errors_are_of_use(&outcome.stderr);
    insta::assert_snapshot!(outcome.text());
}

#[test]
fn every_step_of_the_walk_comes_out_as_expected() {
    let outcome = Workspace::new().opgate(&["demo", "--once"]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.text());
    assert!(outcome.stdout.contains(" 1. Allowed"), "{}", outcome.text());
    assert!(outcome.stdout.ends_with("steps came out as expected.\n"), "{}", outcome.text());
}
