//! Keeping one issuer's keys fresh, off the request path.
//!
//! ```text
//!            ┌── interval elapsed ──────────────────────┐
//!   waiting ─┤                                          ├─► fetch ─► good: replace, wait for the interval
//!            └── unknown key, cool-down elapsed ────────┘        └─► bad: keep the old set, wait for the back-off
//! ```
//!
//! Each issuer has a task of its own: one that is slow or down holds up no other.

use std::convert::Infallible;
use std::time::{Duration, SystemTime};

use aws_lc_rs::rand;

use super::fetch::{Fetch, FetchError};
use super::held::HeldKeys;
use super::jwks::KeySetError;

/// How often an issuer is asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// From a good fetch to the next.
    pub(super) interval: Duration,
    /// From any fetch to one that an unknown key asks for: a flood of invented keys drives one fetch per cool-down.
    pub(super) cool_down: Duration,
    /// From the first failure to the next try; doubles with each further failure.
    pub(super) first_retry: Duration,
    /// Where the doubling ends.
    pub(super) last_retry: Duration,
}

/// Why a refresh left the old set in place.
#[derive(Debug, thiserror::Error)]
enum RefreshError {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    KeySet(#[from] KeySetError),
}

impl Pace {
    pub(super) fn every(interval: Duration) -> Self {
        Self {
            interval,
            cool_down: Duration::from_secs(30),
            first_retry: Duration::from_secs(1),
            last_retry: interval.min(Duration::from_secs(60)),
        }
    }

    /// The wait after so many failures in a row, before jitter.
    fn retry(self, failures: u32) -> Duration {
        let doubled = 2u32.checked_pow(failures.saturating_sub(1)).unwrap_or(u32::MAX);
        self.first_retry.saturating_mul(doubled).min(self.last_retry)
    }
}

/// Whether there is a set that is not too old.
pub(super) fn has_keys(held: &HeldKeys) -> bool {
    held.current(wall_clock()).is_some()
}

/// Fetches once; the outcome is logged and counted. Returns whether there is a new set.
pub(super) async fn refresh(held: &HeldKeys, fetch: &Fetch) -> bool {
    held.attend();
    match fetch_and_replace(held, fetch).await {
        Ok(()) => {
            held.succeeded();
            tracing::debug!(issuer = held.issuer(), url = fetch.url(), "keys refreshed");
            true
        }
        Err(error) => {
            let age = held.age(wall_clock()).map(|age| age.as_secs());
            tracing::warn!(
                issuer = held.issuer(),
                url = fetch.url(),
                keys_age_seconds = age,
                "cannot refresh keys: {error}"
            );
            held.failed(error.to_string());
            false
        }
    }
}

async fn fetch_and_replace(held: &HeldKeys, fetch: &Fetch) -> Result<(), RefreshError> {
    let document = fetch.document().await?;
    held.replace(&document, wall_clock())?;
    Ok(())
}

/// Refreshes for ever.
pub(super) async fn keep_fresh(held: &HeldKeys, fetch: &Fetch, pace: Pace) -> Infallible {
    let mut failures: u32 = 0;
    // A set taken over from before a reload keeps its age: reloads do not put the next fetch off.
    let mut due = match held.age(wall_clock()) {
        Some(age) => jittered(pace.interval).saturating_sub(age),
        None => jittered(pace.first_retry),
    };
    loop {
        tokio::select! {
            () = tokio::time::sleep(due) => {}
            () = unknown_key(held, pace.cool_down) => {}
        }
        if refresh(held, fetch).await {
            failures = 0;
            due = jittered(pace.interval);
        } else {
            failures = failures.saturating_add(1);
            due = jittered(pace.retry(failures));
        }
    }
}

async fn unknown_key(held: &HeldKeys, cool_down: Duration) {
    tokio::time::sleep(cool_down).await;
    held.wanted().await;
}

/// Nine tenths to all of a wait, so that many gates do not ask one issuer in the same second.
fn jittered(wait: Duration) -> Duration {
    let mut byte = [0];
    // Without random bytes the wait is merely not spread.
    let share = rand::fill(&mut byte).map_or(0, |()| u32::from(u8::from_be_bytes(byte)));
    wait.saturating_sub(wait / 10 * share / 255)
}

#[expect(clippy::disallowed_methods, reason = "the age of a key set is measured from when it came")]
fn wall_clock() -> SystemTime {
    SystemTime::now()
}

#[cfg(test)]
mod tests;
