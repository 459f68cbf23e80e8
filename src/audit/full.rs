//! The full form of a line, as Google's tools read it.

use std::ops::Range;

use super::entry::{
    AuditLog, AuthenticationInfo, AuthorizationInfo, CallerIp, CancelOutcome, ClientCertificate,
    Confirmation, DecidingRule, Decision, HttpRequest, LogEntry, LostLines, Metadata, Operation, Protocol,
    RequestMetadata, RulePlace, ShadowRuling, TraceIds, UpstreamCall,
};
use super::frame::Frame;
use super::json::JsonWriter;

/// Where the names stand that a line has several times: there they are read again, and not escaped once more.
#[derive(Default)]
struct Written {
    service: Option<Range<usize>>,
    method: Option<Range<usize>>,
    resource: Option<Range<usize>>,
}

/// Writes a `LogEntry` in the JSON of proto3, its fields in one order.
pub(super) fn write(json: &mut JsonWriter<'_>, frame: &Frame, entry: &LogEntry<'_>) {
    let payload = &entry.payload;
    let mut written = Written::default();
    json.raw("{\"timestamp\":");
    json.time(entry.time);
    json.raw(",\"severity\":\"");
    json.raw(entry.severity.as_str());
    json.raw("\"");
    json.raw(frame.log(entry.log));
    written.service = put_name_first(json, ",\"service\":", payload.service_name);
    written.method = put_name_first(json, ",\"method\":", payload.method_name);
    json.raw("}}");
    json.raw(frame.labels());
    json.places.method = written.method.clone().unwrap_or_default().into();
    json.raw(",\"insertId\":");
    let id = json.placed(|json| {
        json.raw("\"");
        // Hex digits, and a suffix of ours.
        json.raw(entry.request_id);
        json.raw(entry.suffix);
        json.raw("\"");
    });
    json.places.id = id.into();
    if let Some(trace) = entry.trace {
        write_trace(json, frame, trace);
    }
    if let (Some(operation), Some(name), Some(service)) =
        (entry.operation, payload.resource_name, &written.service)
    {
        json.raw(",\"operation\":{\"id\":");
        written.resource = Some(json.placed(|json| json.name(name)));
        json.raw(",\"producer\":");
        json.again(service.clone());
        json.raw(if operation == Operation::Last { ",\"last\":true}" } else { "}" });
    }
    if let Some(request) = &entry.http_request {
        write_http_request(json, request);
    }
    write_payload(json, payload, written);
    json.raw("}");
}

fn write_trace(json: &mut JsonWriter<'_>, frame: &Frame, trace: TraceIds) {
    json.raw(frame.traces());
    json.trace_id(trace.trace_id);
    json.raw("\",\"spanId\":\"");
    json.span_id(trace.span_id);
    json.raw(if trace.is_sampled { "\",\"traceSampled\":true" } else { "\"" });
}

fn write_http_request(json: &mut JsonWriter<'_>, request: &HttpRequest<'_>) {
    json.raw(",\"httpRequest\":{");
    if let Some(method) = request.method {
        json.raw("\"requestMethod\":");
        json.short(method);
        json.raw(",");
    }
    json.raw("\"status\":");
    json.number(request.status);
    if let Some(size) = request.response_size {
        // int64: a string in the JSON of proto3.
        json.raw(",\"responseSize\":\"");
        json.number(size);
        json.raw("\"");
    }
    json.raw(",\"latency\":");
    json.seconds(request.latency);
    if let Some(protocol) = request.protocol {
        json.raw(",\"protocol\":\"");
        json.raw(protocol.version());
        json.raw("\"");
    }
    json.raw("}");
}

fn write_payload(json: &mut JsonWriter<'_>, payload: &AuditLog<'_>, mut written: Written) {
    json.raw(",\"protoPayload\":{\"@type\":\"type.googleapis.com/google.cloud.audit.AuditLog\",\"status\":{");
    if payload.status.code != 0 {
        json.raw("\"code\":");
        json.number(payload.status.code);
        json.raw(",\"message\":");
        json.detail(payload.status.message);
    }
    json.raw("},\"authenticationInfo\":{");
    write_authentication(json, &payload.authentication);
    json.raw("}");
    put_again(json, ",\"serviceName\":", &written.service);
    put_again(json, ",\"methodName\":", &written.method);
    match &written.resource {
        Some(_) => put_again(json, ",\"resourceName\":", &written.resource),
        None => written.resource = put_name_first(json, ",\"resourceName\":", payload.resource_name),
    }
    if let Some(authorization) = &payload.authorization {
        write_authorization(json, &written, authorization);
    }
    if let Some(request) = &payload.request {
        write_request(json, request);
    }
    json.raw(",\"metadata\":{");
    match &payload.metadata {
        Metadata::Decision(decision) => write_decision(json, decision),
        Metadata::Cancel(cancel) => write_cancel(json, cancel),
        Metadata::Lost(lost) => write_lost(json, *lost),
    }
    json.raw("}}");
}

