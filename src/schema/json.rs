//! JSON Schema (2020-12) of the tables.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::shape::{Key, Mapping, Shape};

/// The dialect.
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// The schema of a file.
pub(super) fn schema(title: &str, description: &str, root: Shape) -> Value {
    let mut mappings = BTreeMap::new();
    collect(root, &mut mappings);
    let definitions: Map<String, Value> =
        mappings.into_iter().map(|(name, mapping)| (name.to_owned(), of_mapping(mapping))).collect();
    let mut schema = Map::new();
    schema.insert("$schema".to_owned(), DIALECT.into());
    schema.insert("title".to_owned(), title.into());
    schema.insert("description".to_owned(), description.into());
    if let Value::Object(of_root) = of_shape(root) {
        schema.extend(of_root);
    }
    schema.insert("$defs".to_owned(), definitions.into());
    Value::Object(schema)
}

/// The mappings of a shape, and of all that is in it.
fn collect(shape: Shape, found: &mut BTreeMap<&'static str, &'static Mapping>) {
    match shape {
        Shape::List(item)
        | Shape::Several(item)
        | Shape::Set(item)
        | Shape::One(item)
        | Shape::Named(_, item) => {
            collect(*item, found);
        }
        Shape::Either(shapes) => shapes.iter().for_each(|shape| collect(*shape, found)),
        Shape::Mapping(mapping) => {
            let is_new = found.insert(mapping.name, mapping).is_none();
            let keys = if is_new { mapping.keys } else { &[] };
            keys.iter().for_each(|key| collect(key.shape, found));
        }
        _ => {}
    }
}

fn of_shape(shape: Shape) -> Value {
    match shape {
        Shape::Any => json!({}),
        Shape::Text | Shape::Path => json!({ "type": "string" }),
        Shape::Boolean => json!({ "type": "boolean" }),
        Shape::Whole(least, most) => json!({ "type": "integer", "minimum": least, "maximum": most }),
        Shape::Number => json!({ "type": "number", "minimum": 0 }),
        Shape::Share => json!({ "type": "number", "minimum": 0, "maximum": 1 }),
        Shape::Duration => json!({ "type": "string", "pattern": "^[0-9]+(ms|s|m|h|d)$" }),
        Shape::Size => json!({ "type": "string", "pattern": "^[0-9]+(B|KiB|MiB|GiB)$" }),
        Shape::Words(words) => json!({ "enum": words }),
        Shape::Only(value) => json!({ "const": value }),
        Shape::Pattern(pattern, _) => json!({ "type": "string", "pattern": pattern }),
        Shape::List(item) | Shape::Set(item) => json!({ "type": "array", "items": of_shape(*item) }),
        Shape::Several(item) => json!({ "type": "array", "items": of_shape(*item), "minItems": 1 }),
        Shape::One(item) => {
            json!({ "type": "array", "items": of_shape(*item), "minItems": 1, "maxItems": 1 })
        }
        Shape::Named(_, value) => json!({ "type": "object", "additionalProperties": of_shape(*value) }),
        Shape::Mapping(mapping) => json!({ "$ref": format!("#/$defs/{}", mapping.name) }),
        Shape::Either(shapes) => {
            json!({ "anyOf": shapes.iter().map(|shape| of_shape(*shape)).collect::<Vec<_>>() })
        }
    }
}

fn of_mapping(mapping: &Mapping) -> Value {
    let mut properties = Map::new();
    for key in mapping.keys {
        for name in mapping.spellings(key.name) {
            properties.insert(name.into_owned(), of_key(key));
        }
    }
    let mut schema = Map::new();
    schema.insert("type".to_owned(), "object".into());
    schema.insert("properties".to_owned(), properties.into());
    schema.insert("additionalProperties".to_owned(), mapping.is_open.into());
    let needed = mapping.keys.iter().filter(|key| key.is_required);
    let mut plain = Vec::new();
    let mut rules = Vec::new();
    for key in needed {
        let names: Vec<_> = mapping.spellings(key.name).collect();
        match names.as_slice() {
            [name] => plain.push(Value::from(name.as_ref())),
            names => rules.push(json!({ "anyOf": has_one(names.iter().map(AsRef::as_ref)) })),
        }
    }
    if !mapping.one_of.is_empty() {
        rules.push(json!({ "oneOf": has_one(mapping.one_of.iter().copied()) }));
    }
    if !plain.is_empty() {
        schema.insert("required".to_owned(), plain.into());
    }
    if !rules.is_empty() {
        schema.insert("allOf".to_owned(), rules.into());
    }
    schema.into()
}

/// Each of the names, as a rule that it is there.
fn has_one<'n>(names: impl Iterator<Item = &'n str>) -> Vec<Value> {
    names.map(|name| json!({ "required": [name] })).collect()
}

fn of_key(key: &Key) -> Value {
    let mut schema = match (of_shape(key.shape), key.is_required) {
        (Value::Object(schema), true) => schema,
        (schema, _) => or_nothing(schema),
    };
    schema.insert("description".to_owned(), key.text.into());
    if let Some(default) = key.default {
        // Words and quantities are text; numbers, `true`, `[]` and the like read as JSON.
        let default = serde_json::from_str(default).unwrap_or_else(|_| default.into());
        schema.insert("default".to_owned(), default);
    }
    schema.into()
}

/// A key without a value counts as one that is not there.
fn or_nothing(schema: Value) -> Map<String, Value> {
    let mut schema = match schema {
        Value::Object(schema) => schema,
        other => return Map::from_iter([("anyOf".to_owned(), json!([other, { "type": "null" }]))]),
    };
    if schema.is_empty() {
        return schema;
    }
    if let Some(kind @ Value::String(_)) = schema.get_mut("type") {
        *kind = json!([kind.clone(), "null"]);
        return schema;
    }
    if let Some(Value::Array(words)) = schema.get_mut("enum") {
        words.push(Value::Null);
        return schema;
    }
    if let Some(Value::Array(kinds)) = schema.get_mut("anyOf") {
        kinds.push(json!({ "type": "null" }));
        return schema;
    }
    Map::from_iter([("anyOf".to_owned(), json!([Value::Object(schema), { "type": "null" }]))])
}
