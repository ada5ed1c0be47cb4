//! The start tags that nearly all elements of an envelope have, read without detour.
//!
//! A plain tag has a lettered prefix or none; lengths and ids of at most two octets; declarations of lettered prefixes or of the
//! default namespace; at most one attribute, with a lettered prefix, a dictionary name, and a number or truth that is all
//! in its record type. Every other tag, and every one that something is wrong with, is left to the general reader, which says
//! the same about plain ones, only slower.

use super::source::Ref;
use super::{Name, Reader};
use crate::record::PREFIXES;

impl<'a> Reader<'a, '_> {
    /// Reads the start tag at `at`, a record of type `kind`, and opens its element if it is plain and nothing is wrong with
    /// it. Otherwise bindings may be left that the caller is to undo.
    #[inline(always)]
    pub(super) fn plain_tag(&mut self, at: usize, kind: u8) -> Option<()> {
        let depth = self.state.scopes.depth();
        if depth >= self.quotas.max_depth || (depth == 0 && self.state.root_seen) {
            return None;
        }
        let (prefix, dictionary) = match kind {
            0x44..=0x5D => (kind - 0x43, true),
            0x5E..=0x77 => (kind - 0x5D, false),
            0x40 | 0x42 => (0, kind == 0x42),
            _ => return None,
        };
        let (_, local, mut end) = self.plain_string(at + 1, dictionary)?;
        let before = self.state.scopes.bindings();
        self.state.attributes_at = end;
        if (0x04..=0x3F).contains(self.source.octets.get(end)?) {
            end = self.plain_attributes(end, before)?;
        }
        let namespace = match self.state.scopes.bound(prefix) {
            0 if prefix == 0 => "",
            0 => return None,
            binding => self.namespaces.get(binding)?,
        };
        let state = &mut *self.state;
        state.root_seen = true;
        state.position = end;
        state.scopes.open(before, end);
        self.name = Name { prefix: PREFIXES[usize::from(prefix)], local, namespace };
        Some(())
    }

    /// Reads the declarations and attributes from `at` on and says where they end.
    #[inline(always)]
    fn plain_attributes(&mut self, at: usize, before: usize) -> Option<usize> {
        let octets = self.source.octets;
        let mut attribute = None;
        let mut end = at;
        loop {
            match *octets.get(end)? {
                kind @ 0x0C..=0x25 if attribute.is_none() => {
                    attribute = Some(kind - 0x0B);
                    let (_, _, value) = self.plain_string(end + 1, true)?;
                    let (0x80 | 0x82 | 0x84 | 0x86) = octets.get(value)? else { return None };
                    end = value + 1;
                }
                kind @ (0x09 | 0x0B) => {
                    let &[1, letter @ b'a'..=b'z'] = octets.get(end + 1..end + 3)? else { return None };
                    end = self.plain_declaration(letter - b'a' + 1, end + 3, kind == 0x0B, before)?;
                }
                kind @ (0x08 | 0x0A) => end = self.plain_declaration(0, end + 1, kind == 0x0A, before)?,
                0x04..=0x3F => return None,
                _ => break,
            }
        }
        // No prefix is declared twice, so a tag that is too long is at most 27 declarations too long.
        if end - at > self.quotas.max_bytes_per_read {
            return None;
        }
        match attribute {
            Some(prefix) if self.state.scopes.bound(prefix) == 0 => None,
            _ => Some(end),
        }
    }

    /// Reads the namespace at `at` that a declaration binds to `prefix`, and says where it ends.
    #[inline(always)]
    fn plain_declaration(&mut self, prefix: u8, at: usize, dictionary: bool, before: usize) -> Option<usize> {
        let (uri, string, end) = self.plain_string(at, dictionary)?;
        if prefix > 0 && string.is_empty() {
            return None;
        }
        if !self.state.scopes.bind(prefix, uri, before) {
            return None;
        }
        self.state.scopes.learn(&mut self.namespaces, string);
        Some(end)
    }

    /// The name or namespace at `at`: how it is remembered, the string, and where it ends.
    #[inline(always)]
    fn plain_string(&self, at: usize, dictionary: bool) -> Option<(Ref, &'a str, usize)> {
        let octets = self.source.octets;
        let (number, start) = match *octets.get(at)? {
            low @ ..0x80 => (u32::from(low), at + 1),
            low => match *octets.get(at + 1)? {
                high @ ..0x80 => (u32::from(low & 0x7F) | u32::from(high) << 7, at + 2),
                _ => return None,
            },
        };
        if dictionary {
            return Some((Ref::Id(number), self.source.strings.get(number)?, start));
        }
        let end = start + number as usize;
        let string = core::str::from_utf8(octets.get(start..end)?).ok()?;
        Some((Ref::Span(start as u32, end as u32), string, end))
    }
}
