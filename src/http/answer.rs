//! An HTTP/1 answer, parsed as its bytes come.
//!
//! HTTP libraries repair answers as they repair requests: they take a bare LF for a line end, unfold a folded line,
//! drop the `Content-Length` beside a `Transfer-Encoding`. The next reader need not repair the same things. Where two
//! readers see two ends of one answer, the rest of it for one is the next request's answer for the other. So the bytes
//! of an answer are checked by the letter of RFC 9112 before any library sees them, and deviating bytes do not get
//! there.
//!
//! A connection carries one exchange at a time: an [`ResponseTracker`] begins with the first byte that comes for its request,
//! and ends where its own framing says. It can be fed in pieces of any size, with the same result.

mod head;
mod passed;
mod writer;

use memchr::memchr;

pub use self::head::{AnswerBody, AnswerHead};
pub use self::passed::PassedHead;
pub use self::writer::{AnswerWriter, ClientConnection};
use super::chunked::{ChunkError, Chunked};
use super::field_line;
pub use super::field_line::FieldFault;
use super::head::is_field_byte;
use crate::bytewise;

/// Most bytes of a head.
pub const MAX_HEAD_BYTES: usize = 64 * 1024;
/// Most fields of a head.
pub const MAX_FIELDS: usize = 200;
/// Most interim answers (1xx) before an answer.
pub const MAX_INTERIM: usize = 16;

/// What is wrong with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnswerFault {
    /// Anything but `HTTP/1.1 200 OK` (RFC 9112, section 4).
    #[error("the answer does not begin with a status line")]
    StatusLine,
    /// A status that has no meaning.
    #[error("the backend's status is not valid")]
    Status,
    /// 101: the gate never asks for an upgrade.
    #[error("the backend switched protocols")]
    Switched,
    /// A CR or LF that is not a CRLF (RFC 9112, section 2.2).
    #[error("the answer's head holds a CR or LF that is not a CRLF")]
    LineEnd,
    /// A field line that a reader would have to repair.
    #[error("in the answer, {0}")]
    Field(#[from] FieldFault),
    /// Both delimitations (RFC 9112, section 6.3).
    #[error("the answer has both `content-length` and `transfer-encoding`")]
    TwoFramings,
    /// A length that is not a number, or two that differ.
    #[error("the answer's `content-length` is not one number")]
    Length,
    /// A coding other than `chunked`, or where there can be none.
    #[error("the answer has a transfer coding other than `chunked`, or where there can be none")]
    Coding,
    /// A body where there can be none (RFC 9110, section 8.6).
    #[error("the answer has a length where there can be no body")]
    NoBody,
    /// A body that is not chunked as its head says.
    #[error("the answer is not well chunked: {0}")]
    Chunks(#[from] ChunkError),
    /// Beyond [`MAX_HEAD_BYTES`] or [`MAX_FIELDS`].
    #[error("the answer's head is too large")]
    TooLarge,
    /// Beyond [`MAX_INTERIM`].
    #[error("the answer does not come, only interim ones")]
    Interim,
    /// Bytes where no answer is due.
    #[error("the backend answers what it has not been asked")]
    Unasked,
    /// The connection ended first.
    #[error("the answer ends within its head")]
    Cut,
}

/// A fault, and how many of the bytes last fed come before it and may be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Bytes of whole heads and of the body, up to the one that is wrong.
    pub good: usize,
    /// What is wrong.
    pub fault: AnswerFault,
}

/// One answer, its interim ones before it included.
#[derive(Debug)]
pub struct ResponseTracker {
    state: ResponseState,
    /// The line that has begun.
    line: Vec<u8>,
    head: Head,
    interim: usize,
}

#[derive(Clone, Debug)]
enum ResponseState {
    Head,
    /// So many bytes are left.
    Length(u64),
    Chunked(Chunked),
    /// Up to the end of the connection.
    ToTheEnd,
    Done,
    Broken(AnswerFault),
}

impl Default for ResponseTracker {
    fn default() -> Self {
        Self::new()
    }
}

/// What ends with the bytes of a line.
enum LineEnd {
    /// The line goes on.
    Open,
    /// The line, and not the head.
    Line,
    /// The head.
    Head(WholeHead),
}

/// What is known of a head that has ended.
struct WholeHead {
    status: u16,
    is_chunked: bool,
}

/// The head under way.
#[derive(Debug, Default)]
struct Head {
    /// All its bytes so far.
    bytes: usize,
    fields: usize,
    /// Once there is a status line.
    status: Option<u16>,
    is_http10: bool,
    length: Option<u64>,
    /// How many digits the length was written with.
    length_digits: usize,
    is_chunked: bool,
    closes: bool,
}

