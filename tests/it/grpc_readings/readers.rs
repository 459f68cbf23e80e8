//! Readers of messages that are as lenient as a backend may be, and the check that all of them read in a message what the gate
//! judged. The fuzz target uses this file too.

use std::sync::Arc;

use opgate::grpc::{MessageEncoding, MessageFields, MessageStream};
use prost_reflect::{DynamicMessage, Value};

use super::shapes::Shape;

/// What is on the wire at one place: a field's number, and its bytes if it has some.
type Occurrence<'m> = (u32, Option<&'m [u8]>);

/// A number of up to ten bytes, needless ones included.
fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for place in 0..10 {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f).checked_shl(7 * place).unwrap_or(0);
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn take<'m>(bytes: &mut &'m [u8], length: usize) -> Option<&'m [u8]> {
    let (taken, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(taken)
}

/// All fields up to the first fault: a reader may act on a field before it sees what follows. Tags and lengths are cut to 32 bits,
/// as some decoders do. What is in a group stands beside it, as for a reader that does not know groups.
fn fields(mut bytes: &[u8]) -> Vec<Occurrence<'_>> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let Some(tag) = varint(&mut bytes) else { break };
        let tag = u32::try_from(tag & u64::from(u32::MAX)).unwrap();
        let value = match tag & 7 {
            0 => varint(&mut bytes).map(|_| None),
            1 => take(&mut bytes, 8).map(|_| None),
            2 => varint(&mut bytes).and_then(|length| {
                let length = usize::try_from(length & u64::from(u32::MAX)).unwrap();
                take(&mut bytes, length).map(Some)
            }),
            5 => take(&mut bytes, 4).map(|_| None),
            // Groups, and wire types that do not exist: nothing but the tag.
            _ => Some(None),
        };
        let Some(value) = value else { break };
        found.push((tag >> 3, value));
    }
    found
}

/// Every value that stands at the end of a way, in whatever of its messages.
fn occurrences<'m>(way: &[u32], message: &'m [u8]) -> Vec<&'m [u8]> {
    let Some((number, rest)) = way.split_first() else { return vec![message] };
    let here = fields(message).into_iter().filter(|(found, _)| found == number);
    here.filter_map(|(_, value)| value).flat_map(|value| occurrences(rest, value)).collect()
}

/// The text at a path, as a decoder by the descriptor has it: the last of several counts, messages are merged, and one member of a
/// `oneof` takes the place of another.
fn decoded(message: &DynamicMessage, path: &str) -> String {
    let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
    let value = message.get_field_by_name(name).unwrap();
    match (value.as_ref(), rest) {
        (Value::Message(below), Some(rest)) => decoded(below, rest),
        (Value::String(text), None) => text.clone(),
        other => panic!("{path}: {other:?}"),
    }
}

/// Checks that whatever reader reads what the gate has read. Gives whether the gate reads it at all.
pub fn check(shape: &Shape, message: &[u8]) -> bool {
    let wanted = MessageFields::find(&shape.message, shape.paths.iter().copied()).unwrap();
    let Ok(judged) = wanted.read(message) else { return false };
    for (way, judged) in shape.numbers().iter().zip(&judged) {
        let all = occurrences(way, message);
        let judged: Vec<&[u8]> = judged.iter().map(|text| text.as_bytes()).collect();
        assert_eq!(all, judged, "another reader reads something else: {way:?} of {message:02x?}");
    }
    // Other fields of it may be wrong: then no decoder takes the message.
    if let Ok(read) = DynamicMessage::decode(shape.message.clone(), message) {
        for (path, judged) in shape.paths.iter().zip(&judged) {
            assert_eq!(decoded(&read, path), judged.unwrap_or_default(), "{path} of {message:02x?}");
        }
    }
    true
}

/// Checks that what passes of a stream in pieces of these sizes are whole messages that name what the first named, byte for byte as
/// they came, and that the pieces make no difference.
pub fn check_stream(shape: &Shape, judged: &str, bytes: &[u8], sizes: &[u8]) {
    let (whole, faultless) = passed(shape, judged, bytes, &[]);
    assert_eq!(passed(shape, judged, bytes, sizes), (whole.clone(), faultless));
    assert_eq!(passed(shape, judged, bytes, &[1]), (whole.clone(), faultless));
    assert!(bytes.starts_with(&whole));
    assert!(!faultless || whole == bytes, "nothing is wrong, and something is held back");
    let mut rest = &whole[..];
    while !rest.is_empty() {
        let (prefix, after) = rest.split_first_chunk::<5>().expect("a whole prefix");
        let [flag, length @ ..] = *prefix;
        assert_eq!(flag, 0);
        let (message, after) = after.split_at(usize::try_from(u32::from_be_bytes(length)).unwrap());
        for way in shape.numbers() {
            for value in occurrences(&way, message) {
                assert!(value.is_empty() || value == judged.as_bytes(), "{way:?} of {message:02x?}");
            }
        }
        assert!(check(shape, message));
        rest = after;
    }
}

/// What of a stream goes on, and whether all of it is good.
fn passed(shape: &Shape, judged: &str, bytes: &[u8], sizes: &[u8]) -> (Vec<u8>, bool) {
    let wanted = Arc::new(MessageFields::find(&shape.message, shape.paths.iter().copied()).unwrap());
    let values = shape.paths.iter().map(|_| judged.into()).collect();
    let mut stream = MessageStream::new(wanted, values, MessageEncoding::Identity, 1 << 16);
    let mut whole = Vec::new();
    let mut rest = bytes;
    let mut sizes = sizes.iter().cycle();
    while !rest.is_empty() {
        let size = sizes.next().map_or(usize::MAX, |size| usize::from(*size));
        let (piece, after) = rest.split_at(size.clamp(1, rest.len()));
        if stream.push(piece, &mut |bytes| whole.extend_from_slice(bytes)).is_err() {
            return (whole, false);
        }
        rest = after;
    }
    (whole, stream.end().is_ok())
}
