//! Whatever opgate accepts in the tests, the schemas accept too.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::OnceLock;

use jsonschema::Validator;
use opgate::schema::FileSchema;
use serde_json::{Value, json};

use super::{parse, validator};

/// The schemas of the kinds, each compiled once.
fn schemas() -> &'static BTreeMap<&'static str, Validator> {
    static SCHEMAS: OnceLock<BTreeMap<&'static str, Validator>> = OnceLock::new();
    SCHEMAS
        .get_or_init(|| FileSchema::ALL.iter().map(|schema| (schema.name, validator(schema.name))).collect())
}

/// Panics where opgate has accepted a configuration, and a tree with it, that the schemas refuse. `settings` are `PATH=VALUE`.
pub fn assert_accepted(config: &Path, settings: &[String]) {
    let mut value = parse(&std::fs::read_to_string(config).unwrap());
    for setting in settings {
        let (path, text) = setting.split_once('=').unwrap();
        put(&mut value, &path.split('.').collect::<Vec<_>>(), parse(text));
    }
    assert_value("configuration", config, &value);
    let folder = config.parent().unwrap();
    let tree = folder.join(value["policy"]["directory"].as_str().unwrap());
    let exposed: Vec<String> = value["services"].as_object().unwrap().keys().cloned().collect();
    assert_tree(&tree, &tree, &exposed);
}

/// Puts a value in place of another, as `--set` does.
fn put(value: &mut Value, path: &[&str], new: Value) {
    let Some((first, rest)) = path.split_first() else {
        *value = new;
        return;
    };
    let inner = match value {
        Value::Array(items) => {
            let number: usize = first.parse().unwrap();
            if number == items.len() {
                items.push(Value::Null);
            }
            &mut items[number]
        }
        other => {
            if !other.is_object() {
                *other = json!({});
            }
            &mut other[*first]
        }
    };
    put(inner, rest, new);
}

/// Checks each file that a gate reads of a tree.
fn assert_tree(tree: &Path, folder: &Path, exposed: &[String]) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.strip_prefix(tree).unwrap().to_str().unwrap().to_owned();
        if path.file_name().unwrap().to_str().unwrap().starts_with('.') {
            continue;
        }
        if path.is_dir() {
            assert_tree(tree, &path, exposed);
            continue;
        }
        // A pipe would be waited for.
        if !path.is_file() {
            continue;
        }
        let is_text = ["yaml", "yml", "json"].iter().any(|ending| name.ends_with(&format!(".{ending}")));
        let Some(schema) = FileSchema::of_policy_file(&name).filter(|_| is_text) else { continue };
        let id = path.file_name().unwrap().to_str().unwrap().split('.').next().unwrap().to_owned();
        let is_read = match schema.name {
            "service" | "iam" => exposed.contains(&id),
            "tests" => false,
            _ => true,
        };
        // A tree of a million bindings says nothing more.
        if is_read && path.metadata().unwrap().len() < 256 * 1024 {
            assert_value(schema.name, &path, &parse(&std::fs::read_to_string(&path).unwrap()));
        }
    }
}

pub fn assert_value(kind: &str, path: &Path, value: &Value) {
    let errors: Vec<String> = schemas()[kind]
        .iter_errors(value)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(
        errors.is_empty(),
        "{} is accepted, and not by the schema `{kind}`:\n{}",
        path.display(),
        errors.join("\n")
    );
}
