//! Text records in a document that is there as a whole; most texts are short and are read without detour.

use super::Reader;
use super::reader::Found;
use super::state::Next;
use crate::Value;

impl<'a> Reader<'a, '_> {
    /// Reads the text at `at`, a record of type `kind`.
    #[inline(never)]
    pub(super) fn text_record(&mut self, at: usize, kind: u8) -> Found {
        match self.short_text(at, kind) {
            Some((value, end)) if self.state.scopes.depth() > 0 => {
                self.value = value;
                self.state.position = end;
                self.state.next = if kind % 2 == 1 { Next::End } else { Next::Record };
                Found::Text
            }
            _ => self.longer_text(at, kind),
        }
    }

    /// The text at `at`, a record of type `kind`, and where it ends, if it is one of those that most texts are.
    #[inline(always)]
    fn short_text(&self, at: usize, kind: u8) -> Option<(Value<'a>, usize)> {
        let octets = self.source.octets.get(at + 1..)?;
        Some(match kind & !1 {
            0x80 => (Value::Int(0), at + 1),
            0x82 => (Value::Int(1), at + 1),
            0x88 => (Value::Int(i64::from(*octets.first()? as i8)), at + 2),
            0x92 => (Value::Double(f64::from_le_bytes(*octets.first_chunk()?)), at + 9),
            0x98 => {
                let (&length, rest) = octets.split_first()?;
                let end = at + 2 + usize::from(length);
                (Value::Chars(rest.get(..usize::from(length))?), end)
            }
            0xAA => (Value::String(self.short_id(octets)?), at + 2),
            _ => return None,
        })
    }

    /// The dictionary string whose id, one octet, comes first.
    #[inline(always)]
    fn short_id(&self, octets: &[u8]) -> Option<&'a str> {
        self.source.strings.get(u32::from(*octets.first().filter(|&&id| id < 0x80)?))
    }

    #[inline(never)]
    fn longer_text(&mut self, at: usize, kind: u8) -> Found {
        if !matches!(kind, 0x80..=0xA3 | 0xA8..=0xBD) {
            return self.other();
        }
        match self.state.text(self.source, at, kind) {
            Ok(value) => {
                self.value = value;
                Found::Text
            }
            Err(error) => self.refuse(error),
        }
    }
}
