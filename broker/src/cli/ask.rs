//! What the commands that ask a running broker have in common.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, anyhow};
use clap::Args;
use handoff::{ControlConnection, HandoffError};
use serde::Serialize;

use super::table::width;
use crate::visible;

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

/// How a list is printed.
#[derive(Debug, Args)]
pub(super) struct Listing {
    /// Every figure, as a JSON array.
    #[arg(long)]
    json: bool,
    /// Cut nothing, however wide it becomes.
    #[arg(long, conflicts_with = "json")]
    wide: bool,
}

impl Listing {
    /// As JSON, or as `drawn` makes a table of it that is so wide.
    ///
    /// # Errors
    /// Those of writing to standard output.
    pub(super) fn print<T: Serialize>(
        &self,
        entries: &[T],
        drawn: impl FnOnce(&[T], Option<usize>) -> String,
    ) -> io::Result<()> {
        let mut output = io::stdout().lock();
        if self.json {
            writeln!(output, "{}", visible::json(&serde_json::to_string_pretty(entries)?))?;
        } else {
            write!(output, "{}", drawn(entries, width(self.wide)))?;
        }
        output.flush()
    }
}

/// A command that changes something in the broker. What is not answered may have happened all the same.
pub(super) fn change(name: &str, run: impl FnOnce() -> Result<ExitCode>) -> ExitCode {
    command(name, || {
        run().map_err(|error| match error.downcast_ref() {
            Some(HandoffError::NoAnswer { .. }) => anyhow!(
                "{error}.\n  A broker that goes on later drops what nobody waits for any more, unless it had begun with it: look \
                 then at what is so"
            ),
            _ => error,
        })
    })
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
