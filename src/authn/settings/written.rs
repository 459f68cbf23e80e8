//! An issuer of the file.

use super::IssuerSettings;
use crate::diagnostic::Span;

/// An issuer and where its settings are written.
#[derive(Clone, Debug)]
pub struct WrittenIssuer {
    /// What it is.
    pub settings: IssuerSettings,
    /// Where each field stands; `name` is the entry's key.
    pub spans: Vec<(&'static str, Span)>,
}
