//! The backend behind opgate: REST over `operations`, and a log of every request that reached it.
//!
//! It checks no credentials: opgate does. The walk and the integration tests read the log, to know that a refused request
//! did not reach the backend.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, Method, StatusCode, Uri, Version};
use serde_json::{Value, json};
use tokio::sync::Notify;

pub use super::operations::{CancelEffect, DemoService};
use super::operations::{ListParameters, OperationError, Operations};
use super::server::LoopbackServer;
use crate::clock::now;

/// The largest body that is read.
const MAX_BODY: usize = 1 << 20;
/// The longest wait, and that of a client that names none.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// A running backend, on HTTP/1.1 and HTTP/2 with prior knowledge. Dropping it stops it.
#[derive(Debug)]
pub struct Backend {
    shared: Arc<BackendState>,
    server: LoopbackServer,
}

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct ReceivedRequest {
    /// The method.
    pub method: Method,
    /// Path and query, undecoded.
    pub target: String,
    /// HTTP/1.1 or HTTP/2.
    pub version: Version,
    /// Every header field.
    pub headers: HeaderMap,
    /// The body; empty until it has arrived whole.
    pub body: Bytes,
}

#[derive(Debug)]
struct BackendState {
    operations: Mutex<Operations>,
    log: Mutex<RequestLog>,
    /// Told whenever an operation's end may have moved.
    changed: Notify,
}

#[derive(Debug, Default)]
struct RequestLog {
    /// How many requests were forgotten: entries keep their number when the log is cleared under them.
    forgotten: usize,
    requests: Vec<ReceivedRequest>,
}

impl Backend {
    /// Starts one on a free port of 127.0.0.1, with operations in the projects `demo` and `other`.
    ///
    /// # Errors
    /// Where no port can be bound or no thread be started.
    pub fn start() -> io::Result<Self> {
        let shared = Arc::new(BackendState {
            operations: Mutex::new(Operations::seeded(now())),
            log: Mutex::default(),
            changed: Notify::new(),
        });
        let router = Router::new().fallback(answer).with_state(shared.clone());
        Ok(Self { shared, server: LoopbackServer::start("backend", router)? })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Adds an operation that runs for an hour, and what a cancel does to it.
    pub fn add_operation(&self, service: DemoService, name: &str, effect: CancelEffect) {
        lock(&self.shared.operations).add(service, name, effect, now());
    }

    /// How the operations ended for which a cancel was accepted (`cancelled`, `succeeded`, `failed`, `deleted`, or still
    /// `running`), with how many did.
    pub fn cancel_ends(&self) -> BTreeMap<&'static str, usize> {
        lock(&self.shared.operations).cancel_ends(now())
    }

    /// Every request that reached it, in the order of their heads.
    pub fn requests(&self) -> Vec<ReceivedRequest> {
        lock(&self.shared.log).requests.clone()
    }

    /// Forgets the requests seen so far.
    pub fn clear(&self) {
        let mut log = lock(&self.shared.log);
        log.forgotten += log.requests.len();
        log.requests.clear();
    }
}

async fn answer(State(shared): State<Arc<BackendState>>, request: http::Request<Body>) -> Response {
    let (parts, body) = request.into_parts();
    // Logged before its body is read: a request has reached us even if the rest of it never does.
    let number = shared.log_head(&parts);
    let Ok(body) = to_bytes(body, MAX_BODY).await else {
        return refuse(&OperationError::InvalidArgument("The body did not arrive.".to_owned()));
    };
    shared.log_body(number, body.clone());
    match shared.call(&parts.method, &parts.uri, &body).await {
        Ok(Some(value)) => reply_to(&parts, &value),
        Ok(None) => StatusCode::OK.into_response(),
        Err(fault) => refuse(&fault),
    }
}

impl BackendState {
    fn log_head(&self, head: &http::request::Parts) -> usize {
        let mut log = lock(&self.log);
        log.requests.push(ReceivedRequest {
            method: head.method.clone(),
            target: head.uri.path_and_query().map_or_else(String::new, ToString::to_string),
            version: head.version,
            headers: head.headers.clone(),
            body: Bytes::new(),
        });
        log.forgotten + log.requests.len() - 1
    }

    fn log_body(&self, number: usize, body: Bytes) {
        let mut log = lock(&self.log);
        let index = number.checked_sub(log.forgotten);
        if let Some(request) = index.and_then(|index| log.requests.get_mut(index)) {
            request.body = body;
        }
    }

    /// Does what was asked. `None` is an answer without a body.
    async fn call(&self, method: &Method, uri: &Uri, body: &[u8]) -> Result<Option<Value>, OperationError> {
        let no_method = || OperationError::NotFound("Method not found.".to_owned());
        let target = OperationTarget::parse(uri.path()).ok_or_else(no_method)?;
        let (service, name) = (target.service, target.name);
        match (method, target.verb, target.is_collection) {
            (&Method::GET, None, true) => {
                let Query(page) = Query::<ListParameters>::try_from_uri(uri)
                    .map_err(|error| OperationError::InvalidArgument(error.body_text()))?;
                lock(&self.operations).list(name, &page, now()).map(Some)
            }
            (&Method::GET, None, false) => lock(&self.operations).get(name, now()).map(Some),
            (&Method::DELETE, None, false) if service == DemoService::Translation => {
                Err(unimplemented("DeleteOperation"))
            }
            (&Method::DELETE, None, false) => {
                lock(&self.operations).delete(name, now())?;
                self.changed.notify_waiters();
                Ok(Some(json!({})))
            }
            (&Method::POST, Some("cancel"), false) => {
                lock(&self.operations).cancel(name, now())?;
                self.changed.notify_waiters();
                Ok((service != DemoService::Translation).then(|| json!({})))
            }
            (&Method::POST, Some("wait"), false) if service == DemoService::Dataproc => {
                Err(unimplemented("WaitOperation"))
            }
            (&Method::POST, Some("wait"), false) => self.wait(name, timeout(body)?).await.map(Some),
            _ => Err(no_method()),
        }
    }

