//! The start tags that nearly all elements of an envelope have, read without detour.
//!
//! A plain tag has a lettered prefix or none; lengths and ids of at most two octets; declarations of lettered prefixes or of the
//! default namespace; at most one attribute, with a lettered prefix, a dictionary name, and a number or truth that is all
//! in its record type. Every other tag, and every one that something is wrong with, is left to the general reader, which says
//! the same about plain ones, only slower.

use super::Name;
use super::scope::{Known, Ref, Source};
use super::start_tag::Held;
use super::state::ReaderState;
use crate::Quotas;
use crate::record::Letter;

impl ReaderState {
    /// Reads the start tag at `at`, a record of type `kind`, and opens its element if it is plain and nothing is wrong with
    /// it. Otherwise bindings and attributes may be left that the caller is to undo.
    #[inline(always)]
    pub(super) fn plain_tag<'a>(
        &mut self,
        source: &Source<'a>,
        at: usize,
        kind: u8,
        quotas: &Quotas,
        known: &mut Known<'a>,
    ) -> Option<Name<'a>> {
        let depth = self.scopes.depth();
        if depth >= quotas.max_depth || (depth == 0 && self.root_seen) {
            return None;
        }
        let (number, prefix) = match kind {
            0x44..=0x77 => numbered(Letter::of_record(kind - 0x44)),
            0x40 | 0x42 => (0, ""),
            _ => return None,
        };
        let (_, local, mut end) = string(source, at + 1, matches!(kind, 0x42..=0x5D))?;
        let before = self.scopes.bindings();
        self.attributes.clear();
        if (0x04..=0x3F).contains(source.octets.get(end)?) {
            end = self.plain_attributes(source, end, before, quotas, known)?;
        }
        let binding = self.scopes.bound(number)?;
        if binding == 0 && number > 0 {
            return None;
        }
        let namespace = self.scopes.string(known, binding, *source).ok()?;
        self.root_seen = true;
        self.scopes.open(before, end);
        self.position = end;
        Some(Name { prefix, local, namespace })
    }

    /// Reads the declarations and attributes from `at` on and says where they end.
    #[inline(never)]
    fn plain_attributes<'a>(
        &mut self,
        source: &Source<'a>,
        at: usize,
        before: usize,
        quotas: &Quotas,
        known: &mut Known<'a>,
    ) -> Option<usize> {
        let mut end = at;
        let mut attribute = None;
        loop {
            let start = end;
            match *source.octets.get(start)? {
                kind @ 0x08..=0x0B => {
                    let (number, prefix_end) = if kind & 1 == 0 {
                        (0, start + 1)
                    } else {
                        let &[1, letter @ b'a'..=b'z'] = source.octets.get(start + 1..start + 3)? else {
                            return None;
                        };
                        (u32::from(letter - b'a') + 1, start + 3)
                    };
                    let (uri, text, uri_end) = string(source, prefix_end, kind >= 0x0A)?;
                    if number > 0 && text.is_empty() {
                        return None;
                    }
                    let span = (prefix_end as u32 - u32::from(number > 0), prefix_end as u32);
                    self.scopes.bind(number, span, uri, before).ok()?;
                    self.scopes.learn(known, text);
                    self.attributes.push(Held::declaration(start));
                    end = uri_end;
                }
                kind @ 0x0C..=0x25 if attribute.is_none() => {
                    let (local, _, name_end) = string(source, start + 1, true)?;
                    let (0x80 | 0x82 | 0x84 | 0x86) = source.octets.get(name_end)? else { return None };
                    attribute = Some((self.attributes.len(), kind - 0x0C));
                    self.attributes.push(Held::attribute(start, local));
                    end = name_end + 1;
                }
                0x04..=0x3F => return None,
                _ => break,
            }
            if end - at > quotas.max_bytes_per_read {
                return None;
            }
        }
        if let Some((index, letter)) = attribute {
            let namespace = self.scopes.uri(self.scopes.bound(u32::from(letter) + 1)?)?;
            self.attributes.get_mut(index)?.set_namespace(namespace);
        }
        Some(end)
    }
}

#[inline(always)]
fn numbered(letter: Letter) -> (u32, &'static str) {
    (u32::from(letter.index()) + 1, letter.as_str())
}

/// The name or namespace at `at`: how it is remembered, the string, and where it ends.
#[inline(always)]
fn string<'a>(source: &Source<'a>, at: usize, dictionary: bool) -> Option<(Ref, &'a str, usize)> {
    let (number, start) = match *source.octets.get(at)? {
        low @ ..0x80 => (u32::from(low), at + 1),
        low => match *source.octets.get(at + 1)? {
            high @ ..0x80 => (u32::from(low & 0x7F) | u32::from(high) << 7, at + 2),
            _ => return None,
        },
    };
    if dictionary {
        return Some((Ref::Id(number), source.strings.get(number)?, start));
    }
    let end = start + number as usize;
    let string = core::str::from_utf8(source.octets.get(start..end)?).ok()?;
    Some((Ref::Span(start as u32, end as u32), string, end))
}
