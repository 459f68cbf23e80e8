//! The date, as answers say it (RFC 9110, section 6.6.1).

use std::cell::RefCell;
use std::time::{SystemTime, UNIX_EPOCH};

use http::HeaderValue;

use crate::clock;

thread_local! {
    /// The second that was written last, and how.
    static WRITTEN: RefCell<(u64, HeaderValue)> =
        const { RefCell::new((u64::MAX, HeaderValue::from_static(""))) };
}

/// The current second. It is written once for each thread and second.
pub(super) fn now() -> HeaderValue {
    let time = clock::now();
    let second = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    WRITTEN.with_borrow_mut(|written| {
        if written.0 != second {
            *written = (second, value_of(time));
        }
        written.1.clone()
    })
}

fn value_of(time: SystemTime) -> HeaderValue {
    // A date has no byte that a value may not have, so this never is the epoch.
    HeaderValue::from_str(&httpdate::fmt_http_date(time))
        .unwrap_or_else(|_| HeaderValue::from_static("Thu, 01 Jan 1970 00:00:00 GMT"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_date_is_written_as_the_standard_shows_it() {
        let time = UNIX_EPOCH + Duration::from_secs(784_111_777);
        assert_eq!(value_of(time), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(now().len(), 29);
    }
}
