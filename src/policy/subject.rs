//! Who asks a policy.

use std::sync::Arc;

use crate::principal::{Caller, Principal, PrincipalSets};

/// The caller, as far as policy is concerned.
#[derive(Clone, Copy, Debug, Default)]
pub struct Subject<'s> {
    pub(super) principal: Option<&'s Principal>,
    pub(super) sets: &'s [Arc<str>],
    /// The same sets, where what a policy knows of them can be remembered.
    pub(super) remembering: Option<&'s PrincipalSets>,
}

impl<'s> Subject<'s> {
    /// An anonymous caller: only a binding of `allUsers` applies to them.
    pub fn anonymous() -> Self {
        Self::default()
    }

    /// An authenticated identity.
    pub fn of(principal: &'s Principal) -> Self {
        Self { principal: Some(principal), sets: &[], remembering: None }
    }

    /// The caller of a request. Its sets are looked up once for each policy: with a thousand of them, later decisions
    /// cost what they cost with none.
    pub fn of_caller(caller: &'s Caller) -> Self {
        Self { principal: Some(&caller.principal), sets: &caller.sets, remembering: Some(&caller.sets) }
    }

    /// With the sets that its credential asserts, in the spelling of members: `principalSet://…`, `group:…`.
    pub fn with_sets(self, sets: &'s [Arc<str>]) -> Self {
        Self { sets, remembering: None, ..self }
    }

    /// How a decision's detail names the subject.
    pub(super) fn name(&self) -> &'s str {
        self.principal.map_or("an anonymous caller", Principal::as_str)
    }
}
