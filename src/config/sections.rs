//! A configuration as it is read: section by section, each with its own mistakes.
//!
//! A process that starts takes the file whole or not at all. One that serves takes each section that is good, and keeps
//! the one in force of the others: a mistake in one must not hold back a change in another.

use std::path::PathBuf;

use super::{Config, Limits};
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
use crate::listener::settings::{self, ReadListener};
use crate::telemetry::Telemetry;
use crate::upstream::{DnsSettings, UpstreamSettings};

/// A unit that is loaded, kept and reported on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConfigPart {
    /// The configuration file as a whole, and what no other part covers.
    Configuration,
    /// The policy tree without its services.
    Policy,
    /// Which methods there are and where they are exposed: `services` in the configuration and in the tree.
    Services,
    /// The backends.
    Upstreams,
    /// The issuers whose tokens are accepted.
    Issuers,
    /// The TLS settings of listeners.
    Tls,
    /// The keys that sign for backends.
    Assertion,
    /// The policy trees that are asked beside the one in force.
    Shadow,
}

impl ConfigPart {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Configuration,
        Self::Policy,
        Self::Services,
        Self::Upstreams,
        Self::Issuers,
        Self::Tls,
        Self::Assertion,
        Self::Shadow,
    ];

    /// Its name in metrics, logs and `/readyz`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::Policy => "policy",
            Self::Services => "services",
            Self::Upstreams => "upstreams",
            Self::Issuers => "issuers",
            Self::Tls => "tls",
            Self::Assertion => "assertion",
            Self::Shadow => "shadow",
        }
    }
}

/// A section: its value, as far as it could be read, and its mistakes.
#[derive(Debug)]
pub(super) struct Section<T> {
    pub(super) value: Option<T>,
    pub(super) report: Report,
}

impl<T> Section<T> {
    pub(super) fn read(read: impl FnOnce(&mut Report) -> Option<T>) -> Self {
        let mut report = Report::new();
        let value = read(&mut report);
        Self { value, report }
    }

    /// Replaces `kept` by its value, if it is good. Warnings go to `warnings`; where it is not good, all findings are
    /// given back.
    pub(super) fn replace(self, kept: &mut T, warnings: &mut Report) -> Result<(), Report> {
        match self.value {
            Some(value) if !self.report.is_fatal() => {
                *kept = value;
                warnings.absorb(self.report);
                Ok(())
            }
            _ => Err(self.report),
        }
    }

    fn into_value(self, report: &mut Report) -> Option<T> {
        report.absorb(self.report);
        self.value
    }
}

/// Settings that belong to no part.
#[derive(Debug)]
pub(super) struct Settled {
    pub(super) admin: AdminSettings,
    pub(super) dns: DnsSettings,
    pub(super) limits: Limits,
    pub(super) audit: AuditSettings,
    pub(super) cancels: CancelSettings,
    pub(super) telemetry: Telemetry,
    pub(super) upgrade: Option<Upgrade>,
    pub(super) workers: usize,
}

/// Every section of a file.
#[derive(Debug)]
pub struct Sections {
    pub(super) listeners: Section<Vec<ReadListener>>,
    pub(super) upstreams: Section<Vec<UpstreamSettings>>,
    pub(super) services: Section<Vec<ExposureSettings>>,
    pub(super) issuers: Section<Vec<WrittenIssuer>>,
    pub(super) assertion: Section<Option<AssertionSettings>>,
    /// The directory, and `foreign_pools`.
    pub(super) policy: Section<(PathBuf, Vec<String>)>,
    pub(super) shadows: Section<ShadowSettings>,
    /// The trusted proxies are as urgent as a policy.
    pub(super) trusted_proxies: Section<TrustedProxies>,
    pub(super) settled: Section<Settled>,
}

