//! Texts in chunks of up to 16 octets, the letters that the [tree](crate::tree) is made of.
//!
//! A key is one *word* after another: the port, the host if the tree goes by hosts, each segment of the path. A word is one
//! chunk or more, and **the last chunk of a word has a zero as its last octet, no other chunk has**:
//!
//! ```text
//! port      one chunk                                           the port, then zeros
//! segment   16 octets …, then 0 to 15 octets                    zeros behind them, at least one
//! host      ASCII: as a segment; other: a chunk for each        a chunk of zeros
//!           character, with 0x80 as its last octet
//! ```
//!
//! So where a word ends is seen in its chunks alone, no word is the beginning of another, and keys that begin alike have the
//! same words there. The two kinds of hosts differ in the first chunk: ASCII has no octet from 0x80 on.

use crate::uri;

/// A segment in which letters have no case, or 16 octets of a longer one; or a character of a host that is not ASCII. The
/// octets are those of a little-endian number, in a segment each less the bits of a slash: so there are zeros behind them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Chunk(u128);

const OCTETS: usize = 16;
const EACH: u128 = u128::MAX / 0xFF;

impl Chunk {
    const ODD: u64 = 0xD1B5_4A32_D192_ED03;

    /// The first chunk of all texts.
    pub(crate) const fn port(port: u16) -> Self {
        Self(port as u128)
    }

    /// A number that is mostly another one for another chunk.
    #[inline]
    pub(crate) fn hash(self) -> u64 {
        let [low, high] = [self.0, self.0 >> 64].map(|half| half as u64);
        let mixed = low ^ high.wrapping_mul(Self::ODD);
        (mixed ^ mixed >> 32).wrapping_mul(0x9E37_79B9_7F4A_7C15)
    }

    /// A character of a host that is not ASCII; `None` is what is behind the last.
    fn of_character(c: Option<char>) -> Self {
        Self(c.map_or(0, |c| 0x80 << 120 | u128::from(u32::from(c))))
    }

    #[cfg(test)]
    pub(crate) fn of_one_hash(number: u64) -> Self {
        Self(u128::from(number) << 64 | u128::from(number.wrapping_mul(Self::ODD)))
    }

    /// Chunks whose hashes have one low half.
    #[cfg(test)]
    pub(crate) fn of_like_hash(number: u32) -> Self {
        const INVERSE: u64 = 0xF1DE_83E1_9937_733D;
        let mixed = (u64::from(number) << 32).wrapping_mul(INVERSE);
        Self(u128::from(mixed ^ mixed >> 32))
    }

    pub(crate) fn octets(self) -> [u8; OCTETS] {
        self.0.to_le_bytes()
    }
}

/// Reads a host as an ordinal comparison that ignores case sees it: characters outside ASCII one by one, by their
/// capitals. `read` says whether to go on.
pub(crate) fn of_host(host: &str, mut read: impl FnMut(Chunk) -> bool) -> bool {
    if host.is_ascii() {
        return Chunks::of(host).all(read);
    }
    host.chars().all(|c| read(Chunk::of_character(Some(uri::fold(c))))) && read(Chunk::of_character(None))
}

/// The chunks of a path, empty segments left out.
pub(crate) struct Chunks<'a> {
    /// ASCII, without slashes at the end, as if there was one.
    text: &'a [u8],
    at: usize,
    /// The last 16 octets.
    last: u128,
}

impl<'a> Chunks<'a> {
    #[inline]
    pub(crate) fn of(path: &'a str) -> Self {
        let mut text = path.as_bytes();
        while let [rest @ .., b'/'] = text {
            text = rest;
        }
        let last = match text.last_chunk() {
            Some(last) => u128::from_le_bytes(*last),
            // Fewer, with anything before them.
            None => text.iter().fold(0, |word, octet| word >> 8 | u128::from(*octet) << 120),
        };
        let mut chunks = Self { text, at: usize::from(text.is_empty()), last: slashes_as_zeros(last) };
        chunks.skip_slashes();
        chunks
    }

    #[inline]
    fn skip_slashes(&mut self) {
        while self.text.get(self.at) == Some(&b'/') {
            self.at += 1;
        }
    }
}

impl Iterator for Chunks<'_> {
    type Item = Chunk;

    #[inline]
    fn next(&mut self) -> Option<Chunk> {
        let rest = self.text.get(self.at..)?;
        let octets = match rest.first_chunk() {
            Some(octets) => slashes_as_zeros(u128::from_le_bytes(*octets)),
            None if rest.is_empty() => 0,
            None => self.last >> (8 * (OCTETS - rest.len())),
        };
        // The highest bit of each octet that is a slash: none has it itself.
        let slashes = ((EACH << 7) - octets) & (EACH << 7);
        if slashes == 0 {
            self.at += OCTETS;
            return Some(Chunk(octets));
        }
        self.at += slashes.trailing_zeros() as usize / 8 + 1;
        self.skip_slashes();
        Some(Chunk(octets & (slashes - 1)))
    }
}

