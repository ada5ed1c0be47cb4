//! GUIDs ([MC-NBFX] sections 2.2.3.23 and 2.2.3.25, [MS-DTYP] section 2.3.4.2).

use core::fmt;

/// A GUID as it stands on the wire: the first three groups little-endian, the rest as it is shown.
///
/// ```
/// use message_encoding::value::Uuid;
///
/// let id: Uuid = "6faed679-8bc4-4507-b9bb-f706ceb26c43".parse()?;
/// assert_eq!(id.to_octets()[..4], [0x79, 0xD6, 0xAE, 0x6F]);
/// # Ok::<(), message_encoding::ValueError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Uuid([u8; 16]);

/// Where on the wire the octets stand, in the order they are shown in.
const SHOWN: [usize; 16] = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];

impl Uuid {
    /// The GUID with these octets on the wire.
    pub const fn from_octets(octets: [u8; 16]) -> Self {
        Self(octets)
    }

    /// The octets on the wire.
    pub const fn to_octets(self) -> [u8; 16] {
        self.0
    }

    /// A random GUID (version 4) of sixteen random octets.
    pub const fn from_random(mut octets: [u8; 16]) -> Self {
        octets[7] = octets[7] & 0x0F | 0x40;
        octets[8] = octets[8] & 0x3F | 0x80;
        Self(octets)
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, &at) in SHOWN.iter().enumerate() {
            if matches!(position, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{:02x}", self.0[at])?;
        }
        Ok(())
    }
}

impl core::str::FromStr for Uuid {
    type Err = crate::ValueError;

    /// Reads 32 hexadecimal digits in groups of 8, 4, 4, 4 and 12.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = crate::ValueError::NotOfType("GUID");
        let text = text.as_bytes();
        if text.len() != 36 || [8, 13, 18, 23].iter().any(|&at| text[at] != b'-') {
            return Err(error);
        }
        let mut digits =
            text.iter().filter(|&&octet| octet != b'-').map(|&octet| char::from(octet).to_digit(16));
        let mut octets = [0; 16];
        for at in SHOWN {
            let (Some(Some(high)), Some(Some(low))) = (digits.next(), digits.next()) else {
                return Err(error);
            };
            octets[at] = (high * 16 + low) as u8;
        }
        if digits.next().is_some() { Err(error) } else { Ok(Self(octets)) }
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn shown_and_read_again() {
        let octets = core::array::from_fn(|index| index as u8);
        let id = Uuid::from_octets(octets);
        assert_eq!(id.to_string(), "03020100-0504-0706-0809-0a0b0c0d0e0f");
        assert_eq!(id.to_string().parse(), Ok(id));
        for bad in ["", "03020100-0504-0706-0809-0a0b0c0d0e0", "0302010--0504-0706-0809-0a0b0c0d0e0f", "é"] {
            assert!(bad.parse::<Uuid>().is_err(), "{bad}");
        }
        assert_eq!(Uuid::from_random([0xFF; 16]).to_string(), "ffffffff-ffff-4fff-bfff-ffffffffffff");
    }
}
