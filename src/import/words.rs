//! Words of a description, as the names that service files take.

/// A name of letters, digits and `_`, with no digit first: a field, or the last part of a selector.
pub(super) fn identifier(text: &str) -> String {
    let mut name: String =
        text.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '_' }).collect();
    if !name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_') {
        name.insert(0, '_');
    }
    name
}

/// A part of a permission or selector: an identifier that begins with a small letter.
pub(super) fn word(text: &str) -> String {
    let mut word = identifier(text);
    if let Some(first) = word.get_mut(..1) {
        first.make_ascii_lowercase();
    }
    if word.starts_with('_') {
        word = format!("x{word}");
    }
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_identifiers() {
        assert_eq!(identifier("list jobs/v2"), "list_jobs_v2");
        assert_eq!(identifier("2fa"), "_2fa");
        assert_eq!(word("Job-Runs"), "job_Runs");
        assert_eq!(word("2fa"), "x_2fa");
    }
}
