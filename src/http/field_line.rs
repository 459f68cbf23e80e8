//! One field line of an HTTP/1 head, of a request or of an answer: the same rule for both.

use memchr::memchr;

use super::is_token_byte;

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldFault {
    /// It begins with white space: it would continue the line before (obs-fold, RFC 9112, section 5.2).
    #[error("a header field is folded over two lines")]
    Folded,
    /// There is no colon.
    #[error("a header line has no colon")]
    NoColon,
    /// The name is empty, or has a byte that no token has: a space before the colon, for one.
    #[error("a header field's name is not a token")]
    Name,
    /// The value has a control character other than a tab.
    #[error("a header field's value holds a control character")]
    Value,
}

/// Splits `field-name ":" OWS field-value OWS` (RFC 9112, section 5). `line` holds no CR and no LF at its end. The bytes of
/// the value are not tested: the caller does.
///
/// # Errors
/// Where it is written in any other way.
pub(super) fn split(line: &[u8]) -> Result<(&[u8], &[u8]), FieldFault> {
    if line.first().is_some_and(|byte| matches!(byte, b' ' | b'\t')) {
        return Err(FieldFault::Folded);
    }
    let (name, value) = cut(line).ok_or(FieldFault::NoColon)?;
    if name.is_empty() || !name.iter().all(|byte| is_token_byte(*byte)) {
        return Err(FieldFault::Name);
    }
    Ok((name, value))
}

/// Name and value of a line that [`split`] has passed.
pub(super) fn cut(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let (name, value) = line.split_at_checked(memchr(b':', line)?)?;
    // OWS is space and tab, no other white space (RFC 9110, section 5.6.3).
    Some((name, trim_ows(value.get(1..)?)))
}

/// A value without the optional white space around it.
pub(super) fn trim_ows(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// A length: `1*DIGIT` (RFC 9110, section 8.6), no sign, no list, no space.
pub(super) fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 18 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(digits.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    #[test]
    fn a_line_is_a_name_a_colon_and_a_value() {
        assert_eq!(split(b"X-A: b"), Ok((&b"X-A"[..], &b"b"[..])));
        assert_eq!(split(b"x: \t a: b\t "), Ok((&b"x"[..], &b"a: b"[..])));
        assert_eq!(split(b"x:"), Ok((&b"x"[..], &b""[..])));
        assert_eq!(split(b"x:\xff"), Ok((&b"x"[..], &b"\xff"[..])));
    }

    #[test]
    fn input_that_readers_repair_is_refused() {
        for (line, fault) in [
            (&b" x: y"[..], FieldFault::Folded),
            (b"\tx: y", FieldFault::Folded),
            (b"", FieldFault::NoColon),
            (b"x", FieldFault::NoColon),
            (b": y", FieldFault::Name),
            (b"x : y", FieldFault::Name),
            (b"x\0: y", FieldFault::Name),
            (b"x\xe9: y", FieldFault::Name),
        ] {
            assert_eq!(split(line), Err(fault), "{:?}", line.escape_ascii().to_string());
        }
    }

    /// The library that holds the names has the same rule for them.
    #[test]
    fn a_name_is_what_the_library_takes() {
        for byte in 0..=u8::MAX {
            let line = [b'x', byte, b':'];
            let name = HeaderName::from_bytes(&line[..2]).is_ok();
            assert_eq!(split(&line).is_ok(), name || byte == b':', "{byte}");
        }
    }
}
