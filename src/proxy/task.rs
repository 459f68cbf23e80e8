//! What the task of one request carries, and Pingora does not.
//!
//! Pingora makes a context for each request by itself: it has to find the exchange that was admitted. It reads a body that
//! is passed on over HTTP/2 without any deadline, and calls no filter before the next piece is there: a client that stops
//! would hold its stream and its backend for as long as it likes. And of a connection that is cut, a request learns
//! nothing but that it is over.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;

use tokio::time::{Instant, Sleep};
use tracing::Instrument;

use crate::engine::Exchange;
use crate::listener::StalledFlag;

struct Carried {
    /// The exchange, until Pingora asks for its context. One that is left here is recorded when it is dropped.
    exchange: Cell<Option<Exchange>>,
    /// The deadline for the body that is passed on.
    until: Cell<Option<Instant>>,
    stalled: StalledFlag,
}

tokio::task_local! {
    static CARRIED: Carried;
}

/// Forwards an exchange by `forwarding`, which is Pingora's.
pub async fn carry<T>(exchange: Exchange, forwarding: impl Future<Output = T>) -> T {
    let lines = exchange.log_span();
    CARRIED.scope(Carried::new(exchange, StalledFlag::default()), forwarding.instrument(lines)).await
}

/// The same over HTTP/2, where `stalled` tells of the connection. `None` where the body did not come in time.
pub async fn carry_within_deadline<T>(
    exchange: Exchange,
    stalled: StalledFlag,
    forwarding: impl Future<Output = T>,
) -> Option<T> {
    let timed = async {
        let mut forwarding = pin!(forwarding);
        let mut timer: Option<Pin<Box<Sleep>>> = None;
        poll_fn(|context| {
            if let Poll::Ready(done) = forwarding.as_mut().poll(context) {
                return Poll::Ready(Some(done));
            }
            match CARRIED.with(|carried| carried.until.get()) {
                None => {
                    timer = None;
                    Poll::Pending
                }
                Some(until) => {
                    let timer = timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
                    timer.as_mut().poll(context).map(|()| None)
                }
            }
        })
        .await
    };
    let lines = exchange.log_span();
    CARRIED.scope(Carried::new(exchange, stalled), timed.instrument(lines)).await
}

impl Carried {
    fn new(exchange: Exchange, stalled: StalledFlag) -> Self {
        Self { exchange: Cell::new(Some(exchange)), until: Cell::new(None), stalled }
    }
}

/// The exchange that this task forwards; once.
pub(super) fn take_exchange() -> Option<Exchange> {
    CARRIED.try_with(|carried| carried.exchange.take()).ok().flatten()
}

/// Sets or lifts the deadline of the body that this task passes on. Only HTTP/2 needs it: over HTTP/1, Pingora's read
/// timeout ends the wait.
pub(super) fn set_deadline(until: Option<std::time::Instant>) {
    // Without a task that carries an exchange there is nothing to cut.
    let _ = CARRIED.try_with(|carried| carried.until.set(until.map(Instant::from_std)));
}

/// Whether this task's connection ended because its client did not read.
pub(super) fn is_stalled() -> bool {
    CARRIED.try_with(|carried| carried.stalled.is_told()).unwrap_or_default()
}
