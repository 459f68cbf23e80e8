//! The filter of the operator's log: the configured one, or another one for a while.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tracing_subscriber::EnvFilter;

use crate::terminal::eprint;

/// Longest text of a filter, in bytes.
const MOST: usize = 1024;

/// Puts a filter in force.
type Apply = Box<dyn Fn(EnvFilter) -> Result<(), tracing_subscriber::reload::Error> + Send + Sync>;

/// The log's filter, which can be changed while the process serves. Cheap to clone: all of it is shared.
#[derive(Clone)]
pub struct LogFilter(Arc<Shared>);

struct Shared {
    apply: Apply,
    state: Mutex<State>,
    /// Counts the changes: an end that was set for an earlier one does not end a later one.
    changes: watch::Sender<u64>,
}

/// What filters the log now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFilterStatus {
    /// The filter in force.
    pub filter: String,
    /// The one that the configuration has.
    pub configured: String,
    /// When the configured one is in force again; `None` where no end is set.
    pub until: Option<Instant>,
}

#[derive(Debug)]
struct State {
    status: LogFilterStatus,
}

/// A change that ends by itself: [`LogFilter::end`] with it.
#[derive(Clone, Copy, Debug)]
pub struct FilterChange(u64);

impl LogFilter {
    pub(super) fn new(configured: &str, apply: Apply) -> Self {
        let status =
            LogFilterStatus { filter: configured.to_owned(), configured: configured.to_owned(), until: None };
        Self(Arc::new(Shared { apply, state: Mutex::new(State { status }), changes: watch::Sender::new(0) }))
    }

    /// What filters the log now.
    pub fn status(&self) -> LogFilterStatus {
        self.state().status.clone()
    }

    /// Puts a filter in force that the configuration has. It ends one that was set by hand.
    pub fn configure(&self, configured: &str) {
        let mut state = self.state();
        state.status.configured = configured.to_owned();
        self.put(&mut state, configured.to_owned(), None);
    }

    /// Puts another filter in force: for this long, or until the configuration changes.
    ///
    /// # Errors
    /// Where the text is not a filter.
    pub fn set(&self, filter: &str, lasts: Option<Duration>) -> Result<FilterChange, String> {
        if filter.len() > MOST {
            return Err(format!("it is longer than {MOST} bytes"));
        }
        if let Err(error) = filter.parse::<EnvFilter>() {
            return Err(error.to_string());
        }
        let until = lasts.and_then(|lasts| Instant::now().checked_add(lasts));
        let mut state = self.state();
        self.put(&mut state, filter.to_owned(), until);
        Ok(FilterChange(*self.0.changes.borrow()))
    }

    /// Puts the configured filter back in force.
    pub fn reset(&self) {
        let mut state = self.state();
        let configured = state.status.configured.clone();
        self.put(&mut state, configured, None);
    }

    /// Ends a change, unless there was another since. Returns whether it ended.
    pub fn end(&self, change: FilterChange) -> bool {
        let mut state = self.state();
        let is_last = *self.0.changes.borrow() == change.0;
        if is_last {
            let configured = state.status.configured.clone();
            self.put(&mut state, configured, None);
        }
        is_last
    }

    /// Waits until there is another change.
    pub async fn superseded(&self, change: FilterChange) {
        // No error: the sender is here.
        let _ = self.0.changes.subscribe().wait_for(|changes| *changes != change.0).await;
    }

    fn put(&self, state: &mut State, filter: String, until: Option<Instant>) {
        if let Err(error) = (self.0.apply)(parsed(&filter)) {
            eprint(&format!("opgate: the log could not be changed: {error}\n"));
            return;
        }
        self.0.changes.send_modify(|changes| *changes += 1);
        state.status.filter = filter;
        state.status.until = until;
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for LogFilter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("LogFilter").field(&self.status()).finish()
    }
}

/// A filter that was checked before.
pub(super) fn parsed(text: &str) -> EnvFilter {
    EnvFilter::try_new(text).unwrap_or_else(|_| EnvFilter::new("info"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A log, and the filters that were put in force.
    fn log() -> (LogFilter, Arc<Mutex<Vec<String>>>) {
        let applied = Arc::new(Mutex::new(Vec::new()));
        let seen = applied.clone();
        let apply = move |filter: EnvFilter| {
            let text = filter.to_string();
            seen.lock().unwrap().push(text.split(',').next_back().unwrap().to_owned());
            Ok(())
        };
        (LogFilter::new("info", Box::new(apply)), applied)
    }

    #[test]
    fn a_filter_that_was_set_ends_with_its_time_or_with_the_next_change() {
        let (log, applied) = log();
        let first = log.set("debug", Some(Duration::from_secs(60))).unwrap();
        assert_eq!(log.status().filter, "debug");
        assert!(log.status().until.is_some());
        let second = log.set("warn", None).unwrap();
        assert!(!log.end(first), "it ended with the next one");
        assert_eq!((log.status().filter.as_str(), log.status().until), ("warn", None));
        assert!(log.end(second));
        assert_eq!(log.status().filter, "info");
        assert_eq!(*applied.lock().unwrap(), ["debug", "warn", "info"]);
    }

    #[test]
    fn a_changed_configuration_ends_what_was_set_by_hand() {
        let (log, _) = log();
        let change = log.set("debug", Some(Duration::from_secs(60))).unwrap();
        log.configure("error");
        let expected =
            LogFilterStatus { filter: "error".to_owned(), configured: "error".to_owned(), until: None };
        assert_eq!(log.status(), expected);
        assert!(!log.end(change));
        log.set("debug", None).unwrap();
        log.reset();
        assert_eq!(log.status(), expected);
    }

    /// Each change left a task behind that slept until its own end.
    #[tokio::test]
    async fn what_waits_for_the_end_of_a_change_ends_with_the_next_change() {
        let (log, _) = log();
        let first = log.set("debug", Some(Duration::from_secs(3600))).unwrap();
        let waiting = tokio::spawn({
            let log = log.clone();
            async move { log.superseded(first).await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        let second = log.set("warn", Some(Duration::from_secs(3600))).unwrap();
        waiting.await.unwrap();
        log.superseded(first).await;
        assert!(log.end(second));
        log.superseded(second).await;
    }

    #[test]
    fn what_is_not_a_filter_changes_nothing() {
        let (log, applied) = log();
        for text in ["=,", "opgate=loud", &"a".repeat(2000)] {
            assert!(log.set(text, None).is_err(), "{text}");
        }
        assert!(applied.lock().unwrap().is_empty());
        assert_eq!(log.status().filter, "info");
    }
}