impl ResponseTracker {
    /// An answer of which nothing has come.
    pub fn new() -> Self {
        Self { state: ResponseState::Head, line: Vec::new(), head: Head::default(), interim: 0 }
    }

    /// Parses the next bytes of the answer, to a HEAD request if `to_head`. Returns how many of them belong to it: all,
    /// unless it ends before.
    ///
    /// # Errors
    /// Where the answer could be read in two ways or in none. Every later call gives the same error.
    pub fn advance(&mut self, bytes: &[u8], to_head: bool) -> Result<usize, Broken> {
        let mut at = 0;
        // Where the head under way begins; one that began earlier is not given out in part.
        let mut good = 0;
        loop {
            let rest = bytes.get(at..).unwrap_or_default();
            match &mut self.state {
                ResponseState::Done => return Ok(at),
                ResponseState::Broken(fault) => return Err(Broken { good: at, fault: *fault }),
                ResponseState::ToTheEnd => return Ok(bytes.len()),
                ResponseState::Chunked(body) => {
                    let before = body.clone();
                    match body.advance(rest) {
                        Ok(taken) => at += taken,
                        Err(error) => {
                            let good = at + good_chunks(before, rest);
                            return Err(self.broken(good, error.into()));
                        }
                    }
                    if !body.is_done() {
                        return Ok(at);
                    }
                    self.state = ResponseState::Done;
                }
                ResponseState::Length(left) => {
                    let taken = rest.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    at += taken;
                    let left = left.saturating_sub(taken as u64);
                    self.state = if left == 0 { ResponseState::Done } else { ResponseState::Length(left) };
                    if left > 0 {
                        return Ok(at);
                    }
                }
                ResponseState::Head => {
                    let (taken, ended) =
                        self.next_line(rest, to_head).map_err(|fault| self.broken(good, fault))?;
                    at += taken;
                    match ended {
                        LineEnd::Open => return Ok(at),
                        LineEnd::Line => {}
                        LineEnd::Head(_) => good = at,
                    }
                }
            }
        }
    }

