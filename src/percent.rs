//! Percent-encoding (RFC 3986, section 2.1), read strictly: a `%` that two hex digits do not follow is a fault, and each reader
//! says what it makes of it.

/// A byte of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Octet {
    /// It stands as it is.
    Plain(u8),
    /// `%` and two hex digits name it.
    Encoded(u8),
}

/// A `%` that two hex digits do not follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadEscape;

/// The bytes of a text, decoded once. Ends after a fault: what follows it has no meaning.
pub(crate) fn octets(text: &str) -> impl Iterator<Item = Result<Octet, BadEscape>> {
    let mut rest = text.bytes();
    let mut is_bad = false;
    std::iter::from_fn(move || {
        if is_bad {
            return None;
        }
        let octet = match rest.next()? {
            b'%' => {
                let digits = rest.next().zip(rest.next());
                digits.and_then(|(high, low)| hex_octet(high, low)).map(Octet::Encoded)
            }
            byte => Some(Octet::Plain(byte)),
        };
        is_bad = octet.is_none();
        Some(octet.ok_or(BadEscape))
    })
}

/// Whether some `%` begins an encoded byte: whether decoding the text would change it.
pub(crate) fn has_encoded_octet(text: &str) -> bool {
    text.as_bytes()
        .windows(3)
        .any(|window| matches!(window, [b'%', high, low] if hex_octet(*high, *low).is_some()))
}

/// The byte that two hex digits name.
fn hex_octet(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|value| u8::try_from(value).ok());
    Some(digit(high)? * 16 + digit(low)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(text: &str) -> Result<Vec<Octet>, BadEscape> {
        octets(text).collect()
    }

    #[test]
    fn a_byte_is_plain_or_encoded() {
        use Octet::{Encoded, Plain};
        assert_eq!(decoded(""), Ok(vec![]));
        assert_eq!(decoded("a%2Fb+"), Ok(vec![Plain(b'a'), Encoded(b'/'), Plain(b'b'), Plain(b'+')]));
        assert_eq!(decoded("%c3%A9"), Ok(vec![Encoded(0xc3), Encoded(0xa9)]));
        assert_eq!(decoded("\u{e9}"), Ok(vec![Plain(0xc3), Plain(0xa9)]));
        // Decoded once: what comes out is not read again.
        assert_eq!(decoded("%2541"), Ok(vec![Encoded(b'%'), Plain(b'4'), Plain(b'1')]));
    }

    #[test]
    fn a_percent_sign_without_two_hex_digits_is_a_fault_and_the_end() {
        for text in ["%", "a%", "%4", "%zz", "%4g", "%g4", "%+1", "% 1", "%%41", "%\u{e9}", "%-1", "%4%41b"] {
            assert_eq!(decoded(text), Err(BadEscape), "{text}");
            let seen: Vec<_> = octets(text).collect();
            assert_eq!(seen.iter().position(Result::is_err), Some(seen.len() - 1), "{text}");
        }
    }

    #[test]
    fn a_text_is_encoded_where_decoding_would_change_it() {
        for text in ["%41", "a%2fb", "%%41", "100%%25"] {
            assert!(has_encoded_octet(text), "{text}");
        }
        for text in ["", "a", "%", "%4", "100%", "%zz", "4%1"] {
            assert!(!has_encoded_octet(text), "{text}");
        }
    }
}