    /// WaitOperation: until it is done or the time is up; then whatever it is like.
    async fn wait(&self, name: &str, timeout: Duration) -> Result<Value, OperationError> {
        let deadline = now() + timeout;
        loop {
            // Before the look at the operation, so that a change after it is not missed.
            let changed = self.changed.notified();
            let until = lock(&self.operations).end(name, now())?.min(deadline);
            let left = until.duration_since(now()).unwrap_or_default();
            if left.is_zero() {
                return lock(&self.operations).get(name, now());
            }
            tokio::select! {
                () = changed => {}
                () = tokio::time::sleep(left) => {}
            }
        }
    }
}

/// What a path names.
#[derive(Debug, PartialEq, Eq)]
struct OperationTarget<'p> {
    service: DemoService,
    /// The operation, or for a collection its parent.
    name: &'p str,
    is_collection: bool,
    verb: Option<&'p str>,
}

impl<'p> OperationTarget<'p> {
    fn parse(path: &'p str) -> Option<Self> {
        let (version, resource) = path.strip_prefix('/')?.split_once('/')?;
        let (resource, verb) = match resource.rsplit_once(':') {
            Some((resource, verb)) if !verb.contains('/') => (resource, Some(verb)),
            _ => (resource, None),
        };
        let segments: Vec<&str> = resource.split('/').collect();
        if segments.iter().any(|segment| segment.is_empty()) {
            return None;
        }
        let (service, is_collection) = match (version, segments.as_slice()) {
            ("v1", ["projects", _, "locations", _, "operations"]) => (DemoService::Companion, true),
            ("v1", ["projects", _, "locations", _, "operations", _]) => (DemoService::Companion, false),
            ("v1", ["projects", _, "regions", _, "operations"]) => (DemoService::Dataproc, true),
            ("v1", ["projects", _, "regions", _, "operations", _]) => (DemoService::Dataproc, false),
            ("v3", ["projects", _, "operations"]) => (DemoService::Translation, true),
            ("v3", ["projects", _, "operations", _]) => (DemoService::Translation, false),
            _ => return None,
        };
        let name = if is_collection { resource.strip_suffix("/operations")? } else { resource };
        Some(Self { service, name, is_collection, verb })
    }
}

fn unimplemented(method: &str) -> OperationError {
    OperationError::Unimplemented(format!("google.longrunning.Operations.{method} is not implemented."))
}

/// `WaitOperationRequest.timeout`, a google.protobuf.Duration in JSON: `"3.5s"`.
fn timeout(body: &[u8]) -> Result<Duration, OperationError> {
    if body.is_empty() {
        return Ok(MAX_WAIT);
    }
    let invalid = |message: &str| OperationError::InvalidArgument(message.to_owned());
    let message: Value = serde_json::from_slice(body).map_err(|_| invalid("The body is not JSON."))?;
    let Some(timeout) = message.get("timeout") else {
        return Ok(MAX_WAIT);
    };
    let seconds = timeout.as_str().and_then(|text| text.strip_suffix('s')).and_then(|text| text.parse().ok());
    let timeout = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    timeout.map(|timeout| timeout.min(MAX_WAIT)).ok_or_else(|| invalid("timeout is not a duration."))
}

fn refuse(fault: &OperationError) -> Response {
    let status = StatusCode::from_u16(fault.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    reply(status, &fault.to_json())
}

/// An answer as the client wants it: some members alone, or in gzip.
fn reply_to(request: &http::request::Parts, value: &Value) -> Response {
    let content = masked(value, request.uri.query().unwrap_or_default()).to_string();
    let accepted = request.headers.get(ACCEPT_ENCODING).and_then(|value| value.to_str().ok());
    if !accepted.unwrap_or_default().contains("gzip") {
        return (StatusCode::OK, JSON, content).into_response();
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    match encoder.write_all(content.as_bytes()).and_then(|()| encoder.finish()) {
        Ok(bytes) => (StatusCode::OK, JSON, [(CONTENT_ENCODING, "gzip")], bytes).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// The members of an operation that `fields` or `$fields` names (`fields=name,done`).
fn masked(value: &Value, query: &str) -> Value {
    let mask = query
        .split('&')
        .find_map(|pair| pair.trim_start_matches("%24").trim_start_matches('$').strip_prefix("fields="));
    match (mask, value) {
        (Some(mask), Value::Object(members)) => {
            let is_named = |name: &str| mask.split(',').any(|field| field == name);
            members
                .iter()
                .filter(|(name, _)| is_named(name))
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect()
        }
        _ => value.clone(),
    }
}

const JSON: [(HeaderName, &str); 1] = [(CONTENT_TYPE, "application/json; charset=UTF-8")];

fn reply(status: StatusCode, value: &Value) -> Response {
    (status, JSON, value.to_string()).into_response()
}

/// A panic in one request must not stop the others.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
