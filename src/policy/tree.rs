//! A policy tree, compiled: what every question is asked of.

use super::boundary::Boundaries;
use super::compile::Compiler;
use super::explain::index::Background;
use super::index::Index;
use super::model;
use super::model::allow::AllowPolicy;
use super::model::context::{Context, Definitions};
use super::model::deny::DenyPolicy;
use super::model::tags::Tags;
use super::pools::Pools;
use crate::diagnostic::{Place, Report, Severity};
use crate::source::PolicyFiles;

/// A policy tree, compiled. It never changes; a reload makes another.
#[derive(Debug, Default)]
pub struct Policy {
    pub(super) index: Index,
    pub(super) boundaries: Boundaries,
    pub(super) background: Background,
    pub(super) tags: Tags,
    pub(super) counts: Counts,
}

/// How much a policy holds, as written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
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
    pub fn load(files: &PolicyFiles, known_permissions: &[(String, Place)], report: &mut Report) -> Self {
        Self::load_among(&Pools::default(), files, known_permissions, report)
    }

    /// [`Policy::load`] for a gate whose pools are known: members that none of its callers can be are reported as well.
    pub fn load_among(
        pools: &Pools,
        files: &PolicyFiles,
        known_permissions: &[(String, Place)],
        report: &mut Report,
    ) -> Self {
        let before = report.count(Severity::Error);
        model::check_top(files, report);
        let definitions = Definitions::load(files, known_permissions, report);
        let context = definitions.context(pools);
        let boundaries = Boundaries::load(files, &definitions.hierarchy, pools, report);
        let (denials, policies) = model::policies(files, context, report);
        let compiled = Self::compile(context, policies, denials, boundaries);
        let background = Background::of(context, known_permissions);
        let policy = Self { tags: definitions.tags, background, ..compiled };
        if report.count(Severity::Error) > before { Self::deny_all() } else { policy }
    }

    /// The policy that grants nothing.
    pub fn deny_all() -> Self {
        Self::default()
    }

    /// How much it holds.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    pub(super) fn compile(
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
        let counts = Counts {
            bindings,
            deny_rules,
            roles: context.roles.len(),
            groups: context.groups.len(),
            resources: index.resource_count(),
        };
        Self { index, boundaries, counts, ..Self::default() }
    }

    pub(super) fn index(&self) -> &Index {
        &self.index
    }
}
