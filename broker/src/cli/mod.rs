//! The command line: `broker run`.
//!
//! - [`signals`]: what signals mean
//! - [`exec`]: `broker exec`, an unmodified program under the preload library; [`program`]: which programs that cannot be
//! - [`options`]: one for each key of the configuration; [`check`]: `broker check`, what they and the file come to;
//!   [`on_this_machine`]: what of that is not here; [`words`]: arguments that are one of a few
//! - [`list`], [`connections`], [`watch`], [`drain`], [`reload`], [`upgrade`], [`log_level`]: what an administrator asks a running broker;
//!   [`ask`], [`table`]: what these share
//! - [`probe`]: `broker probe`, what a client of an address is told
//! - [`import`]: `broker import`, our configuration from the original's
//! - [`generate`]: manual pages and completions of all of them
//! - [`service_manager`]: what systemd is told
//! - [`route`]: `broker route`, which registration a Via belongs to, and why
//!
//! What this folder may use: `control` (what `broker route` answers, and what keeps a broker from starting), `routes`, `config`, `log`,
//! for `check` `listening`, `start`, and `store`.

mod ask;
mod check;
mod connections;
mod drain;
mod exec;
mod generate;
mod import;
mod list;
mod log_level;
mod on_this_machine;
mod options;
mod probe;
mod program;
mod reload;
mod route;
mod service_manager;
mod signals;
mod table;
mod upgrade;
mod watch;
mod words;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use clap::{CommandFactory, Parser, Subcommand};

use self::check::complaint;
use self::exec::Exec;
use self::on_this_machine::{each_unresolved, names};
use self::options::Run;
use self::signals::{Asked, Signals};
use crate::config::{About, Loaded, Said};
use crate::control::obstacles::{Obstacles, obstacles};
use crate::log::service::Log;
use crate::start::Broker;
use crate::start::before::Before;
use crate::store::found::Found;
use crate::upgrade::predecessor::{Passed, Predecessor, failed};

/// The Net.TCP port sharing service for Linux: many processes behind one net.tcp port.
#[derive(Debug, Parser)]
#[command(name = "broker", version, args_conflicts_with_subcommands = true, after_help = RUN_HELP)]
struct Cli {
    #[command(flatten)]
    run: Run,
    #[command(subcommand)]
    command: Option<Command>,
}

const RUN_HELP: &str = "\
Nothing needs to be configured: workers register addresses on the control socket, and the broker opens their ports. SIGTERM and \
SIGINT end it.

Examples:
  broker run --control-group net-tcp
  broker run --config /etc/broker.toml --log-level debug

Exit status: 0 if a signal has ended it; 1 if it cannot start or go on, standard error says why; 2 if the command line \
or the configuration is wrong.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the service (what happens without a command, too).
    #[command(after_help = RUN_HELP)]
    Run(Run),
    /// Say what the broker would make of a configuration and options, and where each value comes from.
    Check(check::CheckArguments),
    /// Write the configuration that means what SMSvcHost.exe.config means on Windows.
    Import(import::ImportArguments),
    /// Run a program that knows nothing of port sharing: its listener becomes a registration.
    Exec(Exec),
    /// Say which registration a Via belongs to, and why.
    Route(route::RouteArguments),
    /// Say whether somebody at an address takes sessions, as a client would find it: a health check.
    Probe(probe::ProbeArguments),
    /// List who has which address, and how that goes.
    Ls(list::ListArguments),
    /// List the connections that the broker still has.
    Connections(connections::ConnectionsArguments),
    /// Show how a running broker does, drawn again each second.
    Watch(watch::WatchArguments),
    /// Give whoever has an address no new connections.
    Drain(drain::DrainArguments),
    /// Give it new connections again.
    Undrain(drain::UndrainArguments),
    /// Log more, or less, from now on or for a time.
    LogLevel(log_level::LogLevelArguments),
    /// Have the broker read its configuration again, and do what it says now.
    Reload(reload::ReloadArguments),
    /// Have the next broker take over, with everything that the running one has.
    Upgrade(upgrade::UpgradeArguments),
    /// Write manual pages, or completions for shells.
    #[command(hide = true)]
    Generate(generate::GenerateArguments),
}

/// The whole command line, the name of the program first; returns what the process shall exit with.
pub fn main_from(arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Help goes to standard output, with success; errors to standard error.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let result = match cli.command {
        None => return run(cli.run),
        Some(Command::Run(arguments)) => return run(arguments),
        Some(Command::Check(arguments)) => return check::run(&arguments),
        Some(Command::Import(arguments)) => return import::run(&arguments),
        Some(Command::Exec(arguments)) => arguments.run(),
        Some(Command::Route(arguments)) => return route::run(arguments),
        Some(Command::Probe(arguments)) => return probe::run(&arguments),
        Some(Command::Ls(arguments)) => return list::run(&arguments),
        Some(Command::Connections(arguments)) => return connections::run(&arguments),
        Some(Command::Watch(arguments)) => return watch::run(&arguments),
        Some(Command::Drain(arguments)) => return drain::drain(&arguments),
        Some(Command::Undrain(arguments)) => return drain::undrain(&arguments),
        Some(Command::LogLevel(arguments)) => return log_level::run(&arguments),
        Some(Command::Reload(arguments)) => return reload::run(&arguments),
        Some(Command::Upgrade(arguments)) => return upgrade::run(&arguments),
        Some(Command::Generate(arguments)) => return generate::run(&arguments, &Cli::command()),
    };
    result.unwrap_or_else(|error| complain(&error))
}

