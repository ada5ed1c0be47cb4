//! Where the octets are: in a file, which may be larger than memory, or in memory.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

/// Octets that can be read at any place, and stay as they are.
pub(super) trait Source {
    /// How many there are.
    fn octets(&self) -> io::Result<u64>;

    /// Reads some at a place: 0 behind the last, or where `into` is empty.
    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<usize>;
}

impl Source for &[u8] {
    fn octets(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }

    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<usize> {
        let from = usize::try_from(at).ok().and_then(|at| self.get(at..)).unwrap_or_default();
        let read = from.len().min(into.len());
        into[..read].copy_from_slice(&from[..read]);
        Ok(read)
    }
}

impl Source for File {
    fn octets(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<usize> {
        FileExt::read_at(self, into, at)
    }
}

/// A source from its beginning on.
pub(super) struct Sequential<'s> {
    source: &'s dyn Source,
    at: u64,
}

impl<'s> Sequential<'s> {
    pub(super) fn new(source: &'s dyn Source) -> Self {
        Self { source, at: 0 }
    }
}

impl Read for Sequential<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read_at(self.at, into)?;
        self.at += read as u64;
        Ok(read)
    }
}

/// So many octets at a place, or as many as there are.
pub(super) fn prefix(source: &dyn Source, at: u64, octets: usize) -> io::Result<Vec<u8>> {
    let mut prefix = Vec::new();
    Sequential { source, at }.take(octets as u64).read_to_end(&mut prefix)?;
    Ok(prefix)
}

/// How many octets are read at a time.
const READ: usize = 64 * 1024;

/// A window on a source, which goes from a place to the end.
pub(super) struct Window<'s> {
    source: &'s dyn Source,
    ends: u64,
    buffer: Vec<u8>,
    /// Of the buffer, what is behind us.
    used: usize,
    /// Where the buffer ends.
    read: u64,
}

impl<'s> Window<'s> {
    pub(super) fn new(source: &'s dyn Source, begins: u64) -> io::Result<Self> {
        Ok(Self { source, ends: source.octets()?, buffer: Vec::new(), used: 0, read: begins })
    }

    /// What is in the window: nothing before the first [`Window::widen`].
    pub(super) fn octets(&self) -> &[u8] {
        &self.buffer[self.used..]
    }

    /// Where the window begins.
    pub(super) fn position(&self) -> u64 {
        self.read - self.octets().len() as u64
    }

    /// Octets from the window's beginning to the end of the source.
    pub(super) fn left(&self) -> u64 {
        self.ends.saturating_sub(self.position())
    }

    /// Reads on; false at the end.
    pub(super) fn widen(&mut self) -> io::Result<bool> {
        self.buffer.drain(..self.used);
        self.used = 0;
        let before = self.buffer.len();
        if before == 0 {
            self.buffer.shrink_to(READ);
        }
        self.buffer.resize(before + READ, 0);
        let read = self.source.read_at(self.read, &mut self.buffer[before..]);
        self.buffer.truncate(before + *read.as_ref().unwrap_or(&0));
        self.read += (self.buffer.len() - before) as u64;
        read.map(|read| read > 0)
    }

    /// Goes on behind these octets of the window.
    pub(super) fn advance(&mut self, octets: usize) {
        self.used = self.buffer.len().min(self.used + octets);
    }

    pub(super) fn skip_to_end(&mut self) {
        (self.buffer, self.used, self.read) = (Vec::new(), 0, self.ends);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_as_wide_as_is_asked_for() {
        let octets: Vec<u8> = (0..3 * READ + 5).map(|at| (at % 251) as u8).collect();
        let source = &octets[..];
        let mut window = Window::new(&source, 2).unwrap();
        assert_eq!(
            (window.position(), window.left(), window.octets()),
            (2, octets.len() as u64 - 2, &[][..])
        );
        assert!(window.widen().unwrap() && window.widen().unwrap());
        assert_eq!(window.octets(), &octets[2..2 + 2 * READ]);
        window.advance(2 * READ - 1);
        assert_eq!((window.position(), window.octets()), (2 * READ as u64 + 1, &octets[2 * READ + 1..][..1]));
        while window.widen().unwrap() {}
        assert_eq!((window.left(), window.octets()), (READ as u64 + 4, &octets[2 * READ + 1..]));
        window.skip_to_end();
        assert_eq!((window.position(), window.left(), window.octets()), (octets.len() as u64, 0, &[][..]));
        assert!(!window.widen().unwrap());
    }
}
