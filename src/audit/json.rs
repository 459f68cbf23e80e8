//! JSON that is written by hand, into a buffer that is used again: fixed text is copied, and text of others is escaped.

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{cell::Cell, fmt::Write as _};

use super::seen::TextPlaces;
use crate::json;

/// How many bytes a text may take as it is written. What is beyond is left out, and counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Caps {
    /// A `User-Agent`, a host.
    pub(super) short: usize,
    /// A reason in full.
    pub(super) detail: usize,
    /// The name of a resource, a path.
    pub(super) name: usize,
}

impl Caps {
    /// Of a line.
    pub(super) const USUAL: Self = Self { short: 256, detail: 1024, name: 2048 };
    /// Of a line that would be too long otherwise.
    pub(super) const TIGHT: Self = Self { short: 128, detail: 128, name: 128 };
    /// Of a line whose texts were capped before.
    pub(super) const NONE: Self = Self { short: usize::MAX, detail: usize::MAX, name: usize::MAX };
}

/// Writes JSON. What it writes is what `serde_json` would.
pub(super) struct JsonWriter<'b> {
    buffer: &'b mut String,
    pub(super) caps: Caps,
    /// Of the texts that observers ask for.
    pub(super) places: TextPlaces,
}

impl<'b> JsonWriter<'b> {
    pub(super) fn new(buffer: &'b mut String, caps: Caps) -> Self {
        Self { buffer, caps, places: TextPlaces::default() }
    }

    /// Copies text that is JSON.
    #[inline]
    pub(super) fn raw(&mut self, json: &str) {
        self.buffer.push_str(json);
    }

    /// A text, between quotes.
    pub(super) fn text(&mut self, text: &str) {
        json::push_text(self.buffer, text);
    }

    /// A text of which at most so many bytes are written.
    pub(super) fn capped(&mut self, text: &str, most: usize) {
        if text.len() <= most && json::is_plain(text) {
            self.buffer.push('"');
            self.buffer.push_str(text);
            self.buffer.push('"');
            return;
        }
        self.escaped(text, most);
    }

    #[cold]
    fn escaped(&mut self, text: &str, most: usize) {
        self.buffer.push('"');
        let (told, rest) = text.split_at_checked(fitting(text, most)).unwrap_or_default();
        json::push_escaped(self.buffer, told);
        if !rest.is_empty() {
            let _ = write!(self.buffer, "…[{} bytes more]", rest.len());
        }
        self.buffer.push('"');
    }

    /// Writes by `write`, and gives the place of what it has written.
    pub(super) fn placed(&mut self, write: impl FnOnce(&mut Self)) -> Range<usize> {
        let begin = self.buffer.len();
        write(self);
        begin..self.buffer.len()
    }

    /// Writes once more what stands at a place.
    pub(super) fn again(&mut self, place: Range<usize>) {
        self.buffer.extend_from_within(place);
    }

    pub(super) fn short(&mut self, text: &str) {
        self.capped(text, self.caps.short);
    }

    pub(super) fn detail(&mut self, text: &str) {
        self.capped(text, self.caps.detail);
    }

    pub(super) fn name(&mut self, text: &str) {
        self.capped(text, self.caps.name);
    }

    pub(super) fn number(&mut self, number: impl itoa::Integer) {
        self.buffer.push_str(itoa::Buffer::new().format(number));
    }

    /// 32 hex digits, without quotes.
    pub(super) fn trace_id(&mut self, id: u128) {
        let _ = write!(self.buffer, "{id:032x}");
    }

    /// 16 hex digits, without quotes.
    pub(super) fn span_id(&mut self, id: u64) {
        let _ = write!(self.buffer, "{id:016x}");
    }

    /// RFC 3339 in UTC with microseconds, between quotes.
    pub(super) fn time(&mut self, time: SystemTime) {
        self.buffer.push('"');
        push_time(self.buffer, time);
        self.buffer.push('"');
    }

    /// google.protobuf.Duration in JSON: seconds with microseconds.
    pub(super) fn seconds(&mut self, duration: Duration) {
        self.buffer.push('"');
        self.number(duration.as_secs());
        self.buffer.push('.');
        push_digits(self.buffer, digits::<6>(duration.subsec_micros()));
        self.buffer.push_str("s\"");
    }

    pub(super) fn ip(&mut self, ip: IpAddr) {
        self.buffer.push('"');
        self.push_ip(ip);
        self.buffer.push('"');
    }

    /// Address and port, between quotes.
    pub(super) fn socket(&mut self, address: SocketAddr) {
        self.buffer.push('"');
        match address {
            SocketAddr::V4(address) => {
                self.push_ip(IpAddr::V4(*address.ip()));
                self.buffer.push(':');
                self.number(address.port());
            }
            SocketAddr::V6(address) => {
                let _ = write!(self.buffer, "{address}");
            }
        }
        self.buffer.push('"');
    }

