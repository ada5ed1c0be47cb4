//! A configuration, and where each value of it comes from.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::error::ConfigError;
use super::file::read;
use super::keys::{KEYS, Key};
use super::settings::Config;

/// A configuration, and where each value of it comes from. Without a file everything is the default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    pub(super) config: Config,
    file: Option<PathBuf>,
    /// By the key's option; what is not here is the default.
    origins: BTreeMap<&'static str, Origin>,
}

/// Where a value comes from. An option comes before the file, the file before the default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// Nobody says anything.
    #[default]
    Default,
    /// The file.
    File {
        /// The line of the value, from 1.
        line: usize,
    },
    /// The command line.
    Option,
}

impl Config {
    /// Reads a configuration in TOML.
    ///
    /// ```
    /// let config = broker::Config::from_toml(
    ///     "receive_timeout_seconds = 10\n\
    ///      [[route]]\n\
    ///      address = 'net.tcp://localhost:9000/legacy'\n\
    ///      relay = '127.0.0.1:9101'\n",
    /// )?;
    /// assert_eq!(config.routes.len(), 1);
    ///
    /// let error = broker::Config::from_toml("[listen]\nadresses = ['127.0.0.1']\n").unwrap_err();
    /// assert_eq!(error.to_string(), "line 2: unknown key `adresses` in [listen]; did you mean `addresses`?");
    /// # Ok::<(), broker::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// An unknown key (with its line and the nearest known key), a value of the wrong type, an address or route that
    /// makes no sense.
    pub fn from_toml(text: &str) -> Result<Self, ConfigError> {
        Ok(read(text)?.0)
    }
}

impl Loaded {
    /// Reads the configuration in a file.
    ///
    /// # Errors
    ///
    /// As [`Config::from_toml`], with the file's name; or it cannot be read.
    pub fn from_file(file: &Path) -> Result<Self, ConfigError> {
        let octets = read_octets(file).map_err(|error| ConfigError::unreadable(file, &error))?;
        let read = String::from_utf8(octets).map_err(|error| {
            let valid = error.utf8_error().valid_up_to();
            let before = str::from_utf8(&error.as_bytes()[..valid]).unwrap_or_default();
            let message = "what is there is no UTF-8; save the file as UTF-8";
            ConfigError::at(before, before.len(), message.to_owned())
        });
        let loaded = read.and_then(|text| Self::from_toml(&text)).map_err(|error| error.in_file(file))?;
        Ok(Self { file: Some(file.to_owned()), ..loaded })
    }

    /// Reads a configuration in TOML.
    ///
    /// ```
    /// use broker::{Loaded, Origin};
    ///
    /// let loaded = Loaded::from_toml("\nrelay_idle_seconds = 0\n")?;
    /// assert_eq!(loaded.origin("relay_idle_seconds"), Some(Origin::File { line: 2 }));
    /// assert_eq!(loaded.origin("[listen] addresses"), Some(Origin::Default));
    /// assert_eq!(loaded.origin("relay_idle"), None);
    /// # Ok::<(), broker::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Config::from_toml`].
    pub fn from_toml(text: &str) -> Result<Self, ConfigError> {
        let (config, lines) = read(text)?;
        let origins = lines.into_iter().map(|(option, line)| (option, Origin::File { line }));
        Ok(Self { config, file: None, origins: origins.collect() })
    }

    /// Sets what an option says, whatever the file does.
    ///
    /// # Errors
    /// What the value must be.
    pub(crate) fn set(&mut self, key: &Key, given: &[OsString]) -> Result<(), String> {
        key.kind.set_from_option(&mut self.config, given)?;
        self.origins.insert(key.option, Origin::Option);
        Ok(())
    }

    /// Whether the values, each of which makes sense, make sense together.
    ///
    /// # Errors
    /// The place of one of them, and what to write.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let Err(message) = self.config.http.check() else { return Ok(()) };
        Err(match (self.origins.get("http-listen"), &self.file) {
            (Some(Origin::File { line }), Some(file)) => ConfigError::on_line(*line, message).in_file(file),
            (Some(Origin::File { line }), None) => ConfigError::on_line(*line, message),
            _ => ConfigError::nowhere(message),
        })
    }

    /// The values, for a broker.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The file it was read from.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Where the value of a key comes from, by the name it has in messages: `control`, `[listen] addresses`. `None`: there is no
    /// such key.
    #[must_use]
    pub fn origin(&self, key: &str) -> Option<Origin> {
        let known = KEYS.iter().find(|known| known.to_string() == key)?;
        Some(self.origin_of(known))
    }

    pub(crate) fn origin_of(&self, key: &Key) -> Origin {
        self.origins.get(key.option).copied().unwrap_or_default()
    }
}

/// More is no configuration: a device, or a log.
const MOST_OCTETS: u64 = 1 << 26;

fn read_octets(file: &Path) -> io::Result<Vec<u8>> {
    let mut octets = Vec::new();
    File::open(file)?.take(MOST_OCTETS + 1).read_to_end(&mut octets)?;
    match octets.len() as u64 > MOST_OCTETS {
        true => Err(io::Error::other(format!("it has more than {} MiB", MOST_OCTETS >> 20))),
        false => Ok(octets),
    }
}
