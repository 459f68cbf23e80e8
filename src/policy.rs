//! Who may do what: Google's IAM, decided from files.
//!
//! ```text
//! roles/          role        ┐
//! hierarchy.yaml  hierarchy   ├─► allow, deny ─► compile ─► index ┐
//! groups.yaml     groups      ┘   (with their conditions)         ├─► Policy ─► decide ─► authorize ─► Permit
//! tags.yaml       tags ───────────────────────────────────────────┤
//! boundaries/     boundary ───────────────────────────────────────┘
//! ```
//!
//! A subject holds a permission on a resource when some binding on the resource's chain gives one of the subject's
//! identities a role that holds the permission. The chain is the resource itself, its ancestors by name, then
//! `hierarchy.yaml` up to the organization. Nothing else allows anything, and no binding takes anything away. A deny
//! rule on the chain does, and so does a principal access boundary that does not contain the resource. Both are checked
//! first, and no binding grants what they forbid. A condition that cannot be evaluated never grants and always denies.
//!
//! Pure: files come as [`PolicyFiles`], and there is no clock and no network.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::diagnostic::{Place, Report, Severity};
use crate::source::PolicyFiles;

pub mod model;
pub mod attributes;
mod audited;
mod boundary;
mod compile;
mod condition;
pub mod decide;
pub mod explain;
mod federated;
mod index;
pub mod lint;
mod names;
pub mod permit;
mod pools;
pub mod refusal;
mod rules;
mod spelling;
pub mod subject;
mod undefined;
pub mod verdict;
pub mod what_can;
pub mod who_can;

pub use self::attributes::{Attribute, Attributes, Consulted};
pub use self::boundary::{Applies, OutOfBounds};
pub use self::condition::{AttributeRead, ConditionOutcome};
pub(crate) use self::federated::{canonical_identifier, whole_pool_of};
pub use self::model::resource::ResourceName;
pub use self::permit::{Grant, Permit};
pub use self::pools::Pools;
pub use self::refusal::{Denied, Granted, Refusal, Tested, UnmetCondition};
pub use self::rules::{RuleKind, WrittenRule};
pub use self::subject::Subject;
pub use self::verdict::Verdict;

use self::boundary::Boundaries;
use self::compile::Compiler;
use self::explain::index::ExplainIndex;
use self::index::Index;
use self::model::allow::AllowPolicy;
use self::model::context::{Context, Definitions};
use self::model::deny::DenyPolicy;
use self::model::tags::Tags;
use self::undefined::UndefinedRoles;

/// A policy tree, compiled. It never changes; a reload makes another.
#[derive(Debug, Default)]
pub struct Policy {
    /// Tells it from every other one of this process that is not empty: what is remembered of a caller is remembered for it.
    number: u64,
    index: Index,
    boundaries: Boundaries,
    explain_index: ExplainIndex,
    tags: Tags,
    counts: PolicyCounts,
}

/// How much a policy holds, as written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PolicyCounts {
    /// Bindings of all allow policies.
    pub bindings: usize,
    /// Rules of all deny policies.
    pub deny_rules: usize,
    /// Defined roles.
    pub roles: usize,
    /// Groups.
    pub groups: usize,
    /// Resources that a policy or the hierarchy names.
    pub resources: usize,
}

impl Policy {
    /// Reads and compiles the files of a policy tree. Every mistake is in the report, in the same order every time.
    ///
    /// `known_permissions` are the permissions that exposed methods ask for, with the place of the rule that does;
    /// they serve to find typing errors in roles, and may be empty.
    ///
    /// Where anything is wrong, the result is [`Policy::deny_all`]: half a policy is not a policy.
    pub fn load(files: PolicyFiles, known_permissions: &[(String, Place)], report: &mut Report) -> Self {
        Self::load_among(&Pools::default(), files, known_permissions, report)
    }

    /// [`Policy::load`] for a gate whose pools are known: members that none of its callers can be are reported as well.
    pub fn load_among(
        pools: &Pools,
        files: PolicyFiles,
        known_permissions: &[(String, Place)],
        report: &mut Report,
    ) -> Self {
        let before = report.count(Severity::Error);
        model::check_top(&files, report);
        let definitions = Definitions::load(&files, known_permissions, report);
        let context = definitions.context(pools);
        let boundaries = Boundaries::load(&files, &definitions.hierarchy, pools, report);
        let role_folder = files.path("roles");
        let (denials, policies) = model::policies(files, context, report);
        let mut undefined = UndefinedRoles::default();
        let policies = policies.inspect(|policy| undefined.note(policy, context.roles));
        let compiled = Self::compile(context, policies, denials, boundaries);
        undefined.tell(context.roles, &role_folder, report);
        let explain_index = ExplainIndex::of(context, known_permissions);
        let policy = Self { tags: definitions.tags, explain_index, ..compiled };
        if report.count(Severity::Error) > before { Self::deny_all() } else { policy }
    }

    /// The policy that grants nothing.
    pub fn deny_all() -> Self {
        Self::default()
    }

    /// How much it holds.
    pub fn counts(&self) -> PolicyCounts {
        self.counts
    }

    fn compile(
        context: Context<'_>,
        policies: impl Iterator<Item = AllowPolicy>,
        denials: Vec<DenyPolicy>,
        boundaries: Boundaries,
    ) -> Self {
        let mut compiler = Compiler::default();
        let deny_rules = denials.iter().map(|policy| policy.rules.len()).sum();
        for policy in denials {
            compiler.forbid(policy);
        }
        let mut bindings = 0;
        for policy in policies {
            bindings += policy.bindings.len();
            compiler.attach(policy);
        }
        let index = compiler.finish(context);
        let counts = PolicyCounts {
            bindings,
            deny_rules,
            roles: context.roles.len(),
            groups: context.groups.len(),
            resources: index.resource_count(),
        };
        static COMPILED: AtomicU64 = AtomicU64::new(0);
        let number = COMPILED.fetch_add(1, Ordering::Relaxed) + 1;
        Self { number, index, boundaries, counts, ..Self::default() }
    }

    fn index(&self) -> &Index {
        &self.index
    }
}

#[cfg(test)]
mod tests;
