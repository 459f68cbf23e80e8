//! Checks the health of endpoints, beside the requests that they serve.
//!
//! A check is made over the upstream's own protocol and TLS, each on a connection of its own: an old connection says
//! little about a new one. Pingora's load balancer has checks too, but they do not verify certificates against our CAs,
//! read an answer without end, and forget their results with each reload.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use pingora::connectors::http::Connector;
use pingora::http::RequestHeader;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType};
use tokio::task::JoinHandle;

use super::Upstreams;
use super::endpoint::Endpoint;
use super::settings::HealthCheck;

/// The checks of a set of upstreams. They end with the value.
#[derive(Default)]
pub struct Checks {
    tasks: HashMap<EndpointKey, RunningCheck>,
    /// With its trust anchors it is costly: one connector for all checks, and none where there are no checks.
    connector: Option<Arc<Connector>>,
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
            let connector = self.connector.get_or_insert_with(|| Arc::new(Connector::new(None)));
            for endpoint in &pool.endpoints {
                let key = (endpoint.upstream.clone(), endpoint.address);
                let running = before.remove(&key).filter(|known| Arc::ptr_eq(&known.endpoint, endpoint));
                let running = running.unwrap_or_else(|| RunningCheck {
                    endpoint: endpoint.clone(),
                    task: tokio::spawn(keep_checking(endpoint.clone(), check.clone(), connector.clone())),
                });
                self.tasks.insert(key, running);
            }
        }
    }
}

async fn keep_checking(endpoint: Arc<Endpoint>, check: HealthCheck, connector: Arc<Connector>) {
    let mut ticks = tokio::time::interval(check.interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut in_a_row = 0;
    loop {
        ticks.tick().await;
        let outcome = tokio::time::timeout(check.timeout, ask(&endpoint, &check, &connector))
            .await
            .unwrap_or_else(|_| Error::e_explain(ErrorType::ReadTimedout, "no answer in time"));
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
async fn ask(endpoint: &Endpoint, check: &HealthCheck, connector: &Connector) -> pingora::Result<()> {
    let peer: &HttpPeer = &endpoint.check_peer;
    let (mut session, _) = connector.get_http_session(peer).await?;
    let Some(path) = &check.path else { return Ok(()) };
    let mut request = RequestHeader::build("GET", path.as_bytes(), Some(2))?;
    request.insert_header(http::header::HOST, &*endpoint.authority)?;
    request.insert_header(http::header::USER_AGENT, concat!("opgate/", env!("CARGO_PKG_VERSION")))?;
    session.write_request_header(Box::new(request)).await?;
    session.finish_request_body().await?;
    session.read_response_header().await?;
    match session.response_header().map(|response| response.status) {
        Some(status) if status.is_success() => Ok(()),
        Some(status) => {
            Error::e_explain(ErrorType::HTTPStatus(status.as_u16()), "the check was not answered with 2xx")
        }
        None => Error::e_explain(ErrorType::InvalidHTTPHeader, "the check was not answered"),
    }
}
