//! Answers about operations: the scan says the same in any pieces, and what serde_json says of them.
//!
//! The first byte says whether the answer is a list; four more say where it is cut.
#![no_main]

use libfuzzer_sys::fuzz_target;
use opgate::cancels::{OperationFacts, OperationScan, ScanShape};
use serde::de::IgnoredAny;
use serde_json::Value;

/// The operations of an answer in pieces of these sizes; `None` where it is not a whole one.
fn scanned(bytes: &[u8], shape: ScanShape, sizes: &[u8]) -> Option<Vec<OperationFacts>> {
    let mut scan = OperationScan::new(shape);
    let mut found = Vec::new();
    let mut rest = bytes;
    let mut sizes = sizes.iter().cycle();
    while !rest.is_empty() {
        let size = sizes.next().map_or(usize::MAX, |size| usize::from(*size));
        let (piece, after) = rest.split_at(size.clamp(1, rest.len()));
        scan.push(piece, &mut |facts| found.push(facts.clone()));
        rest = after;
    }
    scan.is_whole().then_some(found)
}

/// An operation that is not ambiguous says what the tree says. Members that are given twice are not in the tree.
fn compare(facts: &OperationFacts, value: &Value) {
    if facts.is_ambiguous {
        return;
    }
    assert_eq!(facts.done, value["done"].as_bool());
    assert_eq!(facts.has_error, value["error"].is_object());
    assert_eq!(facts.has_response, value["response"].is_object());
    if let Some(name) = &facts.name {
        assert_eq!(Some(name.as_str()), value["name"].as_str());
    }
    if let (Some(code), Some(text)) = (&facts.code, value["error"]["code"].as_str()) {
        assert!(code.is_empty() || code == text);
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((first, rest)) = input.split_first() else { return };
    let Some((sizes, text)) = rest.split_at_checked(4) else { return };
    let shape = if first & 1 == 1 { ScanShape::List } else { ScanShape::Operation };
    let whole = scanned(text, shape, &[]);
    assert_eq!(scanned(text, shape, sizes), whole);
    assert_eq!(scanned(text, shape, &[1]), whole);
    let read = serde_json::from_slice::<Value>(text).ok().filter(Value::is_object);
    match (&whole, &read) {
        (Some(found), _) => {
            assert!(serde_json::from_slice::<IgnoredAny>(text).is_ok(), "this is not JSON");
            let Some(read) = &read else { return };
            match shape {
                ScanShape::Operation => {
                    assert_eq!(found.len(), 1);
                    compare(&found[0], read);
                }
                ScanShape::List => {
                    let listed = read["operations"].as_array().map(Vec::as_slice).unwrap_or_default();
                    assert_eq!(found.len(), listed.len());
                    found.iter().zip(listed).for_each(|(facts, value)| compare(facts, value));
                }
            }
        }
        (None, Some(_)) => assert_eq!(shape, ScanShape::List, "this is JSON"),
        (None, None) => {}
    }
});
