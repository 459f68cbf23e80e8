//! How a step is shown: in one line, or with each request and its response.

use std::io::{self, Write};

use serde_json::Value;

use super::observed::{Observed, error_reason};
use super::steps::{StepBody, StepCaller, StepRequest, WalkStep};
use crate::dev::wire::RawResponse;

/// How much of the demo is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// A line for each step, and the counts.
    Brief,
    /// Also each request and its response, the metrics and the audit log.
    Full,
}

/// A step that was taken.
pub(super) struct ShownStep<'s> {
    /// Counted from 1.
    pub(super) number: usize,
    pub(super) step: &'s WalkStep,
    /// What came back for each request; `None` where nothing did.
    pub(super) observed: Vec<Option<Observed>>,
    /// What was not as expected.
    pub(super) failures: Vec<String>,
}

/// Prints a step.
///
/// # Errors
/// Where nothing can be printed.
pub(super) fn print_step(out: &mut dyn Write, detail: Detail, shown: &ShownStep<'_>) -> io::Result<()> {
    let ShownStep { number, step, observed, failures } = shown;
    let verdict = if failures.is_empty() { "ok" } else { "FAILED" };
    match detail {
        Detail::Brief => {
            write!(out, "{number:>2}. {verdict:<3} {} => {}", step.title, in_short(observed))?;
            // Where another response came, the failures below say more.
            if failures.is_empty() {
                write!(out, " ({})", step.why)?;
            }
            writeln!(out)?;
        }
        Detail::Full => {
            writeln!(out, "\n{number:>2}. {}", step.title)?;
            for (request, observed) in step.requests.iter().zip(observed) {
                print_request(out, request)?;
                if let Some(observed) = observed {
                    print_response(out, observed)?;
                }
            }
            if failures.is_empty() {
                writeln!(out, "    {verdict:<7} {}", step.why)?;
            }
        }
    }
    for failure in failures {
        writeln!(out, "    FAILED  {failure}")?;
    }
    Ok(())
}

/// The responses of a step in a few words: `200, 403 IAM_PERMISSION_DENIED`.
fn in_short(observed: &[Option<Observed>]) -> String {
    let mut texts: Vec<String> = Vec::new();
    for observed in observed {
        let text = observed.as_ref().map_or_else(|| "no response".to_owned(), |came| brief(&came.response));
        // A second response that says the same, or more, takes the place of the first.
        match texts.last_mut() {
            Some(last) if text.starts_with(last.as_str()) => *last = text,
            _ => texts.push(text),
        }
    }
    texts.join(", ")
}

/// A response in a few words: the status, with the reason of a refusal or the end of an operation.
fn brief(response: &RawResponse) -> String {
    let body = response.json().unwrap_or_default();
    let more = match body.get("done").and_then(Value::as_bool) {
        None => error_reason(response).unwrap_or_else(|| text(&body, "/error/status").to_owned()),
        Some(false) => String::new(),
        Some(true) => summary(response),
    };
    format!("{} {more}", response.status).trim_end().to_owned()
}

fn print_request(out: &mut dyn Write, request: &StepRequest) -> io::Result<()> {
    writeln!(out, "    {} {}{}", request.method, request.service.host(), request.target)?;
    match request.caller {
        None => writeln!(out, "      without a token")?,
        Some(StepCaller { email, scope, expired }) => {
            let scope = scope.rsplit('/').next().unwrap_or(scope);
            let state = if expired { "an expired token" } else { "a token" };
            writeln!(out, "      as {email}, with {state} for {scope}")?;
        }
    }
    match request.body {
        StepBody::Empty => {}
        StepBody::Length(body) => writeln!(out, "      body, by Content-Length: {body}")?,
        StepBody::Chunked(body) => writeln!(out, "      body, in chunks: {body}")?,
    }
    Ok(())
}

fn print_response(out: &mut dyn Write, observed: &Observed) -> io::Result<()> {
    let Observed { response, reached } = observed;
    let reached = match reached.len() {
        0 => "stopped by opgate".to_owned(),
        1 => "reached the backend".to_owned(),
        times => format!("reached the backend {times} times"),
    };
    writeln!(out, "      => {} {}; {reached}", response.status, summary(response))?;
    if let Some(challenge) = response.header("www-authenticate") {
        writeln!(out, "         WWW-Authenticate: {challenge}")?;
    }
    if let Some(allow) = response.header("allow") {
        writeln!(out, "         Allow: {allow}")?;
    }
    Ok(())
}

/// The part of a body that matters, in a few words.
fn summary(response: &RawResponse) -> String {
    let Some(body) = response.json() else {
        let length = response.body.len();
        return if length == 0 { "(no body)".to_owned() } else { format!("({length} bytes)") };
    };
    let code = body.pointer("/error/code");
    match (body.get("done").and_then(Value::as_bool), code) {
        (None, Some(_)) => {
            let message = text(&body, "/error/message");
            let first = message.split_inclusive(". ").next().unwrap_or_default().trim_end();
            let reason = error_reason(response).map_or_else(String::new, |reason| format!(" {reason}"));
            format!("{}{reason}: {first}", text(&body, "/error/status"))
        }
        (Some(false), _) => {
            let percent = body.pointer("/metadata/progressPercent").and_then(Value::as_u64).unwrap_or(0);
            format!("running, {percent}% done")
        }
        (Some(true), Some(code)) => format!("done, error.code {code}"),
        (Some(true), None) => "done, with a response".to_owned(),
        (None, None) => body.to_string(),
    }
}

fn text<'v>(body: &'v Value, pointer: &str) -> &'v str {
    body.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}
