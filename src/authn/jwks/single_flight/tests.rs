use std::sync::Arc;

use super::*;

/// A cool-down that does not end within a test.
fn fetches() -> KeyFetches {
    KeyFetches::new(FetchIntervals {
        interval: Duration::from_secs(3600),
        cool_down: Duration::from_secs(10),
        first_retry: Duration::from_secs(10),
        last_retry: Duration::from_secs(60),
    })
}

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

async fn fetch(fetches: &KeyFetches) -> u64 {
    let mut flight = fetches.begin(|_| true).await.unwrap();
    flight.succeed(None);
    flight.number
}

#[tokio::test]
async fn only_a_fetch_that_began_later_says_that_a_key_is_not_there() {
    let fetches = fetches();
    let first = fetch(&fetches).await;
    assert!(!fetches.lacks(KeyHint::Kid("a"), first, at(100)));
    // Under way already when `b` was first named: its answer may be older than `b`.
    let mut flight = fetches.begin(|_| true).await.unwrap();
    assert!(!fetches.lacks(KeyHint::Kid("b"), first, at(100)));
    flight.succeed(None);
    let second = flight.number;
    drop(flight);
    assert!(fetches.lacks(KeyHint::Kid("a"), second, at(101)));
    assert!(!fetches.lacks(KeyHint::Kid("b"), second, at(101)));
    let third = fetch(&fetches).await;
    assert!(fetches.lacks(KeyHint::Kid("b"), third, at(101)));
    // A name is not a signature of the same bytes.
    assert!(!fetches.lacks(KeyHint::Signature(b"a"), third, at(101)));
}

#[tokio::test]
async fn what_is_believed_is_asked_again_after_a_minute_or_when_the_clock_is_set_back() {
    let fetches = fetches();
    let first = fetch(&fetches).await;
    assert!(!fetches.lacks(KeyHint::Kid("a"), first, at(100)));
    let second = fetch(&fetches).await;
    assert!(fetches.lacks(KeyHint::Kid("a"), second, at(159)));
    assert!(!fetches.lacks(KeyHint::Kid("a"), second, at(160)));
    let third = fetch(&fetches).await;
    assert!(fetches.lacks(KeyHint::Kid("a"), third, at(161)));
    assert!(!fetches.lacks(KeyHint::Kid("a"), third, at(99)));
}

#[tokio::test]
async fn a_flood_makes_forget_and_never_makes_believe() {
    let fetches = fetches();
    let first = fetch(&fetches).await;
    for number in 0..10 * REMEMBERED {
        assert!(!fetches.lacks(KeyHint::Kid(&number.to_string()), first, at(100)), "{number}");
    }
    assert!(fetches.sights.len() <= REMEMBERED);
}

/// Long enough for a wait that should not be, short enough for one that should.
async fn waits(fetches: &KeyFetches, kid: &str) -> bool {
    let wait = fetches.answer(KeyHint::Kid(kid), || false);
    tokio::time::timeout(Duration::from_millis(300), wait).await.is_err()
}

#[tokio::test]
async fn who_waits_is_woken_by_the_fetch_and_who_cannot_be_helped_does_not_wait() {
    let fetches = Arc::new(fetches());
    let first = fetch(&fetches).await;
    // The key was never named.
    assert!(!waits(&fetches, "a").await);
    assert!(!fetches.lacks(KeyHint::Kid("a"), first, at(100)));
    assert!(waits(&fetches, "a").await);

    let (waiting, flight) = (Arc::clone(&fetches), fetches.begin(|_| true).await.unwrap());
    let waiter = tokio::spawn(async move {
        let start = Instant::now();
        waiting.answer(KeyHint::Kid("a"), || false).await;
        start.elapsed()
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    // As a failure: that wakes too.
    drop(flight);
    assert!(waiter.await.unwrap() < PATIENCE);

    // In the cool-down, and in the back-off after it.
    assert!(!fetches.lacks(KeyHint::Kid("b"), first, at(100)));
    assert!(!waits(&fetches, "b").await);
}

#[tokio::test]
async fn places_are_counted_and_given_back() {
    let fetches = fetches();
    let first = fetch(&fetches).await;
    assert!(!fetches.lacks(KeyHint::Kid("a"), first, at(100)));
    assert!(waits(&fetches, "a").await);
    assert_eq!(fetches.waiting.available_permits(), PLACES);
    let all = fetches.waiting.try_acquire_many(u32::try_from(PLACES).unwrap()).unwrap();
    assert!(!waits(&fetches, "a").await);
    drop(all);
    assert!(waits(&fetches, "a").await);
}

#[tokio::test]
async fn a_needless_fetch_is_not_begun() {
    let fetches = fetches();
    let first = fetch(&fetches).await;
    assert!(fetches.begin(KeyFetches::is_due).await.is_none());
    assert!(!fetches.lacks(KeyHint::Kid("a"), first, at(100)));
    assert_eq!(fetches.begin(KeyFetches::is_due).await.unwrap().number, first + 1);
}
