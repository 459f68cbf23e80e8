//! The JSON object of a body: read in one way only, and compared with the path.
//!
//! What a client is told of a mistake in it reads as Google's transcoder words it (measured): `Invalid JSON payload
//! received. Unknown name "x": Cannot find field.`, with the same in a google.rpc.BadRequest.

use serde_json::{Map, Value};

use super::content::refused;
use crate::catalog::Call;
use crate::http::field_path::{overlap, steps};
use crate::http::query::is_method_override;
use crate::reason::{Denial, Reason};

/// Most names that one answer tells of.
const MOST_NAMES: usize = 10;
/// Most characters of a name that an answer repeats.
const MOST_OF_A_NAME: usize = 100;

/// Parses a body as the JSON of a message.
///
/// # Errors
/// 400 for anything but one object that all readers read alike.
pub(super) fn parse(content: &[u8]) -> Result<Map<String, Value>, Denial> {
    match crate::json::outline(content) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) => Err(invalid(
            None,
            "Invalid JSON payload received. Unknown name \"\": Root element must be a message.",
        )),
        Err(error) => {
            // The parser's own words are for the operator.
            let fault = match error.classify() {
                serde_json::error::Category::Eof => "Unexpected end of string.".to_owned(),
                serde_json::error::Category::Data => ambiguity(&error),
                _ => "Unexpected token.".to_owned(),
            };
            let told = format!("Invalid JSON payload received. {fault}");
            let detail = format!("the body is not one unambiguous JSON object: {error}");
            Err(Denial::new(Reason::BodyRefused, detail).message(told.clone()).violation(None, told))
        }
    }
}

/// What [`crate::json`] says of an object that readers read differently, without the place.
fn ambiguity(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let (text, _) = text.rsplit_once(" at line ").unwrap_or((&text, ""));
    let mut letters = text.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    let text: String = first.into_iter().chain(letters).take(2 * MOST_OF_A_NAME).collect();
    format!("{text}.")
}

/// Refuses fields that the message does not have.
///
/// # Errors
/// 400 with each of their names, up to a bound.
pub(super) fn refuse_unknown(
    fields: &Map<String, Value>,
    is_known: impl Fn(&str) -> bool,
) -> Result<(), Denial> {
    let unknown = fields.keys().filter(|name| !is_known(name)).take(MOST_NAMES);
    let lines: Vec<String> = unknown
        .map(|name| {
            let name: String = name.chars().take(MOST_OF_A_NAME).collect();
            format!("Invalid JSON payload received. Unknown name \"{name}\": Cannot find field.")
        })
        .collect();
    if lines.is_empty() {
        return Ok(());
    }
    let denial = Denial::new(Reason::BodyRefused, lines.join("\n")).told();
    Err(lines.into_iter().fold(denial, |denial, line| denial.violation(None, line)))
}

/// Refuses an object that gives a path variable another value, or that some reader takes another method from.
///
/// # Errors
/// 400.
pub(super) fn agree_with_path(fields: &Map<String, Value>, call: &Call) -> Result<(), Denial> {
    if let Some(key) = fields.keys().find(|key| is_method_override(key)) {
        let key = key.escape_default();
        return Err(refused(format!("the body's `{key}` would change the method that was judged")));
    }
    for (field_path, value) in call.bindings_in_body() {
        let why = match field_of(fields, field_path) {
            Ok(None) => continue,
            Ok(Some(Value::String(text))) if text == value => continue,
            Ok(Some(_)) => "is not the one that the path names",
            Err(IncomparableField(why)) => why,
        };
        return Err(invalid(Some(field_path), &format!("Invalid value at '{field_path}': it {why}.")));
    }
    Ok(())
}

fn invalid(field: Option<&str>, told: &str) -> Denial {
    Denial::new(Reason::BodyRefused, told.to_owned()).told().violation(field, told)
}

/// Why a field cannot be compared.
struct IncomparableField(&'static str);

/// The value at a field path, in every spelling that some reader takes for it: those of proto JSON (`resource_name`,
/// `resourceName`), and those that differ in case, as Unicode has it, or in punctuation.
fn field_of<'v>(
    fields: &'v Map<String, Value>,
    field_path: &str,
) -> Result<Option<&'v Value>, IncomparableField> {
    let rest = field_path.split_once('.').map(|(_, rest)| rest);
    let mut found = None;
    for (key, value) in fields {
        // In some readers, an object inherits the fields of its `__proto__` (ECMAScript, where objects are merged).
        if key == "__proto__" {
            return Err(IncomparableField("may be given by `__proto__`"));
        }
        if !overlap(field_path, key) {
            continue;
        }
        if steps(key).nth(1).is_some() {
            return Err(IncomparableField("is given by a key that some readers take apart"));
        }
        if found.replace(value).is_some() {
            return Err(IncomparableField("is given in two spellings"));
        }
    }
    let Some(value) = found else { return Ok(None) };
    match (rest, value) {
        (None, value) => Ok(Some(value)),
        (Some(rest), Value::Object(inner)) => field_of(inner, rest),
        (Some(_), Value::Null) => Ok(None),
        (Some(_), _) => Err(IncomparableField("stands in something that is not an object")),
    }
}
