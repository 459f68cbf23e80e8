//! The outcome of each try, as seen by the client, the backend and the audit log.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

/// The counts by the number of the try, in one byte each: there are millions.
pub struct Books {
    wanted: u64,
    taken: AtomicU64,
    answered: AtomicU64,
    tries: AtomicU64,
    outcomes: Vec<AtomicU8>,
    seen: Vec<AtomicU8>,
    logged: Vec<AtomicU8>,
}

/// The client's view of a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The answer was 200.
    Answered = 1,
    /// A reused connection ended before a byte of an answer (RFC 9112, section 9.5).
    Ended = 2,
    /// GOAWAY or REFUSED_STREAM says that the stream was not processed (RFC 9113, sections 6.8 and 8.7).
    Refused = 3,
    /// Nothing left the client.
    Unsent = 4,
}

/// How many tries were followed by another one, by reason.
pub struct Retries {
    pub ended: usize,
    pub refused: usize,
    pub unsent: usize,
}

impl Books {
    pub fn new(wanted: u64) -> Self {
        // At each event, a stream in flight on each connection may be refused, and no more.
        let most_tries = wanted + wanted / 4 + 10_000;
        let column = || (0..most_tries).map(|_| AtomicU8::new(0)).collect();
        Self {
            wanted,
            taken: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            tries: AtomicU64::new(0),
            outcomes: column(),
            seen: column(),
            logged: column(),
        }
    }

    /// Takes one of the requests that are left to send; `false` if there is none.
    pub fn take(&self) -> bool {
        self.taken.fetch_add(1, Ordering::Relaxed) < self.wanted
    }

    /// The number of a new try.
    pub fn begin(&self) -> u64 {
        self.tries.fetch_add(1, Ordering::Relaxed)
    }

    pub fn end(&self, number: u64, outcome: Outcome) {
        let before = self.outcomes[number as usize].swap(outcome as u8, Ordering::Relaxed);
        assert_eq!(before, 0, "two outcomes of try {number}");
        if outcome == Outcome::Answered {
            self.answered.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Notes that the backend received a request with this target.
    pub fn see(&self, target: &str) {
        self.seen[number_of(target) as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Notes an audit line which says that a request for this resource was allowed and answered.
    pub fn log(&self, resource: &str) {
        self.logged[number_of(resource) as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub async fn until_answered(&self, count: u64) {
        while self.answered.load(Ordering::Relaxed) < count {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    pub fn retries(&self) -> Retries {
        let count = |wanted| self.outcomes().filter(|outcome| *outcome == wanted as u8).count();
        Retries {
            ended: count(Outcome::Ended),
            refused: count(Outcome::Refused),
            unsent: count(Outcome::Unsent),
        }
    }

    /// Asserts that every request was answered once, and that the answered ones are those forwarded and logged, once
    /// each.
    pub fn agree(&self) {
        assert_eq!(self.answered.load(Ordering::Relaxed), self.wanted);
        let mut wrong = Vec::new();
        for (number, outcome) in self.outcomes().enumerate() {
            let once = u8::from(outcome == Outcome::Answered as u8);
            let [seen, logged] =
                [&self.seen, &self.logged].map(|column| column[number].load(Ordering::Relaxed));
            if outcome == 0 || seen != once || logged != once {
                wrong.push(format!(
                    "try {number}: outcome {outcome}, forwarded {seen} times, logged {logged} times"
                ));
            }
        }
        assert!(
            wrong.is_empty(),
            "{} tries, the first:\n{}",
            wrong.len(),
            wrong[..wrong.len().min(20)].join("\n")
        );
    }

    fn outcomes(&self) -> impl Iterator<Item = u8> {
        let tries = self.tries.load(Ordering::Relaxed) as usize;
        self.outcomes[..tries].iter().map(|outcome| outcome.load(Ordering::Relaxed))
    }
}

/// The target of a try, with which the backend and the log name it.
pub fn target(number: u64) -> String {
    format!("/v1/projects/demo/locations/us-central1/operations/t{number}:cancel")
}

fn number_of(text: &str) -> u64 {
    let (_, number) = text.split_once("/operations/t").unwrap_or_else(|| panic!("whose is {text:?}?"));
    number.trim_end_matches(":cancel").parse().unwrap()
}
