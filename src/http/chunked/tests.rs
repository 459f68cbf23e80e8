use proptest::prelude::*;

use super::*;
use crate::http::head::{HeadLimits, RawHead};

/// How many bytes are the body's, where it is whole and good.
fn follow(bytes: &[u8]) -> Result<Option<usize>, ChunkError> {
    let mut chunked = Chunked::new();
    let length = chunked.advance(bytes)?;
    assert!(chunked.is_done() || length == bytes.len());
    Ok(chunked.is_done().then_some(length))
}

/// The same, one byte after another.
fn follow_bytewise(bytes: &[u8]) -> Result<Option<usize>, ChunkError> {
    let mut chunked = Chunked::new();
    for (at, byte) in bytes.iter().enumerate() {
        if chunked.is_done() {
            return Ok(Some(at));
        }
        assert_eq!(chunked.advance(&[*byte])?, 1);
    }
    Ok(chunked.is_done().then_some(bytes.len()))
}

#[test]
fn good_bodies_end_where_they_end() {
    for body in [
        "0\r\n\r\n",
        "000\r\n\r\n",
        "0000000000000000\r\n\r\n",
        "2\r\n{}\r\n0\r\n\r\n",
        "0000000000000002\r\n{}\r\n0\r\n\r\n",
        "a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n",
        "2\r\n\r\n\r\n0\r\n\r\n",
        "2;a\r\n{}\r\n0;b=c\r\n\r\n",
        "2 ; a = b\t;\tc=\"d\\\"e\\\\ ;=\x7d\" ; f\r\n{}\r\n0\r\n\r\n",
        "2;a=\"\"\r\n{}\r\n0\r\n\r\n",
        "2;a=\"\u{e9}\"\r\n{}\r\n0\r\n\r\n",
        "0\r\nX: y\r\n\r\n",
        "0\r\nX:\r\nY:\t z \r\nx-checksum:\u{e9}\r\n\r\n",
        "0\r\nx-content-length: 5\r\ncontent-length-of-it: 5\r\n\r\n",
    ] {
        for behind in ["", "\r\n", "POST / HTTP/1.1\r\n\r\n"] {
            let bytes = format!("{body}{behind}");
            assert_eq!(follow(bytes.as_bytes()), Ok(Some(body.len())), "{bytes:?}");
            assert_eq!(follow_bytewise(bytes.as_bytes()), Ok(Some(body.len())), "{bytes:?}");
        }
        for end in 0..body.len() {
            assert_eq!(follow(&body.as_bytes()[..end]), Ok(None), "{body:?} up to {end}");
        }
    }
}

