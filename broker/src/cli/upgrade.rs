//! `broker upgrade`: the next broker takes over, and nobody notices.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use handoff::administration::{Upgrade, Upgraded};
use handoff::printable;

use super::ask::{self, Which};

/// The next broker has 10 s to begin, and the one that is asked some more for the rest.
const ANSWER: Duration = Duration::from_secs(20);

#[derive(Debug, Args)]
#[command(after_help = "\
The running broker starts the next one as it was started itself, and passes everything on to it: ports, registrations, connections \
that wait, counters. Those that come meanwhile wait for some milliseconds. The next one reads the configuration anew, so what needs a \
restart is applied, too. What is relayed stays in the old process until it ends, for relay_linger_seconds at most. If the next \
broker does not begin, the old one goes on as if nothing had been. SIGUSR2 does the same and answers in the log.

Example:
  broker upgrade
  broker upgrade --binary /opt/net-tcp/bin/broker

Exit status: 0 if the next broker serves; 1 if the old one goes on (standard error says why); 2 if there is no answer.")]
pub(crate) struct UpgradeArguments {
    #[command(flatten)]
    broker: Which,
    /// The next broker's program [default: by the name that the running one was started by, looked up again]
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
}

/// The whole command.
pub(crate) fn run(arguments: &UpgradeArguments) -> ExitCode {
    ask::command("upgrade", || {
        // The broker's current folder is another.
        let binary = arguments.binary.as_ref().map(std::path::absolute).transpose()?;
        let mut broker = arguments.broker.connect()?;
        broker.set_timeout(Some(ANSWER))?;
        let Upgraded { error, pid, version, pause_microseconds, .. } =
            broker.upgrade(&Upgrade::to(binary))?;
        if let Some(error) = error {
            writeln!(io::stderr().lock(), "broker upgrade: the broker goes on: {}", printable(&error))?;
            return Ok(ExitCode::FAILURE);
        }
        let mut output = io::stdout().lock();
        let (pid, version) = (pid.unwrap_or_default(), version.unwrap_or_default());
        write!(output, "process {pid} serves, version {}", printable(&version))?;
        if let Some(pause) = pause_microseconds {
            write!(output, "; accepting paused for {}.{} ms", pause / 1000, pause % 1000 / 100)?;
        }
        writeln!(output)?;
        output.flush()?;
        Ok(ExitCode::SUCCESS)
    })
}
