//! PLACEHOLDER of the branch `policy`: the authentication stage is written on the branch `authn`, whose file replaces
//! this one on merge. Policy needs no more of a caller than this.

use crate::principal::Principal;

/// Who asks, as a verified credential says.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The identity that bindings are compared with.
    pub principal: Principal,
}
