//! The digits in the texts of times.

use super::date_time::TICKS_PER_SECOND;

/// A text that is read from left to right.
pub(super) struct Digits<'a>(&'a [u8]);

impl<'a> Digits<'a> {
    pub(super) const fn new(text: &'a str) -> Self {
        Self(text.as_bytes())
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next octet, which is not read yet.
    pub(super) fn peek(&self) -> Option<u8> {
        self.0.first().copied()
    }

    /// Reads over `octet` if it comes next.
    pub(super) fn take(&mut self, octet: u8) -> bool {
        let found = self.peek() == Some(octet);
        if found {
            self.0 = &self.0[1..];
        }
        found
    }

    /// A number of exactly `count` digits.
    pub(super) fn exactly(&mut self, count: usize) -> Option<u32> {
        let (digits, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        digits.iter().try_fold(0_u32, |number, digit| match digit {
            b'0'..=b'9' => number.checked_mul(10)?.checked_add(u32::from(digit - b'0')),
            _ => None,
        })
    }

    /// A number of one digit or more.
    pub(super) fn number(&mut self) -> Option<u64> {
        let count = self.0.iter().take_while(|digit| digit.is_ascii_digit()).count();
        let (digits, rest) = self.0.split_at(count);
        self.0 = rest;
        core::str::from_utf8(digits).ok()?.parse().ok()
    }

    /// The digits of a fraction of a second, of which there is at least one: in ticks, to the nearest one.
    pub(super) fn fraction(&mut self) -> Option<u64> {
        let count = self.0.iter().take_while(|digit| digit.is_ascii_digit()).count();
        let (digits, rest) = self.0.split_at(count);
        self.0 = rest;
        let mut ticks = 0;
        let mut tick = TICKS_PER_SECOND;
        for digit in digits.iter().take(7) {
            tick /= 10;
            ticks += u64::from(digit - b'0') * tick;
        }
        let up = digits.get(7).is_some_and(|digit| *digit >= b'5');
        (count > 0).then_some(ticks + u64::from(up))
    }
}
