//! The schemas and the loaders say the same of each file: what is a key for one is a key for the other.
//!
//! A loader lists the keys that it asks for if it meets one that it does not know. So each mapping of the samples below is
//! given an unknown key, and the list is compared with the schema's. No key can be added to one alone.

mod accepted;
mod defaults;
mod samples;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use jsonschema::Validator;
use opgate::clock;
use opgate::config::{self, Config};
use opgate::diagnostic::{Report, Source};
use opgate::document::{self, Node, Value as Written};
use opgate::schema::{FileSchema, configuration_reference};
use regex::Regex;
use serde_json::{Map, Value, json};

pub use self::accepted::assert_accepted;
use self::accepted::assert_value;
use crate::cli::Workspace;
use crate::harness::root;
use crate::readme::fragments;
use crate::readme::pages::{Kind, pages};

/// A key that no file has, and that is like none.
const UNKNOWN: &str = "zzzzzzzzzzzzzzzzzzzz";

/// A document as JSON, which it would be if it were written so.
pub fn to_json(node: &Node) -> Value {
    match &node.value {
        Written::Null => Value::Null,
        Written::Bool(value) => (*value).into(),
        Written::Integer(value) => (*value).into(),
        Written::Float(value) => (*value).into(),
        Written::String(text) => text.as_str().into(),
        Written::List(items) => items.iter().map(to_json).collect::<Vec<_>>().into(),
        Written::Map(entries) => {
            let key = |key: &Node| match &key.value {
                Written::String(text) => text.clone(),
                other => panic!("{other:?} as a key"),
            };
            entries.iter().map(|(name, value)| (key(name), to_json(value))).collect::<Map<_, _>>().into()
        }
    }
}

/// Reads YAML or JSON as opgate does.
pub fn parse(text: &str) -> Value {
    let mut report = Report::new();
    let node = document::parse(&Source::new("sample.yaml", text), &mut report);
    to_json(&node.unwrap_or_else(|| panic!("{}\n{text}", report.render(false))))
}

/// A validator of one kind of file.
pub fn validator(name: &str) -> Validator {
    let schema = FileSchema::named(name).unwrap().to_json();
    jsonschema::draft202012::meta::validate(&schema).unwrap_or_else(|error| panic!("{name}: {error}"));
    jsonschema::validator_for(&schema).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Panics with what the schema says against a file.
pub fn assert_valid(name: &str, what: &str, text: &str) {
    let value = parse(text);
    let errors: Vec<String> = validator(name)
        .iter_errors(&value)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{what} is not a file of the schema `{name}`:\n{}", errors.join("\n"));
}

/// A mapping of a sample: where it is, and the schema's keys for it, or `None` where its author chooses the keys.
struct Place {
    /// `/services/lab/cors`.
    pointer: String,
    definition: Option<String>,
    keys: Option<BTreeSet<String>>,
}

/// The schemas that a value is valid by, without references and choices.
fn resolved<'s>(root: &'s Value, schema: &'s Value, value: &Value) -> Vec<(Option<String>, &'s Value)> {
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        let name = reference.strip_prefix("#/$defs/").unwrap();
        let found = resolved(root, &root["$defs"][name], value);
        return found.into_iter().map(|(inner, schema)| (inner.or(Some(name.to_owned())), schema)).collect();
    }
    if let Some(choices) = schema.get("anyOf").and_then(Value::as_array) {
        let is_valid = |choice: &&Value| {
            let mut alone = (*choice).clone();
            alone["$defs"] = root["$defs"].clone();
            jsonschema::validator_for(&alone).unwrap().is_valid(value)
        };
        return choices.iter().filter(is_valid).flat_map(|choice| resolved(root, choice, value)).collect();
    }
    vec![(None, schema)]
}