impl Sections {
    /// The whole, as far as it could be read. The report says what is wrong.
    pub(super) fn into_config(self, report: &mut Report) -> Option<Config> {
        let listeners = self.listeners.into_value(report);
        let listeners: Option<Vec<_>> =
            listeners.map(|read| read.iter().filter_map(ReadListener::whole).collect());
        let upstreams = self.upstreams.into_value(report);
        let services = self.services.into_value(report);
        let issuers = self.issuers.into_value(report);
        let assertion = self.assertion.into_value(report);
        let policy = self.policy.into_value(report);
        let shadows = self.shadows.into_value(report);
        let trusted_proxies = self.trusted_proxies.into_value(report);
        let settled = self.settled.into_value(report)?;
        let (policy_directory, foreign_pools) = policy?;
        Some(Config {
            listeners: listeners?,
            admin: settled.admin,
            upstreams: upstreams.unwrap_or_default(),
            dns: settled.dns,
            services: services.unwrap_or_default(),
            issuers: issuers.unwrap_or_default(),
            assertion: assertion.flatten(),
            policy_directory,
            shadows: shadows.unwrap_or_default(),
            foreign_pools,
            limits: settled.limits,
            trusted_proxies: trusted_proxies.unwrap_or_default(),
            audit: settled.audit,
            cancels: settled.cancels,
            telemetry: settled.telemetry,
            upgrade: settled.upgrade,
            workers: settled.workers,
        })
    }

    /// Replaces what `config` has by what is good. The findings of the other sections are given back, by part.
    pub fn update(self, config: &mut Config, warnings: &mut Report) -> Vec<(ConfigPart, Report)> {
        let mut faults = Vec::new();
        let mut note = |part, replaced: Result<(), Report>| {
            faults.extend(replaced.err().map(|report| (part, report)));
        };
        note(ConfigPart::Tls, update_listeners(self.listeners, &mut config.listeners, warnings));
        let upstreams = self.upstreams.replace(&mut config.upstreams, warnings);
        let before = upstreams.is_err().then(|| config.services.clone());
        note(ConfigPart::Upstreams, upstreams);
        note(ConfigPart::Services, self.services.replace(&mut config.services, warnings));
        if let Some(before) = before {
            let held_back = hold_back(&before, &mut config.services);
            note(ConfigPart::Services, held_back);
        }
        note(ConfigPart::Issuers, self.issuers.replace(&mut config.issuers, warnings));
        note(ConfigPart::Assertion, self.assertion.replace(&mut config.assertion, warnings));
        let mut policy = (config.policy_directory.clone(), config.foreign_pools.clone());
        note(ConfigPart::Policy, self.policy.replace(&mut policy, warnings));
        (config.policy_directory, config.foreign_pools) = policy;
        note(ConfigPart::Shadow, self.shadows.replace(&mut config.shadows, warnings));
        note(ConfigPart::Configuration, self.trusted_proxies.replace(&mut config.trusted_proxies, warnings));
        let mut settled = Settled {
            admin: config.admin.clone(),
            dns: config.dns.clone(),
            limits: config.limits,
            audit: config.audit.clone(),
            cancels: config.cancels,
            telemetry: config.telemetry.clone(),
            upgrade: config.upgrade.clone(),
            workers: config.workers,
        };
        note(ConfigPart::Configuration, self.settled.replace(&mut settled, warnings));
        config.admin = settled.admin;
        config.dns = settled.dns;
        config.limits = settled.limits;
        config.audit = settled.audit;
        config.cancels = settled.cancels;
        config.telemetry = settled.telemetry;
        config.upgrade = settled.upgrade;
        config.workers = settled.workers;
        faults
    }
}

/// Takes the listeners, or of each what is good.
fn update_listeners(
    read: Section<Vec<ReadListener>>,
    listeners: &mut Vec<ListenerSettings>,
    warnings: &mut Report,
) -> Result<(), Report> {
    let Section { value, report } = read;
    let read = value.unwrap_or_default();
    if report.is_fatal() || read.is_empty() {
        settings::update(listeners, read);
        return Err(report);
    }
    *listeners = read.iter().filter_map(ReadListener::whole).collect();
    warnings.absorb(report);
    Ok(())
}

/// Puts back the services that lead to other upstreams than before, where upstreams do not load: a name may stand for
/// another backend by now. A service that is no longer exposed is still closed.
fn hold_back(before: &[ExposureSettings], services: &mut Vec<ExposureSettings>) -> Result<(), Report> {
    let led_there =
        |new: &ExposureSettings| before.iter().any(|old| old.id == new.id && old.upstream == new.upstream);
    let mut report = Report::new();
    for service in services.iter().filter(|service| !led_there(service)) {
        report
            .error(&service.span, "the service leads to another upstream, and `upstreams` does not load")
            .help("fix `upstreams`: until then only services that were exposed before are");
    }
    if !report.is_fatal() {
        return Ok(());
    }
    services.retain(led_there);
    Err(report)
}
