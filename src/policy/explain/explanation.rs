//! An explanation: a decision with everything that was looked at.

use std::sync::Arc;

use super::binding::ExplainedBinding;
use super::denial::ExplainedRule;
use super::part::{Attached, ExplainedBoundary};
use super::step::RemedyStep;
use crate::policy::refusal::{Granted, Refusal};

/// A decision with everything that was looked at.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// How the caller is named.
    pub subject: String,
    /// The permission that is asked for.
    pub permission: String,
    /// The resource that it is asked for on.
    pub resource: String,
    /// The engine's verdict.
    pub decided: Result<Granted, Refusal>,
    /// The resource and everything that it lies in, nearest first.
    pub chain: Vec<Arc<str>>,
    /// Every binding of a principal access boundary policy.
    pub boundaries: Vec<ExplainedBoundary>,
    /// The deny rules on the chain.
    pub rules: Vec<Attached<ExplainedRule>>,
    /// The bindings on the chain.
    pub bindings: Vec<Attached<ExplainedBinding>>,
    /// What would turn the answer: all of these steps are needed.
    pub steps: Vec<RemedyStep>,
}

impl Explanation {
    /// The bindings that grant, nearest first.
    pub fn granting(&self) -> impl Iterator<Item = (&Arc<str>, &ExplainedBinding)> {
        let all = self.bindings.iter();
        all.flat_map(|attached| attached.told.iter().map(|binding| (&attached.resource, binding)))
            .filter(|(_, binding)| binding.grants())
    }

    /// The deny rules that deny, nearest first.
    pub fn denying(&self) -> impl Iterator<Item = (&Arc<str>, &ExplainedRule)> {
        let all = self.rules.iter();
        all.flat_map(|attached| attached.told.iter().map(|rule| (&attached.resource, rule)))
            .filter(|(_, rule)| rule.denies())
    }

    /// Whether the resource is outside the caller's boundaries.
    pub fn is_out_of_bounds(&self) -> bool {
        matches!(self.decided, Err(Refusal::OutOfBounds(_)))
    }
}
