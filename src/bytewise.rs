//! Tests of the bytes of a text, many at a time.

/// Whether `is` holds of every byte. `is` has to be comparisons that are joined by `&` and `|`, without a branch. All bytes
/// are tested, also behind one of which it does not hold: so the compiler tests many with a few vector instructions.
#[inline]
pub(crate) fn all(bytes: &[u8], is: impl Fn(u8) -> bool) -> bool {
    let mut failing = [0; 16];
    let mut test = |block: &[u8; 16]| {
        // Not an iterator over both: it would not always be inlined, and then it costs more than the tests.
        for at in 0..16 {
            #[expect(clippy::indexing_slicing, reason = "both have 16 bytes")]
            {
                failing[at] |= u8::from(!is(block[at]));
            }
        }
    };
    // What does not fill a block is tested as one, with bytes that stand in it twice: one by one costs as much as many blocks.
    if let Some(last) = bytes.last_chunk() {
        for block in bytes.as_chunks().0 {
            test(block);
        }
        test(last);
    } else if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        test(&doubled(u64::from_ne_bytes(*first), u64::from_ne_bytes(*last)));
    } else if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        let both = u64::from(u32::from_ne_bytes(*first)) | u64::from(u32::from_ne_bytes(*last)) << 32;
        test(&doubled(both, both));
    } else {
        return bytes.iter().all(|byte| is(*byte));
    }
    u128::from_ne_bytes(failing) == 0
}

/// A block of these bytes, in any order.
#[inline]
fn doubled(first: u64, last: u64) -> [u8; 16] {
    (u128::from(first) | u128::from(last) << 64).to_ne_bytes()
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
