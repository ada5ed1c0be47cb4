//! The command line: `broker run`.
//!
//! - [`log`]: standard error, written by a thread of its own that nobody waits for; [`signals`]: what signals mean
//! - [`exec`]: `broker exec`, an unmodified program under the preload library; [`program`]: which programs that cannot be
//! - [`route`]: `broker route`, which registration a Via belongs to, and why
//!
//! What this folder may use: `control` (what `broker route` answers), `routes`, `config`, and `start`.

mod exec;
mod log;
mod program;
mod route;
mod signals;

use std::ffi::OsString;
use std::io::Write;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Parser, Subcommand, ValueEnum};
use tracing::level_filters::LevelFilter;

use self::exec::Exec;
use self::log::Log;
use self::signals::Signals;
use crate::config::keys::{self, listen_address};
use crate::config::{self, Compatibility, Config, RelayTo};
use crate::error::StartError;
use crate::start::Broker;

/// The Net.TCP port sharing service for Linux: many processes behind one net.tcp port.
#[derive(Debug, Parser)]
#[command(name = "broker", version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(flatten)]
    run: Run,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the service (what happens without a command, too).
    Run(Run),
    /// Run a program that knows nothing of port sharing: its listener becomes a registration.
    Exec(Exec),
    /// Say which registration a Via belongs to, and why.
    Route(route::RouteArguments),
}

#[derive(Debug, Args)]
struct Run {
    /// Configuration in TOML; options of the command line come before it.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where workers register [default: $NET_TCP_PORT_SHARING_CONTROL, else /run/net-tcp-port-sharing/control for root
    /// and $XDG_RUNTIME_DIR/net-tcp-port-sharing/control for others].
    #[arg(long, value_name = "PATH")]
    control: Option<PathBuf>,
    /// A group whose members may register, besides this user and root; the control socket gets mode 0660.
    #[arg(long, value_name = "NAME")]
    control_group: Option<String>,
    /// What "all addresses" means; may be given several times [default: all]. A worker that binds one address itself gets that one.
    #[arg(long, value_name = "IP", value_parser = listen_address)]
    listen: Vec<IpAddr>,
    /// How long a preamble may take [default: 30].
    #[arg(long, value_name = "SECONDS", value_parser = receive_timeout, allow_negative_numbers = true)]
    receive_timeout_seconds: Option<std::time::Duration>,
    /// How long nothing may move in a relayed connection; 0: for ever [default: 3600].
    #[arg(long, value_name = "SECONDS", value_parser = relay_idle, allow_negative_numbers = true)]
    relay_idle_seconds: Option<std::time::Duration>,
    /// How many connections may wait in the queue of a registration [default: 100].
    #[arg(long, value_name = "CONNECTIONS", value_parser = max_pending_connections, allow_negative_numbers = true)]
    max_pending_connections: Option<usize>,
    /// How many addresses one registration may have [default: 1024].
    #[arg(long, value_name = "ADDRESSES", value_parser = quota, allow_negative_numbers = true)]
    max_addresses_per_registration: Option<usize>,
    /// How many registrations the workers of one user may have [default: an eighth of the limit of open files].
    #[arg(long, value_name = "REGISTRATIONS", value_parser = quota, allow_negative_numbers = true)]
    max_registrations_per_user: Option<usize>,
    /// How many local addresses, with their ports, the workers of one user may listen on [default: a sixteenth of the limit of
    /// open files, at most 1024].
    #[arg(long, value_name = "LISTENERS", value_parser = quota, allow_negative_numbers = true)]
    max_listeners_per_user: Option<usize>,
    /// How many control connections the workers of one user may have [default: an eighth of the limit of open files].
    #[arg(long, value_name = "CONNECTIONS", value_parser = quota, allow_negative_numbers = true)]
    max_control_connections_per_user: Option<usize>,
    /// `smsvchost`: reset connections wherever the original does.
    #[arg(long, value_name = "MODE")]
    compatibility: Option<CompatibilityArgument>,
    /// What is logged on standard error: off, error, warn, info, debug or trace.
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    log_level: LevelFilter,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum CompatibilityArgument {
    Default,
    Smsvchost,
}

fn receive_timeout(text: &str) -> Result<std::time::Duration, String> {
    config::receive_timeout(seconds(text)?)
}

fn relay_idle(text: &str) -> Result<std::time::Duration, String> {
    config::relay_idle(seconds(text)?)
}

fn seconds(text: &str) -> Result<f64, String> {
    text.parse().map_err(|_| "it is no number of seconds; write, for instance, 30".to_owned())
}

fn max_pending_connections(text: &str) -> Result<usize, String> {
    keys::whole(text, &keys::PENDING)
}

fn quota(text: &str) -> Result<usize, String> {
    keys::whole(text, &keys::QUOTA)
}

impl Run {
    fn into_config(self) -> Result<Config> {
        let mut config = match &self.config {
            None => Config::default(),
            Some(file) => Config::from_file(file)?,
        };
        config.control = self.control.or(config.control);
        config.control_group = self.control_group.or(config.control_group);
        if !self.listen.is_empty() {
            config.listen = self.listen;
        }
        config.receive_timeout = self.receive_timeout_seconds.unwrap_or(config.receive_timeout);
        config.relay_idle = self.relay_idle_seconds.unwrap_or(config.relay_idle);
        config.max_pending_connections =
            self.max_pending_connections.unwrap_or(config.max_pending_connections);
        let quota = &mut config.quota;
        for (bound, option) in [
            (&mut quota.addresses_per_registration, self.max_addresses_per_registration),
            (&mut quota.registrations_per_user, self.max_registrations_per_user),
            (&mut quota.listeners_per_user, self.max_listeners_per_user),
            (&mut quota.control_connections_per_user, self.max_control_connections_per_user),
        ] {
            *bound = option.or(*bound);
        }
        match self.compatibility {
            None => {}
            Some(CompatibilityArgument::Default) => config.compatibility = Compatibility::Default,
            Some(CompatibilityArgument::Smsvchost) => config.compatibility = Compatibility::Smsvchost,
        }
        Ok(config)
    }
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
        Some(Command::Exec(arguments)) => arguments.run(),
        Some(Command::Route(arguments)) => return route::run(arguments),
    };
    result.unwrap_or_else(|error| complain(&error))
}

