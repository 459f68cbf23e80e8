//! Finds the frames of an HTTP/2 connection as they pass (RFC 9113, section 4.1): their headers, and nothing of their
//! payload.

/// DATA.
pub(super) const DATA: u8 = 0;
/// HEADERS.
pub(super) const HEADERS: u8 = 1;
/// RST_STREAM.
pub(super) const RST_STREAM: u8 = 3;
/// GOAWAY.
pub(super) const GOAWAY: u8 = 7;
/// CONTINUATION.
pub(super) const CONTINUATION: u8 = 9;

/// Length, type, flags and stream.
const HEADER: usize = 9;
/// The most that is looked at: GOAWAY's last stream and code follow its header.
const MOST: usize = HEADER + 8;
/// The first bit of a stream's number is reserved.
const WITHOUT_RESERVED: u32 = 0x7fff_ffff;

/// A frame's header, and the code that RST_STREAM and GOAWAY end with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) kind: u8,
    /// Of the payload, in bytes.
    pub(super) length: u32,
    pub(super) stream: u32,
    /// RST_STREAM's and GOAWAY's error code; 0 for any other frame.
    pub(super) code: u32,
    /// GOAWAY's last stream; 0 for any other frame.
    pub(super) last_stream: u32,
    flags: u8,
}

impl Frame {
    fn of(header: &[u8; HEADER]) -> Self {
        let [a, b, c, kind, flags, stream @ ..] = *header;
        Self {
            kind,
            length: u32::from_be_bytes([0, a, b, c]),
            stream: u32::from_be_bytes(stream) & WITHOUT_RESERVED,
            code: 0,
            last_stream: 0,
            flags,
        }
    }

    /// How many bytes of its payload are looked at.
    fn says(&self) -> usize {
        let most = match self.kind {
            RST_STREAM => 4,
            GOAWAY => 8,
            _ => 0,
        };
        most.min(self.length as usize)
    }

    /// Of DATA and HEADERS: the sender sends no more on this stream.
    pub(super) fn ends_stream(&self) -> bool {
        matches!(self.kind, DATA | HEADERS) && self.flags & 0x1 != 0
    }

    /// Of HEADERS and CONTINUATION: the block of fields is complete.
    pub(super) fn ends_headers(&self) -> bool {
        matches!(self.kind, HEADERS | CONTINUATION) && self.flags & 0x4 != 0
    }
}

/// Finds frames in bytes that come in any pieces. Holds no more than a header.
#[derive(Debug, Default)]
pub(super) struct Frames {
    /// What is known of a header that has begun.
    begun: [u8; MOST],
    known: usize,
    /// Of the frame under way: its type, and how many bytes of it are still to come.
    kind: u8,
    left: usize,
    /// Bytes of another kind that come first: the preface.
    ahead: usize,
}

impl Frames {
    /// Frames that follow `ahead` bytes of something else.
    pub(super) fn after(ahead: usize) -> Self {
        Self { ahead, ..Self::default() }
    }

    /// Whether a frame has begun and is not complete. The payload of a DATA frame does not count: the body has its own
    /// deadline.
    pub(super) fn is_within_frame(&self) -> bool {
        self.known > 0 || (self.left > 0 && self.kind != DATA)
    }

    /// Reports every frame whose header is complete with these bytes.
    pub(super) fn read(&mut self, mut bytes: &[u8], mut tell: impl FnMut(&Frame)) {
        let skipped = self.ahead.min(bytes.len());
        self.ahead -= skipped;
        bytes = bytes.get(skipped..).unwrap_or_default();
        while !bytes.is_empty() {
            if self.left > 0 {
                let skipped = self.left.min(bytes.len());
                self.left -= skipped;
                bytes = bytes.get(skipped..).unwrap_or_default();
                continue;
            }
            // The usual case: the header comes in one piece.
            if self.known == 0
                && let Some((header, rest)) = bytes.split_first_chunk()
            {
                let frame = Frame::of(header);
                if frame.says() == 0 {
                    (self.left, self.kind, bytes) = (frame.length as usize, frame.kind, rest);
                    tell(&frame);
                    continue;
                }
            }
            let wanted = self.wanted();
            let taken = (wanted - self.known).min(bytes.len());
            let (head, rest) = bytes.split_at(taken);
            if let Some(space) = self.begun.get_mut(self.known..self.known + taken) {
                space.copy_from_slice(head);
            }
            self.known += taken;
            bytes = rest;
            // The type is known only now: it may be one with more to read.
            if self.known == wanted && self.known == self.wanted() {
                let frame = self.frame();
                self.left = (HEADER + frame.length as usize).saturating_sub(self.known);
                self.kind = frame.kind;
                self.known = 0;
                tell(&frame);
            }
        }
    }

