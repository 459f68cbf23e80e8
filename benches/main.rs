//! The performance that opgate promises, measured: `make bench`, or `cargo bench -- decide` for one part. `check` compares
//! counts with the budget and `accept` writes it (`counts.rs`).
//!
//! It prints a table, and fails if a promise is clearly broken: a decision whose time grows with the policy, or a grant
//! that takes more memory than promised. Times are printed and not judged, because they depend on the machine. All
//! allocations are counted, on top of the product's own allocator; that costs some nanoseconds for each, which the
//! times include.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    unreachable_pub,
    reason = "a benchmark ends in a panic where anything is not as expected, and prints what it finds"
)]

mod cancels;
mod counts;
mod decide;
mod gate;
mod load;
mod measure;
mod scale;
mod table;
mod tree;

use std::path::Path;
use std::process::ExitCode;

use alloc_counter::AllocCounter;
use cap::Cap;
use mimalloc::MiMalloc;

use self::counts::Part;

#[global_allocator]
static ALLOCATOR: Cap<AllocCounter<MiMalloc>> = Cap::new(AllocCounter(MiMalloc), usize::MAX);

fn main() -> ExitCode {
    // Cargo adds `--bench`.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let [command, tree] = arguments.as_slice()
        && command == "load-tree"
    {
        load::load_tree(Path::new(tree));
        return ExitCode::SUCCESS;
    }
    if arguments == [counts::CALL_STAGES] {
        counts::call_stages();
        return ExitCode::SUCCESS;
    }
    let broken = match arguments.as_slice() {
        [command] if command == "check" => counts::check().err().into_iter().collect(),
        [command] if command == "accept" => counts::accept().err().into_iter().collect(),
        parts => measure(parts),
    };
    for promise in &broken {
        eprintln!("{promise}");
    }
    if broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Measures the parts that are named, or all; gives the broken promises.
fn measure(parts: &[String]) -> Vec<String> {
    let wanted = |part: &str| parts.is_empty() || parts.iter().any(|named| named == part);
    let mut broken = Vec::new();
    table::head();
    if wanted("gate") {
        gate::run();
    }
    if wanted("decide") {
        broken.extend(decide::run());
    }
    if wanted("scale") {
        broken.extend(scale::run());
    }
    if wanted("cancels") {
        broken.extend(cancels::run());
    }
    if wanted("load") {
        broken.extend(load::run());
    }
    let counted = [("stages", Part::Stages), ("exchanges", Part::Exchanges)];
    let counted: Vec<Part> =
        counted.into_iter().filter(|(part, _)| wanted(part)).map(|(_, part)| part).collect();
    if !counted.is_empty() {
        counts::show(&counted);
    }
    broken
}
