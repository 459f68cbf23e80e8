use std::sync::Arc;

use super::*;

/// A cool-down that nobody waits for.
fn asking() -> Asking {
    Asking::new(Pace {
        interval: Duration::from_secs(3600),
        cool_down: Duration::from_secs(10),
        first_retry: Duration::from_secs(10),
        last_retry: Duration::from_secs(60),
    })
}

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

async fn fetch(asking: &Asking) -> u64 {
    let mut flight = asking.begin(|_| true).await.unwrap();
    flight.succeed(None);
    flight.number
}

#[tokio::test]
async fn only_a_fetch_that_began_later_says_that_a_key_is_not_there() {
    let asking = asking();
    let first = fetch(&asking).await;
    assert!(!asking.lacks(Named::Kid("a"), first, at(100)));
    // Under way already when `b` was first named: its answer may be older than `b`.
    let mut flight = asking.begin(|_| true).await.unwrap();
    assert!(!asking.lacks(Named::Kid("b"), first, at(100)));
    flight.succeed(None);
    let second = flight.number;
    drop(flight);
    assert!(asking.lacks(Named::Kid("a"), second, at(101)));
    assert!(!asking.lacks(Named::Kid("b"), second, at(101)));
    let third = fetch(&asking).await;
    assert!(asking.lacks(Named::Kid("b"), third, at(101)));
    // A name is not a signature of the same bytes.
    assert!(!asking.lacks(Named::Signature(b"a"), third, at(101)));
}

#[tokio::test]
async fn what_is_believed_is_asked_again_after_a_minute_or_when_the_clock_is_set_back() {
    let asking = asking();
    let first = fetch(&asking).await;
    assert!(!asking.lacks(Named::Kid("a"), first, at(100)));
    let second = fetch(&asking).await;
    assert!(asking.lacks(Named::Kid("a"), second, at(159)));
    assert!(!asking.lacks(Named::Kid("a"), second, at(160)));
    let third = fetch(&asking).await;
    assert!(asking.lacks(Named::Kid("a"), third, at(161)));
    assert!(!asking.lacks(Named::Kid("a"), third, at(99)));
}

#[tokio::test]
async fn a_flood_makes_forget_and_never_makes_believe() {
    let asking = asking();
    let first = fetch(&asking).await;
    for number in 0..10 * REMEMBERED {
        assert!(!asking.lacks(Named::Kid(&number.to_string()), first, at(100)), "{number}");
    }
    assert!(asking.sights.len() <= REMEMBERED);
}

/// Long enough for a wait that should not be, short enough for one that should.
async fn waits(asking: &Asking, kid: &str) -> bool {
    let wait = asking.answer(Named::Kid(kid), || false);
    tokio::time::timeout(Duration::from_millis(300), wait).await.is_err()
}

#[tokio::test]
async fn who_waits_is_woken_by_the_fetch_and_who_cannot_be_helped_does_not_wait() {
    let asking = Arc::new(asking());
    let first = fetch(&asking).await;
    // Nobody has named it.
    assert!(!waits(&asking, "a").await);
    assert!(!asking.lacks(Named::Kid("a"), first, at(100)));
    assert!(waits(&asking, "a").await);

    let (waiting, flight) = (Arc::clone(&asking), asking.begin(|_| true).await.unwrap());
    let waiter = tokio::spawn(async move {
        let start = Instant::now();
        waiting.answer(Named::Kid("a"), || false).await;
        start.elapsed()
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    // As a failure: that wakes too.
    drop(flight);
    assert!(waiter.await.unwrap() < PATIENCE);

    // In the cool-down, and in the back-off after it.
    assert!(!asking.lacks(Named::Kid("b"), first, at(100)));
    assert!(!waits(&asking, "b").await);
}

#[tokio::test]
async fn places_are_counted_and_given_back() {
    let asking = asking();
    let first = fetch(&asking).await;
    assert!(!asking.lacks(Named::Kid("a"), first, at(100)));
    assert!(waits(&asking, "a").await);
    assert_eq!(asking.waiting.available_permits(), PLACES);
    let all = asking.waiting.try_acquire_many(u32::try_from(PLACES).unwrap()).unwrap();
    assert!(!waits(&asking, "a").await);
    drop(all);
    assert!(waits(&asking, "a").await);
}

#[tokio::test]
async fn a_needless_fetch_is_not_begun() {
    let asking = asking();
    let first = fetch(&asking).await;
    assert!(asking.begin(Asking::is_due).await.is_none());
    assert!(!asking.lacks(Named::Kid("a"), first, at(100)));
    assert_eq!(asking.begin(Asking::is_due).await.unwrap().number, first + 1);
}