/// Letters as small ones, and slashes as zeros. Other octets from 0x40 on become one that is in no canonical URI, or are
/// that.
#[inline]
const fn slashes_as_zeros(octets: u128) -> u128 {
    (octets | (octets & (EACH << 6)) >> 1) ^ (EACH * b'/' as u128)
}

#[cfg(test)]
mod tests {
    use super::{Chunk, Chunks, EACH, of_host, slashes_as_zeros};
    use crate::uri;
    use alloc::string::String;
    use alloc::vec::Vec;

    /// What a canonical URI has outside of names, beside slashes.
    const MARKS: &[u8] = b"-_.~;:@&=+$,[]!'()*%";

    #[test]
    fn octets_are_told_apart_but_for_the_case_of_letters() {
        let plain = |octet: &u8| octet.is_ascii_alphanumeric() || MARKS.contains(octet) || *octet == b'/';
        for one in (0..=u8::MAX).filter(plain) {
            for other in (0..=u8::MAX).filter(plain) {
                let [read_one, read_other] =
                    [one, other].map(|octet| slashes_as_zeros(EACH * u128::from(octet)));
                assert_eq!(read_one == read_other, one.eq_ignore_ascii_case(&other), "{one} {other}");
                assert_eq!(read_one == 0, one == b'/');
                assert_eq!(read_one & EACH << 7, 0);
            }
        }
    }

    #[test]
    fn chunks_are_those_of_segments() {
        // Each segment with as many slashes behind it as make whole chunks, at least one.
        let whole = |text: &str| -> Vec<u128> {
            let segments = text.split('/').filter(|segment| !segment.is_empty());
            let padded = segments.map(|segment| String::from(segment) + &"/".repeat(16 - segment.len() % 16));
            let octets: String = padded.collect();
            octets
                .as_bytes()
                .as_chunks()
                .0
                .iter()
                .map(|chunk| slashes_as_zeros(u128::from_le_bytes(*chunk)))
                .collect()
        };
        for segments in [&[1][..], &[15], &[16], &[17], &[31, 2], &[32, 16, 1], &[1, 1, 1, 48], &[9, 10, 11]]
        {
            for slashes in ["/", "//", "///////////////////"] {
                for end in ["", "/", "//"] {
                    let names =
                        segments.iter().map(|len| String::from(slashes) + &"aBcdefgh".repeat(6)[..*len]);
                    let text = names.collect::<String>() + end;
                    assert_eq!(
                        Chunks::of(&text).map(|chunk| chunk.0).collect::<Vec<_>>(),
                        whole(&text),
                        "{text}"
                    );
                }
            }
        }
        assert_eq!(Chunks::of("/").count() + Chunks::of("//").count() + Chunks::of("").count(), 0);
    }
    /// Short hosts of letters that are each other's chunks in the two kinds of hosts, and long ones.
    #[test]
    fn no_host_is_the_beginning_of_another() {
        const LETTERS: [&str; 11] = ["", "a", "N", "n", "A", "h", "G", "-", "\u{F6}", "\u{D6}", "\u{4E48}"];
        let mut hosts = Vec::new();
        for one in &LETTERS[1..] {
            for two in LETTERS {
                hosts.extend(LETTERS.map(|three| [*one, two, three].concat()));
            }
        }
        for len in [14, 15, 16, 17, 31, 32, 33] {
            for name in ["a", "n"].map(|letter| letter.repeat(len)) {
                hosts.extend([name.clone() + "\u{F6}", String::from("\u{F6}") + &name, name]);
            }
        }
        let word = |host: &String| {
            let mut word = Vec::new();
            of_host(host, |chunk| {
                word.push(chunk);
                true
            });
            word
        };
        let words: Vec<Vec<Chunk>> = hosts.iter().map(word).collect();
        let ends = |chunk: &Chunk| chunk.octets()[15] == 0;
        assert!(words.iter().all(|word| word.iter().position(ends) == Some(word.len() - 1)));
        for (one, word) in hosts.iter().zip(&words) {
            for (other, longer) in hosts.iter().zip(&words) {
                let same = one.chars().map(uri::fold).eq(other.chars().map(uri::fold));
                assert_eq!(longer.starts_with(word), same, "{one} {other}");
            }
        }
    }
}
