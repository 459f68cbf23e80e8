//! Compares letters as the most lenient reader does.
//!
//! A backend that matches names without regard to case may mean more than `A` to `Z`: Go's `encoding/json` folds by
//! Unicode, so that `ſ` (U+017F) is an `s` and the Kelvin sign (U+212A) a `k`; Java's `equalsIgnoreCase` takes `ı` and
//! `İ` for an `i`; Python's `casefold` takes `ß` for `ss`. All of these are one here. Code that compares judged text
//! with sent text compares folded text: to fold too much refuses a request, to fold too little lets one pass.

use std::borrow::Cow;

/// The text with every letter folded. Text in which nothing folds is borrowed.
pub fn fold(text: &str) -> Cow<'_, str> {
    if !text.is_ascii() {
        return Cow::Owned(text.chars().flat_map(fold_letter).collect());
    }
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Cow::Owned(text.to_ascii_lowercase());
    }
    Cow::Borrowed(text)
}

/// One letter, folded: lower case, upper case and lower case once more (the full mappings of Unicode's
/// SpecialCasing), which joins every letter with all letters that have a case mapping to it. `İ` loses its dot.
pub fn fold_letter(letter: char) -> impl Iterator<Item = char> {
    const COMBINING_DOT_ABOVE: char = '\u{307}';
    letter
        .to_lowercase()
        .flat_map(char::to_uppercase)
        .flat_map(char::to_lowercase)
        .filter(|letter| *letter != COMBINING_DOT_ABOVE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_that_some_reader_takes_for_one_are_one() {
        for (left, right) in [
            ("RESOURCE", "resource"),
            ("re\u{17f}ource", "resource"),
            ("boo\u{212a}", "book"),
            ("\u{131}d", "id"),
            ("\u{130}d", "id"),
            ("cla\u{df}", "class"),
            ("cla\u{1e9e}", "class"),
            ("\u{fb01}eld", "field"),
            ("\u{3c2}", "\u{3a3}"),
        ] {
            assert_eq!(fold(left), fold(right), "{left} {right}");
        }
        assert_ne!(fold("resource"), fold("resources"));
        assert_ne!(fold("resource_name"), fold("resourcename"));
    }

    #[test]
    fn plain_text_is_borrowed() {
        assert!(matches!(fold("resource_name.x-1"), Cow::Borrowed("resource_name.x-1")));
    }

    #[test]
    fn every_letter_folds_like_its_other_cases_and_folding_twice_changes_nothing() {
        // Unicode has no letter with a case beyond.
        for letter in '\0'..='\u{1ffff}' {
            let text = letter.to_string();
            let folded = fold(&text).into_owned();
            assert_eq!(fold(&folded), folded, "{letter:?}");
            assert_eq!(fold(&text.to_lowercase()), folded, "{letter:?}");
            assert_eq!(fold(&text.to_uppercase()), folded, "{letter:?}");
        }
    }
}
