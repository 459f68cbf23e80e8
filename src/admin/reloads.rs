//! What the operator's address says of reloads.

use std::sync::Arc;

use crate::tls::CertificateExpiry;
use crate::upstream::names::NameStatus;

/// What `/readyz` says of reloads.
#[derive(Clone, Debug, Default)]
pub struct ReloadReport {
    /// Each part that keeps its last good state, and why.
    pub failed: Vec<(&'static str, String)>,
    /// All failures as one text; `None` where every part is as its files say.
    pub failure: Option<String>,
    /// Settings whose change needs a restart of the process.
    pub restart: Vec<&'static str>,
    /// When the certificates in force end.
    pub certificates: Vec<CertificateExpiry>,
    /// How the names of upstreams were last looked up.
    pub names: Vec<NameStatus>,
}

/// Gives the report of this moment. `reload` is not named here: it reads the configuration, which holds the settings of
/// this module.
pub type ReloadReporter = Arc<dyn Fn() -> ReloadReport + Send + Sync>;
