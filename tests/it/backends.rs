//! Real backends behind the gate: the method that was judged is the method that runs.
//!
//! `tests/backends` holds programs that serve one route table, each in the way of its framework: net/http by hand and
//! with its patterns, grpc-gateway, Express, Flask, nginx by case and without. `.ci/install-backends` installs what
//! they need. Each test starts all of them, and one gate with a host for each.

mod books;
mod carried;
mod case;
mod chunks;
mod client;
mod corpora;
mod fuzz;
mod generator;
mod install;
mod named;
mod program;
mod scene;

use self::books::Difference;

/// Ends the test if backends have run what was not judged. Tells the first differences of each backend.
fn assert_no_differences(what: &str, differences: &[Difference], told: impl Fn(u64) -> Option<String>) {
    let lines: Vec<String> = differences
        .iter()
        .take(40)
        .map(|difference| {
            let case = books::case_of(&difference.ran.case).and_then(&told);
            format!("{difference}\n    {}", case.unwrap_or_else(|| "of an unknown case".to_owned()))
        })
        .collect();
    assert!(
        differences.is_empty(),
        "{what}: {} differences, the first:\n{}",
        differences.len(),
        lines.join("\n")
    );
}
