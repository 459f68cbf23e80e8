//! What a policy can be attached to, and which names inherit from which.
//!
//! A relative resource name (AIP-122) is a row of `collection/id` pairs. A policy on `projects/demo` applies to
//! everything whose name begins with that pair, never to `projects/demo2`: names are compared pair by pair, and
//! character by character within a pair. Nothing here knows of `hierarchy.yaml`; see [`super::hierarchy`].

use std::iter;

use memchr::{memchr, memchr_iter};

/// Collections at the top of the resource tree, for a hint when one is misspelt.
pub(in crate::policy) const ROOTS: [&str; 3] = ["projects", "folders", "organizations"];

/// A relative resource name, taken literally: no wildcard, no normalisation, case matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResourceName<'a>(&'a str);

/// Why a text cannot be the name of something that a policy is attached to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAResourceName {
    /// `projects/demo/locations`: an id is missing.
    #[error("a resource name is a row of `collection/id` pairs, and the last one has no id")]
    Unpaired,
    /// An empty segment, `.` or `..`; no request path can name it.
    #[error("a resource name has no empty segment, no `.` and no `..`")]
    Segment,
}

impl<'a> ResourceName<'a> {
    /// The name that a call asks about. Any text will do: a resource without a policy is denied.
    pub fn new(name: &'a str) -> Self {
        Self(name)
    }

    /// The name of something that a policy is attached to.
    ///
    /// # Errors
    /// Where the text is not a row of `collection/id` pairs.
    pub fn attachable(name: &'a str) -> Result<Self, NotAResourceName> {
        let name = Self(name);
        if !name.is_plain() {
            return Err(NotAResourceName::Segment);
        }
        if name.is_collection() {
            return Err(NotAResourceName::Unpaired);
        }
        Ok(name)
    }

    /// The text.
    pub fn as_str(self) -> &'a str {
        self.0
    }

    /// The name itself, then its ancestors, nearest first, without allocating.
    ///
    /// A list call asks about a collection, which has an odd number of segments
    /// (`projects/p/regions/r/operations`): its first ancestor is the name without that last segment
    /// (`projects/p/regions/r`), every other step drops a pair. A name with an empty segment, `.` or `..` has no
    /// ancestors: whatever it means to a backend, it is not certain to lie below them.
    pub fn chain(self) -> impl Iterator<Item = &'a str> {
        let plain = self.is_plain();
        let is_collection = self.is_collection();
        let names = iter::successors(Some((self.0, is_collection)), move |(name, is_collection)| {
            let (rest, _) = name.rsplit_once('/').filter(|_| plain)?;
            let ancestor = if *is_collection { rest } else { rest.rsplit_once('/')?.0 };
            Some((ancestor, false))
        });
        names.map(|(name, _)| name)
    }

    /// The last name of the chain, `projects/p`: from there `hierarchy.yaml` goes on.
    pub fn root(self) -> &'a str {
        if !self.is_plain() {
            return self.0;
        }
        let second = memchr_iter(b'/', self.0.as_bytes()).nth(1);
        second.and_then(|second| self.0.get(..second)).unwrap_or(self.0)
    }

    /// Whether it has an odd number of segments.
    fn is_collection(self) -> bool {
        self.0.bytes().fold(0, |is_odd, byte| is_odd ^ u8::from(byte == b'/')) == 0
    }

    /// Whether no segment is empty, `.` or `..`.
    fn is_plain(self) -> bool {
        // Each decision asks. Most names have no dot: then only a segment that is empty is wrong.
        let bytes = self.0.as_bytes();
        if memchr(b'.', bytes).is_none() {
            let behind = bytes.get(1..).unwrap_or_default();
            let doubled = bytes
                .iter()
                .zip(behind)
                .fold(0, |found, (byte, next)| found | (u8::from(*byte == b'/') & u8::from(*next == b'/')));
            let is_at_border = |byte: Option<&u8>| byte.is_none_or(|byte| *byte == b'/');
            return doubled == 0 && !is_at_border(bytes.first()) && !is_at_border(bytes.last());
        }
        // One pass over the bytes. Of a segment it counts bytes, and how many of them are dots.
        let is_odd = |length: usize, dots: usize| length == dots && length <= 2;
        let (mut length, mut dots) = (0, 0);
        for byte in self.0.bytes() {
            if byte == b'/' {
                if is_odd(length, dots) {
                    return false;
                }
                (length, dots) = (0, 0);
            } else {
                length += 1;
                dots += usize::from(byte == b'.');
            }
        }
        !is_odd(length, dots)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn chain(name: &str) -> Vec<&str> {
        ResourceName::new(name).chain().collect()
    }

    proptest! {
        #[test]
        fn a_plain_name_has_no_odd_segment(name in "[a.é/]{0,12}") {
            let expected = name.split('/').all(|segment| !matches!(segment, "" | "." | ".."));
            prop_assert_eq!(ResourceName::new(&name).is_plain(), expected);
            prop_assert_eq!(ResourceName::new(&name).is_collection(), name.split('/').count() % 2 == 1);
        }
    }

    #[test]
    fn ancestors_drop_pairs() {
        assert_eq!(
            chain("projects/p/locations/l/operations/o"),
            ["projects/p/locations/l/operations/o", "projects/p/locations/l", "projects/p"]
        );
        assert_eq!(chain("projects/p"), ["projects/p"]);
    }

    #[test]
    fn a_collection_first_drops_its_last_segment() {
        assert_eq!(
            chain("projects/p/regions/r/operations"),
            ["projects/p/regions/r/operations", "projects/p/regions/r", "projects/p"]
        );
        assert_eq!(chain("operations"), ["operations"]);
    }

    #[test]
    fn a_name_that_two_parsers_could_read_differently_has_no_ancestors() {
        for name in
            ["", "/", "/projects/p", "projects/p/", "projects/p//x", "projects/p/x/..", "projects/./x/y"]
        {
            assert_eq!(chain(name), [name]);
            assert_eq!(ResourceName::new(name).root(), name);
        }
    }

    #[test]
    fn policies_attach_to_pairs() {
        assert!(ResourceName::attachable("projects/demo/locations/eu").is_ok());
        assert_eq!(ResourceName::attachable("projects/demo/locations"), Err(NotAResourceName::Unpaired));
        assert_eq!(ResourceName::attachable("projects"), Err(NotAResourceName::Unpaired));
        assert_eq!(ResourceName::attachable("projects/.."), Err(NotAResourceName::Segment));
        assert_eq!(ResourceName::attachable(""), Err(NotAResourceName::Segment));
    }

    proptest! {
        #[test]
        fn a_chain_shrinks_along_segment_borders_down_to_the_root(name in "[ab./]{0,12}") {
            let names: Vec<&str> = ResourceName::new(&name).chain().collect();
            prop_assert_eq!(names[0], name.as_str());
            for pair in names.windows(2) {
                let rest = pair[0].strip_prefix(pair[1]).unwrap();
                prop_assert!(rest.starts_with('/'));
                prop_assert_eq!(pair[1].split('/').count() % 2, 0);
            }
            prop_assert_eq!(ResourceName::new(&name).root(), *names.last().unwrap());
        }
    }
}
