//! Where policy files come from: a set of named files with a revision.

pub(crate) mod directory;
