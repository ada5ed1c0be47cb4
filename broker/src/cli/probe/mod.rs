//! `broker probe`: whether somebody at an address takes sessions, as a client would find it.
//!
//! - [`address`]: where to, as its clients have it
//! - [`session`]: connects, sends a preamble, reads the answer, leaves
//! - [`mod@meaning`]: what an answer says of the service, and what to do

mod address;
mod meaning;
mod session;

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};

use self::address::Address;
use self::meaning::{meaning, summary};
use self::session::{Found, probe};

#[derive(Debug, Args)]
#[command(after_help = "\
It opens a duplex session in binary, as NetTcpBinding does; once that is acknowledged it ends the session and waits for the answer, \
so that a service has nothing to log. A service with security (NetTcpBinding's default) wants an upgrade and closes a session \
without one: ask it with --upgrade, which stops where the handshake would begin. It asks the address, not the broker, and so works \
from any machine.

Examples:
  broker probe net.tcp://localhost:808/orders
  broker probe --upgrade negotiate --timeout 2 net.tcp://srv1:808/billing

Exit status: 0 if the session, or the upgrade, is accepted; 1 if somebody was reached and answered otherwise, or not in time; \
2 if the command line is wrong; 3 if nobody was reached; 4 if an upgrade was asked for, and a service without security took the \
session as it was.")]
pub(crate) struct ProbeArguments {
    /// For everything: the name, the connection, the answer.
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    timeout: Duration,
    /// Ask for this upgrade: what TransportSecurity with a certificate (ssl-tls) or with Windows accounts (negotiate) does.
    #[arg(long, value_name = "PROTOCOL")]
    upgrade: Option<Upgrade>,
    /// The address of the service, as its clients have it.
    #[arg(value_name = "ADDRESS", value_parser = Address::parse)]
    address: Address,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Upgrade {
    SslTls,
    Negotiate,
}

impl Upgrade {
    /// As the wire has it (docs/wire.md §6).
    const fn protocol(self) -> &'static str {
        match self {
            Self::SslTls => "application/ssl-tls",
            Self::Negotiate => "application/negotiate",
        }
    }
}

/// The whole command.
pub(crate) fn run(arguments: &ProbeArguments) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = writeln!(io::stderr().lock(), "broker probe: {error}");
            return ExitCode::from(NOT_REACHED);
        }
    };
    let ProbeArguments { timeout, upgrade, address } = arguments;
    let probed = runtime.block_on(probe(address, upgrade.map(Upgrade::protocol), *timeout));
    // A name that is still being resolved would hold up the end.
    runtime.shutdown_background();
    let said = format!("{}: {}", address.via.escape_debug(), summary(&probed));
    if let Some(means) = meaning(&probed, &address.via) {
        let _ = writeln!(io::stderr().lock(), "broker probe: {said}\n  {}", means.replace('\n', "\n  "));
    } else {
        let _ = writeln!(io::stdout().lock(), "{said}");
    }
    ExitCode::from(match probed.found {
        Found::Acknowledged { .. } | Found::Upgrades(_) => 0,
        Found::NoName(_) | Found::NotConnected(_) => NOT_REACHED,
        Found::WithoutUpgrade(_) => WITHOUT_SECURITY,
        _ => 1,
    })
}

const NOT_REACHED: u8 = 3;
const WITHOUT_SECURITY: u8 = 4;

fn seconds(text: &str) -> Result<Duration, String> {
    let time = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let fits = |time: &Duration| (Duration::from_millis(1)..=Duration::from_secs(3600)).contains(time);
    time.filter(fits).ok_or_else(|| "it must be seconds, from 0.001 to 3600".to_owned())
}