#[test]
fn input_that_readers_repair_is_refused() {
    use ChunkError::*;
    for (body, error) in [
        ("\r\n\r\n", Size),
        (";x\r\n\r\n", Size),
        (" \r\n\r\n", Size),
        (" 2\r\n{}", Size),
        ("+2\r\n{}", Size),
        ("-0\r\n", Size),
        ("0x2\r\n{}", Size),
        ("2_0\r\n", Size),
        ("g\r\n", Size),
        ("2\0\r\n", Size),
        ("\n", Size),
        ("00000000000000002\r\n", SizeTooLarge),
        ("8000000000000000\r\n", SizeTooLarge),
        ("ffffffffffffffff\r\n", SizeTooLarge),
        ("10000000000000000\r\n", SizeTooLarge),
        ("2\n{}", LineEnd),
        ("2\r{}", LineEnd),
        ("2\r\r\n{}", LineEnd),
        ("2;\na=b\r\n{}", LineEnd),
        ("2;a\n{}", LineEnd),
        ("2;a=b\n{}", LineEnd),
        ("2;a=\"\n\"\r\n{}", LineEnd),
        ("2;a=\"\\\n\"\r\n{}", LineEnd),
        ("2;a\r{}", LineEnd),
        ("2 \n{}", LineEnd),
        ("2 \r\n{}", Extension),
        ("2\t\r\n{}", Extension),
        ("2 2\r\n{}", Extension),
        ("2;\r\n{}", Extension),
        ("2; \r\n{}", Extension),
        ("2;;a\r\n{}", Extension),
        ("2;=b\r\n{}", Extension),
        ("2;a=\r\n{}", Extension),
        ("2;a==b\r\n{}", Extension),
        ("2;a b\r\n{}", Extension),
        ("2;a \r\n{}", Extension),
        ("2;a=b \r\n{}", Extension),
        ("2;a=b c\r\n{}", Extension),
        ("2;a=\"b\"c\r\n{}", Extension),
        ("2;a=\"b\" \r\n{}", Extension),
        ("2;a=\"b\r\n{}", Extension),
        ("2;a=\"b\\\r\n{}", Extension),
        ("2;\"a\"\r\n{}", Extension),
        ("2;a\0b\r\n{}", Extension),
        ("2;a=\"\0\"\r\n{}", Extension),
        ("2;a=\"\\\0\"\r\n{}", Extension),
        ("2;a=\"\x7f\"\r\n{}", Extension),
        ("2;\u{e9}\r\n{}", Extension),
        ("2\r\n{}0\r\n\r\n", DataEnd),
        ("2\r\n{}\n0\r\n\r\n", DataEnd),
        ("2\r\n{}\r0\r\n\r\n", DataEnd),
        ("1\r\n{}\r\n", DataEnd),
        ("3\r\n{}\r\n0\r\n\r\n", DataEnd),
        ("0\r\nX y\r\n\r\n", Trailer),
        ("0\r\n X: y\r\n\r\n", Trailer),
        ("0\r\nX: y\r\n z\r\n\r\n", Trailer),
        ("0\r\nX : y\r\n\r\n", Trailer),
        ("0\r\n: y\r\n\r\n", Trailer),
        ("0\r\nX\r\n\r\n", Trailer),
        ("0\r\nGET /evil HTTP/1.1\r\n\r\n", Trailer),
        ("0\r\nX: a\0b\r\n\r\n", Trailer),
        ("0\r\nX: a\x7fb\r\n\r\n", Trailer),
        ("0\r\nX: a\nY: b\r\n\r\n", LineEnd),
        ("0\r\nX: a\rY: b\r\n\r\n", LineEnd),
        ("0\r\n\n", LineEnd),
        ("0\r\n\r\r\n", LineEnd),
        ("0\r\nHost: a\r\n\r\n", NotATrailer),
        ("0\r\ncontent-LENGTH:5\r\n\r\n", NotATrailer),
        ("0\r\nX: y\r\nIf-Unmodified-Since: z\r\n\r\n", NotATrailer),
    ] {
        assert_eq!(follow(body.as_bytes()), Err(error), "{body:?}");
        assert_eq!(follow_bytewise(body.as_bytes()), Err(error), "{body:?}");
    }
}

#[test]
fn an_error_stays_one() {
    let mut chunked = Chunked::new();
    assert_eq!(chunked.advance(b"2;\n"), Err(ChunkError::LineEnd));
    assert_eq!(chunked.advance(b"0\r\n\r\n"), Err(ChunkError::LineEnd));
    assert!(!chunked.is_done() && !chunked.has_chunk());
}

#[test]
fn the_first_chunk_is_told_when_it_is_whole() {
    let mut chunked = Chunked::new();
    for piece in ["3;a", "=b\r\n", "ab", "c", "\r"] {
        assert_eq!(chunked.advance(piece.as_bytes()), Ok(piece.len()));
        assert!(!chunked.has_chunk(), "{piece:?}");
    }
    assert_eq!(chunked.advance(b"\n"), Ok(1));
    assert!(chunked.has_chunk() && !chunked.is_done());

    let mut empty = Chunked::new();
    assert_eq!(empty.advance(b"0\r\nX: y\r\n\r"), Ok(10));
    assert!(!empty.has_chunk(), "its trailers may still be none");
    assert_eq!(empty.advance(b"\nPOST"), Ok(1));
    assert!(empty.has_chunk() && empty.is_done());
    assert_eq!(empty.advance(b"POST"), Ok(0));
}

