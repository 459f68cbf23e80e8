//! Reads the configuration file and its files anew: each part as far as it is good by itself.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::assertion::Assertions;
use crate::authn::{Authenticator, WrittenIssuer};
use crate::clock;
use crate::config::snapshot::{authenticator, check_published};
use crate::config::{Config, ConfigPart, ConfigSource};
use crate::diagnostic::{Report, Severity};
use crate::engine::Live;
use crate::listener::ListenerSettings;
use crate::upstream::Upstreams;
use crate::upstream::names::ResolvedNames;

/// What is in force while a configuration is read.
pub(super) struct InForce {
    pub(super) config: Config,
    /// The issuers that are believed: those of `config` may wait for the policy tree.
    pub(super) issuers: Vec<WrittenIssuer>,
    pub(super) live: Arc<Live>,
    pub(super) names: ResolvedNames,
}

/// What was read.
pub(super) struct ReadConfiguration {
    /// The good parts, and what is in force of the others.
    pub(super) config: Config,
    /// The parts that are to be put in force; `None` where the part failed.
    pub(super) authn: Option<Authenticator>,
    /// Those of the issuers in force that the file still names, where it does not name all: an issuer is removed
    /// without waiting for anything.
    pub(super) fewer: Option<(Authenticator, Vec<WrittenIssuer>)>,
    /// With the addresses that were known when the reading began.
    pub(super) upstreams: Option<Upstreams>,
    pub(super) names: ResolvedNames,
    pub(super) assertions: Option<Option<Arc<Assertions>>>,
    /// Whether the file could be read as a whole. Otherwise nothing is known of any part.
    pub(super) is_whole: bool,
    /// Why parts failed.
    pub(super) faults: Vec<(ConfigPart, String)>,
    pub(super) warnings: Report,
}

impl ReadConfiguration {
    /// Why a part failed.
    pub(super) fn fault(&self, part: ConfigPart) -> Option<String> {
        let whys = self.faults.iter().filter(|(failed, _)| *failed == part);
        let whys: Vec<&str> = whys.map(|(_, why)| why.as_str()).collect();
        (!whys.is_empty()).then(|| whys.join("\n"))
    }
}

/// Reads a configuration.
pub(super) fn read(origin: &ConfigSource, in_force: &InForce) -> ReadConfiguration {
    let mut whole = Report::new();
    let sections = origin.sections(&mut whole);
    let mut read = ReadConfiguration {
        config: in_force.config.clone(),
        authn: None,
        fewer: None,
        upstreams: None,
        names: in_force.names.clone(),
        assertions: None,
        is_whole: false,
        faults: Vec::new(),
        warnings: Report::new(),
    };
    match sections {
        // A misspelt name at the top may have been meant for any section.
        Some(sections) if !whole.is_fatal() => {
            read.is_whole = true;
            let faults = sections.update(&mut read.config, &mut read.warnings);
            read.faults = faults.iter().map(|(part, report)| (*part, text(report))).collect();
            read.issuers(in_force);
            read.upstreams(in_force);
            read.assertion(in_force);
        }
        _ => {
            read.faults.push((ConfigPart::Configuration, text(&whole)));
            return read;
        }
    }
    read.warnings.absorb(whole);
    read
}

impl ReadConfiguration {
    fn issuers(&mut self, in_force: &InForce) {
        if self.fault(ConfigPart::Issuers).is_some() {
            return;
        }
        self.fewer(in_force);
        let mut report = Report::new();
        match authenticator(&self.config, clock::now(), &mut report) {
            Some(mut authn) if !report.is_fatal() => {
                authn.take_over(&in_force.live.snapshot.authn);
                self.authn = Some(authn);
                self.warnings.absorb(report);
            }
            _ => {
                let wanted = std::mem::replace(&mut self.config.issuers, in_force.config.issuers.clone());
                self.config.issuers.retain(|issuer| is_named(issuer, &wanted));
                self.faults.push((ConfigPart::Issuers, text(&report)));
            }
        }
    }

