//! `broker log-level`: more or less is logged, from now on or for a time.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use handoff::administration::LogLevel;
use tracing::level_filters::LevelFilter;

use super::ask::{self, Which};
use super::words;

#[derive(Debug, Args)]
#[command(after_help = "\
The next command takes the place of this one. A level that was set for a time is followed by the one before it; the next start of \
the broker by --log-level.

Example:
  broker log-level debug --for 10m

Exit status: 0, or 2 if there is no answer, or the command line is wrong.")]
pub(crate) struct LogLevelArguments {
    #[command(flatten)]
    broker: Which,
    /// At debug there is a line for each connection
    #[arg(value_name = "LEVEL", value_parser = words::level(), ignore_case = true)]
    level: LevelFilter,
    /// For so long: 10s, 10m, 2h
    #[arg(long = "for", value_name = "TIME", value_parser = time)]
    time: Option<Duration>,
}

/// The whole command.
pub(crate) fn run(arguments: &LogLevelArguments) -> ExitCode {
    ask::change("log-level", || {
        let mut wanted = LogLevel::new(arguments.level.to_string());
        wanted.for_seconds = arguments.time.map(|time| time.as_secs());
        let set = arguments.broker.connect()?.log_level(&wanted)?;
        let LogLevel { level, was, for_seconds, .. } = set;
        let was = was.map(|was| format!(", was {was}")).unwrap_or_default();
        let time = for_seconds.map(|seconds| format!(" for {seconds} s")).unwrap_or_default();
        let mut output = io::stdout().lock();
        writeln!(output, "the log level is {level}{time}{was}")?;
        output.flush()?;
        Ok(ExitCode::SUCCESS)
    })
}

/// A time, as systemd writes one, in one unit.
fn time(text: &str) -> Result<Duration, String> {
    let units = [('s', 1), ('m', 60), ('h', 3600)];
    let parts = units.iter().find_map(|(unit, seconds)| Some((text.strip_suffix(*unit)?, seconds)));
    let time = parts.and_then(|(number, seconds)| number.parse::<u64>().ok()?.checked_mul(*seconds));
    let time = time.filter(|seconds| (1..=LogLevel::LONGEST).contains(seconds)).map(Duration::from_secs);
    time.ok_or_else(|| "write a number and s, m or h, such as 10m; at most 24 h".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_number_and_its_unit() {
        for (text, seconds) in [("10s", 10), ("10m", 600), ("2h", 7200), ("1s", 1), ("24h", 86_400)] {
            assert_eq!(time(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in [
            "",
            "10",
            "m",
            "0s",
            "-1s",
            "1.5h",
            "25h",
            "10 m",
            "10ms",
            "1d",
            "99999999999999999999h",
            "9999999999999999h",
        ] {
            assert!(time(text).is_err(), "{text}");
        }
    }
}
