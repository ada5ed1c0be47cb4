//! How long a text is, in UTF-16 units: .NET counts its quotas in these.

use super::ReadError;
use crate::{Value, ValueError};

/// The texts of an element, counted one after the other before anything is made of them.
#[derive(Debug)]
pub(crate) struct Units<'a> {
    /// Those before the last one, exactly.
    before: usize,
    /// The last one: nearly always the only one and well below the quota, so that it need not be looked through.
    last: Value<'a>,
}

impl<'a> Units<'a> {
    pub(crate) const fn new() -> Self {
        Self { before: 0, last: Value::Empty }
    }

    /// Adds a text; refuses it if there are more than `quota` units with it.
    pub(crate) fn add(&mut self, text: Value<'a>, quota: usize) -> Result<(), ReadError> {
        self.before = self.before.saturating_add(self.last.units(usize::MAX)?);
        self.last = text;
        let left = quota.checked_sub(self.before).ok_or(ReadError::StringTooLong(quota))?;
        if text.most_units(left) <= left || text.units(left)? <= left {
            return Ok(());
        }
        Err(ReadError::StringTooLong(quota))
    }
}

impl Value<'_> {
    /// How many units the text has at most. Of a list no more is looked at than has `limit` of them.
    fn most_units(&self, limit: usize) -> usize {
        match *self {
            Self::Chars(octets) => octets.len(),
            Self::String(value) => value.len(),
            Self::QName(_, local) => 2 + local.len(),
            Self::Empty | Self::Unicode(_) | Self::Bytes(_) => self.units(limit).unwrap_or(usize::MAX),
            Self::List(mut list) => {
                let more = |sum: usize, item: Value<'_>| {
                    let sum = sum.saturating_add(1).saturating_add(item.most_units(limit));
                    if sum <= limit { Ok(sum) } else { Err(sum) }
                };
                list.try_fold(0, more).unwrap_or_else(|sum| sum)
            }
            // A decimal with scale 255 has the longest text.
            _ => 300,
        }
    }

    /// How many units the text has, or, of a list, some number above `limit` if it has more. Nothing is made of what may be long.
    fn units(&self, limit: usize) -> Result<usize, ValueError> {
        Ok(match *self {
            Self::Empty => 0,
            Self::Chars(octets) => of_utf8(octets),
            Self::String(value) => of_utf8(value.as_bytes()),
            Self::QName(_, local) => 2 + of_utf8(local.as_bytes()),
            Self::Unicode(octets) => octets.len() / 2,
            Self::Bytes(octets) => octets.len().div_ceil(3).saturating_mul(4),
            Self::List(list) => {
                let mut sum = 0_usize;
                for (spaces, item) in list.enumerate() {
                    sum = sum.saturating_add(usize::from(spaces > 0)).saturating_add(item.units(limit)?);
                    if sum > limit {
                        break;
                    }
                }
                sum
            }
            _ => self.text()?.len(),
        })
    }
}

/// How many UTF-16 units characters in UTF-8 have: two for those of four octets, else one.
fn of_utf8(octets: &[u8]) -> usize {
    let first = |octet: u8| octet & 0xC0 != 0x80;
    octets.iter().map(|&octet| usize::from(first(octet)) + usize::from(octet >= 0xF0)).sum()
}
