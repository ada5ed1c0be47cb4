//! Record sizes ([MC-NMF] 2.2.2): little-endian base 128, 1 to 5 octets, at most 31 bits.
//!
//! Also the header of a data chunk inside an unsized envelope (2.2.4.3), where 0 is the terminator.
//!
//! ```
//! use framing_core::{Decoded, size};
//! assert_eq!(size::decode(&[0xAC, 0x02]), Ok(Decoded::Complete { value: 300, consumed: 2 }));
//! assert!(matches!(size::decode(&[0xAC]), Ok(Decoded::NeedMore(_))));
//! let mut octets = [0; size::MAX_OCTETS];
//! assert_eq!(size::encode(300, &mut octets), Ok(2));
//! assert_eq!(octets[..2], [0xAC, 0x02]);
//! ```
//!
//! [MC-NMF]: https://learn.microsoft.com/openspecs/windows_protocols/mc-nmf/

use crate::parse;
use crate::{DecodeError, Decoded, EncodeError};

/// The largest size, 2³¹ − 1 octets.
///
/// ```
/// use framing_core::{EncodeError, size};
/// assert_eq!(size::encoded_len(size::MAX), size::MAX_OCTETS);
/// assert_eq!(size::encode(size::MAX + 1, &mut [0; 8]), Err(EncodeError::SizeTooLarge));
/// ```
pub const MAX: u32 = 0x7FFF_FFFF;

/// The most octets a size takes.
///
/// ```
/// use framing_core::{Decoded, size};
/// let octets = [0xFF, 0xFF, 0xFF, 0xFF, 0x07];
/// let decoded = Decoded::Complete { value: size::MAX, consumed: size::MAX_OCTETS };
/// assert_eq!(size::decode(&octets), Ok(decoded));
/// ```
pub const MAX_OCTETS: usize = 5;

/// Decodes a size. Forms longer than necessary are accepted, as every implementation does although the grammar forbids
/// them.
///
/// # Errors
/// [`DecodeError::SizeTooLarge`]: the fifth octet has any of its five upper bits set.
///
/// ```
/// use framing_core::{DecodeError, Decoded, size};
/// assert_eq!(size::decode(&[0x81, 0x00]), Ok(Decoded::Complete { value: 1, consumed: 2 }));
/// assert_eq!(size::decode(&[0x80, 0x80, 0x80, 0x80, 0x08]), Err(DecodeError::SizeTooLarge));
/// ```
#[inline]
pub fn decode(octets: &[u8]) -> Result<Decoded<u32>, DecodeError> {
    parse::decoded(octets, parse::size(octets))
}

/// Octets [`encode`] writes for a size: 1 to 5.
///
/// ```
/// use framing_core::size;
/// assert_eq!([0, 127, 128, 16384].map(size::encoded_len), [1, 1, 2, 3]);
/// ```
#[must_use]
pub const fn encoded_len(size: u32) -> usize {
    match size {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        0x4000..0x20_0000 => 3,
        0x20_0000..0x1000_0000 => 4,
        0x1000_0000.. => 5,
    }
}

/// Encodes a size in the shortest form and returns how many octets that took.
///
/// # Errors
/// [`EncodeError::SizeTooLarge`] over [`MAX`]; [`EncodeError::BufferTooShort`].
///
/// ```
/// use framing_core::size;
/// let mut out = [0; 5];
/// assert_eq!(size::encode(65536, &mut out), Ok(3));
/// assert_eq!(out[..3], [0x80, 0x80, 0x04]);
/// ```
pub fn encode(size: u32, out: &mut [u8]) -> Result<usize, EncodeError> {
    if size > MAX {
        return Err(EncodeError::SizeTooLarge);
    }
    let needed = encoded_len(size);
    let out = out.get_mut(..needed).ok_or(EncodeError::BufferTooShort { needed })?;
    let mut left = size;
    for octet in out.iter_mut() {
        let [low, ..] = left.to_le_bytes();
        left >>= 7;
        *octet = if left == 0 { low } else { low | 0x80 };
    }
    Ok(needed)
}
