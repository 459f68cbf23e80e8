//! Numbers and times as people read them.

use std::time::{Duration, SystemTime};

use maud::{Markup, html};

/// `3 s`, `4 min`, `2 h`, `5 d`.
pub(super) fn span(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    match seconds {
        ..1.0 => format!("{:.0} ms", seconds * 1e3),
        ..10.0 => format!("{seconds:.1} s"),
        ..120.0 => format!("{seconds:.0} s"),
        ..7_200.0 => format!("{:.0} min", seconds / 60.0),
        ..172_800.0 => format!("{:.0} h", seconds / 3_600.0),
        _ => format!("{:.0} d", seconds / 86_400.0),
    }
}

/// How long ago, with the time itself.
pub(super) fn ago(time: SystemTime, now: SystemTime) -> Markup {
    let text = match now.duration_since(time) {
        Ok(since) if since < Duration::from_secs(1) => "now".to_owned(),
        Ok(since) => format!("{} ago", span(since)),
        Err(_) => "now".to_owned(),
    };
    let time = rfc3339(time);
    html! { time datetime=(time) title=(time) { (text) } }
}

/// How long until then.
pub(super) fn left(until: SystemTime, now: SystemTime) -> Markup {
    let time = rfc3339(until);
    let text = match until.duration_since(now) {
        Ok(left) => format!("in {}", span(left)),
        Err(past) => format!("{} ago", span(past.duration())),
    };
    html! { time datetime=(time) title=(time) { (text) } }
}

/// RFC 3339 in UTC, to the second.
pub(super) fn rfc3339(time: SystemTime) -> String {
    jiff::Timestamp::try_from(time).map_or_else(|_| String::new(), |time| format!("{time:.0}"))
}

/// The time of the day in UTC, with the day as its title.
pub(super) fn clock_time(time: SystemTime) -> Markup {
    let full = rfc3339(time);
    let hours = full.split_once('T').map_or("", |(_, hours)| hours).trim_end_matches('Z');
    html! { time datetime=(full) title=(full) { (hours) " UTC" } }
}

/// The time of Prometheus: seconds since the epoch. `None` for what is not a time, like NaN.
pub(super) fn instant(seconds: f64) -> Option<SystemTime> {
    let since = Duration::try_from_secs_f64(seconds).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(since)
}

/// A name that may be long: it breaks where one of its parts ends.
pub(super) fn name(text: &str) -> Markup {
    html! {
        @for part in text.split_inclusive(['.', '_', '/', ':', ',']) {
            @if let Some((before, after)) = part.split_once('@') { (before) wbr; "@" (after) } @else { (part) }
            wbr;
        }
    }
}

/// A whole number with its thousands apart: `12 345`.
pub(super) fn number(value: f64) -> String {
    if !value.is_finite() {
        return "–".to_owned();
    }
    // Of nothing, the sum is minus zero.
    let digits = format!("{:.0}", value + 0.0);
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        let left = digits.len() - place;
        if place > 0 && left.is_multiple_of(3) && !text.ends_with('-') {
            // Narrow, and it does not break.
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// A count with its noun.
pub(super) fn counted(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", number(count as f64))
}

/// A percentage; `–` where there is none.
pub(super) fn percent(value: Option<f64>) -> String {
    match value {
        Some(value) if value > 0.0 && value < 0.1 => "< 0.1 %".to_owned(),
        Some(value) => format!("{value:.1} %"),
        None => "–".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_times_are_short() {
        let spans = [0.25, 1.5, 59.0, 300.0, 10_000.0, 1e6].map(|of| span(Duration::from_secs_f64(of)));
        assert_eq!(spans, ["250 ms", "1.5 s", "59 s", "5 min", "3 h", "12 d"]);
        let numbers = [-0.0, 999.0, 1_000.0, 1_234_567.0, -1_000.0, f64::NAN].map(number);
        assert_eq!(numbers, ["0", "999", "1\u{202f}000", "1\u{202f}234\u{202f}567", "-1\u{202f}000", "–"]);
        assert_eq!(
            [None, Some(0.0), Some(0.01), Some(12.34)].map(percent),
            ["–", "0.0 %", "< 0.1 %", "12.3 %"]
        );
        assert_eq!((counted(1, "key"), counted(2, "key")), ("1 key".to_owned(), "2 keys".to_owned()));
        assert_eq!(name("a.b@c_d<").into_string(), "a.<wbr>b<wbr>@c_<wbr>d&lt;<wbr>");
        let now = instant(1e9).unwrap();
        assert_eq!(instant(f64::NAN).or(instant(f64::INFINITY)).or(instant(-1.0)), None);
        let said = ago(now - Duration::from_secs(240), now).into_string();
        let time = "2001-09-09T01:42:40Z";
        assert_eq!(said, format!("<time datetime=\"{time}\" title=\"{time}\">4 min ago</time>"));
        assert!(left(now + Duration::from_secs(60), now).into_string().contains(">in 60 s<"));
    }
}
