//! Where the text goes.

use std::fmt::{self, Write};
use std::io;

/// Where the text goes, and how that went. Nothing more is written after an error.
pub(super) struct Out<W> {
    to: W,
    written: io::Result<()>,
}

impl<W: io::Write> Out<W> {
    pub(super) fn new(to: W) -> Self {
        Self { to, written: Ok(()) }
    }

    /// Whether nobody wants more.
    pub(super) fn is_broken(&self) -> bool {
        self.written.is_err()
    }

    pub(super) fn finish(self) -> io::Result<()> {
        self.written
    }

    /// An element of one line.
    pub(super) fn line(&mut self, name: &str, at: u64, text: &str) {
        let _ = match text {
            "" => writeln!(self, "  <{name} offset=\"{at}\"/>"),
            text => writeln!(self, "  <{name} offset=\"{at}\">{}</{name}>", escaped(text)),
        };
    }
}

impl<W: io::Write> Write for Out<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.written.is_ok() {
            self.written = self.to.write_all(text.as_bytes());
        }
        self.written.as_ref().map_err(|_| fmt::Error).copied()
    }
}

/// The lines of an envelope, further in.
pub(super) struct Indented<'o, W> {
    pub(super) out: &'o mut Out<W>,
    pub(super) in_line: bool,
}

impl<W: io::Write> Write for Indented<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for part in text.split_inclusive('\n') {
            if !self.in_line {
                self.out.write_str("    ")?;
            }
            self.out.write_str(part)?;
            self.in_line = !part.ends_with('\n');
        }
        Ok(())
    }
}

/// Text for people and for XML: markup and what a terminal obeys as character references.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for unit in text.chars() {
        match unit {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            unit if unit.is_control() => {
                let _ = write!(out, "&#x{:X};", u32::from(unit));
            }
            unit => out.push(unit),
        }
    }
    out
}
