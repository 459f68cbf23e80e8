//! Text to tokens, each with its place.

use std::ops::Range;

use super::fault::CompileError;
use super::literal;

/// A token and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Lexeme {
    pub(super) kind: TokenKind,
    pub(super) range: Range<usize>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum TokenKind {
    /// A name or a word that CEL reserves.
    Word(String),
    /// A name in backticks, as fields may be.
    Quoted(String),
    /// The magnitude: the sign is an operator, and only with it 2^63 is a number.
    Int(u64),
    Uint(u64),
    Double(f64),
    String(String),
    Bytes(Vec<u8>),
    /// An operator or a bracket.
    Symbol(&'static str),
    End,
}

/// The longest first, so that `<=` is not `<`.
const SYMBOLS: &[&str] = &[
    "&&", "||", "==", "!=", "<=", ">=", "<", ">", "!", "?", ":", "+", "-", "*", "/", "%", ".", ",", "(", ")",
    "[", "]", "{", "}",
];

/// What other languages write, and what it is in CEL.
const FOREIGN: &[(char, &str)] = &[
    ('=', "equality is written `==`"),
    ('&', "and is written `&&`"),
    ('|', "or is written `||`"),
    ('“', "strings stand in straight quotes, \"…\" or '…'"),
    ('”', "strings stand in straight quotes, \"…\" or '…'"),
    ('‘', "strings stand in straight quotes, \"…\" or '…'"),
    ('’', "strings stand in straight quotes, \"…\" or '…'"),
    ('$', "names are written without `$`"),
    (';', "an expression has one value: join conditions with `&&`"),
];

pub(super) struct Lexer<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Lexer<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, at: 0 }
    }

    pub(super) fn token(&mut self) -> Result<Lexeme, CompileError> {
        self.skip_space();
        let start = self.at;
        let Some(first) = self.rest().chars().next() else {
            return Ok(Lexeme { kind: TokenKind::End, range: start..start });
        };
        let kind = if let Some(opening) = literal::Opening::of(self.rest()) {
            self.quoted(opening)?
        } else if first.is_ascii_digit()
            || (first == '.' && self.byte(1).is_some_and(|byte| byte.is_ascii_digit()))
        {
            self.number()?
        } else if first.is_ascii_alphabetic() || first == '_' {
            TokenKind::Word(self.take_while(|byte| byte.is_ascii_alphanumeric() || byte == b'_').to_owned())
        } else if first == '`' {
            self.quoted_name()?
        } else if let Some(symbol) = SYMBOLS.iter().find(|symbol| self.rest().starts_with(**symbol)) {
            self.at += symbol.len();
            TokenKind::Symbol(symbol)
        } else {
            let range = start..start + first.len_utf8();
            let help = FOREIGN.iter().find(|(foreign, _)| *foreign == first).map(|(_, help)| *help);
            let message = format!("`{}` is not part of an expression", first.escape_debug());
            return Err(CompileError::new(
                range,
                message,
                help.unwrap_or("write it within a string, or leave it out"),
            ));
        };
        Ok(Lexeme { kind, range: start..self.at })
    }

    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn byte(&self, ahead: usize) -> Option<u8> {
        self.text.as_bytes().get(self.at + ahead).copied()
    }

    fn take_while(&mut self, wanted: impl Fn(u8) -> bool) -> &'t str {
        let length = self.rest().bytes().take_while(|byte| wanted(*byte)).count();
        let taken = self.rest().get(..length).unwrap_or_default();
        self.at += length;
        taken
    }

    fn skip_space(&mut self) {
        loop {
            self.take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b'\x0c'));
            if !self.rest().starts_with("//") {
                return;
            }
            self.take_while(|byte| byte != b'\n');
        }
    }

    /// Digits, a fraction, an exponent, a `u`; and nothing that would make a word of it.
    fn number(&mut self) -> Result<TokenKind, CompileError> {
        let start = self.at;
        let hexadecimal =
            self.rest().starts_with("0x") && self.byte(2).is_some_and(|byte| byte.is_ascii_hexdigit());
        let mut fractional = false;
        if hexadecimal {
            self.at += 2;
            self.take_while(|byte| byte.is_ascii_hexdigit());
        } else {
            self.take_while(|byte| byte.is_ascii_digit());
            if self.byte(0) == Some(b'.') && self.byte(1).is_some_and(|byte| byte.is_ascii_digit()) {
                fractional = true;
                self.at += 1;
                self.take_while(|byte| byte.is_ascii_digit());
            }
            fractional |= self.exponent();
        }
        let digits = self.text.get(start..self.at).unwrap_or_default();
        let unsigned = !fractional && matches!(self.byte(0), Some(b'u' | b'U'));
        if unsigned {
            self.at += 1;
        }
        let tail = self.take_while(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let range = start..self.at;
        if !tail.is_empty() {
            let written = self.text.get(range.clone()).unwrap_or_default();
            let help = "write a space or an operator after a number";
            return Err(CompileError::new(range, format!("`{written}` is not a number"), help));
        }
        if fractional {
            let value: f64 = digits.parse().unwrap_or(f64::INFINITY);
            let too_large =
                || CompileError::new(range, "the number is too large", "a double reaches to about 1.8e308");
            return if value.is_finite() { Ok(TokenKind::Double(value)) } else { Err(too_large()) };
        }
        let value = match digits.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16),
            None => digits.parse(),
        };
        match value {
            Ok(value) if unsigned => Ok(TokenKind::Uint(value)),
            Ok(value) => Ok(TokenKind::Int(value)),
            Err(_) => Err(CompileError::new(range, "the number is too large", "integers have 64 bits")),
        }
    }

    /// `e+10`. An `e` without digits is left: it makes the number a fault.
    fn exponent(&mut self) -> bool {
        if !matches!(self.byte(0), Some(b'e' | b'E')) {
            return false;
        }
        let sign = usize::from(matches!(self.byte(1), Some(b'+' | b'-')));
        if !self.byte(1 + sign).is_some_and(|byte| byte.is_ascii_digit()) {
            return false;
        }
        self.at += 1 + sign;
        self.take_while(|byte| byte.is_ascii_digit());
        true
    }

    fn quoted_name(&mut self) -> Result<TokenKind, CompileError> {
        let start = self.at;
        self.at += 1;
        let name = self
            .take_while(|byte| {
                byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b'/' | b' ')
            })
            .to_owned();
        if name.is_empty() || self.byte(0) != Some(b'`') {
            let help = "between backticks stand letters, digits, `_`, `.`, `-`, `/` and spaces; any key can be \
                        written as `map['key']`";
            return Err(CompileError::new(start..self.at, "the quoted field does not end as one", help));
        }
        self.at += 1;
        Ok(TokenKind::Quoted(name))
    }

    fn quoted(&mut self, opening: literal::Opening) -> Result<TokenKind, CompileError> {
        let start = self.at;
        let body = start + opening.length;
        let Some((length, total)) = opening.extent(self.text.get(body..).unwrap_or_default()) else {
            let help = if opening.triple {
                "end it with the same three quotes"
            } else {
                "end it with the same quote on the same line; a string over several lines has three quotes"
            };
            return Err(CompileError::new(start..body, "the string does not end", help));
        };
        self.at = body + total;
        let text = self.text.get(body..body + length).unwrap_or_default();
        if opening.bytes {
            opening.to_bytes(text, body).map(TokenKind::Bytes)
        } else {
            opening.to_string(text, body).map(TokenKind::String)
        }
    }
}
