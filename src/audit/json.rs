//! JSON that is written by hand, into a buffer that is used again: fixed text is copied, and text of others is escaped.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{cell::Cell, fmt::Write as _};

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
}

impl<'b> JsonWriter<'b> {
    pub(super) fn new(buffer: &'b mut String, caps: Caps) -> Self {
        Self { buffer, caps }
    }

    /// Copies text that is JSON.
    pub(super) fn raw(&mut self, json: &str) {
        self.buffer.push_str(json);
    }

    /// A text, between quotes.
    pub(super) fn text(&mut self, text: &str) {
        self.buffer.push('"');
        self.escape(text);
        self.buffer.push('"');
    }

    /// A text of which at most so many bytes are written.
    pub(super) fn capped(&mut self, text: &str, most: usize) {
        self.buffer.push('"');
        let begin = self.buffer.len();
        if text.len() <= most {
            self.escape(text);
        }
        if text.len() > most || self.buffer.len() - begin > most {
            self.buffer.truncate(begin);
            let (told, rest) = text.split_at_checked(fitting(text, most)).unwrap_or_default();
            self.escape(told);
            let _ = write!(self.buffer, "…[{} bytes more]", rest.len());
        }
        self.buffer.push('"');
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
        push_padded(self.buffer, duration.subsec_micros(), 6);
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

    fn escape(&mut self, text: &str) {
        let mut rest = text;
        loop {
            let plain = plain_prefix(rest.as_bytes());
            let Some((copied, special)) = rest.split_at_checked(plain) else { return };
            self.buffer.push_str(copied);
            let Some(byte) = special.as_bytes().first() else { return };
            self.escaped(*byte);
            // What is escaped is ASCII, one byte.
            rest = special.get(1..).unwrap_or_default();
        }
    }

    fn escaped(&mut self, byte: u8) {
        let letter = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            0x08 => "\\b",
            0x0c => "\\f",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            control => {
                let _ = write!(self.buffer, "\\u{control:04x}");
                return;
            }
        };
        self.buffer.push_str(letter);
    }
}

/// Appends RFC 3339 in UTC with microseconds.
pub(super) fn push_time(buffer: &mut String, time: SystemTime) {
    thread_local! {
        /// The day that was written last: that of most lines.
        static DAY: Cell<(u64, [u8; 10])> = const { Cell::new((u64::MAX, [0; 10])) };
    }
    const SECONDS: u64 = 86_400;
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (day, second) = (since.as_secs() / SECONDS, since.as_secs() % SECONDS);
    let (known, mut date) = DAY.get();
    if known != day {
        date = date_of(day * SECONDS);
        DAY.set((day, date));
    }
    buffer.push_str(std::str::from_utf8(&date).unwrap_or_default());
    for (mark, number) in [('T', second / 3600), (':', second / 60 % 60), (':', second % 60)] {
        buffer.push(mark);
        push_padded(buffer, u32::try_from(number).unwrap_or_default(), 2);
    }
    buffer.push('.');
    push_padded(buffer, since.subsec_micros(), 6);
    buffer.push('Z');
}

/// The date of a second of the epoch: `2026-03-02`.
fn date_of(second: u64) -> [u8; 10] {
    let timestamp = i64::try_from(second).ok().and_then(|second| jiff::Timestamp::from_second(second).ok());
    let text = timestamp.unwrap_or_default().to_string();
    text.as_bytes().first_chunk().copied().unwrap_or(*b"1970-01-01")
}

/// A number with zeros in front, of so many digits.
fn push_padded(buffer: &mut String, number: u32, digits: usize) {
    let mut formatted = itoa::Buffer::new();
    let formatted = formatted.format(number);
    let zeros = "000000".get(..digits.saturating_sub(formatted.len())).unwrap_or_default();
    buffer.push_str(zeros);
    buffer.push_str(formatted);
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

/// How many bytes there are before the first one that JSON escapes. Eight at a time.
fn plain_prefix(bytes: &[u8]) -> usize {
    let (words, rest) = bytes.as_chunks::<8>();
    for (at, word) in words.iter().enumerate() {
        let found = special(u64::from_le_bytes(*word));
        if found != 0 {
            return at * 8 + (found.trailing_zeros() / 8) as usize;
        }
    }
    if rest.is_empty() {
        return bytes.len();
    }
    // The last eight once more, of which the first ones are known to be plain.
    if let Some(last) = bytes.last_chunk::<8>() {
        let found = special(u64::from_le_bytes(*last));
        let at = if found == 0 { 8 } else { (found.trailing_zeros() / 8) as usize };
        return bytes.len() - 8 + at;
    }
    let is_special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20);
    bytes.iter().position(is_special).unwrap_or(bytes.len())
}

/// A word whose lowest set bit is in the first byte that JSON escapes; 0 where there is none. A byte is below `n` where
/// `byte - n` borrows and the byte has no high bit. A borrow spoils only bytes after the first one that is found.
fn special(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 255;
    const HIGHS: u64 = ONES * 0x80;
    let below = |word: u64, bound: u64| word.wrapping_sub(ONES * bound) & !word & HIGHS;
    let is = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    below(word, 0x20) | is(b'"') | is(b'\\')
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
