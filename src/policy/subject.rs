//! Who asks a policy.

use std::sync::Arc;

use crate::principal::Principal;

/// The caller, as far as policy is concerned.
#[derive(Clone, Copy, Debug, Default)]
pub struct Subject<'s> {
    pub(super) principal: Option<&'s Principal>,
    pub(super) sets: &'s [Arc<str>],
}

impl<'s> Subject<'s> {
    /// An anonymous caller: only a binding of `allUsers` applies to them.
    pub fn anonymous() -> Self {
        Self::default()
    }

    /// An authenticated identity.
    pub fn of(principal: &'s Principal) -> Self {
        Self { principal: Some(principal), sets: &[] }
    }

    /// With the sets that its credential asserts, in the spelling of members: `principalSet://…`, `group:…`.
    pub fn with_sets(self, sets: &'s [Arc<str>]) -> Self {
        Self { sets, ..self }
    }

    /// How a decision's detail names the subject.
    pub(super) fn name(&self) -> &'s str {
        self.principal.map_or("an anonymous caller", Principal::as_str)
    }
}
