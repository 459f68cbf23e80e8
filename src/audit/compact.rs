//! The compact form of a line: the same facts as the full form in about half the bytes. What follows from other facts, or
//! is the same in every line, is not written; [`super::expand`] makes the full form of it again, to the byte.

use super::entry::{
    AuditLog, AuthenticationInfo, AuthorizationInfo, CallerIp, DecidingRule, Decision, HttpRequest, Log,
    LogEntry, Metadata, Operation, Protocol, RequestMetadata, Severity, TraceIds, UpstreamCall,
};
use super::frame::Frame;
use super::full::{
    put_detail, put_name, put_short, write_cancel, write_certificate, write_confirmation, write_lost,
    write_place, write_shadow,
};
use super::json::JsonWriter;
use crate::reason::code_name;

/// The longest path that is written as what stands around the resource's name: such a path is never cut.
const LONGEST_SPLIT: usize = 256;

/// Writes a line.
pub(super) fn write(json: &mut JsonWriter<'_>, frame: &Frame, entry: &LogEntry<'_>) {
    json.raw("{\"t\":");
    json.time(entry.time);
    json.raw(",\"k\":\"");
    json.raw(kind(entry.log, entry.severity));
    json.raw("\"");
    json.raw(frame.short());
    json.raw(",\"id\":\"");
    json.raw(entry.request_id);
    json.raw(entry.suffix);
    json.raw("\"");
    if let Some(trace) = entry.trace {
        write_trace(json, trace);
    }
    match entry.operation {
        None => {}
        Some(Operation::Named) => json.raw(",\"o\":1"),
        Some(Operation::Last) => json.raw(",\"o\":2"),
    }
    if let Some(request) = &entry.http_request {
        write_http_request(json, request);
    }
    write_payload(json, &entry.payload);
    match &entry.payload.metadata {
        Metadata::Decision(decision) => write_decision(json, decision),
        Metadata::Cancel(cancel) => {
            json.raw(",");
            write_cancel(json, cancel);
        }
        Metadata::Lost(lost) => {
            json.raw(",");
            write_lost(json, *lost);
        }
    }
    json.raw("}");
}

/// Log and severity in two letters.
pub(super) fn kind(log: Log, severity: Severity) -> &'static str {
    match (log, severity) {
        (Log::Activity, Severity::Info) => "ai",
        (Log::Activity, Severity::Notice) => "an",
        (Log::Activity, Severity::Error) => "ae",
        (Log::DataAccess, Severity::Info) => "di",
        (Log::DataAccess, Severity::Notice) => "dn",
        (Log::DataAccess, Severity::Error) => "de",
    }
}

fn write_trace(json: &mut JsonWriter<'_>, trace: TraceIds) {
    json.raw(",\"tr\":[\"");
    json.trace_id(trace.trace_id);
    json.raw("\",\"");
    json.span_id(trace.span_id);
    json.raw(if trace.is_sampled { "\",true]" } else { "\",false]" });
}

fn write_http_request(json: &mut JsonWriter<'_>, request: &HttpRequest<'_>) {
    json.raw(",\"h\":[");
    match request.method {
        Some(method) => json.short(method),
        None => json.raw("null"),
    }
    json.raw(",");
    json.number(request.status);
    json.raw(",");
    match request.response_size {
        Some(size) => json.number(size),
        None => json.raw("null"),
    }
    json.raw(",");
    json.number(request.latency.as_micros());
    json.raw("]");
    put_short(json, ",\"pr\":", request.protocol.map(Protocol::as_str));
}

fn write_payload(json: &mut JsonWriter<'_>, payload: &AuditLog<'_>) {
    if payload.status.code != 0 {
        json.raw(",\"c\":");
        json.number(payload.status.code);
        if code_name(payload.status.code) != payload.status.message {
            put_detail(json, ",\"cm\":", Some(payload.status.message));
        }
    }
    write_authentication(json, &payload.authentication);
    put_name(json, ",\"s\":", payload.service_name);
    put_name(json, ",\"m\":", payload.method_name);
    put_name(json, ",\"n\":", payload.resource_name);
    if let Some(asked) = &payload.authorization {
        write_authorization(json, asked);
    }
    if let Some(request) = &payload.request {
        write_request(json, request, payload.resource_name);
    }
}

