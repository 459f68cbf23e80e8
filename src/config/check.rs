//! From the file's tree to its [`Sections`]: every key looked at, every mistake reported.

use std::path::{Path, PathBuf};

use super::limits::Limits;
use super::overrides::Override;
use super::sections::{Section, Sections, Settled};
use crate::admin::AdminSettings;
use crate::admin::settings::admin;
use crate::assertion::settings::assertion;
use crate::audit::settings::audit;
use crate::authn::settings::read::issuers;
use crate::cancels::settings::cancels;
use crate::catalog::ExposureSettings;
use crate::catalog::settings::services;
use crate::decision::shadow::ShadowSettings;
use crate::diagnostic::Report;
use crate::document::location::located;
use crate::document::scalar::count;
use crate::document::{self, Fields, Node, Spelling};
use crate::handover::settings::upgrade;
use crate::http::settings::trusted_proxies;
use crate::listener::settings::listeners;
use crate::principal::is_pool_name;
use crate::telemetry::telemetry;
use crate::upstream::settings::{dns, upstreams};
use crate::upstream::{DnsSettings, Protocol, UpstreamSettings};

impl Sections {
    /// Reads a file, with these settings in place of its own.
    pub(super) fn read(path: &Path, overrides: &[Override], report: &mut Report) -> Option<Self> {
        let mut root = document::read(path, report)?;
        for setting in overrides {
            setting.apply(&mut root, report);
        }
        check(&root, path.parent().unwrap_or(Path::new("")), report)
    }
}

/// gRPC goes over HTTP/2.
fn check_transcoding<'u>(
    services: &[ExposureSettings],
    upstreams: impl Iterator<Item = &'u UpstreamSettings> + Clone,
    report: &mut Report,
) {
    for service in services.iter().filter(|service| service.transcode) {
        let upstream = upstreams.clone().find(|upstream| upstream.name == service.upstream);
        if upstream.is_some_and(|upstream| upstream.protocol == Protocol::H1) {
            report
                .error(
                    &service.span,
                    format!("`{}` is transcoded to gRPC, and its upstream speaks HTTP/1", service.id),
                )
                .help(format!("write `protocol: h2c` or `h2` for the upstream `{}`", service.upstream));
        }
    }
}

/// Checks the whole file. Paths in it are relative to `base`, the file's own folder.
fn check(root: &Node, base: &Path, whole: &mut Report) -> Option<Sections> {
    let mut fields = root.fields("the configuration", Spelling::Exact, whole)?;

    let listeners = Section::read(|report| {
        fields.required("listeners", report).map(|node| listeners(node, base, report))
    });
    let mut others = Report::new();
    let admin = fields.optional("admin").and_then(|node| admin(node, base, &mut others)).unwrap_or_default();
    let upstreams = Section::read(|report| {
        Some(
            fields
                .required("upstreams", report)
                .map(|node| upstreams(node, base, report))
                .unwrap_or_default(),
        )
    });
    let dns = fields.optional("dns").map(|node| dns(node, &mut others)).unwrap_or_default();
    let asserted = fields.optional("assertion");
    let services = Section::read(|report| {
        let upstreams = upstreams.value.iter().flatten();
        let names: Vec<_> = upstreams.clone().map(|upstream| upstream.name.as_str()).collect();
        let node = fields.required("services", report);
        let services =
            node.map(|node| services(node, &names, asserted.is_some(), report)).unwrap_or_default();
        check_transcoding(&services, upstreams, report);
        Some(services)
    });
    let issuers = Section::read(|report| {
        Some(fields.required("issuers", report).map(|node| issuers(node, base, report)).unwrap_or_default())
    });
    let assertion = Section::read(|report| {
        let trusted = issuers.value.iter().flatten().map(|issuer| issuer.settings.issuer.as_str());
        Some(asserted.and_then(|node| assertion(node, base, trusted, report)))
    });
    let policy =
        Section::read(|report| fields.required("policy", report).and_then(|node| policy(node, base, report)));
    let (tree, exposed) = (fields.optional("policy"), fields.optional("services"));
    let shadows = Section::read(|report| Some(ShadowSettings::read(tree, exposed, base, report)));
    let trusted_proxies = Section::read(|report| {
        Some(fields.optional("trusted_proxies").map(|node| trusted_proxies(node, report)).unwrap_or_default())
    });
    let settled = Settled { admin, dns, ..settled(&mut fields, base, &mut others) };
    fields.finish(whole);
    for service in services.value.iter().flatten() {
        settled.limits.check_room(service, &mut others);
    }

    let settled = Section { value: Some(settled), report: others };
    Some(Sections {
        listeners,
        upstreams,
        services,
        issuers,
        assertion,
        policy,
        shadows,
        trusted_proxies,
        settled,
    })
}

/// The settings beside the parts.
fn settled(fields: &mut Fields<'_>, base: &Path, report: &mut Report) -> Settled {
    let limits = fields.optional("limits").and_then(|node| Limits::read(node, report)).unwrap_or_default();
    let audit = fields.optional("audit").and_then(|node| audit(node, base, report)).unwrap_or_default();
    let cancels = fields.optional("cancels").and_then(|node| cancels(node, report)).unwrap_or_default();
    let telemetry =
        fields.optional("telemetry").and_then(|node| telemetry(node, base, report)).unwrap_or_default();
    let upgrade = fields.optional("upgrade").and_then(|node| upgrade(node, base, report));
    let workers = fields.optional("workers").and_then(|node| count(node, 4096, report));
    Settled {
        admin: AdminSettings::default(),
        dns: DnsSettings::default(),
        limits,
        audit,
        cancels,
        telemetry,
        upgrade,
        workers: workers.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)),
    }
}

/// The tree, and the pools of other gates that it may name.
fn policy(node: &Node, base: &Path, report: &mut Report) -> Option<(PathBuf, Vec<String>)> {
    let mut fields = node.fields("`policy`", Spelling::Exact, report)?;
    let directory = fields.required("directory", report);
    let path = directory.and_then(|node| {
        let path = located(base, node.string(report)?);
        if !path.is_dir() {
            report
                .error(&node.span, format!("there is no directory `{}`", path.display()))
                .help("paths are relative to the configuration file");
        }
        Some(path)
    });
    let foreign =
        fields.optional("foreign_pools").map(|node| foreign_pools(node, report)).unwrap_or_default();
    // `ShadowSettings` reads it: a mistake in it is none of the policy's.
    fields.ignore(&["shadow"]);
    fields.finish(report);
    Some((path?, foreign))
}

fn foreign_pools(node: &Node, report: &mut Report) -> Vec<String> {
    let mut pools = Vec::new();
    for (text, item) in node.strings(report) {
        if is_pool_name(text) {
            pools.push(text.to_owned());
        } else {
            report
                .error(&item.span, format!("`{}` is not the name of an identity pool", text.escape_debug()))
                .help(
                    "write `iam.googleapis.com/locations/global/workforcePools/POOL`; `*` is not a wildcard",
                );
        }
    }
    pools
}
