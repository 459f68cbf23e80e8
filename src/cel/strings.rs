//! Functions on strings. Positions and lengths are of code points; bytes are what the budget counts.

use std::borrow::Cow;

use super::budget::Budget;
use super::fault::EvaluationError;
use super::value::{List, Value};

/// A string that is a part of another: borrowed where that one is.
fn part<'v>(text: &Cow<'v, str>, find: impl Fn(&str) -> &str) -> Cow<'v, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(find(text)),
        Cow::Owned(text) => Cow::Owned(find(text).to_owned()),
    }
}

/// IAM's `extract('prefix{name}suffix')`: what stands between the first prefix and the suffix after it; nothing where
/// one of them is not there.
pub(super) fn extract<'v>(
    text: &Cow<'v, str>,
    template: &str,
    budget: &mut Budget,
) -> Result<Cow<'v, str>, EvaluationError> {
    budget.charge(text.len() + template.len())?;
    let (prefix, suffix) = template_parts(template)
        .ok_or(EvaluationError::text("the template of `extract` has one `{name}`"))?;
    Ok(part(text, |text| {
        let after = text.find(prefix).and_then(|at| text.get(at + prefix.len()..)).unwrap_or_default();
        if suffix.is_empty() {
            return after;
        }
        after.split_once(suffix).map(|(between, _)| between).unwrap_or_default()
    }))
}

/// What stands before and after the one `{name}` of a template.
pub(super) fn template_parts(template: &str) -> Option<(&str, &str)> {
    let (prefix, rest) = template.split_once('{')?;
    let (name, suffix) = rest.split_once('}')?;
    let plain = |text: &str| !text.contains(['{', '}']);
    (!name.is_empty() && plain(prefix) && plain(name) && plain(suffix)).then_some((prefix, suffix))
}

/// ASCII letters as small ones, or as capitals; all others stay.
pub(super) fn change_case<'v>(
    text: &Cow<'v, str>,
    upper: bool,
    budget: &mut Budget,
) -> Result<Cow<'v, str>, EvaluationError> {
    budget.charge(text.len())?;
    let stays =
        text.bytes().all(|byte| if upper { !byte.is_ascii_lowercase() } else { !byte.is_ascii_uppercase() });
    Ok(match text {
        Cow::Borrowed(text) if stays => Cow::Borrowed(text),
        text if upper => Cow::Owned(text.to_ascii_uppercase()),
        text => Cow::Owned(text.to_ascii_lowercase()),
    })
}

/// `'a,b'.split(',')`; a limit joins what is left in the last one. Below 0 there is none.
pub(super) fn split<'v>(
    text: &Cow<'v, str>,
    separator: &str,
    limit: i64,
    budget: &mut Budget,
) -> Result<Value<'v>, EvaluationError> {
    budget.charge(text.len())?;
    let mut pieces = Vec::new();
    let mut push = |piece: Cow<'v, str>, budget: &mut Budget| {
        budget.charge(size_of::<Value<'_>>())?;
        pieces.push(Value::String(piece));
        Ok(())
    };
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    // The empty string between characters is not a separator before the first and after the last one.
    let mut rest = text.as_ref();
    let mut made = 0;
    while made < limit && !(separator.is_empty() && rest.is_empty()) {
        let next = if separator.is_empty() {
            rest.chars().next().and_then(|first| rest.split_at_checked(first.len_utf8()))
        } else {
            rest.split_once(separator)
        };
        let from = text.len() - rest.len();
        made += 1;
        match next {
            Some((piece, after)) if made < limit => {
                push(part(text, |text| text.get(from..from + piece.len()).unwrap_or_default()), budget)?;
                rest = after;
            }
            _ => {
                push(part(text, |text| text.get(from..).unwrap_or_default()), budget)?;
                break;
            }
        }
    }
    Ok(Value::from(pieces))
}

/// `['a', 'b'].join(',')`.
pub(super) fn join<'v>(
    list: &List<'v>,
    separator: &str,
    budget: &mut Budget,
) -> Result<Value<'v>, EvaluationError> {
    let mut joined = String::new();
    for (position, value) in list.values().iter().enumerate() {
        let Value::String(text) = value else {
            return Err(EvaluationError::text("`join` takes a list of strings"));
        };
        budget.charge(1 + separator.len() + text.len())?;
        if position > 0 {
            joined.push_str(separator);
        }
        joined.push_str(text);
    }
    Ok(Value::String(Cow::Owned(joined)))
}

#[cfg(test)]
mod tests;
