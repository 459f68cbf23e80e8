//! The reference of the configuration, as a page.

use super::configuration::CONFIGURATION;
use super::shape::{Key, Mapping, Shape};

/// What stands above the tables.
const HEAD: &str = "\
# Configuration reference

Every key of the operator's file. [Configuration](../configuration.md) says how the file is read and what belongs together;
[config/opgate.yaml](../../config/opgate.yaml) shows the keys in place. This page is made of the tables in
[src/schema](../../src/schema.rs), which also make the JSON Schema that `opgate schema` prints.

Durations carry a unit: `ms`, `s`, `m`, `h` or `d`. So do sizes: `B`, `KiB`, `MiB` or `GiB`. Paths are relative to the file. An
unknown key is an error. A key without a value counts as one that is not there.
";

/// The page `docs/reference/configuration.md`.
pub fn configuration_reference() -> String {
    let mut text = HEAD.to_owned();
    table(&CONFIGURATION, "", &mut text);
    text
}

/// A table of a mapping, and one of each mapping below it, in order.
fn table(mapping: &Mapping, path: &str, text: &mut String) {
    if path.is_empty() {
        text.push_str("\n## The file\n");
    } else {
        text.push_str(&format!("\n## {path}\n"));
    }
    text.push_str("\n| key | value | default | what it says |\n|---|---|---|---|\n");
    for key in mapping.keys {
        text.push_str(&row(key));
    }
    for key in mapping.keys {
        let path = if path.is_empty() { key.name.to_owned() } else { format!("{path}.{}", key.name) };
        below(key.shape, &path, text);
    }
}

/// The tables of what a shape holds.
fn below(shape: Shape, path: &str, text: &mut String) {
    match shape {
        Shape::Mapping(mapping) => table(mapping, path, text),
        Shape::List(item) | Shape::Several(item) | Shape::Set(item) | Shape::One(item) => {
            below(*item, &format!("{path}[]"), text)
        }
        Shape::Named(_, value) => below(*value, &format!("{path}.NAME"), text),
        Shape::Either(shapes) => {
            let mut mappings = shapes.iter().filter(|shape| matches!(shape, Shape::Mapping(_)));
            if let Some(first) = mappings.next() {
                below(*first, path, text);
            }
            for (number, other) in mappings.enumerate() {
                below(*other, &format!("{path} (form {})", number + 2), text);
            }
        }
        _ => {}
    }
}

fn row(key: &Key) -> String {
    let default = match key.default {
        Some(default) => format!("`{default}`"),
        None if key.is_required => "required".to_owned(),
        None => String::new(),
    };
    format!("| `{}` | {} | {default} | {} |\n", key.name, kind(key.shape), key.text)
}

/// The kind of a value, in a few words.
fn kind(shape: Shape) -> String {
    match shape {
        Shape::Any => "anything".to_owned(),
        Shape::Text => "text".to_owned(),
        Shape::Boolean => "`true` or `false`".to_owned(),
        Shape::Whole(i64::MIN, _) => "a whole number".to_owned(),
        Shape::Whole(least, most) => format!("{least} to {most}"),
        Shape::Number => "a number".to_owned(),
        Shape::Share => "0 to 1".to_owned(),
        Shape::Duration => "duration".to_owned(),
        Shape::Size => "size".to_owned(),
        Shape::Path => "path".to_owned(),
        Shape::Words(words) => words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", "),
        Shape::Only(value) => format!("`{value}`"),
        Shape::Pattern(_, what) => what.to_owned(),
        Shape::List(item) | Shape::Several(item) | Shape::Set(item) | Shape::One(item) => {
            format!("list: {}", kind(*item))
        }
        Shape::Named(what, value) => format!("by {what}: {}", kind(*value)),
        Shape::Mapping(_) => "mapping".to_owned(),
        Shape::Either(shapes) => {
            let mut kinds: Vec<String> = shapes.iter().map(|shape| kind(*shape)).collect();
            kinds.dedup();
            kinds.join(", or ")
        }
    }
}
