//! Sets of header names.

/// A set of header names, whole or as prefixes. A look-up takes the time of a binary search, since every field of every
/// request is looked up in some.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderNames {
    /// In order, and none begins with a prefix that is there too: so the last one that is not greater than a name is the
    /// only one that can stand for it.
    patterns: Box<[HeaderPattern]>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct HeaderPattern {
    text: Box<str>,
    is_whole: bool,
}

impl HeaderPattern {
    fn covers(&self, name: &str) -> bool {
        if self.is_whole { *self.text == *name } else { name.starts_with(&*self.text) }
    }
}

impl HeaderNames {
    /// The names that are written: in lower case, each whole or, with a `*` at its end, the beginning of many.
    pub fn new<'p>(written: impl IntoIterator<Item = &'p str>) -> Self {
        let pattern = |written: &str| match written.strip_suffix('*') {
            Some(prefix) => HeaderPattern { text: prefix.into(), is_whole: false },
            None => HeaderPattern { text: written.into(), is_whole: true },
        };
        let mut all: Vec<HeaderPattern> = written.into_iter().map(pattern).collect();
        all.sort();
        let mut patterns: Vec<HeaderPattern> = Vec::with_capacity(all.len());
        for pattern in all {
            if !patterns.last().is_some_and(|last| last.covers(&pattern.text)) {
                patterns.push(pattern);
            }
        }
        Self { patterns: patterns.into() }
    }

    /// Whether a name is among them. `name` in lower case.
    pub fn contains(&self, name: &str) -> bool {
        let after = self.patterns.partition_point(|pattern| *pattern.text <= *name);
        let last = after.checked_sub(1).and_then(|index| self.patterns.get(index));
        last.is_some_and(|pattern| pattern.covers(name))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_whole_or_begin_as_written() {
        let names = HeaderNames::new(["x-b", "x-acme-*", "x-acme-one", "x-acme", "accept"]);
        for name in ["accept", "x-acme", "x-acme-", "x-acme-one", "x-acme-two-three", "x-b"] {
            assert!(names.contains(name), "{name}");
        }
        for name in ["", "a", "accept-language", "x-acm", "x-acme_one", "x-acmes", "x-b-c", "x-c", "z"] {
            assert!(!names.contains(name), "{name}");
        }
        assert!(!HeaderNames::new([]).contains("x"));
    }

    proptest! {
        #[test]
        fn the_search_finds_what_looking_at_each_finds(
            written in proptest::collection::vec("[ab-]{0,3}\\*?", 0..8),
            name in "[ab-]{0,5}",
        ) {
            let expected = written.iter().any(|written| match written.strip_suffix('*') {
                Some(prefix) => name.starts_with(prefix),
                None => name == *written,
            });
            let names = HeaderNames::new(written.iter().map(String::as_str));
            prop_assert_eq!(names.contains(&name), expected, "{:?}", written);
        }
    }
}
