//! The name of a file in a policy tree, with the order in which trees are read.

use std::cmp::Ordering;

/// A name below the root of the tree, with `/` between its parts: `allow/projects/demo.yaml`.
///
/// Names are ordered part by part, as a walk of the tree meets them: what is in `allow/projects/demo/` comes before
/// `allow/projects/demo.yaml`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FileName(Box<str>);

impl FileName {
    pub(super) fn new(name: &str) -> Self {
        Self(name.into())
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it lies below a folder, which is given with a `/` at its end.
    pub(super) fn is_below(&self, folder: &str) -> bool {
        self.0.starts_with(folder)
    }
}

impl Ord for FileName {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.split('/').cmp(other.0.split('/'))
    }
}

impl PartialOrd for FileName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