fn write_authentication(json: &mut JsonWriter<'_>, who: &AuthenticationInfo<'_>) {
    let mut mark = "";
    let mut begin = |json: &mut JsonWriter<'_>, name: &str| {
        json.raw(mark);
        json.raw(name);
        mark = ",";
    };
    if let Some(subject) = who.principal_subject {
        begin(json, "\"principalSubject\":");
        json.places.principal = json.placed(|json| json.name(subject)).into();
    }
    if let Some(email) = who.principal_email {
        begin(json, "\"principalEmail\":");
        json.name(email);
    }
    if let Some((account, key)) = who.service_account_key {
        begin(json, "\"serviceAccountKeyName\":");
        json.name(&key_name(account, key));
    }
    if let Some(third) = &who.third_party {
        begin(json, "\"thirdPartyPrincipal\":{");
        json.raw("\"issuer\":");
        json.name(third.issuer);
        put_name(json, ",\"subject\":", third.subject);
        json.raw("}");
    }
}

/// The full name of a service account's key. The project of an account is not always known: `-` stands for it.
pub(super) fn key_name(account: &str, key: &str) -> String {
    format!("//iam.googleapis.com/projects/-/serviceAccounts/{account}/keys/{key}")
}

fn write_authorization(json: &mut JsonWriter<'_>, written: &Written, asked: &AuthorizationInfo<'_>) {
    json.raw(",\"authorizationInfo\":[{\"resource\":");
    again_or_empty(json, &written.resource);
    json.raw(",\"permission\":");
    json.name(asked.permission);
    json.raw(if asked.granted { ",\"granted\":true" } else { ",\"granted\":false" });
    json.raw(",\"permissionType\":");
    json.short(asked.permission_type);
    json.raw(",\"resourceAttributes\":{\"service\":");
    again_or_empty(json, &written.service);
    put_again(json, ",\"name\":", &written.resource);
    put_name(json, ",\"type\":", asked.resource_type);
    json.raw("}}]");
}

fn write_request(json: &mut JsonWriter<'_>, request: &RequestMetadata<'_>) {
    json.raw(",\"requestMetadata\":{");
    match request.caller_ip {
        None => {}
        Some(CallerIp::Address(ip)) => {
            json.raw("\"callerIp\":");
            json.ip(ip);
            json.raw(",");
        }
        Some(CallerIp::Text(text)) => {
            json.raw("\"callerIp\":");
            json.short(text);
            json.raw(",");
        }
    }
    if let Some(agent) = request.user_agent {
        json.raw("\"callerSuppliedUserAgent\":");
        json.short(agent);
        json.raw(",");
    }
    json.raw("\"requestAttributes\":{");
    if let Some(host) = request.host {
        json.raw("\"host\":");
        json.short(host);
        put_name(json, ",\"path\":", request.path);
        put_short(json, ",\"scheme\":", request.scheme);
        put_short(json, ",\"protocol\":", request.protocol.map(Protocol::as_str));
    }
    json.raw("}}");
}

fn write_decision(json: &mut JsonWriter<'_>, decision: &Decision<'_>) {
    json.raw("\"decision\":");
    json.short(decision.decision);
    json.raw(",\"reason\":");
    json.places.reason = json.placed(|json| json.short(decision.reason)).into();
    json.raw(",\"policyRevision\":");
    json.short(decision.policy_revision);
    if let Some(rule) = &decision.rule {
        write_rule(json, rule);
    }
    if let Some(shadow) = &decision.shadow {
        json.raw(",\"shadow\":");
        write_shadow(json, shadow);
    }
    put_short(json, ",\"overriddenMethod\":", decision.overridden_method);
    put_detail(json, ",\"detail\":", decision.detail);
    if let Some(certificate) = &decision.client_certificate {
        json.raw(",\"clientCertificate\":");
        write_certificate(json, certificate);
    }
    if let Some(confirmation) = &decision.confirmation {
        json.raw(",\"confirmation\":");
        write_confirmation(json, confirmation);
    }
    if let Some(upstream) = &decision.upstream {
        write_upstream(json, upstream);
    }
    put_short(json, ",\"frontend\":", decision.frontend);
    put_short(json, ",\"clientRequestId\":", decision.client_request_id);
    put_short(json, ",\"clientTraceparent\":", decision.client_traceparent.as_deref());
}

