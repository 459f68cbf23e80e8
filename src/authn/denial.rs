//! What refusals of credentials have in common.

use std::borrow::Cow;

use crate::reason::{Denial, Reason};

/// A token that breaks a rule. The detail says which; the client reads the same in each case.
pub(super) fn invalid(detail: impl Into<Cow<'static, str>>) -> Denial {
    Denial::new(Reason::TokenInvalid, detail)
}

/// A stranger's text as a detail may quote it: no control characters, and cut to a bound.
pub(super) fn shown(text: &str) -> String {
    const LONGEST: usize = 80;
    let mut shown: String = text.escape_debug().take(LONGEST).collect();
    if text.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    shown
}
