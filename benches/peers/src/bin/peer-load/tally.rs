//! What came back.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

/// The answers of one connection, or of all.
#[derive(Default)]
pub struct Tally {
    /// How long each right answer took.
    times: Vec<Duration>,
    /// What went wrong, and how often.
    wrong: BTreeMap<String, usize>,
    /// Connections that were opened after the first ones.
    pub reconnects: usize,
    /// From the start to the last answer.
    pub elapsed: Duration,
}

impl Tally {
    pub fn count(&mut self, outcome: Result<(), String>, time: Duration) {
        match outcome {
            Ok(()) => self.times.push(time),
            Err(why) => *self.wrong.entry(why).or_default() += 1,
        }
    }

    pub fn wrong_answers(&self) -> usize {
        self.wrong.values().sum()
    }

    pub fn add(&mut self, other: Self) {
        self.times.extend(other.times);
        for (why, times) in other.wrong {
            *self.wrong.entry(why).or_default() += times;
        }
        self.reconnects += other.reconnects;
        self.elapsed = self.elapsed.max(other.elapsed);
    }

    pub fn into_json(mut self) -> Value {
        self.times.sort_unstable();
        json!({
            "requests": self.times.len(),
            "seconds": self.elapsed.as_secs_f64(),
            "wrong": self.wrong,
            "reconnects": self.reconnects,
            "p50": self.percentile(0.5),
            "p99": self.percentile(0.99),
            "p999": self.percentile(0.999),
        })
    }

    /// In milliseconds.
    fn percentile(&self, share: f64) -> Option<f64> {
        let last = self.times.len().checked_sub(1)?;
        let place = (last as f64 * share).round() as usize;
        Some(self.times[place].as_secs_f64() * 1000.0)
    }
}
