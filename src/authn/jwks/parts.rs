//! A key set in several parts, each at an address of its own: the issuer's keys are those of all of them. A part that
//! cannot be fetched stays as it last was.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::Url;
use serde_json::{Value, json};

use crate::authn::jwks::KeySetError;
use crate::authn::jwks::fetched::{FetchError, FetchedDocument};
use crate::json;

/// The parts as they were last fetched.
#[derive(Debug)]
pub(in crate::authn) struct KeySetParts {
    /// In the order of the addresses.
    held: Mutex<Vec<Option<Part>>>,
    /// How long a part is used that cannot be fetched.
    max_stale: Duration,
}

#[derive(Debug)]
struct Part {
    keys: Vec<Value>,
    since: Instant,
}

impl KeySetParts {
    /// So many parts, of which none has come.
    pub(in crate::authn) fn new(count: usize, max_stale: Duration) -> Self {
        Self { held: Mutex::new((0..count).map(|_| None).collect()), max_stale }
    }

    /// Joins the outcomes of a fetch of all parts, with what is held of those that failed.
    ///
    /// # Errors
    /// The first failure, if all failed.
    pub(in crate::authn) fn join(
        &self,
        outcomes: Vec<(Url, Result<FetchedDocument, FetchError>)>,
    ) -> Result<FetchedDocument, FetchError> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let (count, mut failures, mut fresh_for) = (outcomes.len(), Vec::new(), None);
        for (part, (url, outcome)) in held.iter_mut().zip(outcomes) {
            match outcome.and_then(|fetched| Ok((keys_of(&fetched.document)?, fetched.fresh_for))) {
                Ok((keys, fresh)) => {
                    *part = Some(Part { keys, since: Instant::now() });
                    fresh_for = [fresh_for, fresh].into_iter().flatten().min();
                }
                Err(error) => failures.push(FetchError::Part { url, error: Box::new(error) }),
            }
        }
        if failures.len() == count
            && let Some(failure) = failures.pop()
        {
            return Err(failure);
        }
        for part in held.iter_mut() {
            *part = part.take().filter(|part| part.since.elapsed() < self.max_stale);
        }
        let keys: Vec<&Value> = held.iter().flatten().flat_map(|part| &part.keys).collect();
        let document = json!({ "keys": keys }).to_string().into_bytes();
        Ok(FetchedDocument { document, fresh_for, failures })
    }
}

/// The entries of a part, good or not: they are judged when the parts are one set.
fn keys_of(document: &[u8]) -> Result<Vec<Value>, FetchError> {
    let mut part = json::parse_object(document).map_err(|error| FetchError::Content(error.into()))?;
    match part.get_mut("keys") {
        Some(Value::Array(keys)) => Ok(std::mem::take(keys)),
        _ => Err(FetchError::Content(KeySetError::NoKeys)),
    }
}

#[cfg(test)]
mod tests {
    use reqwest::StatusCode;

    use super::*;

    fn outcomes(answers: [Result<&str, StatusCode>; 2]) -> Vec<(Url, Result<FetchedDocument, FetchError>)> {
        let outcome = |(index, answer): (usize, Result<&str, StatusCode>)| {
            let url = format!("https://keys.example/{index}").parse().unwrap();
            let fetched = answer.map(|text| FetchedDocument {
                document: text.as_bytes().to_vec(),
                fresh_for: None,
                failures: Vec::new(),
            });
            (url, fetched.map_err(FetchError::Status))
        };
        answers.into_iter().enumerate().map(outcome).collect()
    }

    fn joined(parts: &KeySetParts, answers: [Result<&str, StatusCode>; 2]) -> (String, Vec<String>) {
        match parts.join(outcomes(answers)) {
            Ok(set) => {
                let failures = set.failures.iter().map(ToString::to_string).collect();
                (String::from_utf8(set.document).unwrap(), failures)
            }
            Err(error) => ("none".to_owned(), vec![error.to_string()]),
        }
    }

    #[test]
    fn a_part_that_fails_stays_as_it_was() {
        let parts = KeySetParts::new(2, Duration::from_secs(60));
        let down = StatusCode::BAD_GATEWAY;
        let (set, failures) = joined(&parts, [Err(down), Err(down)]);
        assert_eq!(set, "none");
        assert_eq!(failures, ["https://keys.example/1: the answer is 502 Bad Gateway, not 200"]);
        let (set, failures) = joined(&parts, [Ok(r#"{"keys":[1]}"#), Err(down)]);
        assert_eq!((set.as_str(), failures.len()), (r#"{"keys":[1]}"#, 1));
        let (set, failures) = joined(&parts, [Ok(r#"{"keys":[1]}"#), Ok(r#"{"keys":[2,3]}"#)]);
        assert_eq!((set.as_str(), failures.len()), (r#"{"keys":[1,2,3]}"#, 0));
        let (set, failures) = joined(&parts, [Ok(r#"{"keys":[4]}"#), Ok("<html>")]);
        assert_eq!((set.as_str(), failures.len()), (r#"{"keys":[4,2,3]}"#, 1));
        assert!(
            failures[0].starts_with("https://keys.example/1: the key set is not a JSON object"),
            "{failures:?}"
        );
        // An empty part is an answer: its keys are withdrawn.
        assert_eq!(joined(&parts, [Ok(r#"{"keys":[4]}"#), Ok(r#"{"keys":[]}"#)]).0, r#"{"keys":[4]}"#);
    }

    #[test]
    fn a_part_ends_with_its_time() {
        let parts = KeySetParts::new(2, Duration::ZERO);
        let down = StatusCode::BAD_GATEWAY;
        joined(&parts, [Ok(r#"{"keys":[1]}"#), Ok(r#"{"keys":[2]}"#)]);
        assert_eq!(joined(&parts, [Ok(r#"{"keys":[1]}"#), Err(down)]).0, r#"{"keys":[]}"#);
    }
}