    /// How many bytes are needed to report the frame that has begun.
    fn wanted(&self) -> usize {
        if self.known < HEADER { HEADER } else { HEADER + self.frame().says() }
    }

    fn frame(&self) -> Frame {
        let [a, b, c, d, e, f, g, h, i, p0, p1, p2, p3, q0, q1, q2, q3] = self.begun;
        let frame = Frame::of(&[a, b, c, d, e, f, g, h, i]);
        let first = u32::from_be_bytes([p0, p1, p2, p3]);
        let second = u32::from_be_bytes([q0, q1, q2, q3]);
        match frame.kind {
            RST_STREAM => Frame { code: first, ..frame },
            GOAWAY => Frame { last_stream: first & WITHOUT_RESERVED, code: second, ..frame },
            _ => frame,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let mut bytes = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
        bytes.extend_from_slice(&[kind, flags]);
        bytes.extend_from_slice(&stream.to_be_bytes());
        bytes.extend_from_slice(payload);
        bytes
    }

    fn told(frames: &mut Frames, bytes: &[u8]) -> Vec<Frame> {
        let mut told = Vec::new();
        frames.read(bytes, |frame| told.push(*frame));
        told
    }

    #[test]
    fn frames_are_found_in_pieces_of_any_size() {
        let mut bytes = b"before".to_vec();
        bytes.extend(frame(4, 0, 0, &[]));
        bytes.extend(frame(HEADERS, 0x5, 1, &[7; 300]));
        bytes.extend(frame(RST_STREAM, 0, 0x8000_0001, &[0, 0, 0, 8]));
        bytes.extend(frame(DATA, 0x1, 3, &[9; 70]));
        bytes.extend(frame(GOAWAY, 0, 0, b"\x80\0\0\x05\0\0\0\x0bcalm"));
        let whole = told(&mut Frames::after(6), &bytes);
        let said: Vec<_> =
            whole.iter().map(|frame| (frame.kind, frame.length, frame.stream, frame.code)).collect();
        assert_eq!(
            said,
            [
                (4, 0, 0, 0),
                (HEADERS, 300, 1, 0),
                (RST_STREAM, 4, 1, 8),
                (DATA, 70, 3, 0),
                (GOAWAY, 12, 0, 11)
            ]
        );
        assert_eq!(whole[4].last_stream, 5);
        assert!(whole[1].ends_stream() && whole[1].ends_headers() && whole[3].ends_stream());
        assert!(!whole[3].ends_headers() && !whole[2].ends_stream());
        for size in 1..40 {
            let mut frames = Frames::after(6);
            let pieces: Vec<Frame> = bytes.chunks(size).flat_map(|piece| told(&mut frames, piece)).collect();
            assert_eq!(pieces, whole, "pieces of {size}");
            assert!(!frames.is_within_frame());
        }
    }

    #[test]
    fn a_frame_too_short_for_what_it_should_say_is_told_of_as_it_is() {
        let mut bytes = frame(RST_STREAM, 0, 1, &[1]);
        bytes.extend(frame(GOAWAY, 0, 0, &[]));
        bytes.extend(frame(6, 0, 0, &[0; 8]));
        let kinds: Vec<u8> = told(&mut Frames::default(), &bytes).iter().map(|frame| frame.kind).collect();
        assert_eq!(kinds, [RST_STREAM, GOAWAY, 6]);
    }

    #[test]
    fn a_frame_under_way_is_known_to_be_unless_it_is_a_body() {
        let mut frames = Frames::default();
        assert!(!frames.is_within_frame());
        frames.read(&frame(HEADERS, 0, 1, &[0; 10])[..12], |_| {});
        assert!(frames.is_within_frame());
        frames.read(&[0; 7], |_| {});
        assert!(!frames.is_within_frame());
        frames.read(&frame(DATA, 0, 1, &[0; 10])[..12], |_| {});
        assert!(!frames.is_within_frame());
        frames.read(&[0; 7], |_| {});
        frames.read(&[0], |_| {});
        assert!(frames.is_within_frame());
    }
}
