//! Text of bounded width, for terminals and tickets alike.

/// No line is longer, unless a name in it is.
const WIDTH: usize = 100;

/// Text that is written line by line.
#[derive(Debug, Default)]
pub(crate) struct Page {
    text: String,
}

impl Page {
    /// Leaves a line empty.
    pub(crate) fn blank(&mut self) {
        self.text.push('\n');
    }

    /// Writes a paragraph: its first line begins with `first`, the others with as many blanks.
    pub(crate) fn put(&mut self, first: &str, text: &str) {
        let indent = first.chars().count();
        let mut line = first.to_owned();
        let mut is_empty = true;
        for word in text.split(' ') {
            if !is_empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
                self.end(&line);
                line = " ".repeat(indent);
                is_empty = true;
            }
            if !is_empty {
                line.push(' ');
            }
            line.push_str(word);
            is_empty = false;
        }
        self.end(&line);
    }

    fn end(&mut self, line: &str) {
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }

    /// What was written.
    pub(crate) fn into_text(self) -> String {
        self.text
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(first: &str, text: &str) -> String {
        let mut page = Page::default();
        page.put(first, text);
        page.into_text()
    }

    #[test]
    fn a_paragraph_hangs_below_its_first_word() {
        let text = written("  - ", &"word ".repeat(30));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2);
        assert!(lines[0].starts_with("  - word") && lines[0].len() <= WIDTH);
        assert!(lines[1].starts_with("    word"));
    }

    proptest! {
        #[test]
        fn no_word_is_lost_and_no_line_is_longer_than_it_has_to_be(words in prop::collection::vec("[a-z]{1,120}", 0..30)) {
            let text = written("  on ", &words.join(" "));
            let found: Vec<&str> = text.split_whitespace().skip(1).collect();
            prop_assert_eq!(found, words.iter().map(String::as_str).collect::<Vec<_>>());
            for line in text.lines() {
                prop_assert!(line.len() <= WIDTH || line.split_whitespace().count() <= 2, "{}", line);
            }
        }
    }
}
