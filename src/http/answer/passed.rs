//! The head of an answer on its way to a client.

use http::{HeaderName, HeaderValue};

use super::{AnswerBody, AnswerHead};

/// What passes of the backend's, and what the gate adds.
#[derive(Debug)]
pub struct PassedHead<'h> {
    /// The status.
    pub status: u16,
    /// The reason phrase.
    pub phrase: &'h [u8],
    /// The backend's fields, as it sent them.
    pub fields: Vec<(&'h [u8], &'h [u8])>,
    /// The gate's own fields.
    pub added: Vec<(HeaderName, HeaderValue)>,
    /// Whether the backend says that the answer is chunked. One that has no body may say so too.
    pub is_chunked: bool,
    /// What follows it.
    pub body: AnswerBody,
}

impl<'h> PassedHead<'h> {
    /// A head of which these fields pass.
    pub fn new(head: &AnswerHead<'h>, fields: Vec<(&'h [u8], &'h [u8])>) -> Self {
        Self {
            status: head.status,
            phrase: head.phrase(),
            fields,
            added: Vec::new(),
            is_chunked: head.is_chunked,
            body: head.body,
        }
    }

    /// The value of one of the backend's fields; the first, where there are several.
    pub fn field(&self, name: &str) -> Option<&'h [u8]> {
        let named = |field: &&(&[u8], &[u8])| field.0.eq_ignore_ascii_case(name.as_bytes());
        self.fields.iter().find(named).map(|(_, value)| *value)
    }

    /// Whether it is an interim answer (RFC 9110, section 15.2).
    pub fn is_interim(&self) -> bool {
        self.status < 200
    }
}
