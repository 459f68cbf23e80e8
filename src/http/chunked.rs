//! The chunked transfer coding, parsed as its bytes pass (RFC 9112, section 7.1).
//!
//! Libraries read chunks leniently: a missing size is 0, an extension is anything up to the next CRLF, a trailer is any
//! line. If one of two readers in a row ends lines at a bare LF, or reads another size, it sees the end of the body in
//! another place: data for one is a request for the other. So every byte is checked against the grammar before a
//! library sees it:
//!
//! ```text
//! chunked-body = *chunk last-chunk trailer-section CRLF
//! chunk        = chunk-size [ chunk-ext ] CRLF chunk-data CRLF
//! chunk-ext    = *( BWS ";" BWS token [ BWS "=" BWS ( token / quoted-string ) ] )
//! last-chunk   = 1*"0" [ chunk-ext ] CRLF
//!
//!    ┌───────────────────────────── CRLF ◄── Data ◄─┐
//!    ▼                                              │ not 0
//!  Size ──► ";" Name ──► "=" Value ──► ";" … ──► CRLF
//!                                                   │ 0
//!                     Done ◄── CRLF ◄── Trailer … ◄─┘
//! ```
//!
//! It serves both directions, keeps no data and allocates nothing.

mod writer;

use thiserror::Error;

use super::head::is_field_byte;
use super::{is_token_byte, malformed};
use crate::reason::Denial;

pub use self::writer::{LAST_CHUNK, put_chunk};

/// Most digits of a chunk-size, leading zeros included: what fits 64 bits. The grammar has no bound, but readers have.
pub const MAX_SIZE_DIGITS: u8 = 16;
/// The largest chunk-size. Readers that hold sizes in signed 64 bits take a larger one for another.
pub const MAX_SIZE: u64 = i64::MAX.cast_unsigned();
/// Most bytes by which extensions may be ahead of the data (RFC 9112, section 7.1.1, asks for a limit). A sender that
/// signs or stamps each of its chunks stays below; one that sends only extensions does not.
pub const MAX_EXTENSION_BYTES: u64 = 4 * 1024;
/// Most bytes of the trailer section: many times what checksums and signatures at the end of a body need.
pub const MAX_TRAILER_BYTES: u64 = 8 * 1024;

/// Fields that are not trailers: a reader must know them before the content (RFC 9110, section 6.5.1). A sender must
/// not send them, and a reader that merges trailers into the head would get another request than the one that was
/// judged. Lower case.
const NEVER_TRAILERS: &[&str] = &[
    // Message framing and the connection.
    "transfer-encoding",
    "content-length",
    "trailer",
    "te",
    "connection",
    "keep-alive",
    "proxy-connection",
    "upgrade",
    // Routing.
    "host",
    // Authentication, and fields that replace it.
    "authorization",
    "proxy-authorization",
    "www-authenticate",
    "proxy-authenticate",
    "cookie",
    "set-cookie",
    // Request modifiers.
    "expect",
    "max-forwards",
    "range",
    "if-match",
    "if-none-match",
    "if-modified-since",
    "if-unmodified-since",
    "if-range",
    "cache-control",
    "pragma",
    // Content format.
    "content-encoding",
    "content-type",
    "content-range",
];
/// No name in [`NEVER_TRAILERS`] is longer.
const LONGEST_NAME: usize = 19;

