//! A request on its way out, tracked to its end.
//!
//! An answer may come before its request is all out, and whether a connection is free for the next request depends on
//! both. The gate has written these bytes itself: if they cannot be tracked, the request never counts as done.

use super::chunked::Chunked;
use super::field_line;
use super::head::find_end;

/// One request.
#[derive(Debug)]
pub struct RequestTracker {
    state: RequestProgress,
    /// The head, until it is whole.
    head: Vec<u8>,
    is_head: bool,
}

#[derive(Debug)]
enum RequestProgress {
    Head,
    /// So many bytes of the body are left.
    Length(u64),
    Chunked(Chunked),
    Done,
    /// Its end is not known.
    Unknown,
}

impl RequestTracker {
    /// A request of which nothing is out.
    pub fn new() -> Self {
        Self { state: RequestProgress::Head, head: Vec::new(), is_head: false }
    }

    /// Tracks the bytes that went out.
    pub fn advance(&mut self, mut bytes: &[u8]) {
        if matches!(self.state, RequestProgress::Head)
            && self.head.is_empty()
            && let Some(end) = find_end(bytes, 0)
        {
            // The usual case: the head leaves in one write.
            let (head, rest) = bytes.split_at_checked(end).unwrap_or_default();
            self.is_head = head.starts_with(b"HEAD ");
            self.state = framing(head);
            bytes = rest;
        } else if matches!(self.state, RequestProgress::Head) {
            let known = self.head.len();
            self.head.extend_from_slice(bytes);
            let Some(end) = find_end(&self.head, known) else { return };
            bytes = bytes.get(end.saturating_sub(known)..).unwrap_or_default();
            self.head.truncate(end);
            self.is_head = self.head.starts_with(b"HEAD ");
            self.state = framing(&self.head);
            self.head = Vec::new();
        }
        if bytes.is_empty() {
            return;
        }
        self.state = match std::mem::replace(&mut self.state, RequestProgress::Unknown) {
            RequestProgress::Length(left) => match left.checked_sub(bytes.len() as u64) {
                Some(0) => RequestProgress::Done,
                Some(left) => RequestProgress::Length(left),
                None => RequestProgress::Unknown,
            },
            RequestProgress::Chunked(mut body) => match body.advance(bytes) {
                Ok(length) if length == bytes.len() && body.is_done() => RequestProgress::Done,
                Ok(length) if length == bytes.len() => RequestProgress::Chunked(body),
                _ => RequestProgress::Unknown,
            },
            RequestProgress::Head | RequestProgress::Done | RequestProgress::Unknown => {
                RequestProgress::Unknown
            }
        };
    }

    /// Whether any byte of it is out.
    pub fn has_begun(&self) -> bool {
        self.has_head() || !self.head.is_empty()
    }

    /// Whether its head is all out.
    pub fn has_head(&self) -> bool {
        !matches!(self.state, RequestProgress::Head)
    }

    /// Whether it is all out.
    pub fn is_done(&self) -> bool {
        matches!(self.state, RequestProgress::Done)
    }

    /// Whether its method is HEAD.
    pub fn is_head(&self) -> bool {
        self.is_head
    }
}

impl Default for RequestTracker {
    fn default() -> Self {
        Self::new()
    }
}

fn framing(head: &[u8]) -> RequestProgress {
    let lines = head.split(|byte| *byte == b'\n').skip(1);
    let fields = lines.filter_map(|line| field_line::split(line.strip_suffix(b"\r")?).ok());
    let (mut length, mut is_chunked) = (Some(0), false);
    for (name, value) in fields {
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            is_chunked = true;
        } else if name.eq_ignore_ascii_case(b"content-length") {
            length = field_line::number(value);
        }
    }
    match length {
        _ if is_chunked => RequestProgress::Chunked(Chunked::new()),
        Some(0) => RequestProgress::Done,
        Some(length) => RequestProgress::Length(length),
        None => RequestProgress::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fed whole, and byte by byte.
    fn asked(text: &str) -> RequestTracker {
        let mut whole = RequestTracker::new();
        whole.advance(text.as_bytes());
        let mut pieces = RequestTracker::new();
        text.as_bytes().chunks(1).for_each(|piece| pieces.advance(piece));
        let told = |asked: &RequestTracker| (asked.has_head(), asked.is_done(), asked.is_head());
        assert_eq!(told(&whole), told(&pieces), "{text:?}");
        whole
    }

    #[test]
    fn a_request_is_out_when_its_last_byte_is() {
        for (text, has_head, is_done) in [
            ("", false, false),
            ("GET / HTTP/1.1\r\nHost: a\r\n", false, false),
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", true, true),
            ("POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n", true, true),
            ("POST / HTTP/1.1\r\ncontent-length: 2\r\n\r\n", true, false),
            ("POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n{", true, false),
            ("POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}", true, true),
            ("POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}}", true, false),
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\nx", true, false),
            ("POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n", true, false),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n", true, false),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", true, true),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nx", true, false),
        ] {
            let asked = asked(text);
            assert_eq!((asked.has_head(), asked.is_done()), (has_head, is_done), "{text:?}");
        }
    }

    #[test]
    fn a_head_request_is_told_from_others() {
        assert!(asked("HEAD / HTTP/1.1\r\n\r\n").is_head());
        assert!(!asked("GET /HEAD HTTP/1.1\r\n\r\n").is_head());
        assert!(!asked("HEADER / HTTP/1.1\r\n\r\n").is_head());
    }
}
