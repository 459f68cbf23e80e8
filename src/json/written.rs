//! JSON texts that are written by hand, as `serde_json` writes them, where no tree of values is worth its price.

use std::fmt::Write as _;

use crate::bytewise;

/// Appends a text between quotes.
pub(crate) fn push_text(buffer: &mut String, text: &str) {
    buffer.push('"');
    push_escaped(buffer, text);
    buffer.push('"');
}

/// Appends a text without the quotes.
pub(crate) fn push_escaped(buffer: &mut String, text: &str) {
    if is_plain(text) {
        return buffer.push_str(text);
    }
    let mut rest = text;
    while let Some(at) = rest.bytes().position(is_special) {
        // What is escaped is ASCII, one byte.
        let Some((plain, special)) = rest.split_at_checked(at) else { break };
        buffer.push_str(plain);
        push_special(buffer, special.as_bytes().first().copied().unwrap_or_default());
        rest = special.get(1..).unwrap_or_default();
    }
    buffer.push_str(rest);
}

/// Whether JSON has the text as it is: whether nothing of it is escaped. So it is with most texts.
pub(crate) fn is_plain(text: &str) -> bool {
    bytewise::all(text.as_bytes(), |byte| !is_special(byte))
}

/// Whether JSON escapes a byte.
#[inline]
fn is_special(byte: u8) -> bool {
    (byte < b' ') | (byte == b'"') | (byte == b'\\')
}

fn push_special(buffer: &mut String, byte: u8) {
    let letter = match byte {
        b'"' => "\\\"",
        b'\\' => "\\\\",
        0x08 => "\\b",
        0x0c => "\\f",
        b'\n' => "\\n",
        b'\r' => "\\r",
        b'\t' => "\\t",
        control => {
            let _ = write!(buffer, "\\u{control:04x}");
            return;
        }
    };
    buffer.push_str(letter);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_text_is_written_as_serde_writes_it(text in "[\\x00-\\x7f“é…]{0,40}|\\PC{0,60}|[a-z]{0,50}[\"\\\\\\n]?[a-z]{0,20}") {
            let mut written = String::new();
            push_text(&mut written, &text);
            let expected = serde_json::to_string(&text).unwrap();
            prop_assert_eq!(&written, &expected);
            prop_assert_eq!(is_plain(&text), expected.len() == text.len() + 2);
        }
    }
}
