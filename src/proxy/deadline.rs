//! The time in which a body may come that is passed on as it comes, over HTTP/2.
//!
//! Pingora reads such a body without any deadline, and tells nobody before the next piece of it is there: a client that
//! stops would hold its stream and its backend for as long as it likes. So the whole exchange is watched from outside,
//! and dropped.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;

use tokio::time::{Instant, Sleep};

tokio::task_local! {
    /// When the body that is passed on must have ended.
    static UNTIL: Cell<Option<Instant>>;
}

/// Serves one HTTP/2 request, or drops it where its body does not come in time.
pub async fn in_body_time(serving: impl Future<Output = ()>) {
    let timed = async {
        let mut serving = pin!(serving);
        let mut alarm: Option<Pin<Box<Sleep>>> = None;
        poll_fn(|context| {
            if serving.as_mut().poll(context).is_ready() {
                return Poll::Ready(());
            }
            match UNTIL.with(Cell::get) {
                None => {
                    alarm = None;
                    Poll::Pending
                }
                Some(until) => {
                    let alarm = alarm.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
                    alarm.as_mut().poll(context)
                }
            }
        })
        .await;
    };
    UNTIL.scope(Cell::new(None), timed).await;
}

/// Sets or lifts the deadline of the request that this task serves. HTTP/1 has its own: Pingora's read timeout.
pub(super) fn set(until: Option<std::time::Instant>) {
    let _ = UNTIL.try_with(|cell| cell.set(until.map(Instant::from_std)));
}
