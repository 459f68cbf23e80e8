//! YAML and JSON files: reading gives a tree, or diagnostics that can be rendered.
#![no_main]

use libfuzzer_sys::fuzz_target;
use opgate::diagnostic::{Report, Source};
use opgate::document;

fuzz_target!(|text: &str| {
    let mut report = Report::new();
    let node = document::parse(&Source::new("fuzz.yaml", text), &mut report);
    assert_eq!(node.is_none(), report.is_fatal());
    let _ = report.render(false);
});
