//! The context of a distributed trace, as HTTP carries it: `traceparent` and `tracestate` (W3C Trace Context, level 2).
//!
//! A field is read to the letter: what is not well formed says nothing, and the trace begins anew (section 4.3). Pure.

mod state;

use std::fmt;

pub use self::state::is_state;

/// The flag of a trace that is recorded (section 3.2.2.5.1).
const SAMPLED: u8 = 1;
/// The flag of a trace whose id is random in its last 56 bits (level 2, section 3.2.2.5.2).
const RANDOM: u8 = 2;

/// Names a trace: 16 bytes, not all zero. Written as 32 hex digits in lower case.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId([u8; 16]);

/// Names a span of a trace: 8 bytes, not all zero. Written as 16 hex digits in lower case.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanId([u8; 8]);

/// A `traceparent`: the span that the request was sent from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent {
    /// The trace.
    pub trace_id: TraceId,
    /// The span of the sender.
    pub span_id: SpanId,
    /// Whether the sender records the trace.
    pub is_sampled: bool,
    /// Whether the last 56 bits of the trace id are random.
    pub is_random: bool,
}

/// The span that a request was sent from, as its sender says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SentTrace {
    /// The span.
    pub parent: TraceParent,
    /// Whether a trusted proxy says so. Then the trace goes on; else the claim is worth a link.
    pub is_trusted: bool,
}

/// The trace that a request belongs to, and the place of the gate's own span in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace.
    pub trace_id: TraceId,
    /// The gate's span of the request. Where the gate writes no spans, that of the trusted proxy in front of it.
    pub span_id: SpanId,
    /// Whether its spans are recorded.
    pub is_sampled: bool,
    /// Whether the last 56 bits of the trace id are random.
    pub is_random: bool,
    /// The span that it continues: that of a trusted proxy.
    pub parent: Option<SpanId>,
    /// The span that a client names that is not trusted: the trace does not continue it, and links to it.
    pub link: Option<TraceParent>,
}

impl TraceId {
    /// A random id. It takes no system call: the generator of the thread is seeded once.
    pub fn random() -> Self {
        // A UUID of version 4 is never zero, and its last 56 bits are random (RFC 9562, section 5.4).
        Self(uuid::Uuid::new_v4().into_bytes())
    }

    /// The bytes.
    pub fn bytes(self) -> [u8; 16] {
        self.0
    }

    /// As [`Display`](fmt::Display) writes it. Every request has such a text: no formatter comes in between.
    pub fn to_hex(self) -> String {
        let digit = |nibble: u8| nibble + if nibble < 10 { b'0' } else { b'a' - 10 };
        let mut digits = [[0; 2]; 16];
        for (pair, byte) in digits.iter_mut().zip(self.0) {
            *pair = [digit(byte >> 4), digit(byte & 15)];
        }
        // Digits are ASCII.
        String::from_utf8(digits.as_flattened().to_vec()).unwrap_or_default()
    }

    /// The last 56 bits, which are random where a trace says so.
    pub fn randomness(self) -> u64 {
        let [.., a, b, c, d, e, f, g] = self.0;
        u64::from_be_bytes([0, a, b, c, d, e, f, g])
    }
}

impl SpanId {
    /// A random id, made as [`TraceId::random`] is.
    pub fn random() -> Self {
        // The second half of a UUID begins with its variant, so it is never zero.
        Self(uuid::Uuid::new_v4().as_u64_pair().1.to_be_bytes())
    }

    /// The bytes.
    pub fn bytes(self) -> [u8; 8] {
        self.0
    }
}

impl TraceParent {
    /// Reads a `traceparent` (section 3.2). A later version is read as far as this one goes. `None` where it is not well
    /// formed, or an id is zero.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let (head, rest) = value.split_at_checked(55)?;
        let ([a, b, b'-', head @ ..], true) =
            (head, head.get(35) == Some(&b'-') && head.get(52) == Some(&b'-'))
        else {
            return None;
        };
        let [version] = hex([*a, *b].as_slice())?;
        let is_well_ended = match version {
            0 => rest.is_empty(),
            0xff => false,
            _ => rest.is_empty() || rest.starts_with(b"-"),
        };
        if !is_well_ended {
            return None;
        }
        let trace_id = TraceId(hex(head.get(..32)?)?);
        let span_id = SpanId(hex(head.get(33..49)?)?);
        let [flags] = hex(head.get(50..)?)?;
        if trace_id.0 == [0; 16] || span_id.0 == [0; 8] {
            return None;
        }
        Some(Self { trace_id, span_id, is_sampled: flags & SAMPLED != 0, is_random: flags & RANDOM != 0 })
    }
}

