//! What the commands that ask a running broker have in common.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use handoff::ControlConnection;

/// A broker that lives answers within this time.
const ANSWER: Duration = Duration::from_secs(10);

/// Which broker is asked.
#[derive(Debug, Args)]
pub(super) struct Which {
    /// Where the running broker is [default: as for workers].
    #[arg(long, value_name = "PATH")]
    control: Option<PathBuf>,
}

impl Which {
    /// A connection to it.
    ///
    /// # Errors
    /// There is none, or not for us.
    pub(super) fn connect(&self) -> Result<ControlConnection> {
        let path = self.control.clone().unwrap_or_else(handoff::control_path);
        let mut broker = ControlConnection::connect_as_administrator(&path)?;
        broker.set_timeout(Some(ANSWER))?;
        Ok(broker)
    }
}

/// A whole command, whose name is that: status 2 if there is no answer.
pub(super) fn command(name: &str, run: impl FnOnce() -> Result<ExitCode>) -> ExitCode {
    let error = match run() {
        Ok(code) => return code,
        Err(error) => error,
    };
    // Whoever read the answer has seen enough.
    if error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe) {
        return ExitCode::SUCCESS;
    }
    let _ = writeln!(io::stderr().lock(), "broker {name}: {error:#}");
    ExitCode::from(2)
}
