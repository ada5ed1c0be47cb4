//! `broker check`: what a broker would make of its file and options, without starting one.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Args;

use super::on_this_machine::warnings;
use super::options::Run;
use crate::config::keys::KEYS;
use crate::config::kind::in_quotes;
use crate::config::{ConfigError, Loaded, Origin};
use crate::control::obstacles::{Obstacles, obstacles};

#[derive(Debug, Args)]
#[command(
    after_help = "Prints the configuration that a broker would have, as TOML, with where each value comes from. Whatever keeps a \
                  broker from starting with it, as this user, on this machine, as it is now, is an error; what may be meant is a \
                  warning on standard error. A broker that runs with the same control socket is in nobody's way.\n\n\
                  Example:\n  broker check --config /etc/broker.toml --listen 192.0.2.1\n\n\
                  Exit status: 0 if a broker would start with the configuration, 1 if not (standard error says all of why, as \
                  FILE:LINE:COLUMN), 2 if the command line is wrong."
)]
pub(crate) struct CheckArguments {
    #[command(flatten)]
    run: Run,
}

/// The whole command.
pub(crate) fn run(arguments: &CheckArguments) -> ExitCode {
    let Checked { shown, mut told, mut code } = checked(arguments).unwrap_or_else(|error| Checked {
        shown: String::new(),
        told: complaint("broker check", &error) + "\n",
        code: ExitCode::FAILURE,
    });
    match io::stdout().lock().write_all(shown.as_bytes()) {
        // Whoever reads it may have seen enough.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            told += &format!("broker check: standard output cannot be written: {error}\n");
            code = ExitCode::FAILURE;
        }
        _ => {}
    }
    let _ = io::stderr().lock().write_all(told.as_bytes());
    code
}

struct Checked {
    shown: String,
    told: String,
    code: ExitCode,
}

/// What a broker would take and what is in its way, unless it takes nothing.
fn checked(arguments: &CheckArguments) -> anyhow::Result<Checked> {
    let loaded = arguments.run.load()?;
    let Obstacles { found, of_another_broker, .. } = obstacles(loaded.config(), false);
    let warnings = of_another_broker.into_iter().chain(loaded.idle()).chain(warnings(&loaded)?);
    let told = found.iter().map(|error| loaded.error(error));
    let told = told.chain(warnings.map(|warning| loaded.warning(&warning)));
    let told = told.map(|line| line + "\n").collect();
    let (shown, code) = match found.is_empty() {
        true => (effective(&loaded), ExitCode::SUCCESS),
        false => (String::new(), ExitCode::FAILURE),
    };
    Ok(Checked { shown, told, code })
}

/// Why a command does nothing: mistakes in the file have lines that begin with their places.
pub(super) fn complaint(command: &str, error: &anyhow::Error) -> String {
    match error.downcast_ref::<ConfigError>() {
        Some(error) if error.mistakes().iter().all(|mistake| mistake.place.is_some()) => error.to_string(),
        _ => format!("{command}: {error:#}"),
    }
}

/// Where a value comes from, for people.
fn origin(loaded: &Loaded, origin: Origin, option: &str) -> String {
    match (origin, loaded.file()) {
        (Origin::Default, _) => "default".to_owned(),
        (Origin::File(place), Some(file)) => format!("{}:{}", file.display(), place.line),
        (Origin::File(place), None) => format!("line {}", place.line),
        (Origin::Option, _) => format!("--{option}"),
    }
}

/// Comments stand below each other, as far as lines are no longer than this.
const WIDEST: usize = 60;

/// The configuration as TOML, with where each value comes from.
pub(crate) fn effective(loaded: &Loaded) -> String {
    let config = loaded.config();
    let mut lines: Vec<(String, String)> = Vec::new();
    for keys in KEYS.chunk_by(|key, next| key.table == next.table) {
        let values: Vec<_> = keys.iter().map(|key| key.kind.shown(config)).collect();
        if let Some(table) = keys.first().map(|key| key.table).filter(|table| !table.is_empty()) {
            // A table without a value may lack one that it must have.
            let sign = if values.iter().all(Option::is_none) { "# " } else { "" };
            lines.push((String::new(), String::new()));
            lines.push((format!("{sign}[{table}]"), String::new()));
        }
        for (key, value) in keys.iter().zip(values) {
            let line = match value {
                Some(value) => format!("{} = {value}", key.name),
                None => format!("# {}", key.name),
            };
            let from = match (loaded.origin_of(key), key.default) {
                (Origin::Default, words) if !words.is_empty() => format!("default: {words}"),
                (from, _) => origin(loaded, from, key.option),
            };
            lines.push((line, from));
        }
    }
    for route in &config.routes {
        let from = origin(loaded, Origin::File(route.place), "");
        lines.push((String::new(), String::new()));
        lines.push(("[[route]]".to_owned(), String::new()));
        lines.push((format!("address = {}", in_quotes(route.prefix.address())), from));
        lines.push((
            format!("host_name_comparison = {}", in_quotes(&route.prefix.mode().to_string())),
            String::new(),
        ));
        lines.push((format!("relay = {}", in_quotes(&route.relay.to_string())), String::new()));
    }
    let widths = lines.iter().filter(|(_, from)| !from.is_empty()).map(|(line, _)| line.chars().count());
    let width = widths.filter(|width| *width <= WIDEST).max().unwrap_or_default();
    lines.iter().fold(String::new(), |text, (line, from)| match from.is_empty() {
        true => format!("{text}{line}\n"),
        false => format!("{text}{line:width$}  # {}\n", from.replace(char::is_control, "?")),
    })
}
