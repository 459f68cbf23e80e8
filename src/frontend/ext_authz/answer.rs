//! From what is said of a request to a CheckResponse.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, header};

use super::framed;
use super::message::{
    AppendAction, CheckResponse, DeniedHttpResponse, HeaderChange, HttpResponse, HttpStatus, OkHttpResponse,
    RawField, RpcStatus, Struct, Value,
};
use crate::engine::{Exchange, FieldChanges};
use crate::frontend::answer;
use crate::frontend::authorizer::AuthorizerRuling;
use crate::reason::code_number;
use crate::respond::ErrorResponse;

/// The code of an answer that is not a refusal, and not for the backend: any but OK has Envoy give it.
const PERMISSION_DENIED: i32 = 7;

/// The answer, as a message of gRPC, and the status that the client gets or, of a request that passes, 200.
pub(in crate::frontend) fn response(exchange: &mut Exchange, ruling: AuthorizerRuling) -> (Bytes, u16) {
    let (status, code, http_response) = match ruling {
        AuthorizerRuling::Allowed(changes) => (200, 0, HttpResponse::Ok(ok(exchange, changes))),
        AuthorizerRuling::Own(own) => {
            let answer = answer::own(exchange, own);
            (answer.status.as_u16(), PERMISSION_DENIED, denied(answer))
        }
        AuthorizerRuling::Refused(denial) => {
            let denial = exchange.worded(denial);
            let answer = answer::refusal_over_http(exchange, &denial);
            // No reason has code 0, which would let the request pass.
            let code = i32::from(code_number(denial.reason().entry().code)).max(1);
            exchange.denial = Some(denial);
            (answer.status.as_u16(), code, denied(answer))
        }
    };
    let response = CheckResponse {
        status: Some(RpcStatus { code, message: String::new() }),
        http_response: Some(http_response),
        dynamic_metadata: Some(metadata(exchange)),
    };
    (framed(&response), status)
}

fn ok(exchange: &Exchange, changes: FieldChanges) -> OkHttpResponse {
    let FieldChanges { set, removed } = changes;
    OkHttpResponse {
        headers: set.into_iter().map(overwriting).collect(),
        headers_to_remove: removed.iter().map(|name| name.as_str().to_owned()).collect(),
        response_headers_to_add: exchange.fields_for_client(200).into_iter().map(added).collect(),
    }
}

fn denied(answer: ErrorResponse) -> HttpResponse {
    // Envoy counts the bytes itself.
    let fields = answer.headers.into_iter().filter(|(name, _)| *name != header::CONTENT_LENGTH);
    HttpResponse::Denied(DeniedHttpResponse {
        status: Some(HttpStatus { code: answer.status.as_u16().into() }),
        headers: fields.map(added).collect(),
        body: String::from_utf8_lossy(&answer.body).into_owned(),
    })
}

/// A field of an answer to the client. What `Vary` says comes beside what the backend says.
fn added(field: (HeaderName, HeaderValue)) -> HeaderChange {
    let action = match field.0 {
        header::VARY => AppendAction::AppendIfExistsOrAdd,
        _ => AppendAction::OverwriteIfExistsOrAdd,
    };
    HeaderChange { append_action: action.into(), ..overwriting(field) }
}

fn overwriting((name, value): (HeaderName, HeaderValue)) -> HeaderChange {
    // Of an answer, Envoy reads the text and not the bytes. All values that get here are UTF-8.
    let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
    let header = RawField { key: name.as_str().to_owned(), value, raw_value: Bytes::new() };
    HeaderChange { header: Some(header), append_action: AppendAction::OverwriteIfExistsOrAdd.into() }
}

/// What Envoy's later filters and its access log can read of the decision.
fn metadata(exchange: &Exchange) -> Struct {
    let call = exchange.trace.call.as_deref();
    let reason =
        exchange.denial.as_ref().map_or(crate::engine::ALLOWED, |denial| denial.reason().entry().name);
    let principal =
        exchange.trace.caller.as_deref().map(|caller| caller.principal.with_plain_subject().to_string());
    let known = [
        ("request_id", Some(exchange.arrival.request_id.clone())),
        ("reason", Some(reason.to_owned())),
        ("revision", Some(exchange.live.snapshot.revision.to_string())),
        ("principal", principal),
        ("service", call.map(|call| call.method.service.name.clone())),
        ("method", call.map(|call| call.method.name.clone())),
    ];
    let known = known.into_iter().filter_map(|(name, text)| Some((name.to_owned(), text?)));
    let fields: BTreeMap<_, _> =
        known.map(|(name, text)| (name, Value { string_value: Some(text) })).collect();
    Struct { fields }
}
