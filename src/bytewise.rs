//! Tests of the bytes of a text, many at a time.

/// Bytes that are tested at once.
const WIDTH: usize = 16;

/// Whether `is` holds of every byte. `is` has to be comparisons that are joined by `&` and `|`, without a branch: then the
/// compiler tests sixteen bytes with a few vector instructions.
#[inline]
pub(crate) fn all(bytes: &[u8], is: impl Fn(u8) -> bool) -> bool {
    let holds = |chunk: &[u8; WIDTH]| u128::from_ne_bytes(chunk.map(|byte| u8::from(!is(byte)))) == 0;
    let (chunks, rest) = bytes.as_chunks::<WIDTH>();
    if !chunks.iter().all(holds) {
        return false;
    }
    match (bytes.last_chunk::<WIDTH>(), rest.first()) {
        (_, None) => true,
        // The last sixteen once more, since it holds of the first ones of them.
        (Some(last), _) => holds(last),
        (None, Some(first)) => {
            let mut filled = [*first; WIDTH];
            for (place, byte) in filled.iter_mut().zip(rest) {
                *place = *byte;
            }
            holds(&filled)
        }
    }
}

/// A table of the bytes of which `is` holds, for rules that are not a few comparisons.
pub(crate) const fn table(members: &[u8]) -> [bool; 256] {
    let mut table = [false; 256];
    let mut rest = members;
    while let [member, more @ ..] = rest {
        #[expect(clippy::indexing_slicing, reason = "a byte is a place of the table")]
        {
            table[*member as usize] = true;
        }
        rest = more;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_byte_is_found_wherever_it_stands() {
        for length in 0..70 {
            let mut bytes = vec![b'a'; length];
            assert!(all(&bytes, |byte| byte != b'!'), "{length}");
            for at in 0..length {
                bytes[at] = b'!';
                assert!(!all(&bytes, |byte| byte != b'!'), "{at} of {length}");
                bytes[at] = b'a';
            }
        }
    }

    #[test]
    fn a_table_has_its_members() {
        let digits = table(b"0123456789");
        for byte in 0..=u8::MAX {
            assert_eq!(digits[usize::from(byte)], byte.is_ascii_digit(), "{byte}");
        }
    }
}
