//! Octets that come in one text or in several: as they are, or as base64 that runs on from text to text.

use alloc::borrow::Cow;

use super::ReadError;
use crate::value::base64::Group;
use crate::{Value, ValueError};

/// The octets of the texts so far: borrowed while they are one record of octets.
#[derive(Debug)]
pub(super) struct Octets<'a> {
    whole: Cow<'a, [u8]>,
    group: Group,
    quota: usize,
}

impl<'a> Octets<'a> {
    /// None yet, and at most `quota`.
    pub(super) const fn new(quota: usize) -> Self {
        Self { whole: Cow::Borrowed(&[]), group: Group::new(), quota }
    }

    /// Adds what the next text says. No text is made of a value that may be long: what is allocated is within the quota.
    pub(super) fn push(&mut self, value: Value<'a>) -> Result<(), ReadError> {
        match value {
            Value::Bytes(octets) => self.octets(octets),
            Value::Chars(text) => self.base64(text.iter().copied()),
            // Beyond U+00FF there is no digit; neither is 0 one.
            Value::Unicode(text) => {
                self.base64(text.chunks_exact(2).map(|unit| if unit[1] == 0 { unit[0] } else { 0 }))
            }
            // The spaces between are white space.
            Value::List(mut list) => list.try_for_each(|value| self.push(value)),
            value => self.base64(value.text()?.bytes()),
        }
    }

    fn octets(&mut self, octets: &'a [u8]) -> Result<(), ReadError> {
        if !self.group.is_empty() {
            return Err(NO_BASE64);
        }
        if octets.len() > self.quota - self.whole.len() {
            return Err(ReadError::ArrayTooLong(self.quota));
        }
        if self.whole.is_empty() {
            self.whole = Cow::Borrowed(octets);
        } else {
            self.whole.to_mut().extend_from_slice(octets);
        }
        Ok(())
    }

    fn base64(&mut self, text: impl Iterator<Item = u8>) -> Result<(), ReadError> {
        for digit in text {
            let Some((octets, count)) = self.group.push(digit).ok_or(NO_BASE64)? else { continue };
            if count > self.quota - self.whole.len() {
                return Err(ReadError::ArrayTooLong(self.quota));
            }
            self.whole.to_mut().extend_from_slice(&octets[..count]);
        }
        Ok(())
    }

    /// All of them, where the last text ends.
    pub(super) fn finish(self) -> Result<Cow<'a, [u8]>, ReadError> {
        if self.group.is_empty() { Ok(self.whole) } else { Err(NO_BASE64) }
    }
}

const NO_BASE64: ReadError = ReadError::Value(ValueError::NotOfType("base64"));

#[cfg(test)]
mod tests {
    use alloc::string::String;
    use alloc::vec;
    use alloc::vec::Vec;

    use super::*;
    use crate::Quotas;
    use crate::dictionary::Strings;
    use crate::event::{Reader, ReaderState};

    /// The octets in an element that contains these records.
    fn read(records: &[&[u8]]) -> Result<Vec<u8>, ReadError> {
        let document = [b"\x40\x01r", &*records.concat(), b"\x01"].concat();
        let mut state = ReaderState::new();
        let mut reader = Reader::new(&mut state, &document, Strings::STATIC, Quotas::DEFAULT);
        reader.next()?;
        let octets = reader.read_bytes()?.into_owned();
        assert_eq!(reader.next(), Ok(None));
        Ok(octets)
    }

    fn chars(text: &str) -> Vec<u8> {
        [&[0x9C][..], &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat()
    }

    fn base64(octets: &[u8]) -> String {
        Value::Bytes(octets).to_text().unwrap()
    }

    #[test]
    fn the_quota_is_of_octets_not_of_digits() {
        let quota = Quotas::DEFAULT.max_array_length;
        for length in quota - 3..=quota + 3 {
            let octets = vec![7; length];
            let spaced: String = base64(&octets).chars().flat_map(|digit| [digit, ' ', '\n']).collect();
            let utf16: Vec<u8> = base64(&octets).encode_utf16().flat_map(u16::to_le_bytes).collect();
            let utf16 = [&[0xBA][..], &(utf16.len() as u32).to_le_bytes(), &utf16].concat();
            let raw = [&[0xA2][..], &(length as u32).to_le_bytes(), &octets].concat();
            let expected = if length <= quota { Ok(octets) } else { Err(ReadError::ArrayTooLong(quota)) };
            for records in [chars(&base64(&vec![7; length])), chars(&spaced), utf16, raw] {
                assert_eq!(read(&[&records]), expected, "{length} octets, record {:02X}", records[0]);
            }
        }
    }

    #[test]
    fn base64_runs_on_from_text_to_text() {
        let text = base64(&[1, 2, 3, 4, 5]);
        for cut in 0..=text.len() {
            let (start, rest) = text.split_at(cut);
            for between in [&b""[..], b"\x02\x01c", b"\xA8", b"\x98\x02\r\n"] {
                assert_eq!(read(&[&chars(start), between, &chars(rest)]), Ok(vec![1, 2, 3, 4, 5]));
            }
        }
        // A list of texts, and octets as they are before and behind base64.
        assert_eq!(read(&[b"\xA4\x98\x02AQ\x98\x02ID\xA6"]), Ok(vec![1, 2, 3]));
        assert_eq!(read(&[b"\x9E\x01\x01", &chars("Ag=="), b"\x9E\x01\x03"]), Ok(vec![1, 2, 3]));
        // Octets within a group, and groups that do not end or never were any.
        for bad in [&[&chars("AQ")[..], b"\x9E\x01\x03"], &[&chars("AQI"), b""], &[b"\x98\x01\xFF", b""]] {
            assert_eq!(read(bad), Err(NO_BASE64));
        }
        assert_eq!(read(&[b"\xB6\x08\x41\x01\x51\x00\x49\x00\x44\x00"]), Err(NO_BASE64));
    }
}
