//! Decimals ([MC-NBFX] section 2.2.3.11, [MS-OAUT] section 2.2.26).

use alloc::string::ToString;
use core::fmt::{self, Write};

/// A decimal number of 96 bits with a scale: sixteen octets, of which the first two mean nothing and are kept.
///
/// ```
/// use message_encoding::value::Decimal;
///
/// assert_eq!(Decimal::new(1599, 2, false).unwrap().to_string(), "15.99");
/// assert_eq!(Decimal::new(0, 3, true).unwrap().to_string(), "0.000");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Decimal([u8; 16]);

impl Decimal {
    /// `mantissa` / 10<sup>`scale`</sup>, if the mantissa has at most 96 bits and the scale is at most 28.
    pub fn new(mantissa: u128, scale: u8, negative: bool) -> Option<Self> {
        if mantissa >> 96 != 0 || scale > 28 {
            return None;
        }
        let mut octets = [0; 16];
        octets[2] = scale;
        octets[3] = if negative { 0x80 } else { 0 };
        octets[4..8].copy_from_slice(&((mantissa >> 64) as u32).to_le_bytes());
        octets[8..].copy_from_slice(&(mantissa as u64).to_le_bytes());
        Some(Self(octets))
    }

    /// The number with these octets on the wire: two unused, the scale, the sign in the high bit, the high 32 bits of
    /// the mantissa and its low 64, each little-endian.
    pub const fn from_octets(octets: [u8; 16]) -> Self {
        Self(octets)
    }

    /// The octets on the wire.
    pub const fn to_octets(self) -> [u8; 16] {
        self.0
    }

    /// The digits without point and sign.
    pub fn mantissa(self) -> u128 {
        let mut high = [0; 16];
        high[..8].copy_from_slice(&self.0[8..]);
        high[8..12].copy_from_slice(&self.0[4..8]);
        u128::from_le_bytes(high)
    }

    /// How many of the digits stand behind the point. A peer may say more than 28.
    pub const fn scale(self) -> u8 {
        self.0[2]
    }

    /// Whether the sign is set. Zero has one too; it is not shown.
    pub const fn is_negative(self) -> bool {
        self.0[3] & 0x80 != 0
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mantissa = self.mantissa();
        let scale = usize::from(self.scale());
        if self.is_negative() && mantissa != 0 {
            f.write_char('-')?;
        }
        let digits = mantissa.to_string();
        let whole = digits.len().saturating_sub(scale);
        f.write_str(if whole == 0 { "0" } else { &digits[..whole] })?;
        if scale == 0 {
            return Ok(());
        }
        f.write_char('.')?;
        // Zero has no digits of its own behind the point.
        let fraction = if mantissa == 0 { "" } else { &digits[whole..] };
        for _ in fraction.len()..scale {
            f.write_char('0')?;
        }
        f.write_str(fraction)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_the_scale_as_zeros() {
        let show = |mantissa, scale, negative| Decimal::new(mantissa, scale, negative).unwrap().to_string();
        assert_eq!(show(0, 0, true), "0");
        assert_eq!(show(0, 1, false), "0.0");
        assert_eq!(show(5, 1, true), "-0.5");
        assert_eq!(show(5, 3, false), "0.005");
        assert_eq!(show(10, 1, false), "1.0");
        assert_eq!(show((1 << 96) - 1, 28, false), "7.9228162514264337593543950335");
        assert_eq!(Decimal::new(1 << 96, 0, false), None);
        assert_eq!(Decimal::new(1, 29, false), None);
    }
}
