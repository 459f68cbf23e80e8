//! AuthZEN over HTTP: each question of a request is decided, recorded and answered.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use serde_json::{Value, json};

use super::answer;
use crate::authzen::{self, EVALUATION_PATH, EVALUATIONS_PATH, Evaluation, METADATA_PATH, Unanswerable};
use crate::clock;
use crate::engine::{ALLOWED, Arrival, Engine, Phase};
use crate::http::{ConnectionPeer, RawHead, Scheme, malformed};
use crate::reason::{Denial, Reason};
use crate::respond::{ErrorResponse, REQUEST_ID};

/// Most bytes of a request.
pub(super) const MOST_BYTES: u64 = 64 * 1024;

/// Names a question for the service that asks.
const ASKED_ID: HeaderName = HeaderName::from_static(REQUEST_ID);

/// The answer to a request. `scheme` is that of its connection.
pub(super) fn answer(
    engine: &Engine,
    head: &RawHead,
    body: &Bytes,
    peer: ConnectionPeer,
    scheme: Scheme,
) -> ErrorResponse {
    let path = head.target.split('?').next().unwrap_or_default();
    let mut answer = match (path, &head.method) {
        (METADATA_PATH, &Method::GET | &Method::HEAD) => metadata(engine, head, peer, scheme),
        (METADATA_PATH, _) => refused(engine, peer, not_allowed("GET, HEAD")),
        (EVALUATION_PATH | EVALUATIONS_PATH, &Method::POST) => {
            if is_json(head) {
                evaluated(engine, path, body, peer)
            } else {
                refused(engine, peer, malformed("the content type is not `application/json`"))
            }
        }
        (EVALUATION_PATH | EVALUATIONS_PATH, _) => refused(engine, peer, not_allowed("POST")),
        _ => refused(engine, peer, Denial::new(Reason::MethodNotFound, "AuthZEN has no such path")),
    };
    // The service's own id of its question comes back with the answer (section 10.1.3).
    if let Ok(Some(id)) = head.headers.one(REQUEST_ID) {
        answer.headers.retain(|(name, _)| *name != ASKED_ID);
        answer.headers.push((ASKED_ID, id.clone()));
    }
    answer
}

/// The answer to a request that cannot be read, or for which there is no room.
pub(super) fn refused(engine: &Engine, peer: ConnectionPeer, denial: Denial) -> ErrorResponse {
    let mut exchange = engine.receive(Arrival::now().asked("authzen"), peer.socket());
    let refusal = answer::refusal(&exchange, &denial);
    exchange.denial = Some(denial);
    exchange.record(refusal.status.as_u16());
    refusal
}

fn not_allowed(methods: &'static str) -> Denial {
    Denial::new(Reason::HttpMethodNotAllowed, "AuthZEN asks by POST").allow(methods)
}

fn is_json(head: &RawHead) -> bool {
    let value = head.headers.one(header::CONTENT_TYPE.as_str()).ok().flatten();
    let text = value.and_then(|value| value.to_str().ok()).unwrap_or_default();
    text.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json")
}

fn evaluated(engine: &Engine, path: &str, body: &Bytes, peer: ConnectionPeer) -> ErrorResponse {
    let answered =
        if path == EVALUATIONS_PATH { several(engine, body, peer) } else { one(engine, body, peer) };
    match answered {
        Ok(answer) => ok(&answer),
        Err(Unanswerable(why)) => refused(engine, peer, malformed(why)),
    }
}

fn one(engine: &Engine, body: &Bytes, peer: ConnectionPeer) -> Result<Value, Unanswerable> {
    ask(engine, authzen::single(body)?, peer).map(|(answer, _)| answer)
}

fn several(engine: &Engine, body: &Bytes, peer: ConnectionPeer) -> Result<Value, Unanswerable> {
    let Some(batch) = authzen::batch(body)? else { return one(engine, body, peer) };
    let mut answers = Vec::new();
    for evaluation in batch.evaluations {
        // One that cannot be answered is denied, and does not keep the others from their answers (section 7.2).
        let (answer, is_last) = match ask(engine, evaluation, peer) {
            Ok((answer, is_denied)) => (answer, batch.semantic.ends_with(is_denied)),
            Err(Unanswerable(why)) => {
                let answer =
                    json!({ "decision": false, "context": { "error": { "status": 400, "message": why } } });
                (answer, batch.semantic.ends_with(true))
            }
        };
        answers.push(answer);
        if is_last {
            break;
        }
    }
    Ok(json!({ "evaluations": answers }))
}

/// Decides one question, and records it. Gives the answer, and whether it denies.
fn ask(engine: &Engine, evaluation: Evaluation, peer: ConnectionPeer) -> Result<(Value, bool), Unanswerable> {
    let mut exchange = engine.receive(Arrival::now().asked("authzen"), peer.socket());
    let evaluated = evaluation.ask(&exchange.live.snapshot, clock::now())?;
    let answer = evaluated.answer(&exchange.arrival.request_id, &exchange.live.snapshot.revision.to_string());
    let is_denied = evaluated.denied.is_some();
    (exchange.trace, exchange.denial) = (evaluated.trace, evaluated.denied);
    // Nothing is let through by this answer: it is the service's to act on.
    exchange.phase = Phase::Answering(ALLOWED);
    exchange.record(StatusCode::OK.as_u16());
    Ok((answer, is_denied))
}

fn metadata(engine: &Engine, head: &RawHead, peer: ConnectionPeer, scheme: Scheme) -> ErrorResponse {
    let host = head.authority.clone().or_else(|| {
        let host = head.headers.one("host").ok().flatten()?;
        host.to_str().ok().map(str::to_owned)
    });
    let value = host.as_deref().and_then(|host| HeaderValue::from_str(host).ok());
    match value.as_ref().map(crate::http::Host::parse) {
        Some(Ok(_)) => ok(&authzen::metadata(&format!("{}://{}", scheme.as_str(), host.unwrap_or_default()))),
        Some(Err(denial)) => refused(engine, peer, denial),
        None => refused(engine, peer, malformed("the request names no host")),
    }
}

fn ok(answer: &Value) -> ErrorResponse {
    let body = Bytes::from(answer.to_string());
    let headers = vec![
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (header::CONTENT_LENGTH, HeaderValue::from(body.len())),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    ErrorResponse { status: StatusCode::OK, headers, body }
}
