//! The documents of a text: YAML documents, JSON values one behind another, or what several runs of `gcloud … describe`
//! print without anything between.

use std::sync::Arc;

use serde::de::IgnoredAny;

use crate::diagnostic::Source;

/// The documents, each as a source that has its text on the same lines.
pub(super) fn split(source: &Arc<Source>) -> Vec<Arc<Source>> {
    let text = source.text.strip_prefix('\u{feff}').unwrap_or(&source.text);
    let pieces = json_values(text).unwrap_or_else(|| yaml_documents(text));
    let mut documents = Vec::new();
    let (mut line, mut counted_to) = (0, 0);
    for (start, end) in pieces {
        let before = text.get(counted_to..start).unwrap_or_default();
        line += before.bytes().filter(|byte| *byte == b'\n').count();
        counted_to = start;
        let piece = text.get(start..end).unwrap_or_default();
        if !piece.trim().is_empty() {
            documents.push(Source::new(source.path.clone(), "\n".repeat(line) + piece));
        }
    }
    documents
}

/// Where each JSON value begins and ends; `None` where the text is not JSON.
fn json_values(text: &str) -> Option<Vec<(usize, usize)>> {
    if !text.trim_start().starts_with(['{', '[']) {
        return None;
    }
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<IgnoredAny>();
    let mut pieces = Vec::new();
    let mut start = 0;
    while let Some(value) = values.next() {
        value.ok()?;
        pieces.push((start, values.byte_offset()));
        start = values.byte_offset();
    }
    Some(pieces)
}

/// Where each YAML document begins and ends: at a line `---`, and where a key at the left margin comes again.
fn yaml_documents(text: &str) -> Vec<(usize, usize)> {
    let mut pieces = Vec::new();
    let mut keys: Vec<&str> = Vec::new();
    let (mut start, mut at) = (0, 0);
    for line in text.split_inclusive('\n') {
        let content = line.trim_end();
        let key = content.split_once(':').map(|(key, _)| key).filter(|key| is_key(key));
        let again = key.is_some_and(|key| keys.contains(&key));
        if content == "---" || content.starts_with("--- ") || again {
            pieces.push((start, at));
            keys.clear();
            start = if again { at } else { at + "---".len() };
        }
        keys.extend(key);
        at += line.len();
    }
    pieces.push((start, text.len()));
    pieces
}

/// Whether this is one of the keys of a role, which begin at the left margin.
fn is_key(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn documents(text: &str) -> Vec<String> {
        split(&Source::new("x", text)).iter().map(|source| source.text.clone()).collect()
    }

    #[test]
    fn documents_keep_their_lines() {
        assert_eq!(documents("name: a\n---\nname: b\n"), ["name: a\n", "\n\nname: b\n"]);
        assert_eq!(documents("name: a\ntitle: x\nname: b\n"), ["name: a\ntitle: x\n", "\n\nname: b\n"]);
        assert_eq!(documents("{\"name\": 1}\n{\"name\": 2}\n"), ["{\"name\": 1}", "\n{\"name\": 2}"]);
        assert_eq!(documents("[1,\n 2]\n"), ["[1,\n 2]"]);
        assert_eq!(documents("\n---\n---\n"), Vec::<String>::new());
    }
}
