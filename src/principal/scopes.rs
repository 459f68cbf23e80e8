//! The OAuth scopes of a token.

use std::collections::HashSet;

use serde::Serialize;

/// Most scopes that a token may list. Google's largest consent screens hold some sixty, and the work that a client can
/// cause with each request has to be bounded.
const MOST: usize = 256;

/// A token lists more scopes than are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the token lists more than {MOST} scopes")]
pub(crate) struct TooManyScopes;

/// The scopes that a caller holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Scopes {
    listed: Vec<String>,
    /// The service that the token names instead.
    #[serde(skip)]
    audience: Option<String>,
}

impl Scopes {
    /// Whether the caller holds at least one of `accepted` (google/api/auth.proto: any of the canonical scopes
    /// suffices). Scopes are compared byte for byte (RFC 6749, section 3.3).
    pub fn any_of(&self, accepted: &[String]) -> bool {
        accepted.iter().any(|scope| self.listed.contains(scope))
    }

    /// No scopes: the token holds for all methods of the service that it names (AIP-4111).
    pub(crate) fn in_audience(audience: &str) -> Self {
        Self { listed: Vec::new(), audience: Some(audience.to_owned()) }
    }

    /// The audience that stands in place of scopes: `https://SERVICE/`, or with the name of one of its APIs behind it
    /// (google/api/auth.proto, `audiences`). The sender chose this text; compare it.
    pub fn audience(&self) -> Option<&str> {
        self.audience.as_deref()
    }

    /// The scopes, in the token's order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.listed.iter().map(String::as_str)
    }

    /// Whether the caller holds none.
    pub fn is_empty(&self) -> bool {
        self.listed.is_empty()
    }

    /// The scopes of a token, each once, as its claims list them.
    ///
    /// # Errors
    /// More than [`MOST`], repetitions included.
    pub(crate) fn of_token<'t>(written: impl Iterator<Item = &'t str>) -> Result<Self, TooManyScopes> {
        let written: Vec<&str> = written.take(MOST + 1).collect();
        if written.len() > MOST {
            return Err(TooManyScopes);
        }
        let mut held = HashSet::with_capacity(written.len());
        let listed = written.into_iter().filter(|scope| held.insert(*scope)).map(str::to_owned).collect();
        Ok(Self { listed, audience: None })
    }
}

/// The scopes of a space-separated list. Other white space does not separate: it stays part of a scope, which then
/// equals none that a method accepts.
pub(crate) fn split_list(list: &str) -> impl Iterator<Item = &str> {
    list.split(' ').filter(|scope| !scope.is_empty())
}

impl<S: Into<String>> FromIterator<S> for Scopes {
    fn from_iter<I: IntoIterator<Item = S>>(scopes: I) -> Self {
        Self { listed: scopes.into_iter().map(Into::into).collect(), audience: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_accepted_scope_suffices_and_none_accepted_means_none_held() {
        let scopes: Scopes = ["a", "b"].into_iter().collect();
        assert!(scopes.any_of(&["c".to_owned(), "b".to_owned()]));
        assert!(!scopes.any_of(&["c".to_owned()]));
        assert!(!scopes.any_of(&[]));
        assert!(!Scopes::default().any_of(&["a".to_owned()]));
    }

    #[test]
    fn only_a_space_separates_scopes() {
        let scopes = Scopes::of_token(split_list("  a  b\tc a\n a")).unwrap();
        assert_eq!(scopes.iter().collect::<Vec<_>>(), ["a", "b\tc", "a\n"]);
        assert!(!scopes.any_of(&["c".to_owned(), String::new()]));
    }

    /// A bug that was fixed: each scope made all others slower, and 3,700 scopes in one token took 33 ms on a serving
    /// thread.
    #[test]
    fn scopes_have_a_bound_that_counts_repetitions() {
        let list = |count: usize| (0..count).map(|index| format!("s{index} ")).collect::<String>();
        assert_eq!(Scopes::of_token(split_list(&list(MOST))).unwrap().iter().count(), MOST);
        assert_eq!(Scopes::of_token(split_list(&list(MOST + 1))), Err(TooManyScopes));
        assert_eq!(Scopes::of_token(split_list(&"a ".repeat(MOST))).unwrap().iter().count(), 1);
        assert_eq!(Scopes::of_token(split_list(&"a ".repeat(MOST + 1))), Err(TooManyScopes));
    }
}
