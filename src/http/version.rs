//! HTTP versions.

/// The HTTP version a request came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it all")]
pub enum Version {
    Http10,
    Http11,
    Http2,
}
