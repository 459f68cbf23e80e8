//! Strings and bytes as they are written: prefixes, quotes, escapes.

use super::fault::CompileError;

/// How a string or bytes literal begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opening {
    /// Bytes of the prefix and the quotes.
    pub(super) length: usize,
    pub(super) bytes: bool,
    pub(super) triple: bool,
    raw: bool,
    quote: char,
}

/// What an escape stands for: in bytes, the two are told apart.
enum Escaped {
    Character(char),
    /// `\x41`, `\101`: a code point in strings, an octet in bytes.
    Octet(u8),
}

const ESCAPES: &str =
    r#"known are \\ \" \' \` \? \a \b \f \n \r \t \v \xHH \uHHHH \UHHHHHHHH \OOO; r'…' takes all as it is"#;

impl Opening {
    /// The opening of a literal, where the text starts with one.
    pub(super) fn of(text: &str) -> Option<Self> {
        let mut rest = text;
        let bytes = rest.starts_with(['b', 'B']);
        if bytes {
            rest = rest.get(1..)?;
        }
        let raw = rest.starts_with(['r', 'R']);
        if raw {
            rest = rest.get(1..)?;
        }
        let quote = rest.chars().next().filter(|first| matches!(first, '"' | '\''))?;
        let triple = rest.chars().take(3).filter(|next| *next == quote).count() == 3;
        let length = text.len() - rest.len() + if triple { 3 } else { 1 };
        Some(Self { length, bytes, triple, raw, quote })
    }

    /// How long the text between the quotes is, and how long it is with the closing ones.
    pub(super) fn extent(self, body: &str) -> Option<(usize, usize)> {
        let mut escaped = false;
        for (at, character) in body.char_indices() {
            if escaped {
                escaped = false;
            } else if character == '\\' && !self.raw {
                escaped = true;
            } else if character == self.quote {
                let here = body.get(at..).unwrap_or_default();
                if !self.triple {
                    return Some((at, at + 1));
                }
                if here.chars().take(3).filter(|next| *next == self.quote).count() == 3 {
                    return Some((at, at + 3));
                }
            }
            if !self.triple && matches!(character, '\n' | '\r') {
                return None;
            }
        }
        None
    }

    /// The string that is meant. `offset` is where the body stands in the expression.
    pub(super) fn to_string(self, body: &str, offset: usize) -> Result<String, CompileError> {
        let mut text = String::with_capacity(body.len());
        self.read(body, offset, |piece| match piece {
            Escaped::Character(character) => text.push(character),
            Escaped::Octet(octet) => text.push(char::from(octet)),
        })?;
        Ok(text)
    }

    /// The bytes that are meant.
    pub(super) fn to_bytes(self, body: &str, offset: usize) -> Result<Vec<u8>, CompileError> {
        let mut bytes = Vec::with_capacity(body.len());
        self.read(body, offset, |piece| match piece {
            Escaped::Character(character) => {
                bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            }
            Escaped::Octet(octet) => bytes.push(octet),
        })?;
        Ok(bytes)
    }

    fn read(self, body: &str, offset: usize, mut take: impl FnMut(Escaped)) -> Result<(), CompileError> {
        let mut rest = body;
        while let Some(first) = rest.chars().next() {
            let at = offset + body.len() - rest.len();
            if first == '\\' && !self.raw {
                let after = rest.get(1..).unwrap_or_default();
                let (escaped, length) = self.escape(after).map_err(|length| {
                    let written = after.get(..length).unwrap_or_default();
                    CompileError::new(at..at + 1 + length, format!("`\\{written}` is not an escape"), ESCAPES)
                })?;
                take(escaped);
                rest = after.get(length..).unwrap_or_default();
            } else {
                take(Escaped::Character(first));
                rest = rest.get(first.len_utf8()..).unwrap_or_default();
            }
        }
        Ok(())
    }

    /// The escape after a backslash and its length; for what is none, how much of it to underline.
    fn escape(self, text: &str) -> Result<(Escaped, usize), usize> {
        let Some(first) = text.chars().next() else { return Err(0) };
        let simple = match first {
            '\\' | '"' | '\'' | '`' | '?' => first,
            'a' => '\x07',
            'b' => '\x08',
            'f' => '\x0c',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\x0b',
            'x' | 'X' => return Ok((Escaped::Octet(octet(text.get(1..3), 16).ok_or(1_usize)?), 3)),
            '0'..='3' => return Ok((Escaped::Octet(octet(text.get(..3), 8).ok_or(1_usize)?), 3)),
            // An octet has no room for a code point: in bytes, it is written as its UTF-8.
            'u' | 'U' if !self.bytes => {
                let length = if first == 'u' { 5 } else { 9 };
                let digits =
                    text.get(1..length).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
                let code = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()).ok_or(1_usize)?;
                return Ok((Escaped::Character(char::from_u32(code).ok_or(length)?), length));
            }
            other => return Err(other.len_utf8()),
        };
        Ok((Escaped::Character(simple), first.len_utf8()))
    }
}

fn octet(digits: Option<&str>, radix: u32) -> Option<u8> {
    let digits = digits.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
    u8::from_str_radix(digits, radix).ok()
}