/// Why a body is not a chunked one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ChunkError {
    /// No digits, or something between them.
    #[error("a chunk-size is missing, or is not hexadecimal digits alone")]
    Size,
    /// More digits than [`MAX_SIZE_DIGITS`], or more than [`MAX_SIZE`].
    #[error("a chunk-size is too large")]
    SizeTooLarge,
    /// Something behind a size that is neither an extension nor a CRLF; blanks are neither.
    #[error("a chunk extension is not `;name`, `;name=token` or `;name=\"text\"`")]
    Extension,
    /// More than [`MAX_EXTENSION_BYTES`] ahead of the data.
    #[error("the chunk extensions are too long")]
    ExtensionsTooLong,
    /// A CR or an LF that is not a CRLF.
    #[error("a line between the chunks does not end in CRLF")]
    LineEnd,
    /// A chunk's data is not as long as its size says.
    #[error("a chunk's data does not end where its size says")]
    DataEnd,
    /// A line that is not `name: value`.
    #[error("a trailer is not a field, `name: value`")]
    Trailer,
    /// One of the fields that are not trailers.
    #[error("a trailer is a field that belongs in the head")]
    NotATrailer,
    /// More than [`MAX_TRAILER_BYTES`].
    #[error("the trailers are too long")]
    TrailersTooLong,
}

impl ChunkError {
    /// The denial of a request with such a body. The client is told.
    pub fn denial(self) -> Denial {
        malformed(format!("the body is not well chunked: {self}"))
    }
}

/// How far a chunked body has come.
#[derive(Clone, Debug)]
pub struct Chunked {
    state: ChunkedState,
    /// Of the chunk under way.
    size: u64,
    digits: u8,
    /// Bytes of extensions that are not yet matched by data.
    extension_bytes: u64,
    trailer_bytes: u64,
    /// The name of the trailer under way, in lower case, as far as it can be one of [`NEVER_TRAILERS`].
    name: [u8; LONGEST_NAME],
    name_length: usize,
    has_chunk: bool,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ChunkedState {
    /// The first digit of a size.
    SizeStart,
    /// Another one, an extension or the end of the line.
    Size,
    /// Blanks have come after a size or an extension's value: only `;` may follow.
    BeforeSemicolon,
    /// `;` has come: blanks, then a name.
    NameStart,
    Name,
    /// Blanks have come after a name: only `=` or `;` may follow.
    AfterName,
    /// `=` has come: blanks, then a value.
    ValueStart,
    Value,
    Quoted,
    /// `\` has come in a quoted value.
    QuotedPair,
    /// The closing quote has come.
    QuotedEnd,
    /// The CR of a size's line has come.
    LineLf,
    Data {
        left: u64,
    },
    DataCr,
    DataLf,
    /// A trailer's name, or the CR of the end.
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLf,
    EndLf,
    Done,
    Broken(ChunkError),
}

impl Default for Chunked {
    fn default() -> Self {
        Self::new()
    }
}

impl Chunked {
    /// A body of which nothing has come yet.
    pub fn new() -> Self {
        Self {
            state: ChunkedState::SizeStart,
            size: 0,
            digits: 0,
            extension_bytes: 0,
            trailer_bytes: 0,
            name: [0; LONGEST_NAME],
            name_length: 0,
            has_chunk: false,
        }
    }

    /// Parses the next bytes on the connection, and returns how many of them belong to the body: all, until it ends
    /// among them. Bytes behind its end are never looked at.
    ///
    /// # Errors
    /// Where the bytes are not a chunked body's. None of them may be used then. Every later call gives the same error.
    pub fn advance(&mut self, bytes: &[u8]) -> Result<usize, ChunkError> {
        self.walk(bytes, |_| {})
    }

    /// As [`advance`](Self::advance), and appends the data of the chunks to `data`.
    ///
    /// # Errors
    /// As `advance`. `data` may then hold a part of the body.
    pub fn decode(&mut self, bytes: &[u8], data: &mut Vec<u8>) -> Result<usize, ChunkError> {
        self.walk(bytes, |piece| data.extend_from_slice(piece))
    }

