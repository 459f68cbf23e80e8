//! What the operator's address says of reloads.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::tls::CertificateExpiry;
use crate::upstream::names::NameStatus;

/// Parts that were loaded together, or that failed to be.
#[derive(Clone, Debug)]
pub struct ReloadChange {
    /// When they were in force, or were found not to load.
    pub time: SystemTime,
    /// The parts.
    pub parts: Vec<&'static str>,
    /// What had them loaded: `files changed`, `SIGHUP`.
    pub cause: String,
    /// From the change of a file until it was in force, where that is known.
    pub lag: Option<Duration>,
    /// Why they were not loaded; `None` where they were.
    pub diagnostic: Option<Arc<str>>,
}

/// What `/readyz` and the console say of reloads.
#[derive(Clone, Debug, Default)]
pub struct ReloadReport {
    /// Each part that keeps its last good state, and why.
    pub failed: Vec<(&'static str, String)>,
    /// All failures as one text; `None` where every part is as its files say.
    pub failure: Option<String>,
    /// Settings whose change needs a restart of the process.
    pub restart: Vec<&'static str>,
    /// The last reloads, newest first.
    pub changes: Vec<ReloadChange>,
    /// When the certificates in force end.
    pub certificates: Vec<CertificateExpiry>,
    /// How the names of upstreams were last looked up.
    pub names: Vec<NameStatus>,
}

/// Gives the report of this moment. `reload` is not named here: it reads the configuration, which holds the settings of
/// this module.
pub type ReloadReporter = Arc<dyn Fn() -> ReloadReport + Send + Sync>;
