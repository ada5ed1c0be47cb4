//! Spans of time ([MC-NBFX] section 2.2.3.24), as `xs:duration` shows them.

use core::fmt::{self, Write};

use super::date_time::{TICKS_PER_DAY, TICKS_PER_SECOND, write_fraction};
use super::digits::Digits;
use crate::ValueError;

/// A span of time in ticks of 100 ns.
///
/// ```
/// use message_encoding::value::TimeSpan;
///
/// assert_eq!(TimeSpan::from_ticks(937_845_000_000).to_string(), "P1DT2H3M4.5S");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimeSpan(i64);

impl TimeSpan {
    /// A span of `ticks` of 100 ns.
    pub const fn from_ticks(ticks: i64) -> Self {
        Self(ticks)
    }

    /// How many ticks of 100 ns it has.
    pub const fn ticks(self) -> i64 {
        self.0
    }
}

impl fmt::Display for TimeSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < 0 {
            f.write_char('-')?;
        }
        let ticks = self.0.unsigned_abs();
        let seconds = ticks / TICKS_PER_SECOND;
        let days = seconds / 86_400;
        f.write_char('P')?;
        if days != 0 {
            write!(f, "{days}D")?;
        }
        let rest = ticks - days * TICKS_PER_DAY as u64;
        if rest == 0 {
            return if days == 0 { f.write_str("T0S") } else { Ok(()) };
        }
        f.write_char('T')?;
        for (value, unit) in [(seconds / 3600 % 24, 'H'), (seconds / 60 % 60, 'M')] {
            if value != 0 {
                write!(f, "{value}{unit}")?;
            }
        }
        if !rest.is_multiple_of(60 * TICKS_PER_SECOND) {
            write!(f, "{}", seconds % 60)?;
            write_fraction(f, ticks % TICKS_PER_SECOND)?;
            f.write_char('S')?;
        }
        Ok(())
    }
}

impl core::str::FromStr for TimeSpan {
    type Err = ValueError;

    /// Reads an `xs:duration`, such as `P1DT2H3M4.5S`. As in .NET a year has 365 days, and a month 30.
    ///
    /// # Errors
    ///
    /// [`ValueError::NotOfType`], also where the span is too long.
    fn from_str(text: &str) -> Result<Self, ValueError> {
        read(&mut Digits::new(text)).ok_or(ValueError::NotOfType("duration"))
    }
}

fn read(text: &mut Digits<'_>) -> Option<TimeSpan> {
    const SECOND: i128 = TICKS_PER_SECOND as i128;
    const DAY: i128 = TICKS_PER_DAY as i128;
    let negative = text.take(b'-');
    if !text.take(b'P') || text.is_empty() {
        return None;
    }
    let mut ticks = 0;
    // Each part at most once, and in this order.
    let days = [(b'Y', 365 * DAY), (b'M', 30 * DAY), (b'D', DAY)];
    let times = [(b'H', 3600 * SECOND), (b'M', 60 * SECOND), (b'S', SECOND)];
    for (is_time, units) in [(false, days), (true, times)] {
        if is_time && !text.is_empty() && (!text.take(b'T') || text.is_empty()) {
            return None;
        }
        let mut units = units.into_iter();
        while text.peek().is_some_and(|octet| octet != b'T') {
            let count = i128::from(text.number()?);
            let fraction = if is_time && text.take(b'.') { Some(text.fraction()?) } else { None };
            let (unit, length) = units.find(|(unit, _)| text.peek() == Some(*unit))?;
            text.take(unit);
            if fraction.is_some() && unit != b'S' {
                return None;
            }
            ticks += count * length + i128::from(fraction.unwrap_or(0));
        }
    }
    let ticks = i64::try_from(if negative { -ticks } else { ticks }).ok()?;
    text.is_empty().then_some(TimeSpan(ticks))
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn spans_leave_out_what_is_zero() {
        for (ticks, text) in [
            (0, "PT0S"),
            (TICKS_PER_DAY, "P1D"),
            (-5_000_000, "-PT0.5S"),
            (600_000_000, "PT1M"),
            (36_000_000_000 + 1, "PT1H0.0000001S"),
            (i64::MIN, "-P10675199DT2H48M5.4775808S"),
        ] {
            assert_eq!(TimeSpan::from_ticks(ticks).to_string(), text);
            assert_eq!(text.parse(), Ok(TimeSpan::from_ticks(ticks)));
        }
    }

    #[test]
    fn other_texts_of_spans() {
        for (text, ticks) in [
            ("P1Y1M1D", 396 * TICKS_PER_DAY),
            ("PT90S", 900_000_000),
            ("PT0.00000005S", 1),
            ("P10675199DT2H48M5.4775807S", i64::MAX),
        ] {
            assert_eq!(text.parse(), Ok(TimeSpan::from_ticks(ticks)), "{text}");
        }
        for text in [
            "",
            "P",
            "-",
            "PT",
            "P1DT",
            "1D",
            "P1",
            "P1H",
            "PT1D",
            "P1D1Y",
            "P1D1D",
            "PT1.5H",
            "PT1.S",
            "PT.5S",
            "P-1D",
            "PT1S ",
            "P1DT1DT1S",
            "TP1D",
            "P1TT1S",
            "P10675199DT2H48M5.4775808S",
            "P99999999999999999999D",
            "P18446744073709551615Y",
        ] {
            assert_eq!(text.parse::<TimeSpan>(), Err(ValueError::NotOfType("duration")), "{text}");
        }
    }
}
