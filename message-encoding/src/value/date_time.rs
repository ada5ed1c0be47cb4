//! Points in time and spans of it ([MC-NBFX] sections 2.2.3.12 and 2.2.3.24).

use core::fmt::{self, Write};

use crate::ValueError;

const TICKS_PER_SECOND: u64 = 10_000_000;
const TICKS_PER_DAY: i64 = 864_000_000_000;
/// The last tick of the year 9999.
const MAX_TICKS: i64 = 3_155_378_975_999_999_999;
const TICKS_MASK: u64 = 0x3FFF_FFFF_FFFF_FFFF;

/// What the clock of a [`DateTime`] shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DateTimeKind {
    /// Nothing is said.
    Unspecified,
    /// UTC.
    Utc,
    /// The reader's time zone; on the wire it is UTC.
    Local,
}

/// A point in time: ticks of 100 ns since 0001-01-01 in the low 62 bits, the kind in the two high ones.
///
/// ```
/// use message_encoding::value::{DateTime, DateTimeKind};
///
/// let day = DateTime::new(864_000_000_000, DateTimeKind::Utc).unwrap();
/// assert_eq!(day.text()?, "0001-01-02T00:00:00Z");
/// # Ok::<(), message_encoding::ValueError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DateTime(u64);

impl DateTime {
    /// `ticks` of 100 ns since 0001-01-01T00:00:00 (in UTC if the kind is local), up to the year 9999.
    pub const fn new(ticks: u64, kind: DateTimeKind) -> Option<Self> {
        if ticks > MAX_TICKS as u64 {
            return None;
        }
        Some(Self(
            ticks
                | match kind {
                    DateTimeKind::Unspecified => 0,
                    DateTimeKind::Utc => 1 << 62,
                    DateTimeKind::Local => 1 << 63,
                },
        ))
    }

    /// The value on the wire, whatever it says.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The value on the wire.
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// What its clock shows. Kind 3, which no writer gives, counts as local.
    pub const fn kind(self) -> DateTimeKind {
        match self.0 >> 62 {
            0 => DateTimeKind::Unspecified,
            1 => DateTimeKind::Utc,
            _ => DateTimeKind::Local,
        }
    }

    /// The ticks on a clock that is `offset_minutes` ahead of UTC, which only a local time looks at.
    ///
    /// A local time just before the first day is taken as a time of that day, as .NET does.
    ///
    /// # Errors
    ///
    /// [`ValueError::DateOutOfRange`] when that is no day of the years 1 to 9999.
    pub fn ticks(self, offset_minutes: i32) -> Result<u64, ValueError> {
        let mut ticks = (self.0 & TICKS_MASK) as i64;
        if self.kind() == DateTimeKind::Local {
            if ticks > (1 << 62) - TICKS_PER_DAY {
                ticks -= 1 << 62;
            }
            ticks += i64::from(offset_minutes) * 60 * TICKS_PER_SECOND as i64;
            if ticks < 0 {
                ticks += TICKS_PER_DAY;
            }
        }
        if (0..=MAX_TICKS).contains(&ticks) { Ok(ticks as u64) } else { Err(ValueError::DateOutOfRange) }
    }

    /// The text of the value for a reader in UTC: `2026-07-04T01:02:03.5Z`, with `+00:00` for a local time and
    /// nothing if the kind is unspecified.
    ///
    /// # Errors
    ///
    /// [`ValueError::DateOutOfRange`].
    pub fn text(self) -> Result<alloc::string::String, ValueError> {
        self.text_at(0)
    }

    /// The text for a reader whose clock is `offset_minutes` ahead of UTC.
    ///
    /// # Errors
    ///
    /// [`ValueError::DateOutOfRange`].
    pub fn text_at(self, offset_minutes: i32) -> Result<alloc::string::String, ValueError> {
        let mut text = alloc::string::String::with_capacity(33);
        // A String takes everything.
        let _ = write_clock(&mut text, self.ticks(offset_minutes)?);
        let _ = match self.kind() {
            DateTimeKind::Unspecified => Ok(()),
            DateTimeKind::Utc => text.write_char('Z'),
            DateTimeKind::Local => {
                let sign = if offset_minutes < 0 { '-' } else { '+' };
                let minutes = offset_minutes.unsigned_abs();
                write!(text, "{sign}{:02}:{:02}", minutes / 60, minutes % 60)
            }
        };
        Ok(text)
    }
}

fn write_clock(out: &mut impl Write, ticks: u64) -> fmt::Result {
    let (year, month, day) = date((ticks / TICKS_PER_DAY as u64) as u32);
    let seconds = ticks / TICKS_PER_SECOND % 86_400;
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    write!(out, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
    write_fraction(out, ticks % TICKS_PER_SECOND)
}

/// `.5` for 5,000,000 ticks, nothing for none.
fn write_fraction(out: &mut impl Write, mut ticks: u64) -> fmt::Result {
    if ticks == 0 {
        return Ok(());
    }
    let mut digits = 7;
    while ticks.is_multiple_of(10) {
        ticks /= 10;
        digits -= 1;
    }
    write!(out, ".{ticks:0digits$}")
}

/// Year, month and day of the Gregorian calendar, `days` after 0001-01-01.
fn date(days: u32) -> (u32, u32, u32) {
    // Years are counted from March on, so that a leap day is the last of its year.
    let days = days + 306;
    let era = days / 146_097;
    let of_era = days % 146_097;
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let january = month >= 10;
    (era * 400 + year + u32::from(january), if january { month - 9 } else { month + 3 }, day)
}

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

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn the_calendar_is_right_at_its_corners() {
        assert_eq!(date(0), (1, 1, 1));
        assert_eq!(date(58), (1, 2, 28));
        assert_eq!(date(59), (1, 3, 1));
        assert_eq!(date(730_119), (2000, 1, 1));
        assert_eq!(date(730_178), (2000, 2, 29));
        assert_eq!(date(3_652_058), (9999, 12, 31));
        // Every day follows the one before.
        let mut last = date(0);
        for days in 1..=3_652_058 {
            let next = date(days);
            let (year, month, day) = last;
            assert!(
                next == (year, month, day + 1) || next == (year, month + 1, 1) || next == (year + 1, 1, 1),
                "{days}: {last:?} {next:?}"
            );
            last = next;
        }
    }

    #[test]
    fn what_is_no_date_is_an_error_and_local_times_wrap() {
        let bits = |bits| DateTime::from_bits(bits).text();
        assert_eq!(bits(0x2BCA_2875_F437_4000), Err(ValueError::DateOutOfRange));
        assert_eq!(bits(0x7FFF_FFFF_FFFF_FFFF), Err(ValueError::DateOutOfRange));
        assert_eq!(bits(0xBFFF_FFFF_FFFF_FFFF).unwrap(), "0001-01-01T23:59:59.9999999+00:00");
        assert_eq!(bits(0xC000_0000_0000_0000).unwrap(), "0001-01-01T00:00:00+00:00");
        let local = DateTime::new(TICKS_PER_DAY as u64, DateTimeKind::Local).unwrap();
        assert_eq!(local.text_at(-90).unwrap(), "0001-01-01T22:30:00-01:30");
        assert_eq!(DateTime::new(MAX_TICKS as u64 + 1, DateTimeKind::Utc), None);
    }

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
        }
    }
}
