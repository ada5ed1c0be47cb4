//! Decimals ([MC-NBFX] section 2.2.3.11, [MS-OAUT] section 2.2.26).

use alloc::string::ToString;
use core::fmt::{self, Write};

use crate::ValueError;

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

impl core::str::FromStr for Decimal {
    type Err = ValueError;

    /// Reads an `xs:decimal`, such as `-15.990`: the scale is the number of digits behind the point.
    ///
    /// # Errors
    ///
    /// [`ValueError::NotOfType`], also where a number has more digits than fit.
    fn from_str(text: &str) -> Result<Self, ValueError> {
        let (negative, digits) = match text.as_bytes() {
            [b'-', ..] => (true, &text[1..]),
            [b'+', ..] => (false, &text[1..]),
            _ => (false, text),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let mut mantissa = 0_u128;
        for digit in whole.bytes().chain(fraction.bytes()) {
            let digit = char::from(digit).to_digit(10).ok_or(NO_DECIMAL)?;
            mantissa = mantissa.checked_mul(10).ok_or(NO_DECIMAL)? + u128::from(digit);
        }
        let scale = u8::try_from(fraction.len()).ok().filter(|_| whole.len() + fraction.len() > 0);
        scale.and_then(|scale| Self::new(mantissa, scale, negative)).ok_or(NO_DECIMAL)
    }
}

const NO_DECIMAL: ValueError = ValueError::NotOfType("decimal");

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

    #[test]
    fn texts_keep_their_zeros() {
        for text in [
            "0",
            "0.0",
            "-0.5",
            "0.005",
            "1.0",
            "15.990",
            "79228162514264337593543950335",
            "0.0000000000000000000000000001",
        ] {
            assert_eq!(text.parse::<Decimal>().unwrap().to_string(), text);
        }
        assert_eq!("+.5".parse(), Ok(Decimal::new(5, 1, false).unwrap()));
        assert_eq!("-5.".parse(), Ok(Decimal::new(5, 0, true).unwrap()));
        for text in [
            "",
            ".",
            "-",
            "1e2",
            "1.2.3",
            "--1",
            "1-",
            "é",
            "79228162514264337593543950336",
            "0.00000000000000000000000000000",
        ] {
            assert_eq!(text.parse::<Decimal>(), Err(NO_DECIMAL), "{text}");
        }
        assert_eq!("9".repeat(100_000).parse::<Decimal>(), Err(NO_DECIMAL));
    }
}
