//! The head of an HTTP/1 answer, once it has come whole.

use crate::http::field_line;

/// What delimits the body of an answer (RFC 9112, section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerBody {
    /// There is none.
    Nothing,
    /// This many bytes, at least one.
    Length(u64),
    /// Chunks.
    Chunked,
    /// The end of the connection.
    ToTheEnd,
}

/// A head that was checked byte by byte. It borrows the bytes that it came in.
#[derive(Clone, Copy, Debug)]
pub struct AnswerHead<'h> {
    /// From the status line to the empty line.
    text: &'h [u8],
    /// The status, 100 to 599.
    pub status: u16,
    /// Whether it says `Transfer-Encoding: chunked`. An answer that has no body may say so too.
    pub is_chunked: bool,
    /// What follows it.
    pub body: AnswerBody,
}

impl<'h> AnswerHead<'h> {
    /// A head of which `ResponseTracker` has checked each line.
    pub(super) fn new(text: &'h [u8], status: u16, is_chunked: bool, body: AnswerBody) -> Self {
        Self { text, status, is_chunked, body }
    }

    /// The reason phrase; empty where there is none.
    pub fn phrase(&self) -> &'h [u8] {
        let line = self.text.split(|byte| *byte == b'\r').next().unwrap_or_default();
        line.get(b"HTTP/1.1 200 ".len()..).unwrap_or_default()
    }

    /// Each field as it was sent: its name in the sender's case, and its value without white space around it.
    pub fn fields(&self) -> impl Iterator<Item = (&'h [u8], &'h [u8])> + use<'h> {
        // Within a head that was checked, a CR stands before each LF and nowhere else.
        let lines = self.text.split(|byte| *byte == b'\n').skip(1);
        lines.filter_map(|line| field_line::cut(line.strip_suffix(b"\r")?))
    }

    /// Whether it is an interim answer (RFC 9110, section 15.2).
    pub fn is_interim(&self) -> bool {
        self.status < 200
    }
}
