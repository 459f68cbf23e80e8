//! The wire format of protobuf, read strictly (protobuf.dev/programming-guides/encoding).
//!
//! Decoders differ about what they take: tags and lengths with needless bytes, groups, field number 0, more than 64 bits.
//! None of these is written by an encoder, and all of them are faults here.

/// What is wrong with the bytes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum WireFault {
    #[error("it ends within a field")]
    Truncated,
    #[error("it has a number that is not well encoded")]
    Varint,
    #[error("it has a field without a valid number")]
    FieldNumber,
    #[error("it has a group, which is not read here")]
    Group,
    #[error("it has a field of an unknown wire type")]
    WireType,
}

/// The value of a field, as far as it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WireValue<'m> {
    /// A text, bytes or a message.
    Delimited(&'m [u8]),
    /// Anything else: it cannot name a resource.
    Scalar,
}

/// Reads the fields of one message, one after the other.
#[derive(Clone, Debug)]
pub(super) struct WireReader<'m> {
    rest: &'m [u8],
}

/// Most bytes of a tag: 29 bits of a number and 3 of a type.
const TAG_BYTES: usize = 5;
/// Most bytes of a length below 2 GiB.
const LENGTH_BYTES: usize = 5;
/// Most bytes of a value of 64 bits.
const VALUE_BYTES: usize = 10;
/// The largest field number.
const MAX_NUMBER: u64 = (1 << 29) - 1;

impl<'m> WireReader<'m> {
    pub(super) fn new(message: &'m [u8]) -> Self {
        Self { rest: message }
    }

    /// The number and the value of the next field; `None` at the end.
    pub(super) fn next_field(&mut self) -> Result<Option<(u32, WireValue<'m>)>, WireFault> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let tag = self.canonical(TAG_BYTES)?;
        let number = tag >> 3;
        if number == 0 || number > MAX_NUMBER {
            return Err(WireFault::FieldNumber);
        }
        let value = match tag & 7 {
            0 => {
                self.varint(VALUE_BYTES)?;
                WireValue::Scalar
            }
            1 => self.take(8).map(|_| WireValue::Scalar)?,
            2 => {
                let length = self.canonical(LENGTH_BYTES)?;
                let length = usize::try_from(length).map_err(|_| WireFault::Truncated)?;
                WireValue::Delimited(self.take(length)?)
            }
            3 | 4 => return Err(WireFault::Group),
            5 => self.take(4).map(|_| WireValue::Scalar)?,
            _ => return Err(WireFault::WireType),
        };
        let number = u32::try_from(number).map_err(|_| WireFault::FieldNumber)?;
        Ok(Some((number, value)))
    }

    fn take(&mut self, length: usize) -> Result<&'m [u8], WireFault> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(WireFault::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    /// A number without needless bytes.
    fn canonical(&mut self, most: usize) -> Result<u64, WireFault> {
        let (number, length) = self.varint(most)?;
        let is_padded = length > 1 && number >> (7 * (length - 1)) == 0;
        if is_padded { Err(WireFault::Varint) } else { Ok(number) }
    }

    /// A number, and how many bytes it has.
    fn varint(&mut self, most: usize) -> Result<(u64, usize), WireFault> {
        let mut number = 0_u64;
        for (place, byte) in self.rest.iter().enumerate().take(most) {
            let bits = u64::from(byte & 0x7f);
            // The tenth byte has one bit left.
            if place == VALUE_BYTES - 1 && bits > 1 {
                return Err(WireFault::Varint);
            }
            number |= bits << (7 * place);
            if byte & 0x80 == 0 {
                self.rest = self.rest.get(place + 1..).unwrap_or_default();
                return Ok((number, place + 1));
            }
        }
        Err(if self.rest.len() < most { WireFault::Truncated } else { WireFault::Varint })
    }
}
