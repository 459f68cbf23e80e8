//! Patterns of `matches`: in RE2's syntax, as in CEL, run by the `regex` crate.
//!
//! The two agree on nearly everything. Where they do not, a pattern is translated (`\d`, `\w`, `\s` and `\b` are of
//! ASCII in RE2, and of Unicode in the crate), or refused where one of them would read it as something else.

use std::borrow::Cow;

use regex::{Regex, RegexBuilder};

use super::budget::Budget;
use super::fault::EvaluationError;

/// Sizes that a compiled pattern may have, and what each byte of the text costs then: a search may take as many steps
/// per byte as the pattern has states.
const TIERS: &[(usize, usize)] = &[(1 << 12, 1), (1 << 14, 4), (1 << 16, 16), (1 << 18, 64)];

/// A pattern that is only known at the evaluation has to be small: it is compiled each time, at this price.
const LATE_TIER: (usize, usize) = (1 << 14, 4);
const LATE_LENGTH: usize = 1 << 10;
const LATE_COST: usize = 1 << 16;

/// The longest pattern of a literal.
const MAX_LENGTH: usize = 1 << 13;

/// A pattern, ready to search with.
#[derive(Clone, Debug)]
pub(super) struct MatchPattern {
    regex: Regex,
    /// Units for each byte of the text.
    weight: usize,
}

impl MatchPattern {
    /// A pattern that stands in the expression. `Err` says what is wrong with it.
    pub(super) fn compile(pattern: &str) -> Result<Self, String> {
        if pattern.len() > MAX_LENGTH {
            return Err(format!("it is longer than {MAX_LENGTH} bytes"));
        }
        let translated = translate(pattern)?;
        let mut last = String::new();
        for (size, weight) in TIERS {
            match build(&translated, *size) {
                Ok(regex) => return Ok(Self { regex, weight: *weight }),
                Err(regex::Error::CompiledTooBig(_)) => {
                    "it is too large: repeat less, and fewer kinds of characters".clone_into(&mut last);
                }
                Err(error) => return Err(last_line(&error)),
            }
        }
        Err(last)
    }

    /// A pattern that comes out of the evaluation.
    pub(super) fn compile_late(pattern: &str, budget: &mut Budget) -> Result<Self, EvaluationError> {
        let (size, weight) = LATE_TIER;
        budget.charge(LATE_COST)?;
        let refused = |reason: String| {
            EvaluationError::Error(Cow::Owned(format!("the pattern cannot be used: {reason}")))
        };
        if pattern.len() > LATE_LENGTH {
            return Err(refused(format!("it is longer than {LATE_LENGTH} bytes")));
        }
        let regex =
            build(&translate(pattern).map_err(refused)?, size).map_err(|error| refused(last_line(&error)))?;
        Ok(Self { regex, weight })
    }

    /// Whether it is found anywhere in the text.
    pub(super) fn is_found_in(&self, text: &str, budget: &mut Budget) -> Result<bool, EvaluationError> {
        budget.charge((text.len() + 1).saturating_mul(self.weight))?;
        Ok(self.regex.is_match(text))
    }
}

fn build(pattern: &str, size: usize) -> Result<Regex, regex::Error> {
    RegexBuilder::new(pattern).size_limit(size).dfa_size_limit(1 << 18).nest_limit(100).build()
}

/// The crate's errors draw the pattern; the last line says what is wrong.
fn last_line(error: &regex::Error) -> String {
    let text = error.to_string();
    let line = text.lines().last().unwrap_or_default();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}

