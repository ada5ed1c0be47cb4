//! What the broker is told: the TOML file, and what the command line adds to it.
//!
//! - [`settings`]: the values, with their types; [`route`]: a static route
//! - [`keys`]: each key once, with all that is said of it; [`kind`]: what values may be, and how they are written
//! - [`file`](mod@file): reads the TOML; [`loaded`]: the values with where each comes from; [`error`]: why none are read; [`said`]: an obstacle
//!   or a warning, and what it is about
//! - [`difference`]: between two configurations
//!
//! This folder uses no other.

mod difference;
mod error;
mod file;
pub(crate) mod keys;
pub(crate) mod kind;
mod loaded;
mod route;
mod said;
pub(crate) mod settings;

pub use self::difference::Change;
pub use self::error::{ConfigError, Mistake, Place};
pub use self::keys::OnReload;
pub use self::loaded::{Loaded, Origin};
pub(crate) use self::route::NO_PORT;
pub use self::route::{RelayTo, Route};
pub(crate) use self::said::{About, Said};
pub use self::settings::{AccessLog, AccessLogFormat, AccessLogTo, Compatibility, Config, Http, Quota};

#[cfg(test)]
mod tests;
