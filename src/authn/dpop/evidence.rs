//! What a request brings to confirm its token with.

use std::time::SystemTime;

/// What a request shows, beside its token, of its sender.
#[derive(Clone, Debug)]
pub struct Evidence<'r> {
    /// The value of every `DPoP` field.
    pub proofs: Vec<&'r [u8]>,
    /// The client's certificate on this TLS connection, verified: its `x5t#S256` and when it ends.
    pub certificate: Option<(&'r str, SystemTime)>,
    /// The HTTP method.
    pub method: &'r str,
    /// The client's scheme: `http` or `https`.
    pub scheme: &'r str,
    /// Host and port as they were sent.
    pub authority: &'r [u8],
    /// The port that the connection came in at.
    pub port: Option<u16>,
    /// The path as it was sent.
    pub path: &'r str,
}
