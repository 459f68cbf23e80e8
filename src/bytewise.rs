//! Tests of the bytes of a text, many at a time.

/// Whether `is` holds of every byte. `is` has to be comparisons that are joined by `&` and `|`, without a branch. All bytes
/// are tested, also behind one of which it does not hold: so the compiler tests many with a few vector instructions.
#[inline]
pub(crate) fn all(bytes: &[u8], is: impl Fn(u8) -> bool) -> bool {
    bytes.iter().fold(0, |failing, byte| failing | u8::from(!is(*byte))) == 0
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
