//! A token after its check, and before it is known whether its sender may use it.

use std::fmt;
use std::sync::Arc;

use crate::authn::credential::Presentation;
use crate::principal::Caller;

/// A token that holds, as long as it is not known whether its sender may use it: [`crate::authn::Authenticator::confirm`] makes a caller
/// of it.
#[must_use]
pub struct UnconfirmedToken {
    pub(in crate::authn) caller: Arc<Caller>,
    pub(in crate::authn) presentation: Presentation,
}

impl UnconfirmedToken {
    /// The identity of the token without a confirmation: for questions about policy, and no request gets here.
    pub fn assume_confirmed(self) -> Arc<Caller> {
        self.caller
    }
}

impl fmt::Debug for UnconfirmedToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("UnconfirmedToken").field("caller", &self.caller).finish_non_exhaustive()
    }
}
