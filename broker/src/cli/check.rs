//! `broker check`: what a broker would make of its file and options, without starting one.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Args;

use super::on_this_machine::{Warning, warnings};
use super::options::Run;
use super::route::Configured;
use crate::config::keys::KEYS;
use crate::config::kind::in_quotes;
use crate::config::{ConfigError, Loaded, Origin};
use crate::relay::circle::first_circle;

#[derive(Debug, Args)]
#[command(
    after_help = "Prints the configuration that a broker would have, as TOML, with where each value comes from. What only this \
                  machine can tell, as it is now, are warnings on standard error.\n\n\
                  Example:\n  broker check --config /etc/broker.toml --listen 192.0.2.1\n\n\
                  Exit status: 0 if a broker would take the configuration, 1 if not (standard error says why, as \
                  FILE:LINE:COLUMN), 2 if the command line is wrong."
)]
pub(crate) struct CheckArguments {
    #[command(flatten)]
    run: Run,
}

/// The whole command.
pub(crate) fn run(arguments: &CheckArguments) -> ExitCode {
    let (shown, mut told, mut code) = match checked(arguments) {
        Ok((loaded, warnings)) => {
            let told = warnings.iter().map(|Warning { origin, option, message }| {
                format!("{}: warning: {message}\n", place(&loaded, *origin, option))
            });
            (effective(&loaded), told.collect::<String>(), ExitCode::SUCCESS)
        }
        Err(message) => (String::new(), format!("{message}\n"), ExitCode::FAILURE),
    };
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

/// What a broker takes; or why it takes nothing.
fn checked(arguments: &CheckArguments) -> Result<(Loaded, Vec<Warning>), String> {
    let loaded = arguments.run.load().map_err(|error| complaint(&error))?;
    let config = loaded.config();
    if let Some((route, message)) = first_circle(config, &Configured::new(config).table) {
        let place = place(&loaded, Origin::File { line: route.line }, "");
        return Err(format!("{place}: error: the route {}: {message}", route.prefix.address()));
    }
    let warnings = warnings(&loaded).map_err(|error| format!("broker check: {error}"))?;
    Ok((loaded, warnings))
}

fn complaint(error: &anyhow::Error) -> String {
    placed(error).unwrap_or_else(|| format!("broker check: {error:#}"))
}

/// What is wrong in a file, in the form that editors take for a place.
pub(super) fn placed(error: &anyhow::Error) -> Option<String> {
    let error = error.downcast_ref::<ConfigError>()?;
    let (line, column) = error.place()?;
    Some(format!("{}:{line}:{column}: error: {}", error.file()?.display(), error.message()))
}

fn place(loaded: &Loaded, origin: Origin, option: &str) -> String {
    match (origin, loaded.file()) {
        (Origin::Default, _) => "default".to_owned(),
        (Origin::File { line }, Some(file)) => format!("{}:{line}", file.display()),
        (Origin::File { line }, None) => format!("line {line}"),
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
                (origin, _) => place(loaded, origin, key.option),
            };
            lines.push((line, from));
        }
    }
    for route in &config.routes {
        let from = place(loaded, Origin::File { line: route.line }, "");
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
