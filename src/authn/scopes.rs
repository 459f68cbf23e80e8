//! The OAuth scopes of a token.

use serde::Serialize;

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
    pub(super) fn in_audience(audience: &str) -> Self {
        Self { listed: Vec::new(), audience: Some(audience.to_owned()) }
    }

    /// The audience that stands in place of scopes: `https://SERVICE/`, or with the name of one of its APIs behind it
    /// (google/api/auth.proto, `audiences`). Any text that its sender liked; compare it.
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

    /// Adds the scopes of a space-separated list. Other white space separates nothing: it stays part of a scope,
    /// which then equals none that a method accepts.
    pub(super) fn add_list(&mut self, list: &str) {
        for scope in list.split(' ').filter(|scope| !scope.is_empty()) {
            self.add(scope);
        }
    }

    /// Adds one scope, once.
    pub(super) fn add(&mut self, scope: &str) {
        if !self.listed.iter().any(|held| held == scope) {
            self.listed.push(scope.to_owned());
        }
    }
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
        let mut scopes = Scopes::default();
        scopes.add_list("  a  b\tc a\n");
        assert_eq!(scopes.iter().collect::<Vec<_>>(), ["a", "b\tc", "a\n"]);
        assert!(!scopes.any_of(&["c".to_owned(), String::new()]));
    }
}
