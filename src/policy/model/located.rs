//! Where a part of a policy is written, in eight bytes: a policy may have a million of them.

use std::sync::Arc;

use crate::diagnostic::{Source, Span};

/// A stretch of the file that a policy is read from. Files are shorter than 4 GiB ([`crate::document::MAX_BYTES`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::policy) struct Location {
    start: u32,
    end: u32,
}

/// Something and where it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::policy) struct Located<T> {
    pub(in crate::policy) value: T,
    pub(in crate::policy) location: Location,
}

impl Location {
    /// Where a span is within its file.
    pub(in crate::policy) fn of(span: &Span) -> Self {
        let offset = |offset: usize| u32::try_from(offset).unwrap_or(u32::MAX);
        Self { start: offset(span.range.start), end: offset(span.range.end) }
    }

    /// The span in the file that it is a location of.
    pub(in crate::policy) fn span(self, source: &Arc<Source>) -> Span {
        Span { source: source.clone(), range: self.start as usize..self.end as usize }
    }
}

impl<T> Located<T> {
    pub(in crate::policy) fn new(value: T, span: &Span) -> Self {
        Self { value, location: Location::of(span) }
    }
}