fn walk(root: &Value, schema: &Value, value: &Value, pointer: &str, places: &mut Vec<Place>) {
    let found = resolved(root, schema, value);
    assert_eq!(found.len(), 1, "{pointer} is valid in {} ways", found.len());
    let (definition, schema) = found.into_iter().next().unwrap();
    match value {
        Value::Object(entries) => {
            let known = schema.get("properties").and_then(Value::as_object);
            let is_closed = schema.get("additionalProperties") == Some(&Value::Bool(false));
            if schema.get("type").is_none() {
                // Accepted, and not read.
                return;
            }
            let keys = known.filter(|_| is_closed).map(|known| known.keys().map(|key| camel(key)).collect());
            places.push(Place { pointer: pointer.to_owned(), definition, keys });
            for (key, value) in entries {
                let inner = known.and_then(|known| known.get(key)).or(schema.get("additionalProperties"));
                if let Some(inner) = inner.filter(|inner| inner.is_object()) {
                    walk(root, inner, value, &format!("{pointer}/{}", key.replace('/', "~1")), places);
                }
            }
        }
        Value::Array(items) => {
            for (number, value) in items.iter().enumerate() {
                walk(root, &schema["items"], value, &format!("{pointer}/{number}"), places);
            }
        }
        _ => {}
    }
}

/// lowerCamelCase, in which both spellings of a key of Google's are one.
fn camel(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap().to_owned();
    words.fold(first, |text, word| {
        let (head, rest) = word.split_at(word.len().min(1));
        text + &head.to_ascii_uppercase() + rest
    })
}

/// The files of the samples, laid out so that the program loads them.
fn laid_out() -> Workspace {
    let mut workspace = Workspace::new();
    fragments::write_named_files(&workspace);
    for name in ["services", "roles", "allow", "tests"] {
        workspace = workspace.remove(&format!("policies/{name}"));
    }
    for name in ["policies/groups.yaml", "policies/hierarchy.yaml"] {
        workspace = workspace.remove(name);
    }
    for (_, name, text) in samples::ALL {
        workspace = workspace.write(name, text);
    }
    workspace.write("config/collector.headers", "x-tenant=one\n")
}

/// What is said of the files of a kind, in one line for each finding.
fn findings(kind: &str, workspace: &Workspace) -> Vec<String> {
    if kind == "tests" {
        let arguments = ["test", "policies", "--config", "config/opgate.yaml", "--output", "json"];
        let told: Value = serde_json::from_str(&workspace.opgate(&arguments).stdout).unwrap();
        let text = |found: &Value, name: &str| found[name].as_str().unwrap_or_default().to_owned();
        let line = |found: &Value| format!("{}: {}", text(found, "message"), text(found, "help"));
        return told["diagnostics"].as_array().into_iter().flatten().map(line).collect();
    }
    let mut report = Report::new();
    if let Some(config) = Config::load(&workspace.path("config/opgate.yaml"), &[], &mut report) {
        config::snapshot::load(&config, clock::now(), &mut report);
    }
    let found = report.diagnostics().iter();
    found.map(|found| format!("{}: {}", found.message, found.help.as_deref().unwrap_or_default())).collect()
}

/// The keys that a loader asks for where it met the unknown one.
fn asked(lines: &[String]) -> Option<BTreeSet<String>> {
    let unknown = format!("has no field `{UNKNOWN}`: its fields are ");
    let list = lines.iter().find_map(|line| Some(line.split_once(&unknown)?.1))?;
    Some(list.split(", ").map(|key| camel(key.trim_matches('`'))).collect())
}

