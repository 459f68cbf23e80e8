//! What surrounds one HTTP/2 request and cannot be seen from within it.
//!
//! Pingora reads a body that is passed on without any deadline, and calls no filter before the next piece of it is
//! there: a client that stops would hold its stream and its backend without end. And when a connection is cut, a
//! request only learns that it is over, not why.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use tokio::time::{Instant, Sleep};

use super::Exchange;

/// Whether a connection ended because its client did not take its answers: set by the writer, read by its requests.
#[derive(Clone, Debug, Default)]
pub struct NotTaken(Arc<AtomicBool>);

impl NotTaken {
    /// It did.
    pub fn tell(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether it did.
    pub fn is_told(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

struct Surroundings {
    /// The deadline for the body that is passed on.
    until: Cell<Option<Instant>>,
    not_taken: NotTaken,
    /// The judged request, until Pingora asks for its context.
    judged: Cell<Option<Exchange>>,
}

tokio::task_local! {
    static SURROUNDINGS: Surroundings;
}

/// Serves one HTTP/2 request that is allowed, or drops it where its body does not come in time.
pub(super) async fn forward(judged: Exchange, not_taken: NotTaken, serving: impl Future<Output = ()>) {
    let timed = async {
        let mut serving = pin!(serving);
        let mut alarm: Option<Pin<Box<Sleep>>> = None;
        poll_fn(|context| {
            if serving.as_mut().poll(context).is_ready() {
                return Poll::Ready(());
            }
            match SURROUNDINGS.with(|surroundings| surroundings.until.get()) {
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
    let surroundings = Surroundings { until: Cell::new(None), not_taken, judged: Cell::new(Some(judged)) };
    SURROUNDINGS.scope(surroundings, timed).await;
}

/// The exchange of the request that this task serves; once.
pub(super) fn take_judged() -> Option<Exchange> {
    SURROUNDINGS.try_with(|surroundings| surroundings.judged.take()).ok().flatten()
}

/// Sets or lifts the deadline of the body that this task passes on. HTTP/1 has its own: Pingora's read timeout.
pub(super) fn set_deadline(until: Option<std::time::Instant>) {
    let _ = SURROUNDINGS.try_with(|surroundings| surroundings.until.set(until.map(Instant::from_std)));
}

/// Whether this task's connection ended because nothing was taken from it.
pub(super) fn is_not_taken() -> bool {
    SURROUNDINGS.try_with(|surroundings| surroundings.not_taken.is_told()).unwrap_or_default()
}