    /// As [`advance`](Self::advance), and gives each piece of the data to `on_data`.
    ///
    /// # Errors
    /// As `advance`. What was given before it is good.
    pub fn walk(&mut self, bytes: &[u8], mut on_data: impl FnMut(&[u8])) -> Result<usize, ChunkError> {
        let mut rest = bytes;
        while self.state != ChunkedState::Done {
            let Some((byte, behind)) = rest.split_first() else { break };
            if let ChunkedState::Data { left } = self.state {
                let length = usize::try_from(left).map_or(rest.len(), |left| left.min(rest.len()));
                let (piece, behind) = rest.split_at_checked(length).unwrap_or((rest, &[]));
                on_data(piece);
                rest = behind;
                let left = left.saturating_sub(length as u64);
                self.state = if left == 0 { ChunkedState::DataCr } else { ChunkedState::Data { left } };
                continue;
            }
            match self.step(*byte) {
                Ok(state) => self.state = state,
                Err(error) => {
                    self.state = ChunkedState::Broken(error);
                    return Err(error);
                }
            }
            rest = behind;
        }
        Ok(bytes.len().saturating_sub(rest.len()))
    }

    /// Whether the body has ended.
    pub fn is_done(&self) -> bool {
        self.state == ChunkedState::Done
    }

    /// Whether the first chunk has come, data and all, or the end of a body that has none.
    pub fn has_chunk(&self) -> bool {
        self.has_chunk
    }

    fn step(&mut self, byte: u8) -> Result<ChunkedState, ChunkError> {
        match self.state {
            ChunkedState::SizeStart | ChunkedState::Size => self.size(byte),
            ChunkedState::LineLf if byte == b'\n' => Ok(match self.size {
                0 => ChunkedState::TrailerStart,
                left => ChunkedState::Data { left },
            }),
            ChunkedState::DataCr if byte == b'\r' => Ok(ChunkedState::DataLf),
            ChunkedState::DataLf if byte == b'\n' => {
                self.has_chunk = true;
                self.extension_bytes = self.extension_bytes.saturating_sub(self.size);
                (self.size, self.digits) = (0, 0);
                Ok(ChunkedState::SizeStart)
            }
            ChunkedState::DataCr | ChunkedState::DataLf => Err(ChunkError::DataEnd),
            ChunkedState::TrailerStart | ChunkedState::TrailerName | ChunkedState::TrailerValue => {
                self.trailer(byte)
            }
            ChunkedState::TrailerLf if byte == b'\n' => Ok(ChunkedState::TrailerStart),
            ChunkedState::EndLf if byte == b'\n' => {
                self.has_chunk = true;
                Ok(ChunkedState::Done)
            }
            ChunkedState::LineLf | ChunkedState::TrailerLf | ChunkedState::EndLf => Err(ChunkError::LineEnd),
            ChunkedState::Broken(error) => Err(error),
            // `advance` handles both.
            ChunkedState::Data { .. } | ChunkedState::Done => Err(ChunkError::DataEnd),
            _ => self.extension(byte),
        }
    }

    /// `chunk-size = 1*HEXDIG`, and what may follow it.
    fn size(&mut self, byte: u8) -> Result<ChunkedState, ChunkError> {
        if let Some(digit) = char::from(byte).to_digit(16) {
            if self.digits == MAX_SIZE_DIGITS {
                return Err(ChunkError::SizeTooLarge);
            }
            self.digits += 1;
            // Sixteen digits fit.
            self.size = self.size << 4 | u64::from(digit);
            return if self.size > MAX_SIZE { Err(ChunkError::SizeTooLarge) } else { Ok(ChunkedState::Size) };
        }
        match byte {
            _ if self.digits == 0 => Err(ChunkError::Size),
            b'\r' => Ok(ChunkedState::LineLf),
            b'\n' => Err(ChunkError::LineEnd),
            b' ' | b'\t' | b';' => self.extension(byte),
            _ => Err(ChunkError::Size),
        }
    }

