//! The query: fields of the message, and system parameters.
//!
//! `&` separates parameters, and nothing else does: the gate is the only reader of this query. What a parameter names is
//! found as in the body, by the name of the proto or of JSON, with dots into messages (google/api/http.proto).

use prost_reflect::{DynamicMessage, Kind, Value};

use super::fault::{Fault, RequestFault, RequestPart};
use super::field_path::{FieldPath, OtherOfOneof};
use super::format::AnswerFormat;
use super::known::{self, Known};
use super::scalar::{Scalar, Spelling};
use super::{BodyField, TranscodedMethod};
use crate::percent::{BadEscape, Octet, octets};

/// System parameters that change nothing of what a backend does, and nothing of the answer here
/// (<https://cloud.google.com/apis/docs/system-parameters>). All fields are answered, whichever are asked for.
const PASSED_OVER: [&str; 6] = ["fields", "key", "quotaUser", "userIp", ".xgafv", "userProject"];

impl TranscodedMethod {
    /// Sets the fields that a query names. Returns how the client wants its answer.
    pub(super) fn apply_query(
        &self,
        message: &mut DynamicMessage,
        query: Option<&str>,
    ) -> Result<AnswerFormat, RequestFault> {
        let mut format = AnswerFormat::default();
        let mut given: Vec<String> = Vec::new();
        let mut faults = Vec::new();
        for parameter in query.unwrap_or_default().split('&').filter(|parameter| !parameter.is_empty()) {
            let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let applied = decoded(key).zip(decoded(value)).ok_or_else(|| Fault::unknown("", parameter));
            let applied =
                applied.and_then(|(key, value)| self.apply(&key, &value, message, &mut given, &mut format));
            if let Err(fault) = applied
                && faults.len() < super::fault::MOST_FAULTS
            {
                faults.push(fault);
            }
        }
        if faults.is_empty() { Ok(format) } else { Err(RequestFault::all(RequestPart::Query, faults)) }
    }

    fn apply(
        &self,
        key: &str,
        value: &str,
        message: &mut DynamicMessage,
        given: &mut Vec<String>,
        format: &mut AnswerFormat,
    ) -> Result<(), Fault> {
        let system = key.strip_prefix('$');
        let found = match system {
            Some(_) => None,
            None => FieldPath::find(&self.input, key),
        };
        let Some(field) = found else {
            let name = system.unwrap_or(key);
            if PASSED_OVER.contains(&name) || format.set(name, value, self.is_server_streaming)? {
                return Ok(());
            }
            let why = format!("Field '{}' could not be found in request message.", key.escape_debug());
            return Err(Fault::of_parameter(key, &why));
        };
        self.refuse_bound(key, &field)?;
        let is_list = field.last().is_list();
        if !is_list && given.iter().any(|other| other == field.name()) {
            return Err(Fault::of_field(field.name(), "it is given twice."));
        }
        let kind = field.last().kind();
        if field.last().is_map() || is_of_parts(&kind) {
            return Err(Fault::of_parameter(key, "Only fields that are one plain value can be bound."));
        }
        let plain = known::plain(&kind, Scalar::Text(value), Spelling::Text);
        let plain = plain
            .ok_or_else(|| Fault::of_value(field.name(), &kind, &format!("\"{}\"", value.escape_debug())))?;
        put(message, &field, plain)?;
        given.push(field.name().to_owned());
        Ok(())
    }

    /// Refuses a parameter for a field that the path or the body has. With `body: "*"`, the body has all of them.
    fn refuse_bound(&self, key: &str, field: &FieldPath) -> Result<(), Fault> {
        let is_part = |name: &str, of: &str| {
            name == of || name.strip_prefix(of).is_some_and(|rest| rest.starts_with('.'))
        };
        let in_path = self.variables.iter().map(|(_, variable)| variable.name());
        if in_path.into_iter().any(|name| is_part(name, field.name()) || is_part(field.name(), name)) {
            return Err(Fault::of_parameter(key, "The path has set it."));
        }
        match &self.body {
            BodyField::Whole => Err(Fault::of_parameter(key, "The body has all fields of this method.")),
            BodyField::Field(body) if body.number() == field.first().number() => {
                Err(Fault::of_parameter(key, "The body has this field."))
            }
            BodyField::Field(_) | BodyField::Nothing => Ok(()),
        }
    }
}

fn is_of_parts(kind: &Kind) -> bool {
    let Kind::Message(message) = kind else { return false };
    !matches!(Known::of(message), Known::Wrapper | Known::Text | Known::FieldMask)
}

/// Sets a field, or adds to it where it is a list.
fn put(message: &mut DynamicMessage, field: &FieldPath, value: Value) -> Result<(), Fault> {
    let holder = field.holder(message).map_err(|OtherOfOneof| other_given(field))?;
    let Some(holder) = holder else { return Err(Fault::of_field(field.name(), "it is not a message.")) };
    if field.last().is_list() {
        match holder.get_field_mut(field.last()).as_list_mut() {
            Some(items) => items.push(value),
            None => return Err(Fault::of_field(field.name(), "it is not repeated.")),
        }
    } else {
        holder.set_field(field.last(), value);
    }
    Ok(())
}

pub(super) fn other_given(field: &FieldPath) -> Fault {
    Fault::of_field(field.name(), "another field of its oneof is given.")
}

/// A text decoded once. `+` is a blank, as forms have it (WHATWG URL, "application/x-www-form-urlencoded").
fn decoded(text: &str) -> Option<String> {
    let bytes: Result<Vec<u8>, BadEscape> = octets(text)
        .map(|octet| {
            octet.map(|octet| match octet {
                Octet::Plain(b'+') => b' ',
                Octet::Plain(byte) | Octet::Encoded(byte) => byte,
            })
        })
        .collect();
    String::from_utf8(bytes.ok()?).ok()
}