/// RE2's pattern in the words of the crate.
fn translate(pattern: &str) -> Result<String, String> {
    let mut translated = String::with_capacity(pattern.len() + 16);
    let mut class = false;
    let mut rest = pattern;
    while let Some(first) = rest.chars().next() {
        let after = rest.get(first.len_utf8()..).unwrap_or_default();
        let mut taken = first.len_utf8();
        match first {
            '\\' => {
                taken = 1 + escape(after, class, &mut translated)?;
            }
            '[' if class => {
                let Some(length) = after.strip_prefix(':').and_then(|name| name.find(":]")) else {
                    return Err("`[` within `[…]` is written `\\[`".to_owned());
                };
                taken = length + 4;
                translated.push_str(rest.get(..taken).unwrap_or_default());
            }
            '[' => {
                // A `]` that comes first is one of the characters.
                let negated = usize::from(after.starts_with('^'));
                let bracket = usize::from(after.get(negated..).is_some_and(|next| next.starts_with(']')));
                taken = 1 + negated + bracket;
                class = true;
                translated.push('[');
                translated.push_str(if negated > 0 { "^" } else { "" });
                translated.push_str(if bracket > 0 { "\\]" } else { "" });
            }
            ']' if class => {
                class = false;
                translated.push(']');
            }
            '&' | '-' | '~' if class && after.starts_with(first) => {
                return Err(format!("`{first}{first}` within `[…]` is written `\\{first}\\{first}`"));
            }
            '{' if !class => {
                let (length, repetition) = repetition(after)?;
                taken = 1 + length;
                translated.push_str(&repetition);
            }
            '(' if !class && after.starts_with('?') => {
                let flags = after.get(1..).unwrap_or_default();
                let end = flags.find([')', ':', '<']).unwrap_or(flags.len());
                let known = flags.get(..end).unwrap_or_default().bytes();
                if !matches!(flags.get(..end), Some("P"))
                    && !known.clone().all(|flag| b"imsU-".contains(&flag))
                {
                    return Err("of the groups with `(?…`, those are known: (?:…), (?P<name>…), (?i), (?m), (?s), (?U)"
                        .to_owned());
                }
                translated.push('(');
            }
            other => translated.push(other),
        }
        rest = rest.get(taken..).unwrap_or_default();
    }
    Ok(translated)
}

/// The escape after a backslash; how long it is.
fn escape(text: &str, in_class: bool, translated: &mut String) -> Result<usize, String> {
    let Some(first) = text.chars().next() else {
        return Err("it ends with a backslash".to_owned());
    };
    let meaning = match first {
        // Folding cases would add the Kelvin sign to the letters.
        'w' if !in_class => "(?-i:[0-9A-Za-z_])",
        'W' if !in_class => "(?-i:[^0-9A-Za-z_])",
        'd' => "[0-9]",
        'D' => "[^0-9]",
        's' => "[\\t\\n\\f\\r ]",
        'S' => "[^\\t\\n\\f\\r ]",
        'w' => "[0-9A-Za-z_]",
        'W' => "[^0-9A-Za-z_]",
        'b' if !in_class => "(?-u:\\b)",
        'B' if !in_class => "(?-u:\\B)",
        'A' if !in_class => "\\A",
        'z' if !in_class => "\\z",
        'a' => "\\x07",
        'f' => "\\x0C",
        'n' => "\\n",
        'r' => "\\r",
        't' => "\\t",
        'v' => "\\x0B",
        'x' | 'p' | 'P' => {
            // The braces of `\x{fc}` and `\p{Greek}` are not repetition.
            let braced = text.get(1..).is_some_and(|rest| rest.starts_with('{'));
            let length = if braced { text.find('}').map_or(1, |end| end + 1) } else { 1 };
            translated.push('\\');
            translated.push_str(text.get(..length).unwrap_or_default());
            return Ok(length);
        }
        // RE2 takes the escape of any punctuation as the character; the crate has meanings of its own for some (`\<`).
        other if other.is_ascii_punctuation() => {
            translated.push_str(&regex::escape(other.encode_utf8(&mut [0; 4])));
            return Ok(1);
        }
        other => return Err(format!("`\\{other}` is not known")),
    };
    translated.push_str(meaning);
    Ok(1)
}

/// `{2}`, `{2,}`, `{2,5}` after the bracket, and how long it is; RE2 takes any other `{` as a character.
fn repetition(text: &str) -> Result<(usize, String), String> {
    let refused = || "a `{` that is not a repetition such as `{2,5}` is written `\\{`".to_owned();
    let (inner, _) = text.split_once('}').ok_or_else(refused)?;
    let (least, most) = inner.split_once(',').unwrap_or((inner, inner));
    let count = |digits: &str| {
        let short = (1..=4).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
        if short { digits.parse::<u32>().map_err(|_| refused()) } else { Err(refused()) }
    };
    let counts = [count(least)?, if most.is_empty() { 0 } else { count(most)? }];
    if counts.iter().any(|count| *count > 1000) {
        return Err("it repeats more than 1,000 times".to_owned());
    }
    Ok((inner.len() + 1, format!("{{{inner}}}")))
}

#[cfg(test)]
mod tests;
