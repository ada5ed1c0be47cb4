//! Texts of a dump: escaped, whatever their octets, and the same however they are cut.

use core::fmt::{self, Write};
use core::str;

use heapless::Vec;

/// A text that comes in pieces.
#[derive(Clone, Debug)]
pub(super) struct Text {
    /// The beginning of a character that the last piece ended in.
    partial: Vec<u8, 4>,
}

impl Text {
    pub(super) const fn new() -> Self {
        Self { partial: Vec::new() }
    }

    /// Writes the next piece.
    pub(super) fn write<W: Write>(&mut self, piece: &[u8], out: &mut W) -> fmt::Result {
        let mut rest = piece;
        while let Some((first, after)) = rest.split_first() {
            if self.partial.is_empty() {
                break;
            }
            if self.partial.push(*first).is_err() {
                self.flush(out)?;
                continue;
            }
            match str::from_utf8(&self.partial) {
                Ok(character) => {
                    escape(character, out)?;
                    self.partial.clear();
                }
                Err(error) if error.error_len().is_none() => {}
                // The octet does not continue the character: it is looked at again by itself.
                Err(_) => {
                    self.partial.pop();
                    self.flush(out)?;
                    continue;
                }
            }
            rest = after;
        }
        let mut chunks = rest.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            escape(chunk.valid(), out)?;
            let begins = str::from_utf8(chunk.invalid()).is_err_and(|error| error.error_len().is_none());
            if chunks.peek().is_none() && begins {
                self.partial.clear();
                self.partial.extend(chunk.invalid().iter().copied());
            } else {
                escape_octets(chunk.invalid(), out)?;
            }
        }
        Ok(())
    }

    /// Writes a character that was begun and is not going to be whole.
    pub(super) fn flush<W: Write>(&mut self, out: &mut W) -> fmt::Result {
        escape_octets(&self.partial, out)?;
        self.partial.clear();
        Ok(())
    }
}

/// Character by character: what `str` escapes depends on where the text begins.
fn escape<W: Write>(text: &str, out: &mut W) -> fmt::Result {
    text.chars().try_for_each(|character| write!(out, "{}", character.escape_debug()))
}

fn escape_octets<W: Write>(octets: &[u8], out: &mut W) -> fmt::Result {
    octets.iter().try_for_each(|octet| write!(out, "\\x{octet:02X}"))
}
