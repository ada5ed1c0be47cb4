//! Why a configuration is refused.

use std::fmt;
use std::path::{Path, PathBuf};

/// Why a configuration is refused: which file, the place in it, what is wrong, and what to write instead.
#[derive(Debug)]
pub struct ConfigError {
    file: Option<PathBuf>,
    place: Option<(usize, usize)>,
    message: String,
}

impl ConfigError {
    pub(super) fn unreadable(file: &Path, error: &std::io::Error) -> Self {
        Self { file: Some(file.to_owned()), place: None, message: format!("cannot be read: {error}") }
    }

    /// The place is an octet of this text, or of what begins with it.
    pub(super) fn at(text: &str, offset: usize, message: String) -> Self {
        Self { file: None, place: Some(place(text, offset)), message }
    }

    /// Something about a key that stands on this line.
    pub(super) fn on_line(line: usize, message: String) -> Self {
        Self { file: None, place: Some((line, 1)), message }
    }

    /// Something about an option, or about no key.
    pub(super) fn nowhere(message: String) -> Self {
        Self { file: None, place: None, message }
    }

    pub(super) fn in_file(self, file: &Path) -> Self {
        Self { file: Some(file.to_owned()), ..self }
    }

    /// The file, where there is one.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// The line, from 1, and which character of it, from 1. `None` where a file cannot be read.
    #[must_use]
    pub fn place(&self) -> Option<(usize, usize)> {
        self.place
    }

    /// What is wrong, without the place.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, place, message } = self;
        if let Some(file) = file {
            let then = if place.is_some() { ":" } else { "" };
            write!(f, "the configuration {}{then} ", file.display())?;
        }
        if let Some((line, _)) = place {
            write!(f, "line {line}: ")?;
        }
        f.write_str(message)
    }
}

impl std::error::Error for ConfigError {}

/// A line of a text, and which character of it, both from 1.
pub(super) fn place(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or_default();
    let line = before.rsplit('\n').next().unwrap_or_default();
    // What some editors put before a text is no character of it.
    let characters = line.chars().filter(|c| *c != '\u{feff}').count();
    (before.matches('\n').count() + 1, characters + 1)
}
