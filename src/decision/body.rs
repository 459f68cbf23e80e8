//! The body rule of a method, checked before the first byte goes upstream.
//!
//! With `body: "*"`, a transcoder takes fields from the body over those from the path: a cancel of
//! `projects/mine/…` whose body names `projects/yours/…` cancels yours. So a body that could say anything is not
//! forwarded: it is empty, or it says what the path says (docs/services.md, "Bodies"). Official clients send
//! nothing, `{}` or `{"name": …}`.

use bytes::Bytes;
use serde_json::Value;

use crate::catalog::{BodyRule, Call};
use crate::http::field_path::{overlap, steps};
use crate::http::query::is_method_override;
use crate::http::request::{Framing, Request};
use crate::reason::{Denial, Reason};

/// Bounds of bodies, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyLimits {
    /// Of `message` bodies, which are held in memory.
    pub message: u64,
    /// Of `stream` bodies, which are passed on as they come.
    pub stream: u64,
}

impl Default for BodyLimits {
    fn default() -> Self {
        Self { message: MAX_HELD_BODY, stream: 64 * 1024 * 1024 }
    }
}

/// Most bytes of a body that is held whole: what Pingora's retry buffer keeps for sending.
pub const MAX_HELD_BODY: u64 = 64 * 1024;
/// Most bytes of an `empty_message` body: a name of 8 KiB in which every byte is escaped, and a margin.
const EMPTY_MESSAGE_BYTES: u64 = 50 * 1024;

/// How a body is read before the request may be forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyPlan {
    /// There is none: nothing to read.
    Nothing,
    /// Read until the end or until there are more than `limit` bytes, then [`settle`].
    Collect {
        /// The most bytes that [`settle`] will take.
        limit: u64,
    },
    /// Forward as it comes, up to [`BodyLimits::stream`] bytes.
    Pass,
}

/// Decides from the head alone how the body is read.
///
/// # Errors
/// Where the announced length is too large already: no byte of it is waited for.
pub fn plan(request: &Request, call: &Call, limits: BodyLimits) -> Result<BodyPlan, Denial> {
    let rule = call.body;
    let announced = match request.framing {
        Framing::None | Framing::Length(0) => return Ok(BodyPlan::Nothing),
        Framing::Length(length) => Some(length),
        Framing::Stream(length) => length,
        Framing::Chunked => None,
    };
    if rule == BodyRule::Empty && announced.is_some_and(|length| length > 0) {
        return Err(not_empty());
    }
    let limit = match rule {
        BodyRule::Empty => 0,
        BodyRule::EmptyMessage => EMPTY_MESSAGE_BYTES,
        BodyRule::Message => limits.message,
        BodyRule::Stream => limits.stream,
    };
    if announced.is_some_and(|length| length > limit) {
        return Err(too_large(rule, limit));
    }
    let coded = request.headers.all("content-encoding").any(|coding| coding != "identity");
    if coded && rule != BodyRule::Stream {
        return Err(refused("the body has a content coding, so that it cannot be judged"));
    }
    if rule == BodyRule::Message && !is_json(request)? {
        return Err(refused("the body's content type is not `application/json`"));
    }
    Ok(match rule {
        BodyRule::Stream => BodyPlan::Pass,
        _ => BodyPlan::Collect { limit },
    })
}

/// Whether the body has the type that it is judged as: one reader's JSON may be another's form.
fn is_json(request: &Request) -> Result<bool, Denial> {
    let Some(value) = request.headers.one("content-type")? else {
        return Ok(true);
    };
    let text = value.to_str().unwrap_or_default().to_ascii_lowercase();
    let mut pieces = text.split(';').map(str::trim);
    let json = pieces.next() == Some("application/json");
    Ok(json && pieces.all(|parameter| matches!(parameter, "charset=utf-8" | "charset=\"utf-8\"")))
}

/// The denial of a body that grew beyond its limit while it was read.
pub fn overflow(rule: BodyRule, limit: u64) -> Denial {
    if rule == BodyRule::Empty { not_empty() } else { too_large(rule, limit) }
}

/// Judges a collected body and gives the bytes that go upstream.
///
/// # Errors
/// 400 where it says anything that the path does not.
pub fn settle(body: &Bytes, call: &Call) -> Result<Bytes, Denial> {
    match call.body {
        BodyRule::Empty if body.is_empty() => Ok(Bytes::new()),
        BodyRule::Empty => Err(not_empty()),
        BodyRule::EmptyMessage => {
            agree_with_path(body, call, |fields| fields.iter().all(|(name, _)| call.binding(name).is_some()))
                .map_err(|denial| {
                    let told = format!("Request body must be empty: {}.", denial.detail());
                    denial.message(told)
                })?;
            // Never the client's bytes: an empty message has one form, and that form is sent.
            Ok(Bytes::new())
        }
        BodyRule::Message => {
            agree_with_path(body, call, |_| true)?;
            Ok(body.clone())
        }
        BodyRule::Stream => Ok(body.clone()),
    }
}

/// Whether a body is absent, or a JSON object that passes `accept` and gives no path variable another value.
fn agree_with_path(
    body: &Bytes,
    call: &Call,
    accept: impl Fn(&serde_json::Map<String, Value>) -> bool,
) -> Result<(), Denial> {
    if body.is_empty() {
        return Ok(());
    }
    let fields = crate::json::parse_object(body)
        .map_err(|error| refused(format!("the body is not one unambiguous JSON object: {error}")))?;
    if !accept(&fields) {
        return Err(not_empty());
    }
    if let Some(key) = fields.keys().find(|key| is_method_override(key)) {
        return Err(refused(format!(
            "the body's `{}` would change the method that was judged",
            key.escape_default()
        )));
    }
    for (field_path, value) in call.bindings_in_body() {
        match field_of(&fields, field_path) {
            Ok(None) => {}
            Ok(Some(Value::String(text))) if text == value => {}
            Ok(Some(_)) => {
                return Err(refused(format!("the body's `{field_path}` is not the one that the path names")));
            }
            Err(IncomparableField(why)) => return Err(refused(format!("the body's `{field_path}` {why}"))),
        }
    }
    Ok(())
}

/// Why a field cannot be compared.
struct IncomparableField(&'static str);

/// The value at a field path, in every spelling that some reader takes for it: those of proto JSON (`resource_name`,
/// `resourceName`), and those that differ in case, as Unicode has it, or in punctuation.
fn field_of<'v>(
    fields: &'v serde_json::Map<String, Value>,
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

fn not_empty() -> Denial {
    Denial::new(Reason::BodyRefused, "the method takes no body, and one was sent")
}

/// The client is told why: the detail is only about bytes that it sent.
fn refused(detail: impl Into<std::borrow::Cow<'static, str>>) -> Denial {
    Denial::new(Reason::BodyRefused, detail).told()
}

fn too_large(rule: BodyRule, limit: u64) -> Denial {
    Denial::new(Reason::BodyTooLarge, format!("the body has more than {limit} bytes, the bound for `{rule}`"))
        .told()
}

#[cfg(test)]
mod tests;
