//! `broker reload`: a running broker reads its configuration again.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Args;

use super::ask::{self, Which};
use super::table::printable;

#[derive(Debug, Args)]
#[command(after_help = "\
The broker reads the file of its --config again; the options that it was started with still come before that. What has changed is \
applied without a restart, and established relays go on; what only the next broker can do is named. If anything is wrong, nothing \
changes. SIGHUP does the same and answers in the log.

Example:
  broker check --config /etc/broker.toml && broker reload

Exit status: 0 if what has changed is applied, also if that is nothing; 1 if something is wrong (standard error says what, and \
where; nothing has changed); 2 if there is no answer.")]
pub(crate) struct ReloadArguments {
    #[command(flatten)]
    broker: Which,
}

/// The whole command.
pub(crate) fn run(arguments: &ReloadArguments) -> ExitCode {
    ask::change("reload", || {
        let reloaded = arguments.broker.connect()?.reload()?;
        if let Some(error) = &reloaded.error {
            writeln!(io::stderr().lock(), "broker reload: nothing has changed: {}", printable(error))?;
            return Ok(ExitCode::FAILURE);
        }
        let mut output = io::stdout().lock();
        if reloaded.changes.is_empty() && reloaded.needs_restart.is_empty() {
            writeln!(output, "nothing has changed in the configuration")?;
        }
        for change in reloaded.changes.iter().chain(&reloaded.needs_restart) {
            writeln!(output, "{}", printable(change))?;
        }
        output.flush()?;
        Ok(ExitCode::SUCCESS)
    })
}
