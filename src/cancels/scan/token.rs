//! Texts and numbers of JSON, byte by byte (RFC 8259, sections 6 and 7).

/// Where a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TextState {
    /// Between escapes.
    Plain,
    /// Behind a backslash; `high` is the first half of a character that the second must follow.
    Escape { high: Option<u16> },
    /// Behind `\u` and some digits.
    Digits { high: Option<u16>, value: u16, left: u8 },
    /// Behind the first half of a character.
    Half { high: u16 },
}

impl TextState {
    /// The next state but that of a plain byte, and the character that an escape stands for. `None` for a byte that cannot
    /// come here.
    pub(super) fn next(self, byte: u8) -> Option<(Self, Option<char>)> {
        match self {
            Self::Plain => None,
            Self::Half { high } if byte == b'\\' => Some((Self::Escape { high: Some(high) }, None)),
            Self::Half { .. } => None,
            Self::Escape { high } if byte == b'u' => Some((Self::Digits { high, value: 0, left: 4 }, None)),
            Self::Escape { high: Some(_) } => None,
            Self::Escape { high: None } => {
                let character = match byte {
                    b'"' | b'\\' | b'/' => char::from(byte),
                    b'b' => '\u{8}',
                    b'f' => '\u{c}',
                    b'n' => '\n',
                    b'r' => '\r',
                    b't' => '\t',
                    _ => return None,
                };
                Some((Self::Plain, Some(character)))
            }
            Self::Digits { high, value, left } => {
                let digit = char::from(byte).to_digit(16).and_then(|digit| u16::try_from(digit).ok())?;
                let value = value << 4 | digit;
                if left > 1 {
                    return Some((Self::Digits { high, value, left: left - 1 }, None));
                }
                decoded(high, value)
            }
        }
    }
}

/// A character of one or two halves (UTF-16).
fn decoded(high: Option<u16>, value: u16) -> Option<(TextState, Option<char>)> {
    match (high, value) {
        (None, 0xD800..=0xDBFF) => Some((TextState::Half { high: value }, None)),
        (None, _) => char::from_u32(u32::from(value)).map(|character| (TextState::Plain, Some(character))),
        (Some(high), 0xDC00..=0xDFFF) => {
            let character = 0x1_0000 + ((u32::from(high) - 0xD800) << 10) + (u32::from(value) - 0xDC00);
            char::from_u32(character).map(|character| (TextState::Plain, Some(character)))
        }
        (Some(_), _) => None,
    }
}

/// Where a number is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NumberState {
    Minus,
    /// A zero in front, which no digit may follow.
    Zero,
    Digits,
    Point,
    Fraction,
    E,
    Sign,
    Exponent,
}

impl NumberState {
    /// Of the first byte: `-` or a digit.
    pub(super) fn first(byte: u8) -> Self {
        match byte {
            b'-' => Self::Minus,
            b'0' => Self::Zero,
            _ => Self::Digits,
        }
    }

    /// The next state; `None` where the byte is not of the number.
    pub(super) fn next(self, byte: u8) -> Option<Self> {
        match (self, byte) {
            (Self::Minus, b'0') => Some(Self::Zero),
            (Self::Minus, b'1'..=b'9') | (Self::Digits, b'0'..=b'9') => Some(Self::Digits),
            (Self::Zero | Self::Digits, b'.') => Some(Self::Point),
            (Self::Point | Self::Fraction, b'0'..=b'9') => Some(Self::Fraction),
            (Self::Zero | Self::Digits | Self::Fraction, b'e' | b'E') => Some(Self::E),
            (Self::E, b'+' | b'-') => Some(Self::Sign),
            (Self::E | Self::Sign | Self::Exponent, b'0'..=b'9') => Some(Self::Exponent),
            _ => None,
        }
    }

    /// Whether a number may end here.
    pub(super) fn is_whole(self) -> bool {
        matches!(self, Self::Zero | Self::Digits | Self::Fraction | Self::Exponent)
    }
}

pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}
