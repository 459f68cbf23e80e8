//! Everything that a decision depends on, as one immutable value.
//!
//! A request holds one snapshot from its first stage to its last, so that no decision mixes two policies. A reload
//! builds a new one beside it and swaps it whole.

use std::sync::Arc;

use crate::authn::Authenticator;
use crate::catalog::{Catalog, ExposureSettings};
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
    /// The policy that belongs to the methods in force, where the service files beside `policy` do not load: a call has to
    /// be allowed by both. By the new rules alone, an old method could be open to callers that neither tree lets in.
    pub policy_of_methods: Option<Arc<Policy>>,
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
    /// Reads a tree from its source; see `of`.
    pub fn read(
        source: &PolicySource,
        services: &[ExposureSettings],
        pools: &Pools,
        in_force: Option<&Catalog>,
    ) -> Self {
        let mut policies = Report::new();
        match source.read(&mut policies) {
            Some(files) => Self::of(files, services, pools, in_force, policies),
            None => Self { policies, ..Self::default() },
        }
    }

    /// The tree that files make. Typing errors in roles are found by the permissions that the methods of the tree
    /// require; where those cannot be read, by the ones of `in_force`. `policies` is what reading the files has found.
    /// The text of each file is dropped once it is used: what is in force holds none.
    fn of(
        files: PolicyFiles,
        settings: &[ExposureSettings],
        pools: &Pools,
        in_force: Option<&Catalog>,
        mut policies: Report,
    ) -> Self {
        let mut services = Report::new();
        let Revision { whole, services: services_revision } = files.revision().clone();
        let catalog = Catalog::load(&files, settings, &mut services).filter(|_| !services.is_fatal());
        let permissions = catalog.as_ref().or(in_force).map(Catalog::permissions).unwrap_or_default();
        let policy = Policy::load_among(pools, files, &permissions, &mut policies);
        let policy = (!policies.is_fatal()).then_some(policy);
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
    /// Loads a policy tree by itself, for questions about it. No issuer is trusted: every credential is refused.
    pub fn of_tree(
        files: PolicyFiles,
        services: &[ExposureSettings],
        pools: &Pools,
        report: &mut Report,
    ) -> Option<Self> {
        Self::of_files(files, services, pools, Some(Authenticator::believing_nobody()), report)
    }

    /// Loads a policy tree beside issuers that were loaded before; `None` where those were not. Usable only if the report has
    /// no error.
    pub fn of_files(
        files: PolicyFiles,
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
        let authn = Arc::new(authn?);
        Some(Self { catalog: catalog?, authn, policy, policy_of_methods: None, revision, services_revision })
    }
}
