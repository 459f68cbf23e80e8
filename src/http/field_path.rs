//! Paths to fields of a message (`book.name`), as keys of a query or of a JSON object spell them.

use super::fold::fold_letter;

/// Whether two paths lead to one field, or one of them to a part of what the other leads to: `book.name`, `book[name]`,
/// `Book.Name`, `_book`, `bo-ok.name.x`.
///
/// Of each step only letters and digits count, folded: some servers strip blanks and `$` from a key, others fold `_`,
/// `-` and case. A path without any leads nowhere. PHP makes one name of a whole key: where `left` is the field
/// `resource_name`, the key `resource.name` leads there too.
pub fn overlap(left: &str, right: &str) -> bool {
    steps(right).next().is_some()
        && (steps(left).nth(1).is_none() && letters(left).eq(letters(right))
            || steps(left).zip(steps(right)).all(|(left, right)| letters(left).eq(letters(right))))
}

/// The steps of a path (`a.b`, `a[b]`). Punctuation alone is not a step.
pub fn steps(path: &str) -> impl Iterator<Item = &str> {
    path.split(['.', '[']).filter(|step| step.contains(char::is_alphanumeric))
}

/// The letters and digits of a text, folded.
pub fn letters(text: &str) -> impl Iterator<Item = char> {
    text.chars().flat_map(fold_letter).filter(|letter| letter.is_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_overlap_in_every_spelling_that_some_reader_takes_for_one() {
        for key in [
            "book.name",
            "book",
            "book.name.first",
            "Book.NAME",
            "book[name]",
            "[book][name]",
            "_book.$name",
            " book . na-me ",
            "boo\u{212a}.name",
            "bo_o\u{212a}",
        ] {
            assert!(overlap("book.name", key), "{key}");
        }
        assert!(overlap("resource", "re\u{17f}ource"));
        for key in ["book_name.x", "resource.name", "resource[name", "resource name"] {
            assert_eq!(overlap("resource_name", key), key != "book_name.x", "{key}");
        }
        for key in ["", ".", "[]", "name", "books", "books.name", "book.names", "book.title", "bookname"] {
            assert!(!overlap("book.name", key), "{key}");
        }
    }
}