    /// `chunk-ext`, byte by byte. A blank may stand around `;` and `=`, never before the CRLF.
    fn extension(&mut self, byte: u8) -> Result<ChunkedState, ChunkError> {
        let is_blank = matches!(byte, b' ' | b'\t');
        let next = match (self.state, byte) {
            (
                ChunkedState::Size | ChunkedState::Name | ChunkedState::Value | ChunkedState::QuotedEnd,
                b'\r',
            ) => return Ok(ChunkedState::LineLf),
            (
                ChunkedState::Size
                | ChunkedState::Value
                | ChunkedState::QuotedEnd
                | ChunkedState::BeforeSemicolon,
                _,
            ) if is_blank => ChunkedState::BeforeSemicolon,
            (
                ChunkedState::Size
                | ChunkedState::Value
                | ChunkedState::QuotedEnd
                | ChunkedState::BeforeSemicolon,
                b';',
            ) => ChunkedState::NameStart,
            (ChunkedState::NameStart, _) if is_blank => ChunkedState::NameStart,
            (ChunkedState::NameStart | ChunkedState::Name, _) if is_token_byte(byte) => ChunkedState::Name,
            (ChunkedState::Name | ChunkedState::AfterName, _) if is_blank => ChunkedState::AfterName,
            (ChunkedState::Name | ChunkedState::AfterName, b';') => ChunkedState::NameStart,
            (ChunkedState::Name | ChunkedState::AfterName, b'=') => ChunkedState::ValueStart,
            (ChunkedState::ValueStart, _) if is_blank => ChunkedState::ValueStart,
            (ChunkedState::ValueStart, b'"') | (ChunkedState::QuotedPair, b'"' | b'\\') => {
                ChunkedState::Quoted
            }
            (ChunkedState::ValueStart | ChunkedState::Value, _) if is_token_byte(byte) => ChunkedState::Value,
            (ChunkedState::Quoted, b'"') => ChunkedState::QuotedEnd,
            (ChunkedState::Quoted, b'\\') => ChunkedState::QuotedPair,
            // `qdtext`, and the bytes that `\` may quote (RFC 9110, section 5.6.4): those that a field's value may
            // hold.
            (ChunkedState::Quoted | ChunkedState::QuotedPair, _) if is_field_byte(byte) => {
                ChunkedState::Quoted
            }
            (_, b'\n') => return Err(ChunkError::LineEnd),
            _ => return Err(ChunkError::Extension),
        };
        self.extension_bytes += 1;
        if self.extension_bytes > MAX_EXTENSION_BYTES {
            return Err(ChunkError::ExtensionsTooLong);
        }
        Ok(next)
    }

    /// `trailer-section = *( field-line CRLF )` and the CRLF behind it; fields by the rules of a head's.
    fn trailer(&mut self, byte: u8) -> Result<ChunkedState, ChunkError> {
        self.trailer_bytes += 1;
        if self.trailer_bytes > MAX_TRAILER_BYTES {
            return Err(ChunkError::TrailersTooLong);
        }
        match (self.state, byte) {
            (ChunkedState::TrailerStart, b'\r') => Ok(ChunkedState::EndLf),
            (ChunkedState::TrailerValue, b'\r') => Ok(ChunkedState::TrailerLf),
            (_, b'\n') => Err(ChunkError::LineEnd),
            (ChunkedState::TrailerStart, _) if is_token_byte(byte) => {
                self.name_length = 0;
                self.note_name(byte);
                Ok(ChunkedState::TrailerName)
            }
            (ChunkedState::TrailerName, _) if is_token_byte(byte) => {
                self.note_name(byte);
                Ok(ChunkedState::TrailerName)
            }
            (ChunkedState::TrailerName, b':') if self.is_never_a_trailer() => Err(ChunkError::NotATrailer),
            (ChunkedState::TrailerName, b':') => Ok(ChunkedState::TrailerValue),
            (ChunkedState::TrailerValue, _) if is_field_byte(byte) => Ok(ChunkedState::TrailerValue),
            _ => Err(ChunkError::Trailer),
        }
    }

    fn note_name(&mut self, byte: u8) {
        if let Some(place) = self.name.get_mut(self.name_length) {
            *place = byte.to_ascii_lowercase();
        }
        self.name_length += 1;
    }

    fn is_never_a_trailer(&self) -> bool {
        let name = self.name.get(..self.name_length);
        name.is_some_and(|name| NEVER_TRAILERS.iter().any(|never| never.as_bytes() == name))
    }
}

#[cfg(test)]
mod tests;