    /// Parses the next bytes of a head, to its end and no further. Returns how many of them belong to it, and the head once
    /// it is whole. `bytes` begin with the first byte of the head; `known` of them were given before.
    ///
    /// # Errors
    /// As [`advance`](Self::advance).
    pub fn advance_head<'h>(
        &mut self,
        bytes: &'h [u8],
        known: usize,
        to_head: bool,
    ) -> Result<(usize, Option<AnswerHead<'h>>), AnswerFault> {
        let mut at = known;
        loop {
            match &self.state {
                ResponseState::Head => {}
                ResponseState::Broken(fault) => return Err(*fault),
                _ => return Ok((at, None)),
            }
            let rest = bytes.get(at..).unwrap_or_default();
            let (taken, ended) =
                self.next_line(rest, to_head).map_err(|fault| self.broken(0, fault).fault)?;
            at += taken;
            match ended {
                LineEnd::Open => return Ok((at, None)),
                LineEnd::Line => {}
                LineEnd::Head(whole) => {
                    let text = bytes.get(..at).unwrap_or_default();
                    return Ok((
                        at,
                        Some(AnswerHead::new(text, whole.status, whole.is_chunked, self.body())),
                    ));
                }
            }
        }
    }

    /// Parses the next bytes of the body, and gives its data to `on_data`, without the coding. Returns how many of them
    /// belong to it: all, unless it ends before.
    ///
    /// # Errors
    /// As [`advance`](Self::advance). What was given before it is good.
    pub fn advance_body(
        &mut self,
        bytes: &[u8],
        mut on_data: impl FnMut(&[u8]),
    ) -> Result<usize, AnswerFault> {
        match &mut self.state {
            ResponseState::Chunked(body) => match body.walk(bytes, on_data) {
                Ok(taken) => {
                    if body.is_done() {
                        self.state = ResponseState::Done;
                    }
                    Ok(taken)
                }
                Err(error) => Err(self.broken(0, error.into()).fault),
            },
            ResponseState::Length(left) => {
                let taken = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= taken as u64;
                if *left == 0 {
                    self.state = ResponseState::Done;
                }
                on_data(bytes.get(..taken).unwrap_or_default());
                Ok(taken)
            }
            ResponseState::ToTheEnd => {
                on_data(bytes);
                Ok(bytes.len())
            }
            ResponseState::Broken(fault) => Err(*fault),
            ResponseState::Head | ResponseState::Done => Ok(0),
        }
    }

    /// Whether a head comes next, of an interim answer or of the answer.
    pub fn awaits_head(&self) -> bool {
        matches!(self.state, ResponseState::Head)
    }

    /// What delimits the body that comes next.
    fn body(&self) -> AnswerBody {
        match &self.state {
            ResponseState::Length(length) => AnswerBody::Length(*length),
            ResponseState::Chunked(_) => AnswerBody::Chunked,
            ResponseState::ToTheEnd => AnswerBody::ToTheEnd,
            ResponseState::Head | ResponseState::Done | ResponseState::Broken(_) => AnswerBody::Nothing,
        }
    }

    /// The connection has ended.
    ///
    /// # Errors
    /// Where the head is not complete. A reader of the body sees itself what is missing.
    pub fn end(&mut self) -> Result<(), AnswerFault> {
        match self.state {
            ResponseState::ToTheEnd => self.state = ResponseState::Done,
            ResponseState::Head if self.is_within_head() => {
                self.state = ResponseState::Broken(AnswerFault::Cut);
                return Err(AnswerFault::Cut);
            }
            _ => {}
        }
        Ok(())
    }

    /// Whether it is complete.
    pub fn is_done(&self) -> bool {
        matches!(self.state, ResponseState::Done)
    }

    /// Whether it has begun, if only with an interim answer, and its head is not complete.
    pub fn is_within_head(&self) -> bool {
        self.interim > 0 && matches!(self.state, ResponseState::Head) || self.head_bytes() > 0
    }

    /// How many of the bytes so far belong to a head that is not whole yet.
    pub fn head_bytes(&self) -> usize {
        if matches!(self.state, ResponseState::Head) { self.head.bytes } else { 0 }
    }

    /// Whether its connection may serve the next request: it has ended by its own framing, and no field says that the
    /// connection ends too (RFC 9112, section 9.3).
    pub fn keeps_the_connection(&self) -> bool {
        self.is_done() && !self.head.closes && !self.head.is_http10
    }

    fn broken(&mut self, good: usize, fault: AnswerFault) -> Broken {
        self.state = ResponseState::Broken(fault);
        Broken { good, fault }
    }

    /// Takes bytes up to the end of a line, and checks each: a byte that cannot be part of a line is refused before the
    /// line ends. Returns how many they are, and what ends with them.
    fn next_line(&mut self, bytes: &[u8], to_head: bool) -> Result<(usize, LineEnd), AnswerFault> {
        let end = memchr(b'\n', bytes).map(|at| at + 1);
        let piece = bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default();
        self.head.bytes = self.head.bytes.saturating_add(piece.len());
        if self.head.bytes > MAX_HEAD_BYTES {
            return Err(AnswerFault::TooLarge);
        }
        if end.is_some() && self.line.is_empty() {
            // The usual case: a line comes whole.
            self.head.check(piece, 0)?;
            return Ok((piece.len(), self.end_line(piece, to_head)?));
        }
        let known = self.line.len();
        self.line.extend_from_slice(piece);
        self.head.check(&self.line, known)?;
        if end.is_none() {
            return Ok((piece.len(), LineEnd::Open));
        }
        let line = std::mem::take(&mut self.line);
        let ended = self.end_line(&line, to_head)?;
        self.line = line;
        self.line.clear();
        Ok((piece.len(), ended))
    }

    /// Reads a line with its CRLF.
    fn end_line(&mut self, line: &[u8], to_head: bool) -> Result<LineEnd, AnswerFault> {
        let line = line.strip_suffix(b"\r\n").unwrap_or(line);
        let Some(status) = self.head.status else {
            let (status, is_http10) = status_line(line)?;
            self.head.status = Some(status);
            self.head.is_http10 = is_http10;
            return Ok(LineEnd::Line);
        };
        if !line.is_empty() {
            self.head.field(line)?;
            return Ok(LineEnd::Line);
        }
        self.state = self.framing(status, to_head)?;
        let whole = WholeHead { status, is_chunked: self.head.is_chunked };
        if status < 200 {
            self.interim += 1;
            if self.interim > MAX_INTERIM {
                return Err(AnswerFault::Interim);
            }
            self.head = Head::default();
        }
        Ok(LineEnd::Head(whole))
    }

    /// The body that follows the head (RFC 9112, section 6.3), without the repairs.
    fn framing(&self, status: u16, to_head: bool) -> Result<ResponseState, AnswerFault> {
        let Head { is_http10, length, is_chunked, .. } = self.head;
        if is_chunked && length.is_some() {
            return Err(AnswerFault::TwoFramings);
        }
        if is_chunked && (is_http10 || status == 204 || status < 200) {
            return Err(AnswerFault::Coding);
        }
        if length.is_some_and(|length| length > 0) && (status == 204 || status < 200) {
            return Err(AnswerFault::NoBody);
        }
        Ok(match (status, length) {
            (101, _) => return Err(AnswerFault::Switched),
            (100..=199, _) => ResponseState::Head,
            (204 | 304, _) => ResponseState::Done,
            _ if to_head => ResponseState::Done,
            _ if is_chunked => ResponseState::Chunked(Chunked::new()),
            (_, Some(0)) => ResponseState::Done,
            (_, Some(length)) => ResponseState::Length(length),
            (_, None) => ResponseState::ToTheEnd,
        })
    }
}

