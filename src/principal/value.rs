//! The value that ends the identifier of a federated identity, or of a set of them: a subject, a group, the value of an
//! attribute. A token may hold any text there.
//!
//! Each value has one canonical spelling, in printable ASCII: `%` is `%25`, and each byte that is not printable ASCII is
//! percent-encoded (RFC 3986, section 2.1), as is a blank at either end. A value that is `*` is `%2A`, so that it equals
//! nothing that is meant for everybody. Policies may write a value as it is or percent-encoded: both are read to the
//! canonical spelling.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

/// What has to be encoded.
const ENCODED: &AsciiSet = &CONTROLS.add(b'%');

/// The canonical spelling of a value as a token holds it.
pub(crate) fn canonical(value: &str) -> String {
    if value == "*" {
        return "%2A".to_owned();
    }
    let inner = value.trim_matches(' ');
    let before = value.len() - value.trim_start_matches(' ').len();
    let after = value.len() - inner.len() - before;
    format!("{}{}{}", "%20".repeat(before), utf8_percent_encode(inner, ENCODED), "%20".repeat(after))
}

/// The value that a policy writes, as a token holds it; `None` where it is not UTF-8. A `%` that two hex digits do not
/// follow stands for itself.
pub(crate) fn decoded(written: &str) -> Option<Cow<'_, str>> {
    percent_decode_str(written).decode_utf8().ok()
}

/// The canonical spelling of a value that a policy writes. A bare `*` stays one, and so does what is not UTF-8: no token
/// holds either.
pub(crate) fn canonical_of_written(written: &str) -> Cow<'_, str> {
    match decoded(written) {
        Some(value) if written != "*" => Cow::Owned(canonical(&value)),
        _ => Cow::Borrowed(written),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_value_has_one_canonical_spelling_however_it_is_written() {
        for (value, spelling, written) in [
            ("ops", "ops", &["ops", "o%70s"][..]),
            ("Domain Users", "Domain Users", &["Domain Users", "Domain%20Users"]),
            ("Büro München", "B%C3%BCro M%C3%BCnchen", &["Büro München", "B%c3%bcro%20M%c3%bcnchen"]),
            ("50%", "50%25", &["50%", "50%25"]),
            ("a%20b", "a%2520b", &["a%2520b", "a%25%32%30b"]),
            ("*", "%2A", &["%2A", "%2a"]),
            ("repo:*", "repo:*", &["repo:*"]),
            (" a ", "%20a%20", &["%20a%20"]),
            ("   ", "%20%20%20", &["%20%20%20"]),
            ("a\nb\u{200b}", "a%0Ab%E2%80%8B", &["a%0Ab%E2%80%8B"]),
            ("日本", "%E6%97%A5%E6%9C%AC", &["日本"]),
        ] {
            assert_eq!(canonical(value), spelling);
            for written in written {
                assert_eq!(canonical_of_written(written), spelling, "{written}");
            }
        }
        // What no token holds equals nothing that one does.
        assert_eq!(canonical_of_written("*"), "*");
        assert_eq!(canonical_of_written("%FF"), "%FF");
        assert_eq!(decoded("%FF"), None);
    }

    proptest! {
        #[test]
        fn different_values_have_different_spellings(one in "\\PC{0,12}|[ -~]{0,6}", other in "\\PC{0,12}|[ -~]{0,6}") {
            let (first, second) = (canonical(&one), canonical(&other));
            prop_assert_eq!(first == second, one == other);
            prop_assert!(first.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()));
            prop_assert_eq!(decoded(&first).unwrap(), one.as_str());
            prop_assert_eq!(canonical_of_written(&first), first.as_str());
        }
    }
}
