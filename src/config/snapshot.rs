//! The snapshot that a checked configuration names: its issuers, its policy tree, its services.

use std::time::SystemTime;

use super::{Config, providers};
use crate::authn::{Authenticator, KeySetStatus};
use crate::catalog::Catalog;
use crate::decision::snapshot::Snapshot;
use crate::diagnostic::Report;
use crate::policy::Pools;
use crate::source::{PolicyFiles, PolicySource};

/// Loads what a checked configuration names. Usable only if the report has no error.
pub fn load(config: &Config, now: SystemTime, report: &mut Report) -> Option<Snapshot> {
    let (authn, files) = read(config, now, report)?;
    of_files(files, config, authn, report)
}

/// Loads what a checked configuration names, and gives the files of the policy with it.
pub fn load_with_files(
    config: &Config,
    now: SystemTime,
    report: &mut Report,
) -> Option<(Snapshot, PolicyFiles)> {
    let (authn, files) = read(config, now, report)?;
    let snapshot = of_files(files.clone(), config, authn, report)?;
    Some((snapshot, files))
}

fn read(
    config: &Config,
    now: SystemTime,
    report: &mut Report,
) -> Option<(Option<Authenticator>, PolicyFiles)> {
    let authn = authenticator(config, now, report);
    if report.is_fatal() && !config.policy_directory.is_dir() {
        // Reported with the configuration. Other errors about the tree would only repeat that.
        return None;
    }
    let files = PolicySource::directory(&config.policy_directory).read(report)?;
    Some((authn, files))
}

/// What a checked configuration and files that were read for it make.
pub fn with_files(
    files: PolicyFiles,
    config: &Config,
    now: SystemTime,
    report: &mut Report,
) -> Option<Snapshot> {
    let authn = authenticator(config, now, report);
    of_files(files, config, authn, report)
}

fn of_files(
    files: PolicyFiles,
    config: &Config,
    authn: Option<Authenticator>,
    report: &mut Report,
) -> Option<Snapshot> {
    let snapshot = Snapshot::of_files(files, &config.services, &pools(config), authn, report)?;
    check_published(config, &snapshot.catalog, report);
    check_health_paths(config, &snapshot.catalog, report);
    providers::check(config, &snapshot.catalog, report);
    (!report.is_fatal()).then_some(snapshot)
}

/// Reports where the gate would publish its own keys on a path of a method.
pub fn check_published(config: &Config, catalog: &Catalog, report: &mut Report) {
    let published = config.assertion.as_ref().and_then(|assertion| assertion.jwks_path.as_ref());
    if let Some((path, span)) = published {
        for method in catalog.at(path) {
            report
                .error(span, format!("`{}` is also a path of {method}", path.as_str()))
                .help("the gate answers there itself, on every host: choose a path that no service has");
        }
    }
}

/// Reports where a listener's health path is a path of a method: the method would answer the probes of balancers.
pub fn check_health_paths(config: &Config, catalog: &Catalog, report: &mut Report) {
    let published = config.assertion.as_ref().and_then(|assertion| assertion.jwks_path.as_ref());
    for (path, span) in config.listeners.iter().filter_map(|listener| listener.health_path.as_ref()) {
        if published.is_some_and(|(published, _)| published == path) {
            report
                .error(span, format!("`{}` is also `assertion.jwks_path`", path.as_str()))
                .help("backends read keys there: choose another path");
        }
        for method in catalog.at(path) {
            report
                .error(span, format!("`{}` is also a path of {method}", path.as_str()))
                .help("balancers are answered there without a credential: choose a path that no service has");
        }
    }
}

/// The identity pools that callers of a configuration can be of, and those that other gates know.
pub fn pools(config: &Config) -> Pools {
    let mut pools = Pools::configured();
    for issuer in &config.issuers {
        let rule = &issuer.settings.identity;
        if rule.group_emails.is_some() {
            pools.add_group_domains(rule.email_domains.iter().flatten());
        }
        if let Some(pool) = &rule.subject_pool {
            pools.add(pool, rule.attribute_mapping.iter().map(|(attribute, _)| attribute));
        }
    }
    for pool in config.listeners.iter().filter_map(|listener| listener.tls.as_ref()?.server.client_pool()) {
        pools.add(pool, []);
    }
    for pool in &config.foreign_pools {
        pools.add_foreign(pool);
    }
    pools
}

/// Tells of the keys in files that are not used: an error of their issuer's file, or keys for another purpose.
pub fn note_keys(config: &Config, authn: &Authenticator, now: SystemTime, report: &mut Report) {
    for KeySetStatus { issuer, problems, skipped, .. } in authn.key_sets(now) {
        let written = config.issuers.iter().find(|written| written.settings.name == issuer);
        let Some(spans) = written.map(|written| written.spans.as_slice()) else { continue };
        let place = spans.iter().find(|(field, _)| *field == "file").or(spans.first());
        let Some((_, span)) = place else { continue };
        for problem in problems {
            report
                .warning(span, format!("{problem}: it is skipped"))
                .help("fix or remove the key: tokens that it signs are refused");
        }
        for skipped in skipped {
            report.note(span, format!("{skipped}: it is skipped"));
        }
    }
}

/// Loads the issuers of a checked configuration. `None` where anything is wrong with any of them.
pub fn authenticator(config: &Config, now: SystemTime, report: &mut Report) -> Option<Authenticator> {
    let settings = config.issuers.iter().map(|issuer| issuer.settings.clone()).collect();
    match Authenticator::load(settings, now) {
        Ok(authn) => Some(authn.reading_tokens_of(config.limits.token_bytes)),
        Err(errors) => {
            for error in errors {
                let spans =
                    config.issuers.get(error.index).map(|issuer| issuer.spans.as_slice()).unwrap_or_default();
                let span = spans.iter().find(|(field, _)| *field == error.field).or(spans.first());
                if let Some((_, span)) = span {
                    report.error(span, error.message).help(error.help);
                }
            }
            None
        }
    }
}
