//! A resource name that a message brings: clean, so that all who read it mean one resource.
//!
//! Over HTTP the strict parse of the path sees to that ([`crate::http::Path`]). A message may hold any text, and backends
//! build paths and URLs of names.

use std::borrow::Cow;

use crate::http::path::MAX_PATH_BYTES;

/// Most bytes of a name.
pub const MAX_NAME_BYTES: usize = MAX_PATH_BYTES;

/// What is wrong with a name, or nothing.
///
/// # Errors
/// In words that go on after the name of its field.
pub fn judge(name: &str) -> Result<(), Cow<'static, str>> {
    if name.is_empty() {
        return Err("is empty or not there".into());
    }
    if name.len() > MAX_NAME_BYTES {
        return Err("is longer than 8 KiB".into());
    }
    let is_odd = |letter: &char| letter.is_control() || matches!(letter, '%' | '\\' | ';' | '?' | '#');
    if let Some(odd) = name.chars().find(is_odd) {
        return Err(format!("holds `{}`, which has a meaning in paths and URLs", odd.escape_default()).into());
    }
    for segment in name.split('/') {
        match segment {
            "" => return Err("has an empty segment".into()),
            "." | ".." => return Err("has a dot segment".into()),
            segment if segment.trim().len() != segment.len() => {
                return Err("has a segment that begins or ends with a blank".into());
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_reading() {
        for name in
            ["projects/p", "projects/p/operations/a b:c", "a", "projects/é", "projects/example.com:p/x"]
        {
            assert_eq!(judge(name), Ok(()), "{name}");
        }
        for name in [
            "",
            "/projects/p",
            "projects/p/",
            "projects//p",
            "projects/../q",
            "./p",
            "projects/.",
            "a%2Fb",
            "a%",
            "a\\b",
            "a\0b",
            "a\nb",
            "a;b",
            "a?b",
            "a#b",
            " a",
            "projects/a /b",
            "projects/\u{a0}b",
            "a\u{7f}",
            "a\u{85}b",
        ] {
            assert!(judge(name).is_err(), "{name:?}");
        }
        assert!(judge(&"a".repeat(MAX_NAME_BYTES)).is_ok());
        assert!(judge(&"a".repeat(MAX_NAME_BYTES + 1)).is_err());
    }
}