    fn push_ip(&mut self, ip: IpAddr) {
        match ip {
            IpAddr::V4(ip) => {
                let [first, second, third, fourth] = ip.octets();
                self.number(first);
                for octet in [second, third, fourth] {
                    self.buffer.push('.');
                    self.number(octet);
                }
            }
            IpAddr::V6(ip) => {
                let _ = write!(self.buffer, "{ip}");
            }
        }
    }
}

/// Appends RFC 3339 in UTC with microseconds.
pub(super) fn push_time(buffer: &mut String, time: SystemTime) {
    thread_local! {
        /// The second that was written last, and all of its text: that of most lines.
        static SECOND: Cell<(u64, [u8; 20])> = const { Cell::new((u64::MAX, [0; 20])) };
    }
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (known, mut text) = SECOND.get();
    if known != since.as_secs() {
        text = text_of(since.as_secs());
        SECOND.set((since.as_secs(), text));
    }
    push_digits(buffer, text);
    push_digits(buffer, digits::<6>(since.subsec_micros()));
    buffer.push('Z');
}

/// A second of the epoch, up to its fraction: `2026-03-02T07:05:09.`
fn text_of(second: u64) -> [u8; 20] {
    let timestamp = i64::try_from(second).ok().and_then(|second| jiff::Timestamp::from_second(second).ok());
    let text = format!("{:.0}", timestamp.unwrap_or_default()).replace('Z', ".");
    text.as_bytes().first_chunk().copied().unwrap_or(*b"1970-01-01T00:00:00.")
}

/// The last digits of a number, with zeros in front.
fn digits<const COUNT: usize>(mut number: u32) -> [u8; COUNT] {
    let mut digits = [b'0'; COUNT];
    for digit in digits.iter_mut().rev() {
        // Below ten.
        *digit += (number % 10) as u8;
        number /= 10;
    }
    digits
}

fn push_digits<const COUNT: usize>(buffer: &mut String, ascii: [u8; COUNT]) {
    buffer.push_str(std::str::from_utf8(&ascii).unwrap_or_default());
}

/// The longest beginning of a text that takes at most so many bytes once it is escaped.
fn fitting(text: &str, most: usize) -> usize {
    let mut room = most;
    for (at, character) in text.char_indices() {
        let takes = match character {
            '"' | '\\' | '\u{8}' | '\u{c}' | '\n' | '\r' | '\t' => 2,
            control if control < ' ' => 6,
            other => other.len_utf8(),
        };
        match room.checked_sub(takes) {
            Some(left) => room = left,
            None => return at,
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(write: impl FnOnce(&mut JsonWriter<'_>)) -> String {
        let mut buffer = String::new();
        write(&mut JsonWriter::new(&mut buffer, Caps::USUAL));
        buffer
    }

    proptest! {
        #[test]
        fn a_text_is_written_as_serde_writes_it(text in "[\\x00-\\x7f“é…]{0,40}|\\PC{0,60}") {
            prop_assert_eq!(written(|json| json.text(&text)), serde_json::to_string(&text).unwrap());
        }

        #[test]
        fn a_capped_text_is_json_within_its_cap(text in "[\\x00-\\x7fé…]{0,80}", most in 0_usize..60) {
            let json = written(|json| json.capped(&text, most));
            let read: String = serde_json::from_str(&json).unwrap();
            match read.rsplit_once("…[") {
                Some((told, more)) if read != text => {
                    let more: usize = more.trim_end_matches(" bytes more]").parse().unwrap();
                    prop_assert!(text.starts_with(told));
                    prop_assert_eq!(told.len() + more, text.len());
                    prop_assert!(serde_json::to_string(told).unwrap().len() - 2 <= most);
                }
                _ => {
                    prop_assert_eq!(&read, &text);
                    prop_assert!(json.len() - 2 <= most);
                }
            }
        }

        #[test]
        fn a_time_is_written_as_jiff_writes_it(micros in 0_u64..4_102_444_800_000_000) {
            let time = UNIX_EPOCH + Duration::from_micros(micros);
            let timestamp = jiff::Timestamp::try_from(time).unwrap();
            prop_assert_eq!(written(|json| json.time(time)), format!("\"{timestamp:.6}\""));
        }

        #[test]
        fn an_address_is_written_as_the_library_writes_it(bits: u128, is_v4: bool) {
            let ip = if is_v4 { IpAddr::V4((bits as u32).into()) } else { IpAddr::V6(bits.into()) };
            prop_assert_eq!(written(|json| json.ip(ip)), format!("\"{ip}\""));
        }
    }

    #[test]
    fn a_duration_has_microseconds() {
        assert_eq!(written(|json| json.seconds(Duration::from_micros(61_000_042))), "\"61.000042s\"");
        assert_eq!(written(|json| json.seconds(Duration::ZERO)), "\"0.000000s\"");
    }
}
