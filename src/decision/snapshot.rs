//! Everything that a decision depends on, as one immutable value.
//!
//! A request holds one snapshot from its first stage to its last, so that no decision mixes two policies. A reload
//! builds a new one beside it and swaps it whole.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use aws_lc_rs::digest;

use crate::authn::Authenticator;
use crate::catalog::{Catalog, ExposureSettings};
use crate::config::Config;
use crate::diagnostic::Report;
use crate::policy::{Policy, Pools};
use crate::source::directory;
use crate::{document, files};

/// How often a tree is read before it counts as changing all the time.
const ATTEMPTS: usize = 5;

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
    /// Reads a tree. Typing errors in roles are found by the permissions that the methods of the tree require; where
    /// those cannot be read, by the ones of `in_force`.
    pub fn read(
        directory: &Path,
        services: &[ExposureSettings],
        pools: &Pools,
        in_force: Option<&Catalog>,
    ) -> Self {
        let mut whole = Report::new();
        let read = read_whole(directory, &mut whole, || {
            let (mut of_services, mut of_policies) = (Report::new(), Report::new());
            let catalog = Catalog::load(&directory.join("services"), services, &mut of_services);
            let catalog = catalog.filter(|_| !of_services.is_fatal());
            let permissions = catalog.as_ref().or(in_force).map(Catalog::permissions).unwrap_or_default();
            let policy = Policy::load_among(pools, directory, &permissions, &mut of_policies);
            let policy = (!of_policies.is_fatal()).then_some(policy);
            (catalog, of_services, policy, of_policies)
        });
        let Some((
            (catalog, services, policy, found),
            Revision { whole: revision, services: services_revision },
        )) = read
        else {
            return Self { policies: whole, ..Self::default() };
        };
        whole.absorb(found);
        let policy = policy.filter(|_| !whole.is_fatal());
        Self {
            catalog: catalog.map(Arc::new),
            services_revision,
            services,
            policy: policy.map(|policy| (Arc::new(policy), revision)),
            policies: whole,
        }
    }
}

impl Snapshot {
    /// Loads what a checked configuration names. Usable only if the report has no error.
    pub fn load(config: &Config, now: SystemTime, report: &mut Report) -> Option<Self> {
        let authn = authenticator(config, now, report);
        if report.is_fatal() && !config.policy_directory.is_dir() {
            // Reported with the configuration. Other errors about the tree would only repeat that.
            return None;
        }
        let snapshot =
            Self::with_tree(&config.policy_directory, &config.services, &pools(config), authn, report)?;
        check_published(config, &snapshot.catalog, report);
        (!report.is_fatal()).then_some(snapshot)
    }

    /// Loads a policy tree by itself, for questions about it. No issuer is trusted: every credential is refused.
    pub fn of_tree(directory: &Path, services: &[ExposureSettings], report: &mut Report) -> Option<Self> {
        Self::with_tree(
            directory,
            services,
            &Pools::default(),
            Some(Authenticator::believing_nobody()),
            report,
        )
    }

