//! Numbers of up to 31 bits in one to five octets ([MC-NBFX] section 2.1.2, `MultiByteInt31`).

use alloc::vec::Vec;

use crate::RecordError;

/// A number below 2<sup>31</sup> as it stands on the wire: seven bits an octet, low ones first, the high bit
/// saying that another octet follows.
///
/// Writers use as few octets as possible. Readers take more, up to five, so the number remembers how many it had and is
/// written back the same.
///
/// ```
/// use message_encoding::Int31;
///
/// let long = Int31::decode(&[0x81, 0x80, 0x00]).unwrap();
/// assert_eq!((long.value(), long.octets()), (1, 3));
/// assert_ne!(Some(long), Int31::new(1));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Int31 {
    value: u32,
    octets: u8,
}

impl Int31 {
    /// The largest number: 2<sup>31</sup> - 1.
    pub const MAX: u32 = 0x7FFF_FFFF;

    /// `value` in as few octets as possible, or nothing if it has more than 31 bits.
    pub const fn new(value: u32) -> Option<Self> {
        let octets = match value {
            0..=0x7F => 1,
            0x80..=0x3FFF => 2,
            0x4000..=0x1F_FFFF => 3,
            0x20_0000..=0xFFF_FFFF => 4,
            0x1000_0000..=Self::MAX => 5,
            _ => return None,
        };
        Some(Self { value, octets })
    }

    /// The length of something in memory.
    pub(crate) fn of(length: usize) -> Option<Self> {
        u32::try_from(length).ok().and_then(Self::new)
    }

    /// The number.
    pub const fn value(self) -> u32 {
        self.value
    }

    /// The number as a length or index in memory.
    pub(crate) const fn size(self) -> usize {
        self.value as usize
    }

    /// How many octets it takes on the wire: one to five.
    pub const fn octets(self) -> usize {
        self.octets as usize
    }

    /// Reads the number that `octets` begin with.
    ///
    /// # Errors
    ///
    /// [`RecordError::NeedMore`] when the last octet is not there yet, [`RecordError::IntegerTooLarge`] when the
    /// fifth octet says more than 31 bits.
    #[inline]
    pub fn decode(octets: &[u8]) -> Result<Self, RecordError> {
        match octets.first() {
            Some(&low) if low < 0x80 => Ok(Self { value: u32::from(low), octets: 1 }),
            _ => Self::decode_long(octets),
        }
    }

    fn decode_long(octets: &[u8]) -> Result<Self, RecordError> {
        let mut value = 0;
        for (count, &octet) in (1..=5).zip(octets) {
            if count == 5 && octet > 0x07 {
                return Err(RecordError::IntegerTooLarge);
            }
            value |= u32::from(octet & 0x7F) << (7 * (count - 1));
            if octet < 0x80 {
                return Ok(Self { value, octets: count });
            }
        }
        Err(RecordError::NeedMore(1))
    }

    /// Appends the number in as many octets as it has.
    pub fn encode(self, out: &mut Vec<u8>) {
        Self::encode_padded(self.size(), self.octets(), out);
    }

    /// Appends `value` in `octets` octets, which are enough.
    pub(crate) fn encode_padded(value: usize, octets: usize, out: &mut Vec<u8>) {
        let mut rest = value;
        for _ in 1..octets {
            out.push((rest & 0x7F) as u8 | 0x80);
            rest >>= 7;
        }
        out.push((rest & 0x7F) as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_width_is_kept_and_five_octets_is_the_end() {
        for octets in
            [&[0x05][..], &[0x85, 0x00], &[0x85, 0x80, 0x80, 0x80, 0x00], &[0xFF, 0xFF, 0xFF, 0xFF, 0x07]]
        {
            let number = Int31::decode(octets).unwrap();
            let mut again = Vec::new();
            number.encode(&mut again);
            assert_eq!(again, octets);
        }
        for octets in [&[0x85, 0x80, 0x80, 0x80, 0x80, 0x00][..], &[0xFF, 0xFF, 0xFF, 0xFF, 0x08]] {
            assert_eq!(Int31::decode(octets), Err(RecordError::IntegerTooLarge));
        }
        assert_eq!(Int31::decode(&[]), Err(RecordError::NeedMore(1)));
        assert_eq!(Int31::decode(&[0x80, 0x80]), Err(RecordError::NeedMore(1)));
        assert_eq!(Int31::new(1 << 31), None);
    }
}