#[test]
fn schemas_and_loaders_have_the_same_keys() {
    let workspace = laid_out();
    let outcome = workspace.opgate(&["check", "--offline", "--config", "config/opgate.yaml"]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.text());
    let outcome = workspace.opgate(&["test", "policies", "--config", "config/opgate.yaml"]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.text());
    let mut seen: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    let mut wrong = Vec::new();
    for (kind, name, text) in samples::ALL {
        assert_valid(kind, name, text);
        let schema = FileSchema::named(kind).unwrap().to_json();
        let (value, validator) = (parse(text), validator(kind));
        let mut places = Vec::new();
        walk(&schema, &schema, &value, "", &mut places);
        for place in places {
            seen.entry(kind).or_default().extend(place.definition.clone());
            let mut changed = value.clone();
            let mapping = changed.pointer_mut(&place.pointer).unwrap().as_object_mut().unwrap();
            mapping.insert(UNKNOWN.to_owned(), json!({}));
            std::fs::write(workspace.path(name), changed.to_string()).unwrap();
            let by_loader = asked(&findings(kind, &workspace));
            let is_same = by_loader == place.keys;
            // What the loader refuses, the schema refuses.
            let is_refused = !validator.is_valid(&changed);
            if !is_same || (place.keys.is_some() && !is_refused) {
                let (left, right) = (by_loader.unwrap_or_default(), place.keys.unwrap_or_default());
                wrong.push(format!(
                    "{name}{}: the loader alone has {:?}, the schema alone {:?}; refused by the schema: {is_refused}",
                    place.pointer,
                    left.difference(&right).collect::<Vec<_>>(),
                    right.difference(&left).collect::<Vec<_>>()
                ));
            }
        }
        std::fs::write(workspace.path(name), text).unwrap();
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    // A mapping that no sample has would be compared with nothing.
    for schema in FileSchema::ALL {
        let json = schema.to_json();
        let all: BTreeSet<String> = json["$defs"].as_object().unwrap().keys().cloned().collect();
        assert_eq!(all, seen.remove(schema.name).unwrap_or_default(), "of `{}`", schema.name);
    }
}

/// A key that the table has twice, or that is not in its schema, would be lost without a word.
#[test]
fn a_missing_key_of_a_schema_is_found() {
    let schema = FileSchema::named("iam").unwrap().to_json();
    let mut poorer = schema.clone();
    poorer["$defs"]["iam_rule"]["properties"].as_object_mut().unwrap().remove("body");
    let text = "service: a.b\nrules: [{selector: a.b.C, permission: none}]\n";
    let keys = |schema: &Value| {
        let mut places = Vec::new();
        walk(schema, schema, &parse(text), "", &mut places);
        places.into_iter().find(|place| place.pointer == "/rules/0").unwrap().keys.unwrap()
    };
    assert!(keys(&schema).contains("body") && !keys(&poorer).contains("body"));
    let lines =
        ["an iam rule has no field `zzzzzzzzzzzzzzzzzzzz`: its fields are `selector`, `deny_rule`"
            .to_owned()];
    let expected = ["selector", "denyRule"].map(str::to_owned);
    assert_eq!(asked(&lines), Some(BTreeSet::from(expected)));
}

#[test]
fn the_shipped_files_are_of_their_schemas() {
    for name in ["config/opgate.yaml", "config/demo.yaml"] {
        assert_accepted(&root().join(name), &[]);
    }
    let workspace = Workspace::new();
    assert_eq!(workspace.opgate(&["init", "new"]).code, Some(0));
    assert_accepted(&workspace.path("new/opgate.yaml"), &[]);
    for name in ["policies/tests/operations.yaml", "policies/tests/requests.yaml"] {
        assert_valid("tests", name, &std::fs::read_to_string(root().join(name)).unwrap());
    }
    assert_valid(
        "tests",
        "init",
        &std::fs::read_to_string(workspace.path("new/policies/tests/jobs.yaml")).unwrap(),
    );
}

/// Editors find a schema by a comment in the file.
#[test]
fn files_name_the_schema_that_editors_read() {
    let comment = Regex::new(r"(?m)^# yaml-language-server: \$schema=(\S+)$").unwrap();
    let workspace = Workspace::new();
    assert_eq!(workspace.opgate(&["init", "new"]).code, Some(0));
    let mut checked = 0;
    for base in [root(), workspace.path("new")] {
        let (config, tree) = match base.join("config/opgate.yaml").exists() {
            true => (base.join("config/opgate.yaml"), base.join("policies")),
            false => (base.join("opgate.yaml"), base.join("policies")),
        };
        let mut files = vec![(config, "configuration")];
        let mut folders = vec![tree.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let name = path.strip_prefix(&tree).unwrap().to_str().unwrap().to_owned();
                files.push((path, FileSchema::of_policy_file(&name).unwrap().name));
            }
        }
        for (path, kind) in files {
            let text = std::fs::read_to_string(&path).unwrap();
            let found =
                comment.captures(&text).unwrap_or_else(|| panic!("{} names no schema", path.display()));
            let schema = path.parent().unwrap().join(&found[1]);
            let schema = std::fs::read_to_string(&schema)
                .unwrap_or_else(|error| panic!("{}: {error}", schema.display()));
            assert_eq!(schema, FileSchema::named(kind).unwrap().to_text(), "{}", path.display());
            checked += 1;
        }
    }
    assert!(checked > 20, "{checked}");
}