impl TraceContext {
    /// The context of a gate that writes no spans: that of the trusted proxy in front of it.
    pub fn passed_on(sent: TraceParent) -> Self {
        let TraceParent { trace_id, span_id, is_sampled, is_random } = sent;
        Self { trace_id, span_id, is_sampled, is_random, parent: None, link: None }
    }
}

impl fmt::Display for TraceParent {
    /// As the field's value, in version 00.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = (u8::from(self.is_sampled) * SAMPLED) | (u8::from(self.is_random) * RANDOM);
        write!(formatter, "00-{}-{}-{flags:02x}", self.trace_id, self.span_id)
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:016x}", u64::from_be_bytes(self.0))
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// `N` bytes written as hex digits in lower case, which the fields ask for.
fn hex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let nibble = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let (pairs, []) = digits.as_chunks::<2>() else { return None };
    let mut bytes = [0; N];
    if pairs.len() != N {
        return None;
    }
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = nibble(*high)? << 4 | nibble(*low)?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const VALUE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_traceparent_is_read_as_the_specification_writes_it() {
        let parent = TraceParent::parse(VALUE.as_bytes()).unwrap();
        assert_eq!(parent.trace_id.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(parent.span_id.to_string(), "00f067aa0ba902b7");
        assert!(parent.is_sampled && !parent.is_random);
        assert_eq!(parent.to_string(), VALUE);
        assert_eq!(parent.trace_id.randomness(), 0xce_929d_0e0e_4736);
        let flags = |flags: &str| {
            let parent = TraceParent::parse(VALUE.replace("-01", flags).as_bytes()).unwrap();
            (parent.is_sampled, parent.is_random)
        };
        assert_eq!(flags("-00"), (false, false));
        assert_eq!(flags("-03"), (true, true));
        assert_eq!(flags("-02"), (false, true));
        assert_eq!(flags("-fc"), (false, false), "flags without a meaning are not read");
    }

    #[test]
    fn a_later_version_is_read_as_far_as_this_one_goes() {
        for value in [
            VALUE.replace("00-4", "cc-4"),
            VALUE.replacen("00", "01", 1) + "-what-will-be",
            VALUE.replacen("00", "fe", 1) + "-",
        ] {
            assert!(TraceParent::parse(value.as_bytes()).is_some(), "{value}");
        }
    }

    #[test]
    fn a_traceparent_that_is_not_well_formed_says_nothing() {
        for value in [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-011",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.more",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "0x-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00F067AA0BA902B7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00_4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7_01",
            "00-4bf92f3577b34da6a3ce929d0e0e47360-0f067aa0ba902b7-01",
            " 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-\u{e9}",
        ] {
            assert_eq!(TraceParent::parse(value.as_bytes()), None, "{value}");
        }
    }

    #[test]
    fn ids_are_random_and_never_zero() {
        let ids: std::collections::HashSet<_> =
            (0..1000).map(|_| (TraceId::random(), SpanId::random())).collect();
        assert_eq!(ids.len(), 1000);
        assert!(ids.iter().all(|(trace, span)| trace.0 != [0; 16] && span.0 != [0; 8]));
        assert!(ids.iter().all(|(trace, _)| trace.to_hex() == trace.to_string()));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(trace: u128, span: u64, is_sampled: bool, is_random: bool) {
            let parent = TraceParent {
                trace_id: TraceId(trace.max(1).to_be_bytes()),
                span_id: SpanId(span.max(1).to_be_bytes()),
                is_sampled,
                is_random,
            };
            prop_assert_eq!(TraceParent::parse(parent.to_string().as_bytes()), Some(parent));
        }

        #[test]
        fn no_value_breaks_the_reader(value: Vec<u8>) {
            let _ = TraceParent::parse(&value);
        }
    }
}
