//! The head of an answer, once it has come whole.

use http::{HeaderMap, StatusCode};

use crate::http::field_line;

/// What delimits the body of an answer (RFC 9112, section 6.3; RFC 9113, section 8.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerBody {
    /// There is none.
    Nothing,
    /// This many bytes, at least one.
    Length(u64),
    /// Chunks, or frames of HTTP/2.
    Chunked,
    /// The end of the connection.
    ToTheEnd,
}

/// A head that was checked. It borrows what it came in.
#[derive(Clone, Copy, Debug)]
pub struct AnswerHead<'h> {
    source: HeadSource<'h>,
    /// The status, 100 to 599.
    pub status: u16,
    /// Whether it says `Transfer-Encoding: chunked`. An answer that has no body may say so too.
    pub is_chunked: bool,
    /// What follows it.
    pub body: AnswerBody,
}

/// What a head came in.
#[derive(Clone, Copy, Debug)]
enum HeadSource<'h> {
    /// Bytes of HTTP/1, from the status line to the empty line.
    Text(&'h [u8]),
    /// Fields of HTTP/2.
    Fields(&'h HeaderMap),
}

impl<'h> AnswerHead<'h> {
    /// A head of which `ResponseTracker` has checked each line.
    pub(super) fn new(text: &'h [u8], status: u16, is_chunked: bool, body: AnswerBody) -> Self {
        Self { source: HeadSource::Text(text), status, is_chunked, body }
    }

    /// A head that came over HTTP/2, and was checked.
    pub fn of_http2(status: u16, fields: &'h HeaderMap, body: AnswerBody) -> Self {
        Self { source: HeadSource::Fields(fields), status, is_chunked: false, body }
    }

    /// The reason phrase; empty where there is none. HTTP/2 has none: it is the usual one of the status then.
    pub fn phrase(&self) -> &'h [u8] {
        match self.source {
            HeadSource::Text(text) => {
                let line = text.split(|byte| *byte == b'\r').next().unwrap_or_default();
                line.get(b"HTTP/1.1 200 ".len()..).unwrap_or_default()
            }
            HeadSource::Fields(_) => {
                let status = StatusCode::from_u16(self.status).ok();
                status.and_then(|status| status.canonical_reason()).unwrap_or_default().as_bytes()
            }
        }
    }

    /// Each field as it was sent: its name in the sender's case, and its value without white space around it.
    pub fn fields(&self) -> impl Iterator<Item = (&'h [u8], &'h [u8])> + use<'h> {
        let (text, fields) = match self.source {
            HeadSource::Text(text) => (Some(text), None),
            HeadSource::Fields(fields) => (None, Some(fields)),
        };
        // Within a head that was checked, a CR stands before each LF and nowhere else.
        let lines = text.into_iter().flat_map(|text| text.split(|byte| *byte == b'\n').skip(1));
        let of_text = lines.filter_map(|line| field_line::cut(line.strip_suffix(b"\r")?));
        let of_fields = fields.into_iter().flatten();
        of_text.chain(of_fields.map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes())))
    }

    /// Whether it is an interim answer (RFC 9110, section 15.2).
    pub fn is_interim(&self) -> bool {
        self.status < 200
    }
}