    fn fewer(&mut self, in_force: &InForce) {
        let mut issuers = in_force.issuers.clone();
        issuers.retain(|issuer| is_named(issuer, &self.config.issuers));
        if issuers.len() == in_force.issuers.len() {
            return;
        }
        let config = Config { issuers, ..self.config.clone() };
        if let Some(mut authn) = authenticator(&config, clock::now(), &mut Report::new()) {
            authn.take_over(&in_force.live.snapshot.authn);
            self.fewer = Some((authn, config.issuers));
        }
    }

    fn upstreams(&mut self, in_force: &InForce) {
        if self.fault(ConfigPart::Upstreams).is_some() {
            return;
        }
        let previous = Some(&**in_force.live.upstreams());
        let upstreams = Upstreams::new(&self.config.upstreams, &in_force.names, previous);
        let faults: Vec<String> =
            upstreams.faults().iter().map(|(name, why)| format!("upstream `{name}`: {why}")).collect();
        if faults.is_empty() {
            self.upstreams = Some(upstreams);
        } else {
            self.config.upstreams.clone_from(&in_force.config.upstreams);
            self.faults.push((ConfigPart::Upstreams, faults.join("\n")));
        }
    }

    fn assertion(&mut self, in_force: &InForce) {
        if self.fault(ConfigPart::Assertion).is_some() {
            return;
        }
        let mut report = Report::new();
        check_published(&self.config, &in_force.live.snapshot.catalog, &mut report);
        let previous = in_force.live.assertions();
        let settings = self.config.assertion.as_ref();
        let made = settings.map(|settings| Assertions::new(settings, previous)).transpose();
        let fault = match made {
            _ if report.is_fatal() => text(&report),
            Ok(assertions) => return self.assertions = Some(assertions),
            Err(error) => format!("`assertion`: {error}"),
        };
        self.config.assertion.clone_from(&in_force.config.assertion);
        self.faults.push((ConfigPart::Assertion, fault));
    }
}

fn is_named(issuer: &WrittenIssuer, among: &[WrittenIssuer]) -> bool {
    among.iter().any(|other| other.settings.issuer == issuer.settings.issuer)
}

/// The findings, for the log and for `/readyz`.
pub(super) fn text(report: &Report) -> String {
    {
        let errors = report.count(Severity::Error);
        format!("{}{errors} error{}", report.render(false), if errors == 1 { "" } else { "s" })
    }
}

/// The files that a configuration was made of, except the policy tree.
pub(super) fn files(origin: &ConfigSource, config: &Config) -> Vec<PathBuf> {
    let mut files = vec![origin.path.clone()];
    let of_listeners = config.listeners.iter().flat_map(|listener| &listener.tls);
    files.extend(of_listeners.flat_map(|tls| tls.files.clone()));
    let of_upstreams = config.upstreams.iter().flat_map(|upstream| &upstream.tls);
    files.extend(of_upstreams.flat_map(|tls| tls.files.clone()));
    files.extend(config.assertion.iter().flat_map(|assertion| assertion.files.clone()));
    for issuer in &config.issuers {
        files.extend(issuer.settings.files().into_iter().map(Path::to_owned));
    }
    files
}

/// The settings that differ from those that the process was started with, and that a reload does not apply.
pub(super) fn waiting_for_restart(started: &Config, now: &Config) -> Vec<&'static str> {
    let listeners = |config: &Config| {
        let listener = |listener: &ListenerSettings| {
            let health_path = listener.health_path.as_ref().map(|(path, _)| path.as_str().to_owned());
            let ListenerSettings {
                address, socket, http2, tls, proxy_protocol, keep_alive, authorizer, ..
            } = listener.clone();
            let tls = tls.is_some();
            (address, socket, http2, tls, proxy_protocol, keep_alive, health_path, authorizer)
        };
        config.listeners.iter().map(listener).collect::<Vec<_>>()
    };
    let changed = [
        ("listeners", listeners(started) != listeners(now)),
        ("admin", started.admin != now.admin),
        ("limits", started.limits != now.limits),
        ("audit", started.audit != now.audit),
        ("cancels", started.cancels != now.cancels),
        ("telemetry.format", started.telemetry.json != now.telemetry.json),
        ("telemetry.otlp", started.telemetry.otlp != now.telemetry.otlp),
        ("upgrade", started.upgrade != now.upgrade),
        ("workers", started.workers != now.workers),
    ];
    changed.into_iter().filter(|(_, differs)| *differs).map(|(setting, _)| setting).collect()
}
