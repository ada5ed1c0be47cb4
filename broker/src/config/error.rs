//! Why a configuration is refused.

use std::fmt;
use std::path::{Path, PathBuf};

/// A place in a text: a line, and which character of it, both from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The character of it.
    pub column: usize,
}

impl Place {
    /// Where an octet of a text is; or of what begins with this text.
    pub(super) fn of(text: &str, offset: usize) -> Self {
        let before = text.get(..offset).unwrap_or_default();
        let line = before.rsplit('\n').next().unwrap_or_default();
        // What some editors put before a text is no character of it.
        let characters = line.chars().filter(|c| *c != '\u{feff}').count();
        Self { line: before.matches('\n').count() + 1, column: characters + 1 }
    }
}

/// As editors take it, behind the name of a file: `3:9`.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// Something that is wrong: the place, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mistake {
    /// `None` where a file cannot be read.
    pub place: Option<Place>,
    /// What is wrong, without the place.
    pub message: String,
}

/// Why a configuration is refused: which file, and everything that is wrong in it.
///
/// Shown, each mistake is a line: `FILE:LINE:COLUMN: error: MESSAGE`.
#[derive(Debug)]
pub struct ConfigError {
    file: Option<PathBuf>,
    /// At least one, as they stand there.
    mistakes: Vec<Mistake>,
}

impl ConfigError {
    pub(super) fn unreadable(file: &Path, error: &std::io::Error) -> Self {
        let mistake = Mistake { place: None, message: format!("cannot be read: {error}") };
        Self { file: Some(file.to_owned()), mistakes: vec![mistake] }
    }

    /// What is wrong at which octets of this text, or of what begins with it.
    pub(super) fn at(text: &str, mut wrong: Vec<(usize, String)>) -> Self {
        wrong.sort_by_key(|(at, _)| *at);
        let mistake = |(at, message)| Mistake { place: Some(Place::of(text, at)), message };
        Self { file: None, mistakes: wrong.into_iter().map(mistake).collect() }
    }

    pub(super) fn in_file(self, file: &Path) -> Self {
        Self { file: Some(file.to_owned()), ..self }
    }

    /// The file, where there is one.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// What is wrong: all that can be told without mending something of it first.
    #[must_use]
    pub fn mistakes(&self) -> &[Mistake] {
        &self.mistakes
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, Mistake { place, message }) in self.mistakes.iter().enumerate() {
            f.write_str(if at == 0 { "" } else { "\n" })?;
            match (&self.file, place) {
                (Some(file), Some(place)) => write!(f, "{}:{place}: error: {message}", file.display())?,
                (Some(file), None) => write!(f, "the configuration {} {message}", file.display())?,
                (None, Some(place)) => write!(f, "{place}: error: {message}")?,
                (None, None) => f.write_str(message)?,
            }
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}
