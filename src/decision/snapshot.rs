//! Everything that a decision depends on, as one immutable value.
//!
//! A request holds one snapshot from its first stage to its last, so that no decision mixes two policies. A reload
//! builds a new one beside it and swaps it whole.

use std::sync::Arc;
use std::time::SystemTime;

use crate::authn::Authenticator;
use crate::catalog::{Catalog, ExposureSettings};
use crate::config::Config;
use crate::diagnostic::Report;
use crate::policy::{Policy, Pools};
use crate::source::{PolicyFiles, PolicySource, Revision};

/// Catalogue, authentication and policy, as they are in force together.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// What can be called.
    pub catalog: Arc<Catalog>,
    /// The trusted issuers.
    pub authn: Arc<Authenticator>,
    /// Who may do what.
    pub policy: Arc<Policy>,
    /// Names the policy tree by its content: the first 12 hex digits of a SHA-256 over its files.
    pub revision: String,
    /// Names the service files of the tree that the catalogue is of, in the same way.
    pub services_revision: String,
}

/// What was read of a policy tree. Each part is there as far as it is good by itself: a fault in a service file does
/// not keep a rule from being in force.
#[derive(Debug, Default)]
pub struct SnapshotTree {
    /// The catalogue of the service files and the configuration's `services`.
    pub catalog: Option<Arc<Catalog>>,
    /// Names the service files by their content.
    pub services_revision: String,
    /// The report on that.
    pub services: Report,
    /// The policy of all other files, with the name of the tree.
    pub policy: Option<(Arc<Policy>, String)>,
    /// The report on that, or on the tree as a whole.
    pub policies: Report,
}

impl SnapshotTree {
    /// Reads a tree from its source; see [`SnapshotTree::of`].
    pub fn read(
        source: &PolicySource,
        services: &[ExposureSettings],
        pools: &Pools,
        in_force: Option<&Catalog>,
    ) -> Self {
        let mut policies = Report::new();
        match source.read(&mut policies) {
            // The texts are dropped here: what is in force holds none of them.
            Some(files) => Self::of(&files, services, pools, in_force, policies),
            None => Self { policies, ..Self::default() },
        }
    }

    /// The tree that files make. Typing errors in roles are found by the permissions that the methods of the tree
    /// require; where those cannot be read, by the ones of `in_force`. `policies` is what reading the files has found.
    fn of(
        files: &PolicyFiles,
        settings: &[ExposureSettings],
        pools: &Pools,
        in_force: Option<&Catalog>,
        mut policies: Report,
    ) -> Self {
        let mut services = Report::new();
        let catalog = Catalog::load(files, settings, &mut services).filter(|_| !services.is_fatal());
        let permissions = catalog.as_ref().or(in_force).map(Catalog::permissions).unwrap_or_default();
        let policy = Policy::load_among(pools, files, &permissions, &mut policies);
        let policy = (!policies.is_fatal()).then_some(policy);
        let Revision { whole, services: services_revision } = files.revision().clone();
        Self {
            catalog: catalog.map(Arc::new),
            services_revision,
            services,
            policy: policy.map(|policy| (Arc::new(policy), whole)),
            policies,
        }
    }
}

impl Snapshot {
    /// Loads what a checked configuration names. Usable only if the report has no error.
    pub fn load(config: &Config, now: SystemTime, report: &mut Report) -> Option<Self> {
        Self::load_with_files(config, now, report).map(|(snapshot, _)| snapshot)
    }

    /// Loads what a checked configuration names, and gives the files of the policy with it.
    pub fn load_with_files(
        config: &Config,
        now: SystemTime,
        report: &mut Report,
    ) -> Option<(Self, Arc<PolicyFiles>)> {
        let authn = authenticator(config, now, report);
        let source = PolicySource::directory(&config.policy_directory);
        if report.is_fatal() && !config.policy_directory.is_dir() {
            // Reported with the configuration. Other errors about the tree would only repeat that.
            return None;
        }
        let files = source.read(report)?;
        let snapshot = Self::of_files(&files, config, authn, report)?;
        Some((snapshot, files))
    }

    /// What a checked configuration and files that were read for it make.
    pub fn with_files(
        files: &PolicyFiles,
        config: &Config,
        now: SystemTime,
        report: &mut Report,
    ) -> Option<Self> {
        let authn = authenticator(config, now, report);
        Self::of_files(files, config, authn, report)
    }

    fn of_files(
        files: &PolicyFiles,
        config: &Config,
        authn: Option<Authenticator>,
        report: &mut Report,
    ) -> Option<Self> {
        let snapshot = Self::with_tree(files, &config.services, &pools(config), authn, report)?;
        check_published(config, &snapshot.catalog, report);
        (!report.is_fatal()).then_some(snapshot)
    }

    /// Loads a policy tree by itself, for questions about it. No issuer is trusted: every credential is refused.
    pub fn of_tree(files: &PolicyFiles, services: &[ExposureSettings], report: &mut Report) -> Option<Self> {
        Self::with_tree(files, services, &Pools::default(), Some(Authenticator::believing_nobody()), report)
    }

    fn with_tree(
        files: &PolicyFiles,
        services: &[ExposureSettings],
        pools: &Pools,
        authn: Option<Authenticator>,
        report: &mut Report,
    ) -> Option<Self> {
        let SnapshotTree { catalog, services_revision, services, policy, policies } =
            SnapshotTree::of(files, services, pools, None, Report::new());
        report.absorb(services);
        report.absorb(policies);
        let ((policy, revision), false) = (policy?, report.is_fatal()) else { return None };
        Some(Self { catalog: catalog?, authn: Arc::new(authn?), policy, revision, services_revision })
    }
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

/// The identity pools that callers of a configuration can be of, and those that other gates know.
pub fn pools(config: &Config) -> Pools {
    let mut pools = Pools::configured();
    for issuer in &config.issuers {
        let rule = &issuer.settings.identity;
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

/// Loads the issuers of a checked configuration. `None` where anything is wrong with any of them.
pub fn authenticator(config: &Config, now: SystemTime, report: &mut Report) -> Option<Authenticator> {
    let settings = config.issuers.iter().map(|issuer| issuer.settings.clone()).collect();
    match Authenticator::load(settings, now) {
        Ok(authn) => Some(authn),
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
