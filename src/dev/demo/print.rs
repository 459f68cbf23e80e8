//! How a step is shown.

use std::io::{self, Write};

use serde_json::Value;

use super::observed::error_reason;
use super::steps::{StepBody, StepCaller, StepRequest};
use crate::dev::wire::RawResponse;

pub(super) fn print_exchange(
    out: &mut dyn Write,
    exchange: &StepRequest,
    answer: Option<&RawResponse>,
    seen: usize,
) -> io::Result<()> {
    writeln!(out, "    {} {}{}", exchange.method, exchange.service.host(), exchange.target)?;
    match exchange.caller {
        None => writeln!(out, "      without a token")?,
        Some(StepCaller { email, scope, expired }) => {
            let scope = scope.rsplit('/').next().unwrap_or(scope);
            let state = if expired { "an expired token" } else { "a token" };
            writeln!(out, "      as {email}, with {state} for {scope}")?;
        }
    }
    match exchange.body {
        StepBody::Empty => {}
        StepBody::Length(body) => writeln!(out, "      body, by Content-Length: {body}")?,
        StepBody::Chunked(body) => writeln!(out, "      body, in chunks: {body}")?,
    }
    let Some(answer) = answer else {
        return Ok(());
    };
    let reached = match seen {
        0 => "stopped at the gate".to_owned(),
        1 => "reached the backend".to_owned(),
        times => format!("reached the backend {times} times"),
    };
    writeln!(out, "      => {} {}; {reached}", answer.status, summary(answer))?;
    if let Some(challenge) = answer.header("www-authenticate") {
        writeln!(out, "         WWW-Authenticate: {challenge}")?;
    }
    if let Some(allow) = answer.header("allow") {
        writeln!(out, "         Allow: {allow}")?;
    }
    Ok(())
}

/// The part of a body that matters, in a few words.
fn summary(answer: &RawResponse) -> String {
    let Some(body) = answer.json() else {
        let length = answer.body.len();
        return if length == 0 { "(no body)".to_owned() } else { format!("({length} bytes)") };
    };
    let code = body.pointer("/error/code");
    match (body.get("done").and_then(Value::as_bool), code) {
        (None, Some(_)) => {
            let message = text(&body, "/error/message");
            let first = message.split_inclusive(". ").next().unwrap_or_default().trim_end();
            let reason = error_reason(answer).map_or_else(String::new, |reason| format!(" {reason}"));
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
