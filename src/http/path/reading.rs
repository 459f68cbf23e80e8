//! The readings of a path: the segments and the verb that a backend sees if it reads the path in another way.
//!
//! A gate may compare the path as it was sent, and the backend behind it may decode the path first. Then one method is
//! judged and another runs. The router asks here for the other readings.

use std::borrow::Cow;

use super::{Path, decode_segment};
use crate::http::fold;

/// Dots of a last segment that are looked at: more than any literal has.
const MOST_FORMATS: usize = 16;

/// One way in which a backend may read a path: its segments normalized, and the verb that this reader finds.
#[derive(Debug)]
pub struct PathReading<'p> {
    path: &'p Path,
    /// The last segment, where this reader ends it elsewhere than at the raw verb.
    last: Option<Box<str>>,
    /// The normalized verb.
    verb: Option<Cow<'p, str>>,
}

impl Path {
    /// Whether every reader that splits the path in the same places sees the same segments and verb: nothing in it is
    /// encoded, and folding changes no letter.
    pub fn is_normal(&self) -> bool {
        self.segments.iter().all(|segment| segment.normalized.is_none())
            && self.verb().is_none_or(|verb| *normalize(verb) == *verb)
    }

    /// The reading of a backend that splits the path as it was sent, and compares it decoded and without regard to the
    /// case of letters.
    pub fn reading(&self) -> PathReading<'_> {
        let verb = self.verb().map(|verb| match decode_segment(verb) {
            Ok(Some(decoded)) => Cow::Owned(normalize(&decoded).into_owned()),
            // A verb that cannot be decoded was refused when the path was parsed.
            Ok(None) | Err(_) => normalize(verb),
        });
        PathReading { path: self, last: None, verb }
    }

    /// The readings of backends that split the path elsewhere than it was split here. There are none for almost every
    /// path.
    ///
    /// grpc-gateway decodes a path first and takes the verb behind the last colon of the decoded text. Rails and older
    /// Spring take `.json` behind the last segment, or any text behind a dot, for a format that the route does not
    /// name.
    pub fn other_readings(&self) -> Vec<PathReading<'_>> {
        let mut readings = Vec::new();
        // Every reader that knows verbs finds a raw verb: `a%3Ab:c` has the verb `c` before and after decoding.
        let Some(last) = self.len().checked_sub(1).filter(|_| self.verb.is_none()) else { return readings };
        let whole = fold(self.segment(last).unwrap_or_default());
        let mut read = |text: &str, is_other: bool| {
            if let Some((name, verb)) = text.rsplit_once(':') {
                let verb = Some(Cow::Owned(normalize(verb).into_owned()));
                readings.push(PathReading { path: self, last: Some(normalize(name).into()), verb });
            }
            if is_other {
                readings.push(PathReading { path: self, last: Some(normalize(text).into()), verb: None });
            }
        };
        read(&whole, false);
        for (dot, _) in whole.match_indices('.').take(MOST_FORMATS) {
            read(whole.get(..dot).unwrap_or_default(), true);
        }
        readings
    }

    /// A segment as readers compare it that decode and fold letters.
    fn normalized_segment(&self, index: usize) -> Option<&str> {
        let segment = self.segments.get(index)?;
        match &segment.normalized {
            Some(normalized) => Some(normalized),
            None => self.raw.get(segment.start..segment.end),
        }
    }
}

impl PathReading<'_> {
    /// How many segments there are.
    pub fn len(&self) -> usize {
        self.path.len()
    }

    /// Always false: a path has at least one segment. It is for clippy's sake beside [`PathReading::len`].
    pub fn is_empty(&self) -> bool {
        self.path.is_empty()
    }

    /// A segment, normalized.
    pub fn segment(&self, index: usize) -> Option<&str> {
        match &self.last {
            Some(last) if index + 1 == self.path.len() => Some(last),
            _ => self.path.normalized_segment(index),
        }
    }

    /// The verb, normalized.
    pub fn verb(&self) -> Option<&str> {
        self.verb.as_deref()
    }
}

/// The text by which segments and verbs are compared with literals: letters folded, and every other character as `-`.
/// Frameworks that make the name of a function from a path take `rotate-keys` and `rotate.keys` for `rotate_keys`
/// (CherryPy; CodeIgniter, CakePHP and others for dashes).
pub(super) fn normalize(text: &str) -> Cow<'_, str> {
    let is_plain = |letter: char| letter == '-' || letter.is_alphanumeric();
    let plain = |text: &str| text.chars().map(|letter| if is_plain(letter) { letter } else { '-' }).collect();
    match fold(text) {
        folded if folded.chars().all(is_plain) => folded,
        folded => Cow::Owned(plain(&folded)),
    }
}

/// A literal of a template, as [`PathReading::segment`] shows the segments that it may match.
pub(crate) fn normalize_literal(text: &str) -> Box<str> {
    match decode_segment(text) {
        Ok(Some(decoded)) => normalize(&decoded).into(),
        // A literal that no path can have was refused when the template was parsed.
        Ok(None) | Err(_) => normalize(text).into(),
    }
}