fn complain(error: &anyhow::Error) -> ExitCode {
    let _ = writeln!(std::io::stderr().lock(), "{}", complaint("broker", error));
    ExitCode::FAILURE
}

/// Why a broker does not start: a line for each reason, which says itself whose it is.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct NotStarted(String);

/// The service until a signal ends it. Nothing waits for standard error here, not even what is said last.
fn run(arguments: Run) -> ExitCode {
    let log = match Log::start(arguments.log_level, arguments.log_format) {
        Ok(log) => log,
        Err(error) => return complain(&error.into()),
    };
    let predecessor = match Predecessor::found() {
        Ok(predecessor) => predecessor,
        Err(error) => return complain(&error.into()),
    };
    let found = Found::take();
    let arguments = Arc::new(arguments);
    let ended = match arguments.load() {
        // A service manager need not try that again.
        Err(error) => {
            predecessor.iter().for_each(|other| other.failed(&complaint("broker", &error)));
            Err((error, ExitCode::from(2)))
        }
        Ok(loaded) => {
            serve(&arguments, loaded, predecessor, found).map_err(|error| (error, ExitCode::FAILURE))
        }
    };
    let code = match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err((error, status)) => {
            let why = match error.downcast_ref::<NotStarted>() {
                Some(NotStarted(lines)) => lines.clone(),
                None => complaint("broker", &error),
            };
            why.lines().for_each(|line| log.last_words(line));
            status
        }
    };
    log.finish();
    code
}

fn serve(
    arguments: &Arc<Run>,
    loaded: Loaded,
    predecessor: Option<Predecessor>,
    found: Option<Found>,
) -> Result<()> {
    let not_started = |said: &[Said]| {
        let lines: Vec<_> = said.iter().map(|error| loaded.error(error)).collect();
        NotStarted(lines.join("\n"))
    };
    // What the broker before this one has is not in the way.
    if predecessor.is_none() && found.is_none() {
        let Obstacles { mut found, of_another_broker, running } = obstacles(loaded.config(), false);
        found.extend(of_another_broker);
        // What else is in the way may be so because of it.
        match running {
            Some(running) => return Err(not_started(&[running]).into()),
            None if !found.is_empty() => return Err(not_started(&found).into()),
            None => {}
        }
    }
    for warning in loaded.idle() {
        tracing::warn!("{}", loaded.placed(&warning));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(async {
        // Before the socket appears, so that whoever sees it may end us.
        let mut signals = Signals::new()?;
        let names = names(loaded.config());
        let again = Arc::clone(arguments);
        let read = move || again.load().map_err(|error| complaint("broker", &error));
        let passed = predecessor.map(Predecessor::take).transpose();
        let passed = passed.map_err(|error| not_started(&[error.said()]))?;
        let (pair, is_new) = (passed.as_ref().map(Passed::pair), passed.is_none());
        let before = match (passed, found) {
            (Some(passed), _) => Before::Passed(Box::new(passed)),
            (None, Some(found)) => Before::Found(found),
            (None, None) => Before::Nothing,
        };
        let broker = Broker::start_with(loaded.clone(), Arc::new(read), before).await;
        let broker = broker.map_err(|error| {
            let error = not_started(&[error.said()]);
            if let Some(pair) = pair {
                failed(&pair, &error.to_string());
            }
            error
        })?;
        let told = loaded.clone();
        tokio::spawn(each_unresolved(names, move |place, message| {
            tracing::warn!("{}", told.placed(&Said { about: About::At(place), message }));
        }));
        // The service is ready already, and who has taken it over is told by the broker before.
        if is_new {
            service_manager::ready(&broker).await;
        }
        let asked = async {
            loop {
                match signals.next().await {
                    Asked::End(signal) => return tracing::info!("ending: {signal}"),
                    Asked::Upgrade => broker.upgrade(),
                    Asked::Reload => {
                        broker.reload().await;
                    }
                }
            }
        };
        let failed = tokio::select! {
            () = asked => Ok(()),
            failed = broker.failed() => Err(failed.into()),
            never = service_manager::watch(&broker) => match never {},
            done = broker.passed_on() => {
                broker.linger(done, async { while !matches!(signals.next().await, Asked::End(_)) {} }).await;
                return Ok(());
            }
        };
        service_manager::stopping().await;
        broker.stop().await;
        failed
    });
    // A name that is being resolved would hold up the end.
    runtime.shutdown_background();
    result
}

#[cfg(test)]
mod tests;
