//! Every line that a gate of the tests writes is one that docs/audit.schema.json describes: all its fields are there by name.

use std::sync::OnceLock;

use jsonschema::Validator;
use opgate::audit::full_form;
use serde_json::Value;

use super::root;

fn validator() -> &'static Validator {
    static VALIDATOR: OnceLock<Validator> = OnceLock::new();
    VALIDATOR.get_or_init(|| {
        let text = std::fs::read_to_string(root().join("docs/audit.schema.json")).unwrap();
        let schema: Value = serde_json::from_str(&text).unwrap();
        jsonschema::draft202012::meta::validate(&schema).unwrap_or_else(|error| panic!("{error}"));
        jsonschema::validator_for(&schema).unwrap_or_else(|error| panic!("{error}"))
    })
}

/// Checks a line, in both forms where it is compact. Panics with what is wrong.
pub fn check_line(line: &str) {
    assert!(line.len() <= 12 * 1024, "{} bytes: {line}", line.len());
    let full = full_form(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    for form in [line, &*full] {
        let value: Value = serde_json::from_str(form).unwrap_or_else(|error| panic!("{error}: {form}"));
        let form_of = if value.get("t").is_some() { "compact" } else { "full" };
        if validator().is_valid(&value) {
            continue;
        }
        // What one of two forms lacks is told of that form alone.
        let mut schema: Value =
            serde_json::from_str(&std::fs::read_to_string(root().join("docs/audit.schema.json")).unwrap())
                .unwrap();
        schema["oneOf"] = serde_json::json!([{ "$ref": format!("#/$defs/{form_of}") }]);
        let alone = jsonschema::validator_for(&schema).unwrap();
        let errors: Vec<String> =
            alone.iter_errors(&value).map(|error| format!("{}: {error}", error.instance_path())).collect();
        panic!("not a line of docs/audit.schema.json:\n{}\n{form}", errors.join("\n"));
    }
}

/// Checks the whole lines of a log. The last one may be half written where its process was killed.
pub fn check_log(text: &str) {
    for line in text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
        if !line.is_empty() {
            check_line(line);
        }
    }
}
