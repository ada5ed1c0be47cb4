//! Case and composition of names outside ASCII, as .NET sees them.

use alloc::borrow::Cow;
use alloc::string::String;

use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

/// The text in normalization form C.
pub(super) fn composed(text: &str) -> Cow<'_, str> {
    if is_nfc_quick(text.chars()) == IsNormalized::Yes {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.nfc().collect::<String>())
}

/// `ToLowerInvariant` of one character.
pub(super) fn lower(c: char) -> char {
    let lower = only(c.to_lowercase()).unwrap_or(c);
    if fold(lower) == fold(c) { lower } else { c }
}

/// `ToUpperInvariant` of one character, which is what .NET compares when it ignores case: pairs of capital and
/// small letter, and only those that its tables know.
pub(crate) fn fold(c: char) -> char {
    if c.is_ascii() {
        return c.to_ascii_uppercase();
    }
    let code = match u16::try_from(u32::from(c)) {
        Ok(code) if !LATER.iter().any(|later| later.contains(&code)) => code,
        _ => return c,
    };
    // Greek letters with a iota below: the capital is the one with the iota beside it.
    match code {
        0x1F80..=0x1F87 | 0x1F90..=0x1F97 | 0x1FA0..=0x1FA7 => {
            char::from_u32(u32::from(code) + 8).unwrap_or(c)
        }
        0x1FB3 | 0x1FC3 | 0x1FF3 => char::from_u32(u32::from(code) + 9).unwrap_or(c),
        _ => match only(c.to_uppercase()) {
            Some(upper) if only(upper.to_lowercase()) == Some(c) => upper,
            _ => c,
        },
    }
}

fn only(mut chars: impl Iterator<Item = char>) -> Option<char> {
    let first = chars.next()?;
    chars.next().is_none().then_some(first)
}

/// Small letters that got a capital after .NET Framework's tables were made.
static LATER: [core::ops::RangeInclusive<u16>; 33] = [
    0x019B..=0x019B,
    0x023F..=0x0240,
    0x0252..=0x0252,
    0x025C..=0x025C,
    0x0261..=0x0261,
    0x0264..=0x0266,
    0x026A..=0x026A,
    0x026C..=0x026C,
    0x0282..=0x0282,
    0x0287..=0x0287,
    0x029D..=0x029E,
    0x03F3..=0x03F3,
    0x0525..=0x052F,
    0x10D0..=0x10FA,
    0x10FD..=0x10FF,
    0x13F8..=0x13FD,
    0x1C8A..=0x1C8A,
    0x1D8E..=0x1D8E,
    0x2C5F..=0x2C5F,
    0x2CEC..=0x2CEE,
    0x2CF3..=0x2CF3,
    0x2D27..=0x2D27,
    0x2D2D..=0x2D2D,
    0xA661..=0xA661,
    0xA699..=0xA69B,
    0xA791..=0xA794,
    0xA797..=0xA7A9,
    0xA7B5..=0xA7C3,
    0xA7C8..=0xA7CA,
    0xA7CD..=0xA7DB,
    0xA7F6..=0xA7F6,
    0xAB53..=0xAB53,
    0xAB70..=0xABBF,
];
