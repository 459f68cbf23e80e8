use prost_reflect::DescriptorPool;

use super::*;

fn fields() -> Arc<MessageFields> {
    // google.protobuf.FieldDescriptorProto: `name` is field 1.
    let message =
        DescriptorPool::global().get_message_by_name("google.protobuf.FieldDescriptorProto").unwrap();
    Arc::new(MessageFields::find(&message, ["name"]).unwrap())
}

fn stream(fields: Arc<MessageFields>) -> MessageStream {
    MessageStream::new(fields, vec!["a".into()], MessageEncoding::Identity, 100)
}

fn frame(message: &[u8]) -> Vec<u8> {
    [&[0, 0, 0, 0, u8::try_from(message.len()).unwrap()][..], message].concat()
}

/// What passes of pieces, each with the bytes that had gone on when it was taken.
fn passed(stream: &mut MessageStream, pieces: &[&[u8]]) -> (Vec<u8>, Result<(), Denial>) {
    let mut out = Vec::new();
    for piece in pieces {
        if let Err(denial) = stream.push(piece, &mut |data| out.extend_from_slice(data)) {
            return (out, Err(denial));
        }
    }
    (out, stream.end())
}

#[test]
fn pieces_of_any_size_make_the_same_messages() {
    let all = [frame(b"\x0a\x01a"), frame(b""), frame(b"\x12\x01x"), frame(b"\x0a\x00")].concat();
    for with_fields in [true, false] {
        for size in 1..=all.len() {
            let fields = if with_fields { fields() } else { Arc::default() };
            let pieces: Vec<&[u8]> = all.chunks(size).collect();
            let (out, ended) = passed(&mut stream(fields), &pieces);
            assert!(ended.is_ok(), "{size}: {ended:?}");
            assert_eq!(out, all, "{size}");
        }
    }
}

#[test]
fn nothing_of_a_bad_message_goes_on() {
    let good = frame(b"\x0a\x01a");
    for bad in [&b"\x0a\x01b"[..], b"\x0a\x05a", b"\x0a\x01a\x0a\x01a", b"\x08\x01"] {
        let bad = frame(bad);
        for size in 1..=good.len() + bad.len() {
            let all = [good.clone(), bad.clone()].concat();
            let pieces: Vec<&[u8]> = all.chunks(size).collect();
            let (out, ended) = passed(&mut stream(fields()), &pieces);
            assert!(ended.is_err());
            assert_eq!(out, good, "{size}");
        }
    }
}

#[test]
fn a_stream_ends_between_messages() {
    let whole = frame(b"\x0a\x01a");
    for with_fields in [true, false] {
        for length in 0..=whole.len() {
            let fields = if with_fields { fields() } else { Arc::default() };
            let (_, ended) = passed(&mut stream(fields), &[&whole[..length]]);
            assert_eq!(ended.is_ok(), length == 0 || length == whole.len(), "{length}");
        }
    }
}
