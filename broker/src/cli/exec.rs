//! `broker exec`: runs an unmodified program whose listeners on the addresses' ports become registrations.
//!
//! The work is done by a library that the dynamic linker loads into the program (`LD_PRELOAD`; the room `preload`). Here the
//! environment is made, what cannot work is refused with the reason, and this process becomes the program.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow, bail};
use clap::{Args, ValueHint};
use handoff::environment::{
    ADDRESSES_VARIABLE, GRACE_VARIABLE, HOST_NAME_COMPARISON_VARIABLE, INHERITED_SAID_VARIABLE, LIBRARY,
    QUIET_VARIABLE, SHARE_VARIABLE, WAIT_VARIABLE,
};
use handoff::{CONTROL_VARIABLE, Register};
use router::{HostNameComparison, Prefix};

use super::{program, words};

/// As `env` and shells have it.
const CANNOT_RUN: u8 = 126;
const NOT_FOUND: u8 = 127;

/// As the broker has it.
const LONGEST_GRACE: i64 = Register::LONGEST_GRACE.as_secs().cast_signed();

#[derive(Debug, Args)]
#[command(after_help = "\
The port of an address is the one that the program listens on; its other listeners stay as they are. Signals reach the program \
itself, for this process becomes it.

Examples:
  broker exec --address net.tcp://localhost:808/orders -- dotnet Orders.dll
  broker exec --address net.tcp://localhost:808/billing --wait 60 -- mono Billing.exe
  broker exec --address net.tcp://localhost:808/orders --grace-seconds 30 -- dotnet Orders.dll
  broker exec --address net.tcp://localhost:808/orders --print-environment

Exit status: the program's; 126 if it cannot be run so, standard error says why; 127 if it is not found; 2 if the command line is \
wrong.")]
pub(crate) struct Exec {
    /// A net.tcp address of the service; its listener on that port becomes a registration. May be given several times.
    #[arg(long, value_name = "ADDRESS", required = true)]
    address: Vec<String>,
    /// How the host names of the addresses are compared with a Via's [default: strong_wildcard].
    #[arg(long, value_name = "MODE", value_parser = words::mode())]
    host_name_comparison: Option<HostNameComparison>,
    /// The broker's control socket [default: $NET_TCP_PORT_SHARING_CONTROL, else as `broker run`].
    #[arg(long, value_name = "PATH")]
    control: Option<PathBuf>,
    /// Print the environment that makes a program share, one NAME=VALUE a line, for systemd units and container images.
    #[arg(long)]
    print_environment: bool,
    /// Say nothing on the program's standard error while all is well; only what fails.
    #[arg(long)]
    quiet: bool,
    /// How long the program's bind waits for a broker that is not there yet, in seconds [default: 15 in a systemd unit, that is
    /// where standard error is the journal, or is no terminal and SYSTEMD_EXEC_PID is this process or one above it; else 0].
    #[arg(long, value_name = "SECONDS")]
    wait: Option<u32>,
    /// How long the addresses stay when the program ends, in seconds, at most 3600: connections wait in the broker for its next start,
    /// by the same user [default: 0].
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(0..=LONGEST_GRACE))]
    grace_seconds: Option<u32>,
    /// Others of the same user that say --share, too, may have the addresses as well; each connection goes to the one for which the
    /// fewest wait.
    #[arg(long)]
    share: bool,
    /// The program and its arguments.
    #[arg(trailing_var_arg = true, required_unless_present = "print_environment", value_name = "PROGRAM", value_hint = ValueHint::CommandWithArguments)]
    command: Vec<OsString>,
}

impl Exec {
    /// Becomes the program; returns only when it cannot.
    pub(crate) fn run(self) -> Result<ExitCode> {
        if let Err(error) = self.check_addresses() {
            wrong_use(&error);
        }
        let environment = match self.environment() {
            Ok(environment) => environment,
            Err(error) => return Ok(failure(CANNOT_RUN, &format!("{error:#}"))),
        };
        let [program, arguments @ ..] = self.command.as_slice() else {
            return print(&environment);
        };
        if self.print_environment {
            return print(&environment);
        }
        let name = program.display();
        let Some(file) = program::find(program) else {
            return Ok(failure(NOT_FOUND, &format!("{name}: not found")));
        };
        if let Err(reason) = program::check(&file) {
            return Ok(failure(CANNOT_RUN, &format!("{name}: cannot share a port: {reason}")));
        }
        let error = std::process::Command::new(&file).arg0(program).args(arguments).envs(environment).exec();
        Ok(failure(CANNOT_RUN, &format!("{name}: {error}")))
    }