/// `INSTA_UPDATE=always` writes the files anew, as it does with snapshots.
fn assert_file(name: &str, text: &str) {
    let path = root().join(name);
    if std::env::var("INSTA_UPDATE").is_ok_and(|update| update == "always") {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == text,
        "{name} is not what the tables say: run `INSTA_UPDATE=always cargo test --test it schema`"
    );
}

#[test]
fn the_files_of_schemas_and_the_reference_are_those_of_the_tables() {
    for schema in FileSchema::ALL {
        assert_file(&format!("schemas/{}", schema.file_name()), &schema.to_text());
    }
    assert_file("docs/reference/configuration.md", &configuration_reference());
}

#[test]
fn the_command_prints_and_writes_the_schemas() {
    let workspace = Workspace::new();
    let outcome = workspace.opgate(&["schema", "--all", "--to", "out"]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.text());
    for schema in FileSchema::ALL {
        let written =
            std::fs::read_to_string(workspace.path(&format!("out/{}", schema.file_name()))).unwrap();
        let printed = workspace.opgate(&["schema", schema.name]);
        assert_eq!((printed.code, &printed.stdout), (Some(0), &written), "{}", schema.name);
        assert_eq!(written, schema.to_text());
    }
    insta::assert_snapshot!(crate::cli::transcript(
        "opgate",
        &[&["schema"], &["schema", "configuratoin"]],
        |arguments| { workspace.opgate(arguments) }
    ));
}

/// What the pages show is what editors accept.
#[test]
fn the_examples_of_the_pages_are_of_their_schemas() {
    let mut examples = 0;
    for page in pages() {
        for block in page.blocks() {
            let kind = match &block.kind {
                Kind::Configuration => {
                    // Sections that an example leaves out are needed all the same.
                    let shipped = std::fs::read_to_string(root().join("config/opgate.yaml")).unwrap();
                    assert_valid(
                        "configuration",
                        &page.name,
                        &fragments::configuration(&shipped, &block.text),
                    );
                    examples += 1;
                    continue;
                }
                Kind::File(name) => {
                    name.split_once("policies/").and_then(|(_, path)| FileSchema::of_policy_file(path))
                }
                _ => None,
            };
            if let Some(schema) = kind {
                assert_valid(schema.name, &page.name, &block.text);
                examples += 1;
            }
        }
    }
    assert!(examples > 30, "{examples}");
}

/// Published files, and roles as `gcloud` prints them.
#[test]
fn published_files_are_of_their_schemas() {
    let Some(corpora) = std::env::var_os("OPGATE_CORPORA") else {
        eprintln!("skipped: OPGATE_CORPORA is not set");
        return;
    };
    let mut files = 0;
    for (folder, kind) in [("googleapis", "service"), ("roles", "role")] {
        for entry in std::fs::read_dir(Path::new(&corpora).join(folder)).unwrap() {
            let path = entry.unwrap().path();
            assert_value(kind, &path, &parse(&std::fs::read_to_string(&path).unwrap()));
            files += 1;
        }
    }
    assert!(files >= 30, "{files}");
}