fn complain(error: &anyhow::Error) -> ExitCode {
    let _ = std::io::stderr().lock().write_all(complaint(error).as_bytes());
    ExitCode::FAILURE
}

fn complaint(error: &anyhow::Error) -> String {
    format!("broker: {error:#}\n")
}

/// The service until a signal ends it. Nothing waits for standard error here, not even what is said last.
fn run(arguments: Run) -> ExitCode {
    let log = match Log::start(arguments.log_level) {
        Ok(log) => log,
        Err(error) => return complain(&error.into()),
    };
    let code = serve(arguments).map_or_else(
        |error| {
            log.line(complaint(&error).as_bytes());
            ExitCode::FAILURE
        },
        |()| ExitCode::SUCCESS,
    );
    log.finish();
    code
}

fn serve(arguments: Run) -> Result<()> {
    let file = arguments.config.clone();
    let config = arguments.into_config()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(async {
        // Before the socket appears, so that whoever sees it may end us.
        let mut signals = Signals::new()?;
        let names = names(&config);
        let broker = Broker::start(config).await.map_err(|error| match (&error, &file) {
            (StartError::Route { .. }, Some(file)) => {
                anyhow::Error::from(error).context(format!("the configuration {}", file.display()))
            }
            _ => error.into(),
        })?;
        tokio::spawn(tell_unresolved(names));
        let failed = tokio::select! {
            signal = signals.end() => {
                tracing::info!("ending: {signal}");
                Ok(())
            }
            failed = broker.failed() => Err(failed.into()),
        };
        broker.stop().await;
        failed
    });
    // A name that is being resolved would hold up the end.
    runtime.shutdown_background();
    result
}

/// The back-ends that have to be resolved, and at which line.
fn names(config: &Config) -> Vec<(usize, String)> {
    let name = |route: &config::Route| match &route.relay {
        RelayTo::Name(name) => Some((route.line, name.clone())),
        _ => None,
    };
    config.routes.iter().filter_map(name).collect()
}

/// A name is resolved at each connection. One that cannot be now may be a mistake.
async fn tell_unresolved(names: Vec<(usize, String)>) {
    for (line, name) in names {
        if let Err(error) = tokio::net::lookup_host(&name).await {
            tracing::warn!(
                "the configuration's line {line}: the relay {name:?} cannot be resolved: {error}; until it can be, its \
                 connections are refused"
            );
        }
    }
}