    fn check_addresses(&self) -> Result<()> {
        let mode = self.host_name_comparison.unwrap_or_default();
        let mut prefixes: Vec<Prefix> = Vec::new();
        for address in &self.address {
            let prefix = parse(address, mode).map_err(|error| anyhow!("--address {address}: {error}"))?;
            if let Some(same) = prefixes.iter().find(|other| **other == prefix) {
                bail!("--address {address} is given twice: it is the same as {}", same.address());
            }
            prefixes.push(prefix);
        }
        Ok(())
    }

    fn environment(&self) -> Result<Vec<(&'static str, OsString)>> {
        // no space and no separator inside, as WCF escapes them: `env $(broker exec … --print-environment)` works
        let escaped = |address: &String| address.trim().replace(' ', "%20").replace('|', "%7C");
        let addresses: Vec<_> = self.address.iter().map(escaped).collect();
        let control = self.control.clone().unwrap_or_else(handoff::control_path);
        let control = std::path::absolute(&control).context("the path of the control socket")?;

        let mut environment = vec![
            ("LD_PRELOAD", with_library(&library()?)),
            (ADDRESSES_VARIABLE, addresses.join("|").into()),
            (CONTROL_VARIABLE, control.into()),
            (INHERITED_SAID_VARIABLE, "0".into()),
        ];
        if let Some(mode) = self.host_name_comparison {
            environment.push((HOST_NAME_COMPARISON_VARIABLE, mode.as_str().into()));
        }
        if self.quiet {
            environment.push((QUIET_VARIABLE, "1".into()));
        }
        if let Some(seconds) = self.wait {
            environment.push((WAIT_VARIABLE, seconds.to_string().into()));
        }
        if let Some(seconds) = self.grace_seconds {
            environment.push((GRACE_VARIABLE, seconds.to_string().into()));
        }
        if self.share {
            environment.push((SHARE_VARIABLE, "1".into()));
        }
        Ok(environment)
    }
}

/// An address that a service can be registered under; else what is meant instead.
fn parse(address: &str, mode: HostNameComparison) -> Result<Prefix> {
    let prefix = Prefix::parse(address, mode)?;
    if prefix.port() == 0 {
        bail!("port 0 means any free port: name the one that clients use");
    }
    Ok(prefix)
}

fn print(environment: &[(&str, OsString)]) -> Result<ExitCode> {
    use std::io::Write;
    let mut stdout = std::io::stdout().lock();
    for (name, value) in environment {
        writeln!(stdout, "{name}={}", value.display())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn failure(code: u8, reason: &str) -> ExitCode {
    use std::io::Write;
    let _ = writeln!(std::io::stderr().lock(), "broker exec: {reason}");
    ExitCode::from(code)
}

/// As the command line's own mistakes are told, with the same status.
fn wrong_use(error: &anyhow::Error) -> ! {
    let command = clap::Command::new("broker").bin_name("broker exec");
    Exec::augment_args(command).error(clap::error::ErrorKind::ValueValidation, error).exit()
}

/// Ours first, so that other preloaded libraries see the calls we make.
fn with_library(library: &Path) -> OsString {
    let mut preload = OsString::from(library);
    if let Some(others) = std::env::var_os("LD_PRELOAD").filter(|others| !others.is_empty()) {
        preload.push(":");
        preload.push(others);
    }
    preload
}

/// The library next to this program, or in the library directory beside its `bin`.
fn library() -> Result<PathBuf> {
    let program = std::env::current_exe().context("the broker's own path")?;
    let beside = program.parent().unwrap_or_else(|| Path::new("/"));
    let places = [
        beside.to_owned(),
        beside.join("../lib/net-tcp-port-sharing"),
        beside.join("../lib"),
        PathBuf::from("/usr/lib/net-tcp-port-sharing"),
        PathBuf::from("/usr/local/lib/net-tcp-port-sharing"),
    ];
    let found = places.iter().map(|place| place.join(LIBRARY)).find(|library| library.is_file());
    let Some(library) = found else {
        let places: Vec<_> = places.iter().map(|place| place.display().to_string()).collect();
        bail!(
            "{LIBRARY} is in none of {}; `cargo build --release -p preload` makes it beside the broker",
            places.join(", ")
        );
    };
    let library = library.canonicalize().with_context(|| library.display().to_string())?;
    if library.as_os_str().as_encoded_bytes().iter().any(|octet| b": \t\n".contains(octet)) {
        bail!("{}: LD_PRELOAD cannot name a path with a space or colon", library.display());
    }
    Ok(library)
}
