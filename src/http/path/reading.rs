//! The readings of a path: the segments and the verb that a backend sees if it reads the path in another way.
//!
//! A gate may compare the path as it was sent, and the backend behind it may decode the path first. Then one method is
//! judged and another runs. The router asks here for the other readings.

use std::borrow::Cow;

use super::{Path, decode_segment, is_normal_byte};
use crate::bytewise;
use crate::http::fold;

/// Dots of a last segment that are looked at: more than any literal has.
const MOST_FORMATS: usize = 16;

/// One way in which a backend may read a path: its segments normalized, and the verb that this reader finds.
#[derive(Debug)]
pub struct PathReading<'p> {
    path: &'p Path,
    /// How many segments this reader sees.
    len: usize,
    /// Whether it ignores a slash at the end, of a path and of a template.
    ignores_slash: bool,
    /// A segment that this reader ends elsewhere than it was sent, and its place.
    last: Option<(usize, Box<str>)>,
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
        PathReading { path: self, len: self.len(), ignores_slash: false, last: None, verb }
    }

    /// The readings of backends that split the path elsewhere than it was split here. There are none for almost every
    /// path.
    ///
    /// grpc-gateway decodes a path first and takes the verb behind the last colon of the decoded text. Rails and older
    /// Spring take `.json` behind the last segment, or any text behind a dot, for a format that the route does not
    /// name. Many ignore a slash at the end, which matters where the path or some template has one: `slashes`.
    pub fn other_readings(&self, slashes: bool) -> Vec<PathReading<'_>> {
        let mut readings = Vec::new();
        let len = self.len() - usize::from(self.ends_in_slash());
        // Every reader that knows verbs finds a raw verb: `a%3Ab:c` has the verb `c` before and after decoding.
        let Some(last) = len.checked_sub(1).filter(|_| self.verb.is_none()) else { return readings };
        let whole = fold(self.segment(last).unwrap_or_default());
        // The slash is kept, cut off, or ignored in templates too.
        let forms = [(self.len(), false), (len, false), (len, true)];
        let forms = match (self.ends_in_slash(), slashes) {
            (true, _) => forms.as_slice(),
            (false, true) => &[(len, false), (len, true)],
            (false, false) => &[(len, false)],
        };
        let mut read = |text: &str, is_other: bool| {
            for &(seen, ignores_slash) in forms {
                let reading = |name: &str, verb| PathReading {
                    path: self,
                    len: seen,
                    ignores_slash,
                    last: Some((last, normalize(name).into())),
                    verb,
                };
                // A verb ends the path: behind it there is no slash.
                if let Some((name, verb)) = text.rsplit_once(':').filter(|_| seen == len) {
                    readings.push(reading(name, Some(Cow::Owned(normalize(verb).into_owned()))));
                }
                if is_other || seen != self.len() || ignores_slash {
                    readings.push(reading(text, None));
                }
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
        self.len
    }

    /// Whether there are none: the path is `/`.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether the last segment is the empty one behind a slash.
    pub fn ends_in_slash(&self) -> bool {
        self.len == self.path.len() && self.path.ends_in_slash()
    }

    /// Whether this reader ignores a slash at the end, of a path and of a template.
    pub fn ignores_slash(&self) -> bool {
        self.ignores_slash
    }

    /// A segment, normalized.
    pub fn segment(&self, index: usize) -> Option<&str> {
        match &self.last {
            _ if index >= self.len => None,
            Some((last, text)) if *last == index => Some(text),
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
    if bytewise::all(text.as_bytes(), is_normal_byte) {
        return Cow::Borrowed(text);
    }
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
