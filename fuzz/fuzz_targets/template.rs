//! Path templates, and matching paths with them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use opgate::catalog::Template;
use opgate::http::Path;

fuzz_target!(|input: (&str, &str)| {
    let (template, path) = input;
    let Ok(template) = Template::parse(template) else { return };
    let _ = template.shape();
    if let Ok(path) = Path::parse(path) {
        for (field, value) in template.capture(&path) {
            assert!(!field.is_empty());
            assert!(value.len() <= path.as_str().len());
        }
    }
});
