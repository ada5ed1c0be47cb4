//! The options of `broker run` and `broker check`: one for each key of the configuration, as `config::keys` has it.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Result, anyhow};
use clap::builder::{OsStringValueParser, PossibleValuesParser, TypedValueParser, ValueParser};
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, ValueHint};
use tracing::level_filters::LevelFilter;

use super::words;
use crate::config::keys::{KEYS, Key};
use crate::config::kind::Kind;
use crate::config::{Config, Loaded};
use crate::log::service::LogFormat;

#[derive(Debug, Args)]
pub(crate) struct Run {
    /// Configuration in TOML; options of the command line come before it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    keys: Keys,
    /// What is logged on standard error
    #[arg(long, value_name = "LEVEL", default_value = "info", value_parser = words::level(), ignore_case = true)]
    pub(crate) log_level: LevelFilter,
    /// How lines on standard error are written [default: as text, or, where journald reads them, in its own protocol]
    #[arg(long, value_name = "FORMAT")]
    pub(crate) log_format: Option<LogFormat>,
}

impl Run {
    /// The options over the file over the defaults.
    pub(crate) fn load(&self) -> Result<Loaded> {
        let mut loaded = match &self.config {
            None => Loaded::default(),
            Some(file) => Loaded::from_file(file)?,
        };
        for (key, given) in KEYS.iter().zip(&self.keys.0) {
            if !given.is_empty() {
                loaded.set(key, given).map_err(|must| anyhow!("--{}: {must}", key.option))?;
            }
        }
        Ok(loaded)
    }
}

/// What was given for each of the keys, in their order.
#[derive(Clone, Debug)]
struct Keys(Vec<Vec<OsString>>);

impl Args for Keys {
    fn augment_args(command: Command) -> Command {
        command.args(KEYS.iter().map(option))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Keys {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = |key: &Key| matches.get_many(key.option).into_iter().flatten().cloned().collect();
        Ok(Self(KEYS.iter().map(given).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

fn option(key: &'static Key) -> Arg {
    let action = if key.kind.is_list() { ArgAction::Append } else { ArgAction::Set };
    let default = match key.default {
        "" => key.kind.shown(&Config::default()).unwrap_or_default().replace('"', ""),
        words => words.to_owned(),
    };
    let parser: ValueParser = match &key.kind {
        Kind::OneOf(_, names) => PossibleValuesParser::new(*names).map(OsString::from).into(),
        kind => {
            // Set for good only when the file is known; this is the moment at which the option can be named.
            let fits = |given: OsString| {
                kind.set_from_option(&mut Config::default(), std::slice::from_ref(&given)).map(|()| given)
            };
            OsStringValueParser::new().try_map(fits).into()
        }
    };
    Arg::new(key.option)
        .long(key.option)
        .value_name(key.placeholder)
        .help(format!("{} [default: {default}]", key.help))
        .value_parser(parser)
        .action(action)
        .value_hint(if key.placeholder == "PATH" { ValueHint::AnyPath } else { ValueHint::Unknown })
        // A negative number is told what it must be.
        .allow_negative_numbers(matches!(
            key.kind,
            Kind::Whole(..) | Kind::Seconds(..) | Kind::SecondsOrNoLimit(..)
        ))
}
