//! Answers that are not read.

/// Why an answer is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Skipped {
    /// It has another `Content-Encoding` than gzip.
    Encoding,
    /// It is not JSON, as its `Content-Type` says.
    ContentType,
    /// Its content is too long, or too long for its bytes.
    TooLong,
    /// It is not what its head says: not JSON, not an operation, not gzip, or cut.
    Malformed,
    /// The client asked for fields that do not tell.
    Mask,
}

impl Skipped {
    pub(super) const ALL: [Self; 5] =
        [Self::Encoding, Self::ContentType, Self::TooLong, Self::Malformed, Self::Mask];

    /// The `why` of `opgate_cancel_watch_skipped_total`.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Encoding => "encoding",
            Self::ContentType => "content_type",
            Self::TooLong => "too_long",
            Self::Malformed => "malformed",
            Self::Mask => "mask",
        }
    }
}
