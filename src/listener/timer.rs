//! A deadline that is moved far more often than it passes.
//!
//! Moving a timer costs more than reading the clock. So the timer stays where it is: if it fires too early, it is set
//! anew.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::time::{Instant, Sleep};

/// A timer for a deadline that only ever moves into the future.
#[derive(Debug, Default)]
pub(super) struct Timer(Option<Pin<Box<Sleep>>>);

impl Timer {
    /// Ready once `until` has passed.
    pub(super) fn poll(&mut self, context: &mut Context<'_>, until: Instant) -> Poll<()> {
        let sleep = self.0.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
        loop {
            ready!(sleep.as_mut().poll(context));
            if sleep.deadline() >= until || Instant::now() >= until {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(until);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_deadline_that_was_put_off_is_the_later_one() {
        let mut alarm = Timer::default();
        let first = Instant::now() + Duration::from_secs(1);
        assert!(poll_fn(|context| Poll::Ready(alarm.poll(context, first))).await.is_pending());
        let later = first + Duration::from_secs(5);
        poll_fn(|context| alarm.poll(context, later)).await;
        assert_eq!(Instant::now(), later);
        // And again, after it has fired.
        let again = later + Duration::from_secs(2);
        poll_fn(|context| alarm.poll(context, again)).await;
        assert_eq!(Instant::now(), again);
    }
}
