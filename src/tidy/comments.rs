//! Comments of a YAML text: where they are, and that none is lost.

use std::borrow::Cow;
use std::ops::Range;

use serde_saphyr::granit_parser::{Event, Options, Parser, StrInput};

/// What some editors write ahead of a text.
pub(super) const BYTE_ORDER_MARK: char = '\u{feff}';

/// The comments of a text, sorted: they are not lost where lines are moved. `None` for a text that cannot be read.
pub(super) fn comments(text: &str) -> Option<Vec<String>> {
    let text = normal(text);
    let ranges = comment_ranges(&text)?;
    let mut found: Vec<String> =
        ranges.into_iter().filter_map(|range| Some(text.get(range)?.trim_end().to_owned())).collect();
    found.sort_unstable();
    Some(found)
}

/// Where the first comment is.
pub(super) fn first_comment(text: &str) -> Option<usize> {
    comment_ranges(text)?.first().map(|range| range.start)
}

/// From each `#` that begins a comment to the end of its line: at the beginning of a line or behind a blank (YAML 1.2.2,
/// section 6.6), and not in a scalar.
fn comment_ranges(text: &str) -> Option<Vec<Range<usize>>> {
    let mut scalars = Vec::new();
    for event in Parser::with_options(StrInput::new(text), Options::default()) {
        let (event, place) = event.ok()?;
        if matches!(event, Event::Scalar(..)) {
            scalars.push(place.byte_range()?);
        }
    }
    Some(outside(text, &scalars))
}

/// The comments that are not in one of the scalars, which are in the order of the text.
pub(super) fn outside(text: &str, scalars: &[Range<usize>]) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    for (at, _) in text.match_indices('#') {
        let is_apart =
            text.get(..at).is_none_or(|before| before.is_empty() || before.ends_with([' ', '\t', '\n']));
        let next = scalars.partition_point(|scalar| scalar.end <= at);
        let is_within = scalars.get(next).is_some_and(|scalar| scalar.start <= at);
        let is_seen = found.last().is_some_and(|last| at < last.end);
        if is_apart && !is_within && !is_seen {
            let length = text.get(at..).and_then(|rest| rest.find('\n')).unwrap_or(text.len() - at);
            found.push(at..at + length);
        }
    }
    found
}

/// Line breaks as `\n`, and no mark of the byte order at the beginning.
pub(super) fn normal(text: &str) -> Cow<'_, str> {
    let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    if text.contains('\r') { text.replace("\r\n", "\n").into() } else { text.into() }
}