fn write_authentication(json: &mut JsonWriter<'_>, who: &AuthenticationInfo<'_>) {
    put_name(json, ",\"w\":", who.principal_subject);
    if who.principal_email != who.principal_subject.and_then(email_of) {
        put_name(json, ",\"e\":", Some(who.principal_email.unwrap_or_default()));
    }
    if let Some((account, key)) = who.service_account_key {
        json.raw(",\"key\":[");
        json.name(account);
        json.raw(",");
        json.name(key);
        json.raw("]");
    }
    if let Some(third) = &who.third_party {
        json.raw(",\"tp\":[");
        json.name(third.issuer);
        put_name(json, ",", third.subject);
        json.raw("]");
    }
}

/// The email address that a principal's name holds.
pub(super) fn email_of(subject: &str) -> Option<&str> {
    let email = subject.strip_prefix("user:").or_else(|| subject.strip_prefix("serviceAccount:"))?;
    (subject.len() <= LONGEST_SPLIT).then_some(email)
}

fn write_authorization(json: &mut JsonWriter<'_>, asked: &AuthorizationInfo<'_>) {
    json.raw(",\"az\":[");
    json.name(asked.permission);
    json.raw(if asked.granted { ",true," } else { ",false," });
    json.short(asked.permission_type);
    put_name(json, ",", asked.resource_type);
    json.raw("]");
}

fn write_request(json: &mut JsonWriter<'_>, request: &RequestMetadata<'_>, resource: Option<&str>) {
    match request.caller_ip {
        None => {}
        Some(CallerIp::Address(ip)) => {
            json.raw(",\"ip\":");
            json.ip(ip);
        }
        Some(CallerIp::Text(text)) => put_short(json, ",\"ip\":", Some(text)),
    }
    put_short(json, ",\"ua\":", request.user_agent);
    // A request has a host: without one, the line tells of none.
    put_short(json, ",\"ho\":", request.host);
    let resource = resource.filter(|name| !name.is_empty());
    let split = request.path.zip(resource).and_then(|(path, name)| path.split_once(name));
    match split {
        Some((before, behind)) if request.path.is_some_and(|path| path.len() <= LONGEST_SPLIT) => {
            json.raw(",\"pa\":[");
            json.name(before);
            json.raw(",");
            json.name(behind);
            json.raw("]");
        }
        _ => put_name(json, ",\"pa\":", request.path),
    }
    put_short(json, ",\"sc\":", request.scheme);
}

fn write_decision(json: &mut JsonWriter<'_>, decision: &Decision<'_>) {
    json.raw(",\"d\":");
    json.short(decision.decision);
    if decision.reason != decision.decision {
        put_short(json, ",\"r\":", Some(decision.reason));
    }
    put_short(json, ",\"rv\":", Some(decision.policy_revision));
    if let Some(rule) = &decision.rule {
        write_rule(json, rule);
    }
    if let Some(shadow) = &decision.shadow {
        json.raw(",\"sh\":");
        write_shadow(json, shadow);
    }
    put_short(json, ",\"om\":", decision.overridden_method);
    put_detail(json, ",\"de\":", decision.detail);
    if let Some(certificate) = &decision.client_certificate {
        json.raw(",\"cc\":");
        write_certificate(json, certificate);
    }
    if let Some(confirmation) = &decision.confirmation {
        json.raw(",\"cf\":");
        write_confirmation(json, confirmation);
    }
    if let Some(upstream) = &decision.upstream {
        write_upstream(json, upstream);
    }
    put_short(json, ",\"fe\":", decision.frontend);
    put_short(json, ",\"cr\":", decision.client_request_id);
    put_short(json, ",\"ct\":", decision.client_traceparent.as_deref());
}

fn write_rule(json: &mut JsonWriter<'_>, rule: &DecidingRule<'_>) {
    json.raw(",\"ru\":[");
    write_place(json, &rule.place);
    put_name(json, ",", rule.role);
    json.raw("]");
}

fn write_upstream(json: &mut JsonWriter<'_>, upstream: &UpstreamCall<'_>) {
    json.raw(",\"u\":[");
    json.short(upstream.name);
    json.raw(",");
    json.socket(upstream.endpoint);
    json.raw(",");
    json.number(upstream.latency.as_micros());
    json.raw("]");
}
