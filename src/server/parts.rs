//! What serves, put together: everything but the sockets.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::loaded::Loaded;
use super::open_files;
use super::registered::Registered;
use super::start_error::StartError;
use crate::admin;
use crate::assertion::Assertions;
use crate::audit::{Audit, Observer, SeenDecision, SeenLine};
use crate::authn::Authenticator;
use crate::cancels::Cancels;
use crate::clock;
use crate::config::{Config, Limits};
use crate::decision::shadow::Shadows;
use crate::engine::{Engine, EngineLimits, Live};
use crate::handover::Predecessor;
use crate::listener::{self, ListenerLimits};
use crate::metrics::Metrics;
use crate::otlp::Spans;
use crate::recent::{DeniedLine, LineDecision, NewLine, Recent};
use crate::reload;
use crate::upstream::Upstreams;
use crate::upstream::names::{KnownNames, Lookups, ToldNames};

/// How long a start waits for the names of upstreams to be looked up, so that its first requests have a backend.
const LOOKUP_AT_START: Duration = Duration::from_secs(1);

/// The key of names in what one process tells the next.
const NAMES: &str = "names";

/// What serves.
pub(super) struct Parts {
    /// With the limits that the process can hold.
    pub(super) config: Config,
    /// The limits as written.
    pub(super) written: Limits,
    pub(super) read_at: SystemTime,
    pub(super) authn: Arc<Authenticator>,
    pub(super) engine: Engine,
    pub(super) lookups: Lookups,
    pub(super) metrics: Arc<Metrics>,
    pub(super) of_admin: admin::Instruments,
    pub(super) of_listeners: listener::Instruments,
    pub(super) of_reloads: reload::Instruments,
    pub(super) recent: Arc<Recent>,
}

impl Parts {
    /// Puts together what was loaded.
    pub(super) async fn assemble(
        loaded: Loaded,
        predecessor: Option<&Predecessor>,
    ) -> Result<Self, StartError> {
        let Loaded { config, snapshot, read_at } = loaded;
        let written = config.limits;
        let limits = open_files::within_open_files(written, config.admin.files());
        let config = Config { limits, ..config };
        let metrics = Metrics::new()?;
        let instruments = Registered::in_registry(metrics.registry())?;
        let recent = Arc::new(Recent::new(config.admin.recent));
        let remember = {
            let recent = recent.clone();
            Observer::new(move |line| recent.observe(new_line(line), clock::now()))
        };
        let audit = Audit::open(&config.audit, instruments.audit, vec![remember])
            .map_err(|source| StartError::Audit { output: config.audit.output.to_string(), source })?;
        let (lookups, upstreams) = upstreams(&config, predecessor).await?;
        instruments.reload.policy_loaded(&snapshot);
        instruments.reload.policy_changed(clock::now());
        let authn = snapshot.authn.clone();
        let assertions =
            config.assertion.as_ref().map(|settings| Assertions::new(settings, None)).transpose()?;
        // Their trees are read beside: a shadow does not delay a start, nor prevent it.
        let shadows = Arc::new(Shadows::new(config.shadows.clone(), BTreeMap::new()));
        let live = Live::new(snapshot, Arc::new(upstreams), assertions, shadows, &instruments.engine);
        let ListenerLimits { body_timeout, .. } = limits.listener;
        let bounds = EngineLimits { admission: limits.admission, body: limits.body, body_timeout };
        let collector = config.telemetry.otlp.as_ref();
        let spans = collector.map(|settings| Spans::start(settings, instruments.otlp)).transpose()?;
        let cancels = Cancels::new(config.cancels, instruments.cancels);
        let proxies = config.trusted_proxies.clone();
        let engine = Engine::new(live, bounds, proxies, audit, spans, cancels, instruments.engine);
        Ok(Self {
            config,
            written,
            read_at,
            authn,
            engine,
            lookups,
            metrics: Arc::new(metrics),
            of_admin: instruments.admin,
            of_listeners: instruments.listener,
            of_reloads: instruments.reload,
            recent,
        })
    }
}

/// What is told to the process that takes over from this one.
pub(super) fn known_to_the_next(names: &ToldNames) -> Value {
    json!({ NAMES: &*names.now() })
}

/// What the running process has found of names. A version that says it in another way is one that says nothing.
fn known_names(predecessor: &Predecessor) -> KnownNames {
    let names = predecessor.known().get(NAMES).cloned().unwrap_or_default();
    serde_json::from_value(names).unwrap_or_default()
}

/// A line of the audit log, as the memory of the last decisions takes it.
fn new_line(line: &SeenLine) -> NewLine<'_> {
    let decision = match line.decision() {
        SeenDecision::Allowed => Some(LineDecision::Allowed),
        SeenDecision::Denied => Some(LineDecision::Denied(DeniedLine {
            id: line.id(),
            principal: line.principal(),
            method: line.method(),
            reason: line.reason(),
            status: line.status(),
        })),
        SeenDecision::None => None,
    };
    NewLine { text: line.text().clone(), decision }
}

/// The backends, with the addresses of their names. A process that takes over from one that serves begins with the addresses that
/// this one has found. For names that it has not found, it can wait a little longer.
async fn upstreams(
    config: &Config,
    predecessor: Option<&Predecessor>,
) -> Result<(Lookups, Upstreams), StartError> {
    let mut lookups = Lookups::by(clock::now);
    lookups.look_up(&config.upstreams, &config.dns);
    // A name that is not found by then is looked up again while the gate serves.
    lookups.all_found(LOOKUP_AT_START).await;
    if let Some(predecessor) = predecessor {
        lookups.remember(&known_names(predecessor));
        lookups.all_known(config.dns.timeout).await;
    }
    let upstreams = Upstreams::new(&config.upstreams, lookups.names(), None);
    if let Some((name, why)) = upstreams.faults().first() {
        return Err(StartError::Upstream { name: (*name).to_owned(), why: (*why).to_owned() });
    }
    Ok((lookups, upstreams))
}