    fn with_tree(
        directory: &Path,
        services: &[ExposureSettings],
        pools: &Pools,
        authn: Option<Authenticator>,
        report: &mut Report,
    ) -> Option<Self> {
        let SnapshotTree { catalog, services_revision, services, policy, policies } =
            SnapshotTree::read(directory, services, pools, None);
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

/// Reads a tree as it was at one moment, and names it. Files that change while they are read would make a policy of
/// some old files and some new ones, which no author wrote. Such a reading is dropped, with its findings.
fn read_whole<T>(directory: &Path, report: &mut Report, read: impl Fn() -> T) -> Option<(T, Revision)> {
    for _ in 0..ATTEMPTS {
        let before = revision(directory, report)?;
        let found = read();
        let after = revision(directory, report)?;
        if before == after {
            return Some((found, after));
        }
    }
    report
        .file_error(directory, "the files changed each time they were read")
        .help("write a tree whole, beside the old one, and put it in place in one step");
    None
}

/// The names of a tree and of the service files in it.
#[derive(Debug, PartialEq, Eq)]
struct Revision {
    whole: String,
    services: String,
}

/// Hashes paths and contents of the files that are loaded, in order, so that equal trees have equal revisions wherever
/// they lie. `None` where the tree cannot be read as a whole; the report says why.
fn revision(directory: &Path, report: &mut Report) -> Option<Revision> {
    let mut found = Report::new();
    let paths = directory::survey(directory, &mut found);
    if found.is_fatal() {
        report.absorb(found);
        return None;
    }
    let mut whole = digest::Context::new(&digest::SHA256);
    let mut services = digest::Context::new(&digest::SHA256);
    for path in paths {
        let content = match files::read(&path, document::MAX_BYTES) {
            Ok(content) => content,
            Err(error) => {
                found
                    .file_error(&path, format!("cannot read it: {error}"))
                    .help("the policy tree may hold only what the user that opgate runs as can read");
                continue;
            }
        };
        let name = path.strip_prefix(directory).unwrap_or(&path);
        let is_of_services = name.starts_with("services");
        for context in std::iter::once(&mut whole).chain(is_of_services.then_some(&mut services)) {
            context.update(name.as_os_str().as_encoded_bytes());
            context.update(&[0]);
            context.update(&content.len().to_be_bytes());
            context.update(&content);
        }
    }
    let is_whole = !found.is_fatal();
    report.absorb(found);
    let name = |context: digest::Context| {
        context.finish().as_ref().iter().take(6).map(|byte| format!("{byte:02x}")).collect()
    };
    is_whole.then(|| Revision { whole: name(whole), services: name(services) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(directory: &Path) -> String {
        revision(directory, &mut Report::new()).unwrap().whole
    }

    #[test]
    fn a_tree_that_changes_while_it_is_read_is_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("a");
        std::fs::write(&file, "old").unwrap();
        let readings = std::cell::Cell::new(0);
        let mut report = Report::new();
        let read = || {
            readings.set(readings.get() + 1);
            let text = std::fs::read_to_string(&file).unwrap();
            if readings.get() == 1 {
                std::fs::write(&file, "new").unwrap();
            }
            text
        };
        let (text, name) = read_whole(directory.path(), &mut report, read).unwrap();
        assert_eq!((text.as_str(), readings.get()), ("new", 2));
        assert_eq!(name.whole, named(directory.path()));
        assert!(report.diagnostics().is_empty());
    }

    #[test]
    fn a_tree_that_never_holds_still_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let readings = std::cell::Cell::new(0);
        let mut report = Report::new();
        let read = || {
            readings.set(readings.get() + 1);
            std::fs::write(directory.path().join("a"), readings.get().to_string()).unwrap();
        };
        assert!(read_whole(directory.path(), &mut report, read).is_none());
        assert!(report.is_fatal());
    }

    #[test]
    fn a_revision_names_the_content() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("a"), "1").unwrap();
        let first = named(directory.path());
        assert_eq!(first.len(), 12);
        assert_eq!(named(directory.path()), first);
        std::fs::write(directory.path().join("a"), "2").unwrap();
        let second = named(directory.path());
        assert_ne!(first, second);
        std::fs::rename(directory.path().join("a"), directory.path().join("b")).unwrap();
        assert_ne!(named(directory.path()), second);
    }

    /// As Kubernetes mounts a volume: the files lie in a directory that is named for the time.
    #[test]
    fn one_config_map_has_one_revision_wherever_it_is_mounted() {
        let mount = |at: &str| {
            let directory = tempfile::tempdir().unwrap();
            let root = directory.path();
            std::fs::create_dir(root.join(at)).unwrap();
            std::fs::write(root.join(at).join("a.yaml"), "1").unwrap();
            std::os::unix::fs::symlink(at, root.join("..data")).unwrap();
            std::os::unix::fs::symlink("..data/a.yaml", root.join("a.yaml")).unwrap();
            named(root)
        };
        assert_eq!(mount("..2026_11_24_03_00_00.1"), mount("..2026_11_24_03_00_07.2"));
    }
}