#[test]
fn bounds_are_exact() {
    let extension = |length: u64| format!(";{}", "a".repeat(length as usize - 1));
    let chunk = |length: u64, data: &str| format!("{:x}{}\r\n{data}\r\n", data.len(), extension(length));
    let body = |chunks: String| follow(format!("{chunks}0\r\n\r\n").as_bytes()).map(|end| end.is_some());
    assert_eq!(body(chunk(MAX_EXTENSION_BYTES, "x")), Ok(true));
    assert_eq!(body(chunk(MAX_EXTENSION_BYTES + 1, "x")), Err(ChunkError::ExtensionsTooLong));
    // Data makes up for extensions: byte for byte, and never in advance.
    let data = "x".repeat(100);
    let full = chunk(MAX_EXTENSION_BYTES, &data);
    assert_eq!(body(format!("{full}{}", chunk(100, "x"))), Ok(true));
    assert_eq!(body(format!("{full}{}", chunk(101, "x"))), Err(ChunkError::ExtensionsTooLong));
    let plain = format!("64\r\n{data}\r\n");
    let over = chunk(MAX_EXTENSION_BYTES + 1, "x");
    assert_eq!(body(format!("{plain}{over}")), Err(ChunkError::ExtensionsTooLong));
    assert_eq!(body(chunk(100, &data).repeat(1000)), Ok(true));

    // Names, colons and values count, and the CR of each line; the last is the section's own.
    let trailers = |length: u64| {
        let line = format!("X:{}\r\n", "y".repeat(length as usize - 4));
        follow(format!("0\r\n{line}\r\n").as_bytes()).map(|end| end.is_some())
    };
    assert_eq!(trailers(MAX_TRAILER_BYTES), Ok(true));
    assert_eq!(trailers(MAX_TRAILER_BYTES + 1), Err(ChunkError::TrailersTooLong));
    let many = "a:\r\n".repeat(MAX_TRAILER_BYTES as usize);
    assert_eq!(follow(format!("0\r\n{many}").as_bytes()), Err(ChunkError::TrailersTooLong));

    let mut largest = Chunked::new();
    assert_eq!(largest.advance(b"7fffffffffffffff\r\n"), Ok(18));
}

#[test]
fn every_name_that_is_not_a_trailer_fits_its_place() {
    assert_eq!(NEVER_TRAILERS.iter().map(|name| name.len()).max(), Some(LONGEST_NAME));
    for name in NEVER_TRAILERS {
        assert_eq!(*name, name.to_ascii_lowercase());
        for sent in [name.to_string(), name.to_ascii_uppercase()] {
            let body = format!("0\r\nX: y\r\n{sent}: z\r\n\r\n");
            assert_eq!(follow(body.as_bytes()), Err(ChunkError::NotATrailer), "{sent}");
        }
        for other in [format!("{name}s"), format!("x{name}"), name.chars().skip(1).collect()] {
            let refused = NEVER_TRAILERS.contains(&other.as_str());
            let body = format!("0\r\n{other}: z\r\n\r\n");
            assert_eq!(follow(body.as_bytes()).is_err(), refused, "{other}");
        }
    }
}

/// Bytes that matter to the grammar, often.
fn near_chunks() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"\r\n".to_vec()),
        Just(b"0\r\n".to_vec()),
        Just(b"2\r\n{}\r\n".to_vec()),
        Just(b"2;a=\"b\"\r\n{}\r\n".to_vec()),
        Just(b"X: y\r\n".to_vec()),
        proptest::sample::select(b"\r\n 0;=\"\\a:\t".to_vec()).prop_map(|byte| vec![byte]),
        any::<u8>().prop_map(|byte| vec![byte]),
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn pieces_are_followed_like_the_whole(bytes in near_chunks(), cuts in proptest::collection::vec(0usize..60, 0..4)) {
        let whole = follow(&bytes);
        prop_assert_eq!(whole, follow_bytewise(&bytes));
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let mut chunked = Chunked::new();
        let mut end = Ok(0);
        for cut in cuts.windows(2) {
            let piece = chunked.advance(&bytes[cut[0]..cut[1]]);
            end = end.and_then(|end: usize| Ok(end + piece?));
        }
        prop_assert_eq!(whole, end.map(|end| chunked.is_done().then_some(end)));
    }

    #[test]
    fn a_trailer_is_good_where_the_field_of_a_head_is(line in "[ -~\t\r\n\0\u{7f}é]{0,3}X{0,2}[ -~\t\r\n\0\u{7f}é]{0,6}") {
        // An empty line ends either.
        prop_assume!(!line.is_empty() && !line.starts_with("\r\n") && !line.contains("\r\n\r\n"));
        let head = format!("GET / HTTP/1.1\r\n{line}\r\n\r\n");
        let in_head = RawHead::parse(head.as_bytes(), HeadLimits::default());
        let body = format!("0\r\n{line}\r\n\r\n");
        prop_assert_eq!(follow(body.as_bytes()).is_ok_and(|end| end == Some(body.len())), in_head.is_ok());
    }
}
