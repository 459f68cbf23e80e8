//! Keeping one issuer's keys fresh, off the request path.
//!
//! Each issuer has a task of its own: one that is slow or down holds up no other. [`Schedule`] says when it is asked.
//!
//! [`Schedule`]: crate::authn::jwks::schedule::Schedule

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::authn::jwks::KeySetError;
use crate::authn::jwks::cache::{JwksCache, SUCCESS};
use crate::authn::jwks::fetch::Fetch;
use crate::authn::jwks::fetched::{FetchError, FetchedDocument};
use crate::authn::jwks::schedule::FetchIntervals;
use crate::authn::jwks::single_flight::{Flight, KeyFetches};

/// How often a set is checked for its end: a clock that is set forward sends no event.
const LOOK: Duration = Duration::from_secs(1);

/// How the keys of one issuer are fetched.
#[derive(Clone)]
pub(in crate::authn) struct Remote {
    pub(in crate::authn) fetch: Fetch,
    pub(in crate::authn) intervals: FetchIntervals,
    pub(in crate::authn) fetches: Arc<KeyFetches>,
}

/// Why a refresh kept the old set.
#[derive(Debug, thiserror::Error)]
enum RefreshError {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    KeySet(#[from] KeySetError),
}

/// What comes of a refresh: the values of the label `outcome`.
pub(in crate::authn) const OUTCOMES: [&str; 11] = [
    SUCCESS,
    "timeout",
    "tls",
    "connect",
    "broken",
    "status",
    "too_large",
    "token",
    "content",
    "discovery",
    "withdrawn",
];

impl RefreshError {
    /// The label's value in metrics.
    fn outcome(&self) -> &'static str {
        match self {
            Self::Fetch(error) => error.outcome(),
            Self::KeySet(KeySetError::Withdrawn(_)) => "withdrawn",
            Self::KeySet(_) => "content",
        }
    }
}

/// Whether there is a set that is not too old.
pub(in crate::authn) fn has_keys(jwks: &JwksCache) -> bool {
    jwks.current(wall_clock()).is_some()
}

/// Fetches once where that is `needed` when its turn comes.
///
/// In a task of its own: a reload that ends the task which asks for it does not take the answer away from the requests
/// that wait for it.
pub(in crate::authn) async fn refresh(
    jwks: &Arc<JwksCache>,
    remote: &Remote,
    needed: impl Fn(&KeyFetches) -> bool + Send + 'static,
) {
    let (jwks, remote) = (Arc::clone(jwks), remote.clone());
    let fetched = tokio::spawn(async move {
        if let Some(mut flight) = remote.fetches.begin(needed).await {
            fetch_once(&jwks, &remote.fetch, &mut flight).await;
        }
    });
    // Cancelled with everything else where the process ends: not worth a log line.
    if let Err(error) = fetched.await
        && !error.is_cancelled()
    {
        tracing::error!("the task that fetches a key set failed: {error}");
    }
}

/// The outcome is logged and counted.
async fn fetch_once(jwks: &JwksCache, fetch: &Fetch, flight: &mut Flight<'_>) {
    match fetch_and_replace(jwks, fetch, flight.number).await {
        Ok(FetchedDocument { failures, .. }) if !failures.is_empty() => {
            // Not a success: the rest is asked for again soon, and a key that the set lacks may be in it.
            for error in &failures {
                let cause = error.outcome();
                tracing::warn!(issuer = jwks.issuer(), cause, "cannot refresh some of the keys: {error}");
            }
            let error = failures.first();
            jwks.count(error.map_or("broken", FetchError::outcome), error.map(ToString::to_string));
        }
        Ok(FetchedDocument { fresh_for, .. }) => {
            let failures = flight.succeed(fresh_for);
            jwks.count(SUCCESS, None);
            if failures > 0 {
                tracing::info!(
                    issuer = jwks.issuer(),
                    url = fetch.url(),
                    failures,
                    "keys can be fetched again"
                );
            } else {
                tracing::debug!(issuer = jwks.issuer(), url = fetch.url(), "keys fetched");
            }
        }
        Err(error) => {
            if matches!(error, RefreshError::KeySet(KeySetError::NoneUsable(_))) && has_keys(jwks) {
                flight.check_again();
            }
            let age = jwks.age(wall_clock()).map(|age| age.as_secs());
            let cause = error.outcome();
            tracing::warn!(
                issuer = jwks.issuer(),
                url = fetch.url(),
                cause,
                keys_age_seconds = age,
                "cannot refresh keys: {error}"
            );
            jwks.count(cause, Some(error.to_string()));
        }
    }
}

async fn fetch_and_replace(
    jwks: &JwksCache,
    fetch: &Fetch,
    number: u64,
) -> Result<FetchedDocument, RefreshError> {
    let answer = fetch.key_set().await?;
    // A set that lacks a part says nothing of the keys that it lacks: it counts as what it was before.
    let number = match answer.failures.is_empty() {
        true => number,
        false => jwks.latest().map_or(0, |latest| latest.fetch),
    };
    jwks.replace(&answer.document, number, wall_clock())?;
    Ok(answer)
}

/// Refreshes for ever.
pub(in crate::authn) async fn keep_fresh(jwks: &Arc<JwksCache>, remote: &Remote) -> Infallible {
    remote.fetches.adopt(remote.intervals);
    loop {
        tokio::select! {
            () = remote.fetches.due() => refresh(jwks, remote, KeyFetches::is_due).await,
            () = tokio::time::sleep(LOOK) => {
                if jwks.is_near_its_end(wall_clock()) {
                    remote.fetches.hurry();
                }
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the age of a key set is measured from when it came")]
fn wall_clock() -> SystemTime {
    SystemTime::now()
}

#[cfg(test)]
mod tests;
