//! Arguments that are one of a few words: help, completions and complaints name them.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use router::HostNameComparison;
use tracing::level_filters::LevelFilter;

/// How much is logged.
pub(super) fn level() -> impl TypedValueParser<Value = LevelFilter> {
    let words = PossibleValuesParser::new(["off", "error", "warn", "info", "debug", "trace"]);
    words.try_map(|word| word.parse::<LevelFilter>())
}

/// How host names are compared.
pub(super) fn mode() -> impl TypedValueParser<Value = HostNameComparison> {
    let words = PossibleValuesParser::new(HostNameComparison::ALL.map(|mode| mode.as_str()));
    words.try_map(|word| word.parse::<HostNameComparison>())
}
