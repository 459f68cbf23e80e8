//! The operator's file, `opgate.yaml`, as written and as checked.
//!
//! A value's precedence is flag (`--set upstreams.ops.endpoints.0=10.0.0.1:80`), environment
//! (`OPGATE__UPSTREAMS__OPS__ENDPOINTS__0=…`), file. Overrides replace nodes of the parsed file before it is checked, so
//! a misspelt one is refused like a misspelt key. Every key, its default and its meaning are in `config/opgate.yaml`.

mod check;
mod limits;
mod overrides;
mod providers;
mod sections;
pub mod snapshot;

use std::path::{Path, PathBuf};

pub use self::limits::Limits;
pub use self::overrides::Override;
pub use self::sections::{ConfigPart, Sections};
use crate::admin::AdminSettings;
use crate::assertion::AssertionSettings;
use crate::audit::AuditSettings;
use crate::authn::WrittenIssuer;
use crate::cancels::CancelSettings;
use crate::catalog::ExposureSettings;
use crate::decision::shadow::ShadowSettings;
use crate::diagnostic::Report;
use crate::handover::Upgrade;
use crate::http::TrustedProxies;
use crate::listener::ListenerSettings;
use crate::telemetry::Telemetry;
use crate::upstream::{DnsSettings, UpstreamSettings};

/// A checked configuration: every value present and of its kind. References between sections hold.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where clients connect; at least one.
    pub listeners: Vec<ListenerSettings>,
    /// The operator's address: metrics, probes, explanations.
    pub admin: AdminSettings,
    /// The backends.
    pub upstreams: Vec<UpstreamSettings>,
    /// How their names are looked up.
    pub dns: DnsSettings,
    /// Which services are exposed, where, and to which upstream.
    pub services: Vec<ExposureSettings>,
    /// The issuers whose tokens are accepted.
    pub issuers: Vec<WrittenIssuer>,
    /// How the gate signs assertions about the caller for backends; `None` where it does not.
    pub assertion: Option<AssertionSettings>,
    /// The root of the policy tree.
    pub policy_directory: PathBuf,
    /// The policy trees that are asked beside it, and decide nothing.
    pub shadows: ShadowSettings,
    /// Identity pools that policies may name though no caller of this gate is of them.
    pub foreign_pools: Vec<String>,
    /// Bounds in bytes and time.
    pub limits: Limits,
    /// The proxies in front whose statements about their clients count.
    pub trusted_proxies: TrustedProxies,
    /// Where audit lines go.
    pub audit: AuditSettings,
    /// How many cancels are watched.
    pub cancels: CancelSettings,
    /// The level and format of the operator's log.
    pub telemetry: Telemetry,
    /// How the next process takes over; `None` where it cannot.
    pub upgrade: Option<Upgrade>,
    /// Threads that serve requests.
    pub workers: usize,
}

/// Where a configuration comes from: all that it takes to load it again.
#[derive(Clone, Debug)]
pub struct ConfigSource {
    /// The file.
    pub path: PathBuf,
    /// Values that replace those of the file; the last one wins.
    pub overrides: Vec<Override>,
}

impl ConfigSource {
    /// Loads the configuration. What is wrong is in the report.
    pub fn load(&self, report: &mut Report) -> Option<Config> {
        Config::load(&self.path, &self.overrides, report)
    }

    /// Reads the configuration section by section. What is wrong with the file as a whole is in the report.
    pub fn sections(&self, report: &mut Report) -> Option<Sections> {
        Sections::read(&self.path, &self.overrides, report)
    }
}

impl Config {
    /// Reads and checks a file. What is wrong is in the report; `None` where nothing can be made of it.
    pub fn load(path: &Path, overrides: &[Override], report: &mut Report) -> Option<Self> {
        let mut whole = Report::new();
        let sections = Sections::read(path, overrides, &mut whole);
        let config = sections.and_then(|sections| sections.into_config(report));
        report.absorb(whole);
        config
    }
}

#[cfg(test)]
mod tests;
