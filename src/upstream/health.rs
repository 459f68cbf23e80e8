//! Checks the health of endpoints, beside the requests that they serve.
//!
//! A check is made over the upstream's own protocol and TLS, each on a connection of its own: an old connection says
//! little about a new one. Its answer is read as strictly as that to a request.

use std::collections::HashMap;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::header::{HOST, USER_AGENT};
use http::{HeaderValue, Method};
use tokio::task::JoinHandle;

use super::Upstreams;
use super::backend::{AnswerSink, BackendFailure, BackendSide};
use super::connect_error::ConnectError;
use super::endpoint::Endpoint;
use super::http1::BackendExchange;
use super::http2::{BackendStream, request_head};
use super::settings::{HealthCheck, Protocol};
use super::shared::SharedConnections;
use super::wire::UpstreamConnection;
use crate::http::answer::AnswerHead;

const AGENT: &str = concat!("opgate/", env!("CARGO_PKG_VERSION"));

/// The checks of a set of upstreams. They end with the value.
#[derive(Default)]
pub struct Checks {
    tasks: HashMap<EndpointKey, RunningCheck>,
}

type EndpointKey = (Arc<str>, SocketAddr);

/// The task that checks an endpoint. It ends with the value.
#[derive(Debug)]
struct RunningCheck {
    endpoint: Arc<Endpoint>,
    task: JoinHandle<()>,
}

impl Drop for RunningCheck {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl std::fmt::Debug for Checks {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_set().entries(self.tasks.keys()).finish()
    }
}

impl Checks {
    /// Checks the endpoints of these upstreams that are configured so, and no others. The checks of an endpoint that is the
    /// same one go on: a name that changes often must not begin them anew each time.
    pub fn turn_to(&mut self, upstreams: &Upstreams) {
        let mut before = std::mem::take(&mut self.tasks);
        for pool in upstreams.pools() {
            let Some(check) = &pool.settings.health_check else { continue };
            for endpoint in &pool.endpoints {
                let key = (endpoint.upstream.clone(), endpoint.address);
                let running = before.remove(&key).filter(|known| Arc::ptr_eq(&known.endpoint, endpoint));
                let running = running.unwrap_or_else(|| RunningCheck {
                    endpoint: endpoint.clone(),
                    task: tokio::spawn(keep_checking(endpoint.clone(), check.clone())),
                });
                self.tasks.insert(key, running);
            }
        }
    }
}

/// Why a check fails.
#[derive(Debug, thiserror::Error)]
enum CheckFailure {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("{0}")]
    Answer(#[from] BackendFailure),
    #[error("the check was answered with {0}, and not with 2xx")]
    Status(u16),
    #[error("the check cannot be sent: {0}")]
    Unwritable(#[from] http::Error),
    #[error("no answer in time")]
    Late,
}

async fn keep_checking(endpoint: Arc<Endpoint>, check: HealthCheck) {
    let mut ticks = tokio::time::interval(check.interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut in_a_row = 0;
    loop {
        ticks.tick().await;
        let outcome = tokio::time::timeout(check.timeout, ask(&endpoint, &check))
            .await
            .unwrap_or(Err(CheckFailure::Late));
        let passed = outcome.is_ok();
        if passed == endpoint.outlier_state.passes_checks() {
            in_a_row = 0;
            continue;
        }
        in_a_row += 1;
        let enough = if passed { check.healthy_after } else { check.unhealthy_after };
        if in_a_row < enough {
            continue;
        }
        in_a_row = 0;
        endpoint.outlier_state.checked(passed);
        let (upstream, address) = (&*endpoint.upstream, endpoint.address);
        match outcome {
            Ok(()) => tracing::info!(upstream, %address, "the endpoint passes its checks"),
            Err(error) => {
                tracing::warn!(upstream, %address, %error, "the endpoint fails its checks and is left out");
            }
        }
    }
}

/// One check: a connection and, where there is a path, an answer of 2xx.
async fn ask(endpoint: &Endpoint, check: &HealthCheck) -> Result<(), CheckFailure> {
    let Endpoint { address, authority, connector, .. } = endpoint;
    let status = match connector.protocol {
        Protocol::H1 => {
            let connection = UpstreamConnection::new(connector.open(*address).await?);
            let Some(path) = &check.path else { return Ok(()) };
            let head = format!("GET {path} HTTP/1.1\r\nhost: {authority}\r\nuser-agent: {AGENT}\r\n\r\n");
            let head = BytesMut::from(head.as_bytes());
            let is_secured = connection.is_secured();
            let mut backend = BackendExchange::new(connection, is_secured, head, false, false);
            backend.send_held(Bytes::new());
            status_of(&mut backend).await?
        }
        Protocol::H2c | Protocol::H2 => {
            // Its connection ends with it.
            let connections = Arc::new(SharedConnections::new(check.timeout));
            let lease = connections.stream(connector, *address).await?;
            let Some(path) = &check.path else { return Ok(()) };
            let authority = HeaderValue::from_str(authority).map_err(http::Error::from)?;
            let fields = vec![(HOST, authority.clone()), (USER_AGENT, HeaderValue::from_static(AGENT))];
            let head = request_head(&Method::GET, lease.is_secured(), &authority, path, fields)?;
            let mut backend = BackendStream::new(lease, head);
            backend.send_held(Bytes::new());
            status_of(&mut backend).await?
        }
    };
    if (200..300).contains(&status) { Ok(()) } else { Err(CheckFailure::Status(status)) }
}

/// The status of a final answer.
struct FinalStatus(Option<u16>);

impl AnswerSink for FinalStatus {
    fn head(&mut self, head: &AnswerHead<'_>) {
        self.0 = (!head.is_interim()).then_some(head.status);
    }

    fn data(&mut self, _bytes: &[u8]) {}

    fn end(&mut self) {}
}

/// Sends the request of a check, and reads until the head of its answer.
async fn status_of(backend: &mut impl BackendSide) -> Result<u16, BackendFailure> {
    let mut status = FinalStatus(None);
    let mut poll = |context: &mut Context<'_>| {
        if let Poll::Ready(Err(failure)) = backend.poll_send(context) {
            return Poll::Ready(Err(failure));
        }
        loop {
            if let Some(status) = status.0 {
                return Poll::Ready(Ok(status));
            }
            ready!(backend.poll_answer(context, &mut status))?;
        }
    };
    poll_fn(|context| poll(context)).await
}
