//! What is asked, read from JSON.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

use serde_json::{Map, Value};

use crate::json;
use crate::simulation::{ScenarioCaller, written};

/// Most questions of one request.
const MOST: usize = 100;

/// Why a question cannot be answered: for the service that asks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unanswerable(pub String);

/// One question.
#[derive(Clone, Debug)]
pub struct Evaluation {
    /// Who.
    pub subject: ScenarioCaller,
    /// Does what: the full name of a method, or a permission.
    pub action: String,
    /// To which resource: its relative name, or its full name.
    pub resource: String,
    /// When; by default now.
    pub time: Option<SystemTime>,
    /// From where.
    pub ip: Option<IpAddr>,
}

/// Several questions.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Them, in their order.
    pub evaluations: Vec<Evaluation>,
    /// When to stop.
    pub semantic: Semantic,
}

/// When the questions behind an answer are left out (section 7.1.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Semantic {
    /// Never.
    #[default]
    ExecuteAll,
    /// Behind the first denial.
    DenyOnFirstDeny,
    /// Behind the first permission.
    PermitOnFirstPermit,
}

type Read<T> = Result<T, Unanswerable>;

fn mistake<T>(text: impl Into<String>) -> Read<T> {
    Err(Unanswerable(text.into()))
}

/// Reads one question.
///
/// # Errors
/// Where it is not one.
pub fn single(body: &[u8]) -> Read<Evaluation> {
    evaluation(&object(body)?, &Map::new())
}

/// Reads several questions. `None` where there are none in a list: then the body is a single one.
///
/// # Errors
/// Where they are not questions, or are too many.
pub fn batch(body: &[u8]) -> Read<Option<Batch>> {
    let fields = object(body)?;
    let items = match fields.get("evaluations") {
        None => return Ok(None),
        Some(Value::Array(items)) if items.is_empty() => return Ok(None),
        Some(Value::Array(items)) if items.len() <= MOST => items,
        Some(Value::Array(_)) => return mistake(format!("there are more than {MOST} evaluations")),
        Some(_) => return mistake("`evaluations` is not a list"),
    };
    let evaluations = items.iter().map(|item| match item {
        Value::Object(item) => evaluation(item, &fields),
        _ => mistake("an evaluation is not an object"),
    });
    Ok(Some(Batch { evaluations: evaluations.collect::<Read<_>>()?, semantic: semantic(&fields)? }))
}

fn object(body: &[u8]) -> Read<Map<String, Value>> {
    json::parse_object(body)
        .map_err(|error| Unanswerable(format!("the body is not one unambiguous JSON object: {error}")))
}

fn semantic(fields: &Map<String, Value>) -> Read<Semantic> {
    let options = match fields.get("options") {
        None => return Ok(Semantic::default()),
        Some(Value::Object(options)) => options,
        Some(_) => return mistake("`options` is not an object"),
    };
    match options.get("evaluations_semantic").map(|value| value.as_str().unwrap_or_default()) {
        None | Some("execute_all") => Ok(Semantic::ExecuteAll),
        Some("deny_on_first_deny") => Ok(Semantic::DenyOnFirstDeny),
        Some("permit_on_first_permit") => Ok(Semantic::PermitOnFirstPermit),
        Some(_) => mistake(
            "`evaluations_semantic` is `execute_all`, `deny_on_first_deny` or `permit_on_first_permit`",
        ),
    }
}

/// A question. What it does not say is said by `defaults`.
fn evaluation(fields: &Map<String, Value>, defaults: &Map<String, Value>) -> Read<Evaluation> {
    let part = |name: &'static str| match fields.get(name).or_else(|| defaults.get(name)) {
        Some(Value::Object(part)) => Ok(part),
        Some(_) => mistake(format!("`{name}` is not an object")),
        None => mistake(format!("`{name}` is missing")),
    };
    let (subject, resource) = (part("subject")?, part("resource")?);
    let (time, ip) = match fields.get("context").or_else(|| defaults.get("context")) {
        None => (None, None),
        Some(Value::Object(context)) => (
            context.get("time").map(|value| read(value, "context.time", written::time)).transpose()?,
            context.get("ip").map(|value| read(value, "context.ip", written::address)).transpose()?,
        ),
        Some(_) => return mistake("`context` is not an object"),
    };
    Ok(Evaluation {
        subject: caller(
            text(subject, "subject", "type")?,
            text(subject, "subject", "id")?,
            groups(subject)?,
        )?,
        action: text(part("action")?, "action", "name")?.to_owned(),
        resource: named(text(resource, "resource", "type")?, text(resource, "resource", "id")?),
        time,
        ip,
    })
}

fn text<'v>(fields: &'v Map<String, Value>, part: &str, name: &str) -> Read<&'v str> {
    match fields.get(name) {
        Some(Value::String(text)) if !text.is_empty() => Ok(text),
        _ => mistake(format!("`{part}.{name}` is not a text")),
    }
}

fn read<T>(
    value: &Value,
    name: &str,
    read: impl Fn(&str) -> Result<T, written::ScenarioSyntaxError>,
) -> Read<T> {
    let Value::String(text) = value else { return mistake(format!("`{name}` is not a text")) };
    read(text).map_err(|error| Unanswerable(format!("`{name}`: {}; {}", error.message, error.help)))
}

/// The groups that the service knows of.
fn groups(subject: &Map<String, Value>) -> Read<Vec<Arc<str>>> {
    let listed = match subject.get("properties").map(|properties| properties.get("groups")) {
        None | Some(None) => return Ok(Vec::new()),
        Some(Some(Value::Array(groups))) => groups,
        Some(Some(_)) => return mistake("`subject.properties.groups` is not a list"),
    };
    listed.iter().map(|group| read(group, "subject.properties.groups", written::set)).collect()
}

/// The subject, in IAM's words.
fn caller(kind: &str, id: &str, sets: Vec<Arc<str>>) -> Read<ScenarioCaller> {
    let written = match kind {
        "user" | "serviceAccount" => format!("{kind}:{id}"),
        "principal" => id.to_owned(),
        "anonymous" => return Ok(ScenarioCaller::Anonymous),
        _ => {
            return mistake("`subject.type` is `user`, `serviceAccount`, `principal` or `anonymous`");
        }
    };
    let principal = written::principal(&written)
        .map_err(|error| Unanswerable(format!("`subject.id`: {}; {}", error.message, error.help)))?;
    Ok(ScenarioCaller::Principal { principal, sets })
}

/// The resource: a type of a service, like `dataproc.googleapis.com/Operation`, tells apart services that share a method.
fn named(kind: &str, id: &str) -> String {
    match kind.split_once('/') {
        Some((service, _)) if service.contains('.') && !id.starts_with("//") => format!("//{service}/{id}"),
        _ => id.to_owned(),
    }
}