impl Head {
    /// Checks the bytes of a line from `known` on; the line may not have ended. The first wrong byte decides the error, in
    /// whatever pieces the bytes come.
    fn check(&self, line: &[u8], known: usize) -> Result<(), AnswerFault> {
        let (line, has_lf) = line.strip_suffix(b"\n").map_or((line, false), |line| (line, true));
        // The last byte may be the CR of a CRLF.
        let (line, has_cr) = line.strip_suffix(b"\r").map_or((line, false), |line| (line, true));
        // Most lines are such: nothing is wrong with them.
        let is_field = self.status.is_some() && bytewise::all(line, is_field_byte);
        let checked = if is_field { line.len() } else { known.saturating_sub(1) };
        for (at, byte) in line.iter().enumerate().skip(checked) {
            match (byte, self.status) {
                (b'\r', _) => return Err(AnswerFault::LineEnd),
                (_, None) if !fits_status_line(at, *byte) => return Err(AnswerFault::StatusLine),
                (_, Some(_)) if !is_field_byte(*byte) => return Err(AnswerFault::Field(FieldFault::Value)),
                _ => {}
            }
        }
        if has_lf && !has_cr {
            return Err(AnswerFault::LineEnd);
        }
        Ok(())
    }

    fn field(&mut self, line: &[u8]) -> Result<(), AnswerFault> {
        self.fields += 1;
        if self.fields > MAX_FIELDS {
            return Err(AnswerFault::TooLarge);
        }
        // Its bytes were checked as they came.
        let (name, value) = field_line::split(line)?;
        if name.eq_ignore_ascii_case(b"content-length") {
            let length = field_line::number(value).ok_or(AnswerFault::Length)?;
            // A second field with the same value changes nothing (RFC 9110, section 8.6). `2` and `02` are not the same.
            let known = self.length.replace(length);
            let digits = std::mem::replace(&mut self.length_digits, value.len());
            if known.is_some_and(|known| (known, digits) != (length, value.len())) {
                return Err(AnswerFault::Length);
            }
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if self.is_chunked || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(AnswerFault::Coding);
            }
            self.is_chunked = true;
        } else if name.eq_ignore_ascii_case(b"connection") {
            let options = value.split(|byte| *byte == b',').map(field_line::trim_ows);
            self.closes |= options.into_iter().any(|option| option.eq_ignore_ascii_case(b"close"));
        }
        Ok(())
    }
}

/// How many bytes of a chunked body are well chunked.
fn good_chunks(mut body: Chunked, bytes: &[u8]) -> usize {
    bytes.chunks(1).take_while(|byte| body.advance(byte).is_ok()).count()
}

/// Whether a status line can have this byte at this place.
fn fits_status_line(at: usize, byte: u8) -> bool {
    match b"HTTP/1.v sss ".get(at) {
        Some(b'v') => matches!(byte, b'0' | b'1'),
        Some(b's') => byte.is_ascii_digit(),
        Some(form) => byte == *form,
        None => is_field_byte(byte),
    }
}

/// `HTTP-version SP status-code SP [ reason-phrase ]` (RFC 9112, section 4): a line of bytes that [`fits_status_line`]
/// allows. Many servers leave the second space out where there is no phrase; all readers read that alike. Returns the
/// status, and whether the version is 1.0.
fn status_line(line: &[u8]) -> Result<(u16, bool), AnswerFault> {
    let digits = line.get(9..12).and_then(field_line::number).and_then(|number| u16::try_from(number).ok());
    let (Some(status), None | Some(b' ')) = (digits, line.get(12)) else {
        return Err(AnswerFault::StatusLine);
    };
    if !(100..=599).contains(&status) {
        return Err(AnswerFault::Status);
    }
    Ok((status, line.get(7) == Some(&b'0')))
}

#[cfg(test)]
mod tests;
