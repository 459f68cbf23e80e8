//! The sets that a credential puts its caller in, and which of them a policy names.
//!
//! A token may name a thousand groups, and it comes with every request for an hour. The policy looks its sets up once, and
//! remembers here which of them its rules name: later decisions do not look at the others again.

use std::fmt;
use std::num::NonZeroU32;
use std::ops::Deref;
use std::sync::Arc;

use arc_swap::ArcSwapOption;

/// As many policies are asked about one caller at a time: the one in force and those beside it.
const MOST_POLICIES: usize = 4;
/// The most numbers that are remembered for one policy: they stay in memory as long as the token does.
const MOST_NUMBERS: usize = 4096;

/// Other names that policy may have for a caller, in the spelling of members: `principalSet://…`, `group:…`.
#[derive(Default)]
pub struct PrincipalSets {
    names: Vec<Arc<str>>,
    known: ArcSwapOption<Vec<KnownSets>>,
}

/// What one policy knows of the sets.
#[derive(Clone)]
struct KnownSets {
    policy: u64,
    numbers: Arc<[NonZeroU32]>,
}

impl PrincipalSets {
    /// What `look_up` made of the names for the policy with this number. It is asked again only after other policies were
    /// asked meanwhile, or where there is too much to remember.
    pub(crate) fn known_to(
        &self,
        policy: u64,
        look_up: impl FnOnce(&[Arc<str>]) -> Arc<[NonZeroU32]>,
    ) -> Arc<[NonZeroU32]> {
        let remembered = self.known.load();
        let all = remembered.as_deref().map(Vec::as_slice).unwrap_or_default();
        if let Some(known) = all.iter().find(|known| known.policy == policy) {
            return known.numbers.clone();
        }
        let numbers = look_up(&self.names);
        if numbers.len() <= MOST_NUMBERS {
            // Of two requests that come here at the same time, the later one stays: both say the same.
            let fresh = KnownSets { policy, numbers: numbers.clone() };
            let older = all.iter().take(MOST_POLICIES - 1).cloned();
            self.known.store(Some(Arc::new(std::iter::once(fresh).chain(older).collect())));
        }
        numbers
    }
}

impl Extend<Arc<str>> for PrincipalSets {
    fn extend<T: IntoIterator<Item = Arc<str>>>(&mut self, names: T) {
        self.names.extend(names);
        self.known.store(None);
    }
}

impl From<Vec<Arc<str>>> for PrincipalSets {
    fn from(names: Vec<Arc<str>>) -> Self {
        Self { names, known: ArcSwapOption::empty() }
    }
}

impl FromIterator<Arc<str>> for PrincipalSets {
    fn from_iter<T: IntoIterator<Item = Arc<str>>>(names: T) -> Self {
        Vec::from_iter(names).into()
    }
}

impl Deref for PrincipalSets {
    type Target = [Arc<str>];

    fn deref(&self) -> &[Arc<str>] {
        &self.names
    }
}

impl Clone for PrincipalSets {
    fn clone(&self) -> Self {
        self.names.clone().into()
    }
}

impl PartialEq for PrincipalSets {
    fn eq(&self, other: &Self) -> bool {
        self.names == other.names
    }
}

impl Eq for PrincipalSets {}

impl fmt::Debug for PrincipalSets {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.names.fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(count: u32) -> Arc<[NonZeroU32]> {
        (1..=count).filter_map(NonZeroU32::new).collect()
    }

    #[test]
    fn a_policy_looks_the_names_up_once() {
        let sets = PrincipalSets::from(vec!["group:a@example.com".into()]);
        assert_eq!(sets.known_to(1, |names| numbers(names.len() as u32)), numbers(1));
        assert_eq!(sets.known_to(1, |_| panic!("they are known")), numbers(1));
        assert_eq!(sets.known_to(2, |_| numbers(7)), numbers(7));
        assert_eq!(sets.known_to(1, |_| panic!("they are known")), numbers(1));
    }

    #[test]
    fn what_changed_is_looked_up_again() {
        let mut sets = PrincipalSets::from(vec!["group:a@example.com".into()]);
        sets.known_to(1, |_| numbers(1));
        sets.extend(["group:b@example.com".into()]);
        assert_eq!(sets.known_to(1, |names| numbers(names.len() as u32)), numbers(2));
        let copy = sets.clone();
        assert_eq!(copy.known_to(1, |_| numbers(3)), numbers(3));
        assert_eq!(copy, sets);
    }

    #[test]
    fn old_policies_and_long_lists_are_not_kept() {
        let sets = PrincipalSets::default();
        let count = MOST_POLICIES as u64 + 3;
        for policy in 0..count {
            sets.known_to(policy, |_| numbers(1));
        }
        assert_eq!(sets.known.load().as_ref().unwrap().len(), MOST_POLICIES);
        assert_eq!(sets.known_to(count - 1, |_| panic!("it was the last")), numbers(1));
        let long = MOST_NUMBERS as u32 + 1;
        sets.known_to(count, |_| numbers(long));
        assert_eq!(sets.known_to(count, |_| numbers(2)), numbers(2));
    }
}
