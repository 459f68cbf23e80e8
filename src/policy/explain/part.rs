//! What an explanation is made of.

use std::sync::Arc;

use crate::diagnostic::Place;
use crate::policy::boundary::Applies;
use crate::policy::condition::AttributeRead;
use crate::policy::refusal::Tested;

/// How much of a policy an explanation tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Extent {
    /// What is for the caller, and some of what is for the permission; the rest is counted.
    #[default]
    Relevant,
    /// Everything on the chain.
    All,
}

/// What is attached to one resource of the chain.
#[derive(Clone, Debug)]
pub struct Attached<Of> {
    /// The resource.
    pub resource: Arc<str>,
    /// The most relevant ones first.
    pub told: Vec<Of>,
    /// How many more there are.
    pub omitted: usize,
}

/// A binding of a principal access boundary policy.
#[derive(Clone, Debug)]
pub struct ExplainedBoundary {
    /// The name of the binding.
    pub name: Arc<str>,
    /// The principal set that the policy is bound to.
    pub principal_set: String,
    /// The condition on who is bound.
    pub condition: Option<Arc<str>>,
    /// Whether it is for the caller.
    pub applies: Applies,
    /// The name of the policy.
    pub policy: Arc<str>,
    /// Where the policy is written.
    pub policy_place: Place,
    /// What the policy lists.
    pub resources: Vec<String>,
    /// The listed resource that the one in question lies in.
    pub contained_in: Option<String>,
    /// Where the binding is written.
    pub place: Place,
}

/// A member that is the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matched {
    /// The member, in canonical spelling.
    pub member: Arc<str>,
    /// The groups between the caller and the member, nearest to the caller first.
    pub through: Vec<Arc<str>>,
}

/// A condition, how it came out, and what it saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weighed {
    /// How it came out.
    pub tested: Tested,
    /// What it reads.
    pub reads: Vec<AttributeRead>,
}
