//! `broker reload`: a running broker reads its configuration again.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Args;
use handoff::printable;

use super::ask::{self, Which};

#[derive(Debug, Args)]
#[command(after_help = "\
The broker reads the file of its --config again; the options that it was started with still come before that. What has changed is \
applied without a restart, and established relays go on; what only the next broker can do is named. If anything is wrong, nothing \
changes; what the next broker could not start with is wrong, too. What may be meant otherwise, and what an option of the command \
line makes of no effect, is a warning on standard error. The access log is opened anew. SIGHUP does the same and answers in the log.

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
            // Several each have a line of their own, as `broker check` says them.
            let lines: Vec<_> = error.lines().map(printable).collect();
            let between = if lines.len() > 1 { "\n" } else { " " };
            let lines = lines.join("\n");
            writeln!(io::stderr().lock(), "broker reload: nothing has changed:{between}{lines}")?;
            return Ok(ExitCode::FAILURE);
        }
        for warning in &reloaded.warnings {
            writeln!(io::stderr().lock(), "{}", printable(warning))?;
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
