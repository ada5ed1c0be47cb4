//! A configuration, and where each value of it comes from.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::error::{ConfigError, Place};
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
    /// What the file says of a key for which there is an option: where, and the value in TOML.
    pub(super) hidden: BTreeMap<&'static str, (Place, String)>,
}

/// Where a value comes from. An option comes before the file, the file before the default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// Nobody says anything.
    #[default]
    Default,
    /// The file.
    File(
        /// Where the value begins.
        Place,
    ),
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
    /// assert_eq!(error.to_string(), "2:1: error: unknown key `adresses` in [listen]; did you mean `addresses`?");
    /// # Ok::<(), broker::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Unknown keys (with their places and the nearest known key), values of the wrong type, addresses and routes that
    /// make no sense: all of them.
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
            ConfigError::at(before, vec![(before.len(), message.to_owned())])
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
    /// let Some(Origin::File(place)) = loaded.origin("relay_idle_seconds") else { panic!("it is in the file") };
    /// assert_eq!(place.to_string(), "2:22");
    /// assert_eq!(loaded.origin("[listen] addresses"), Some(Origin::Default));
    /// assert_eq!(loaded.origin("relay_idle"), None);
    /// # Ok::<(), broker::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Config::from_toml`].
    pub fn from_toml(text: &str) -> Result<Self, ConfigError> {
        let (config, places) = read(text)?;
        let origins = places.into_iter().map(|(option, place)| (option, Origin::File(place)));
        Ok(Self { config, origins: origins.collect(), ..Self::default() })
    }

    /// Sets what an option says, whatever the file does.
    ///
    /// # Errors
    /// What the value must be.
    pub(crate) fn set(&mut self, key: &Key, given: &[OsString]) -> Result<(), String> {
        let in_file = key.kind.shown(&self.config);
        key.kind.set_from_option(&mut self.config, given)?;
        if let (Some(Origin::File(place)), Some(value)) =
            (self.origins.insert(key.option, Origin::Option), in_file)
        {
            self.hidden.insert(key.option, (place, value));
        }
        Ok(())
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
