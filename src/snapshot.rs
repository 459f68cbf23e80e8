//! Everything that a decision is made from, as one immutable value.
//!
//! A request holds one snapshot from its first stage to its last, so that no decision mixes two policies. A reload
//! builds a new one beside it and swaps it whole.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use aws_lc_rs::digest;

use crate::authn::Authenticator;
use crate::catalog::{Catalog, ExposureSettings};
use crate::config::Config;
use crate::diagnostic::Report;
use crate::policy::{Policy, Pools};

/// How often a tree is read before it is said to change all the time.
const ATTEMPTS: usize = 5;

/// Catalogue, authentication and policy that belong together.
#[derive(Debug)]
pub struct Snapshot {
    /// What can be called.
    pub catalog: Catalog,
    /// Whose tokens are believed.
    pub authn: Arc<Authenticator>,
    /// Who may do what.
    pub policy: Policy,
    /// Names the policy tree by its content: the first 12 hex digits of a SHA-256 over its files.
    pub revision: String,
}

impl Snapshot {
    /// Loads what a checked configuration names. Usable only if the report has no error.
    /// Fetched keys of issuers that did not change are taken over from `previous`.
    pub fn load(
        config: &Config,
        now: SystemTime,
        previous: Option<&Authenticator>,
        report: &mut Report,
    ) -> Option<Self> {
        let mut authn = load_authn(config, now, report);
        if let (Some(authn), Some(previous)) = (&mut authn, previous) {
            authn.take_over(previous);
        }
        if report.is_fatal() && !config.policy_directory.is_dir() {
            // Told with the configuration: everything else about the tree would only repeat that.
            return None;
        }
        let snapshot =
            Self::with_tree(&config.policy_directory, &config.services, &pools(config), authn, report)?;
        let published = config.assertion.as_ref().and_then(|assertion| assertion.jwks_path.as_ref());
        if let Some((path, span)) = published {
            for method in snapshot.catalog.at(path) {
                report
                    .error(span, format!("`{}` is also a path of {method}", path.as_str()))
                    .help("the gate answers there itself, on every host: choose a path that no service has");
            }
        }
        (!report.is_fatal()).then_some(snapshot)
    }

    /// Loads a policy tree by itself, for questions about it. No issuer is believed: it authenticates nobody.
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
        let (catalog, policy, revision) = read_whole(directory, report, |report| {
            let catalog = Catalog::load(&directory.join("services"), services, report);
            let permissions = catalog.as_ref().map(Catalog::permissions).unwrap_or_default();
            let policy = Policy::load_among(pools, directory, &permissions, report);
            (catalog, policy)
        })?;
        if report.is_fatal() {
            return None;
        }
        Some(Self { catalog: catalog?, authn: Arc::new(authn?), policy, revision })
    }
}

/// The identity pools that callers of a configuration can be of, and those that it says other gates know.
fn pools(config: &Config) -> Pools {
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

fn load_authn(config: &Config, now: SystemTime, report: &mut Report) -> Option<Authenticator> {
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

/// Reads a tree as it was at one moment, and names it. Files that change while they are read would make a policy that
/// nobody wrote, of some old files and some new ones; such a reading is thrown away, with what it found.
fn read_whole<C, P>(
    directory: &Path,
    report: &mut Report,
    read: impl Fn(&mut Report) -> (C, P),
) -> Option<(C, P, String)> {
    for _ in 0..ATTEMPTS {
        let before = revision(directory);
        let mut found = Report::new();
        let (catalog, policy) = read(&mut found);
        match (before, revision(directory)) {
            (Ok(before), Ok(after)) if before != after => {}
            (Ok(_), Ok(revision)) => {
                report.absorb(found);
                return Some((catalog, policy, revision));
            }
            (Err((path, error)), _) | (_, Err((path, error))) => {
                report.absorb(found);
                report
                    .file_error(&path, format!("cannot read it: {error}"))
                    .help("the policy tree may hold only what the user that opgate runs as can read");
                return None;
            }
        }
    }
    report
        .file_error(directory, "the files changed each time that they were read")
        .help("write a tree whole, beside the old one, and put it in place in one step");
    None
}

/// Hashes paths and contents of what is loaded of a tree, in order, so that equal trees have equal revisions wherever
/// they lie.
fn revision(directory: &Path) -> Result<String, (PathBuf, std::io::Error)> {
    let mut files = Vec::new();
    collect(directory, &mut files)?;
    files.sort();
    let mut context = digest::Context::new(&digest::SHA256);
    for path in files {
        let content = std::fs::read(&path).map_err(|error| (path.clone(), error))?;
        let name = path.strip_prefix(directory).unwrap_or(&path);
        context.update(name.as_os_str().as_encoded_bytes());
        context.update(&[0]);
        context.update(&content.len().to_be_bytes());
        context.update(&content);
    }
    let digest = context.finish();
    Ok(digest.as_ref().iter().take(6).map(|byte| format!("{byte:02x}")).collect())
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) -> Result<(), (PathBuf, std::io::Error)> {
    let failed = |error| (directory.to_owned(), error);
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        // What is not loaded names nothing: with it, no two mounts of one ConfigMap would have the same revision.
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        let path = entry.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_that_changes_while_it_is_read_is_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("a");
        std::fs::write(&file, "old").unwrap();
        let readings = std::cell::Cell::new(0);
        let mut report = Report::new();
        let read = |report: &mut Report| {
            readings.set(readings.get() + 1);
            let text = std::fs::read_to_string(&file).unwrap();
            if readings.get() == 1 {
                report.file_error(&file, "half a file");
                std::fs::write(&file, "new").unwrap();
            }
            (text, ())
        };
        let (text, (), name) = read_whole(directory.path(), &mut report, read).unwrap();
        assert_eq!((text.as_str(), readings.get()), ("new", 2));
        assert_eq!(name, revision(directory.path()).unwrap());
        assert!(report.diagnostics().is_empty(), "what was found in a tree that never was is not told");
    }

    #[test]
    fn a_tree_that_never_holds_still_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let readings = std::cell::Cell::new(0);
        let mut report = Report::new();
        let read = |_: &mut Report| {
            readings.set(readings.get() + 1);
            std::fs::write(directory.path().join("a"), readings.get().to_string()).unwrap();
            ((), ())
        };
        assert!(read_whole(directory.path(), &mut report, read).is_none());
        assert!(report.is_fatal());
    }

    #[test]
    fn a_revision_names_the_content() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("a"), "1").unwrap();
        let first = revision(directory.path()).unwrap();
        assert_eq!(first.len(), 12);
        assert_eq!(revision(directory.path()).unwrap(), first);
        std::fs::write(directory.path().join("a"), "2").unwrap();
        let second = revision(directory.path()).unwrap();
        assert_ne!(first, second);
        std::fs::rename(directory.path().join("a"), directory.path().join("b")).unwrap();
        assert_ne!(revision(directory.path()).unwrap(), second);
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
            revision(root).unwrap()
        };
        assert_eq!(mount("..2026_11_24_03_00_00.1"), mount("..2026_11_24_03_00_07.2"));
    }
}