fn write_rule(json: &mut JsonWriter<'_>, rule: &DecidingRule<'_>) {
    json.raw(",\"rule\":{\"place\":");
    write_place(json, &rule.place);
    put_name(json, ",\"role\":", rule.role);
    json.raw("}");
}

pub(super) fn write_place(json: &mut JsonWriter<'_>, place: &RulePlace<'_>) {
    match place {
        RulePlace::Place(place) => {
            let mut line = itoa::Buffer::new();
            json.name(&[&*place.file, ":", line.format(place.line)].concat());
        }
        RulePlace::Text(text) => json.name(text),
    }
}

pub(super) fn write_shadow(json: &mut JsonWriter<'_>, shadow: &ShadowRuling<'_>) {
    json.raw("{\"decision\":");
    json.short(shadow.decision);
    json.raw(",\"reason\":");
    json.short(shadow.reason);
    json.raw(",\"policyRevision\":");
    json.short(shadow.policy_revision);
    if let Some(rule) = &shadow.rule {
        write_rule(json, rule);
    }
    put_detail(json, ",\"detail\":", shadow.detail);
    json.raw("}");
}

pub(super) fn write_certificate(json: &mut JsonWriter<'_>, certificate: &ClientCertificate<'_>) {
    json.raw("{\"thumbprint\":");
    json.short(certificate.thumbprint);
    put_detail(json, ",\"uri\":", certificate.uri);
    put_detail(json, ",\"principal\":", certificate.principal);
    put_detail(json, ",\"noCaller\":", certificate.no_caller.as_deref());
    json.raw("}");
}

pub(super) fn write_confirmation(json: &mut JsonWriter<'_>, confirmation: &Confirmation<'_>) {
    json.raw("{");
    if let Some(certificate) = confirmation.certificate {
        json.raw("\"x5t#S256\":");
        json.short(certificate);
    }
    if let Some(key) = confirmation.key {
        json.raw(if confirmation.certificate.is_some() { ",\"jkt\":" } else { "\"jkt\":" });
        json.short(key);
    }
    json.raw("}");
}

fn write_upstream(json: &mut JsonWriter<'_>, upstream: &UpstreamCall<'_>) {
    json.raw(",\"upstream\":{\"name\":");
    json.short(upstream.name);
    json.raw(",\"endpoint\":");
    json.socket(upstream.endpoint);
    json.raw(",\"latency\":");
    json.seconds(upstream.latency);
    json.raw("}");
}

pub(super) fn write_cancel(json: &mut JsonWriter<'_>, cancel: &CancelOutcome<'_>) {
    json.raw("\"cancel\":{\"outcome\":");
    json.short(cancel.outcome);
    json.raw(",\"requestTime\":");
    json.time(cancel.request_time);
    json.raw(",\"observeTime\":");
    json.time(cancel.observe_time);
    put_short(json, ",\"seenBy\":", cancel.seen_by);
    json.raw(",\"requestId\":");
    json.short(cancel.request_id);
    json.raw("}");
}

pub(super) fn write_lost(json: &mut JsonWriter<'_>, lost: LostLines) {
    json.raw("\"lost\":");
    json.number(lost.total());
    json.raw(",\"lostByReason\":{\"queue_full\":");
    json.number(lost.queue_full);
    json.raw(",\"write\":");
    json.number(lost.write);
    json.raw(",\"encode\":");
    json.number(lost.encode);
    json.raw("}");
}

/// As [`put_name`], and says where the name stands.
fn put_name_first(json: &mut JsonWriter<'_>, name: &str, text: Option<&str>) -> Option<Range<usize>> {
    text.map(|text| {
        json.raw(name);
        json.placed(|json| json.name(text))
    })
}

/// As [`put_name`], of a name that is written.
fn put_again(json: &mut JsonWriter<'_>, name: &str, written: &Option<Range<usize>>) {
    if let Some(written) = written {
        json.raw(name);
        json.again(written.clone());
    }
}

fn again_or_empty(json: &mut JsonWriter<'_>, written: &Option<Range<usize>>) {
    match written {
        Some(written) => json.again(written.clone()),
        None => json.raw("\"\""),
    }
}

pub(super) fn put_name(json: &mut JsonWriter<'_>, name: &str, text: Option<&str>) {
    if let Some(text) = text {
        json.raw(name);
        json.name(text);
    }
}

pub(super) fn put_short(json: &mut JsonWriter<'_>, name: &str, text: Option<&str>) {
    if let Some(text) = text {
        json.raw(name);
        json.short(text);
    }
}

pub(super) fn put_detail(json: &mut JsonWriter<'_>, name: &str, text: Option<&str>) {
    if let Some(text) = text {
        json.raw(name);
        json.detail(text);
    }
}
