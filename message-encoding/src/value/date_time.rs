//! Points in time and spans of it ([MC-NBFX] sections 2.2.3.12 and 2.2.3.24).

use core::fmt::{self, Write};

use super::digits::Digits;
use crate::ValueError;

pub(super) const TICKS_PER_SECOND: u64 = 10_000_000;
pub(super) const TICKS_PER_DAY: i64 = 864_000_000_000;
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

impl core::str::FromStr for DateTime {
    type Err = ValueError;

    /// Reads an `xs:dateTime`, such as `2026-07-04T01:02:03.5Z`. Without a zone the kind is unspecified, `Z` is UTC, and any other
    /// zone makes it a local time, which is that instant wherever it is read. Finer fractions are rounded to ticks.
    ///
    /// # Errors
    ///
    /// [`ValueError::NotOfType`]; [`ValueError::DateOutOfRange`] beyond the year 9999. A local time that is out of range only in UTC
    /// is taken as the first or last instant, as in .NET.
    fn from_str(text: &str) -> Result<Self, ValueError> {
        read(&mut Digits::new(text)).unwrap_or(Err(ValueError::NotOfType("date and time")))
    }
}

/// Reads all of a text: nothing if that is no date and time.
fn read(text: &mut Digits<'_>) -> Option<Result<DateTime, ValueError>> {
    let mut next = |count, behind| text.exactly(count).filter(|_| text.take(behind));
    let (year, month, day) = (next(4, b'-')?, next(2, b'-')?, next(2, b'T')?);
    let (hour, minute) = (next(2, b':')?, next(2, b':')?);
    let second = text.exactly(2)?;
    let fraction = if text.take(b'.') { text.fraction()? } else { 0 };
    let midnight = hour == 24 && (minute, second, fraction) == (0, 0, 0);
    if !(1..=12).contains(&month) || day == 0 || hour > 23 && !midnight || minute > 59 || second > 59 {
        return None;
    }
    let days = days_before(year, month) + day - 1;
    if year == 0 || days >= days_before(year + month / 12, month % 12 + 1) {
        return None;
    }
    let seconds = i64::from(days) * 86_400 + i64::from(hour * 3600 + minute * 60 + second);
    let mut ticks = seconds * TICKS_PER_SECOND as i64 + fraction as i64;
    let kind = match text.peek() {
        None => DateTimeKind::Unspecified,
        Some(b'Z') => DateTimeKind::Utc,
        Some(_) => DateTimeKind::Local,
    };
    match kind {
        DateTimeKind::Unspecified => {}
        DateTimeKind::Utc => drop(text.take(b'Z')),
        DateTimeKind::Local => {
            let ahead = text.take(b'+');
            if !ahead && !text.take(b'-') {
                return None;
            }
            let hours = text.exactly(2).filter(|_| text.take(b':'))?;
            let minutes = text.exactly(2)?;
            if hours > 14 || minutes > 59 || hours == 14 && minutes > 0 {
                return None;
            }
            let offset = i64::from(hours * 60 + minutes) * 60 * TICKS_PER_SECOND as i64;
            ticks = if ahead { ticks - offset } else { ticks + offset }.clamp(0, MAX_TICKS);
        }
    }
    text.is_empty().then(|| DateTime::new(ticks as u64, kind).ok_or(ValueError::DateOutOfRange))
}

/// How many days after 0001-01-01 a month begins; the inverse of [`date`].
fn days_before(year: u32, month: u32) -> u32 {
    // As there, years are counted from March on.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year.saturating_sub(1), month + 9) };
    365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 - 306
}

fn write_clock(out: &mut impl Write, ticks: u64) -> fmt::Result {
    let (year, month, day) = date((ticks / TICKS_PER_DAY as u64) as u32);
    let seconds = ticks / TICKS_PER_SECOND % 86_400;
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    write!(out, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
    write_fraction(out, ticks % TICKS_PER_SECOND)
}

/// `.5` for 5,000,000 ticks, nothing for none.
pub(super) fn write_fraction(out: &mut impl Write, mut ticks: u64) -> fmt::Result {
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

#[cfg(test)]
mod tests {

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
            assert!(next.2 != 1 || days_before(next.0, next.1) == days);
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
    fn texts_are_read_as_they_are_shown() {
        for (text, kind, ticks) in [
            ("0001-01-01T00:00:00", DateTimeKind::Unspecified, 0),
            ("0001-01-01T00:00:00.0000001Z", DateTimeKind::Utc, 1),
            ("0001-03-01T00:00:00Z", DateTimeKind::Utc, 59 * TICKS_PER_DAY),
            ("0004-03-01T00:00:00Z", DateTimeKind::Utc, (3 * 365 + 60) * TICKS_PER_DAY),
            ("9999-12-31T23:59:59.9999999", DateTimeKind::Unspecified, MAX_TICKS),
            ("0001-01-02T00:00:00+00:00", DateTimeKind::Local, TICKS_PER_DAY),
        ] {
            let read: DateTime = text.parse().unwrap();
            assert_eq!((read.kind(), read.ticks(0).unwrap() as i64), (kind, ticks), "{text}");
            assert_eq!(read.text().unwrap(), text);
        }
        for (text, same) in [
            ("2026-07-04T01:30:00+02:30", "2026-07-03T23:00:00+00:00"),
            ("2026-12-31T24:00:00Z", "2027-01-01T00:00:00Z"),
            ("2026-07-04T01:02:03.123456789", "2026-07-04T01:02:03.1234568"),
            ("0001-01-01T00:00:00+14:00", "0001-01-01T00:00:00+00:00"),
            ("9999-12-31T23:59:59.9999999-01:00", "9999-12-31T23:59:59.9999999+00:00"),
        ] {
            assert_eq!(text.parse::<DateTime>().unwrap().text().unwrap(), same);
        }
        let wrong = Err(ValueError::NotOfType("date and time"));
        for text in [
            "",
            "2026-07-04",
            "2026-02-29T00:00:00",
            "1900-02-29T00:00:00",
            "2026-13-01T00:00:00",
            "2026-00-01T00:00:00",
            "2026-01-00T00:00:00",
            "2026-01-01T24:00:01",
            "2026-01-01T00:60:00",
            "2026-01-01T00:00:60",
            "2026-01-01T00:00:00.",
            "2026-01-01T00:00:00z",
            "2026-01-01T00:00:00Z ",
            "2026-01-01T00:00:00+15:00",
            "2026-01-01T00:00:00+1:00",
            "+026-01-01T00:00:00",
            "0000-01-01T00:00:00",
            "2026-01-01T00:00:0é",
        ] {
            assert_eq!(text.parse::<DateTime>(), wrong, "{text}");
        }
        assert_eq!("9999-12-31T24:00:00".parse::<DateTime>(), Err(ValueError::DateOutOfRange));
    }
}
