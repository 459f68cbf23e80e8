//! Paths and queries: refused, or kept unchanged to the byte.
#![no_main]

use libfuzzer_sys::fuzz_target;
use opgate::http::{Path, Query};

fuzz_target!(|text: &str| {
    if let Ok(path) = Path::parse(text) {
        assert_eq!(path.as_str(), text);
        let lower = text.to_ascii_lowercase();
        for refused in ["%2f", "%5c", "%00", "//", "\\"] {
            assert!(!lower.contains(refused), "{text:?} holds {refused}");
        }
        for segment in lower.split('/') {
            let decoded = segment.replace("%2e", ".");
            assert!(!matches!(decoded.as_str(), "." | ".."), "{text:?} goes up or nowhere");
        }
    }
    if let Ok(query) = Query::parse(Some(text)) {
        let _ = query.keys().count();
    }
});
