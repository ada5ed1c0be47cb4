//! `broker import`: our configuration from that of the original, SMSvcHost.exe.config.
//!
//! - [`text`]: the file as text, in whatever encoding Windows left it
//! - [`settings`]: what of it means what here; [`value`]: numbers, times and accounts as .NET writes them

mod settings;
mod text;
mod value;

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use self::settings::{Mistake, import};

#[derive(Debug, Args)]
#[command(after_help = "\
What means the same here is set; for the rest there is a comment that says why not. Below Windows' folder the file is \
Microsoft.NET/Framework64/v4.0.30319/SMSvcHost.exe.config. Addresses are not in it: services register them, here as there.

Examples:
  broker import SMSvcHost.exe.config --output broker.toml && broker check --config broker.toml

Exit status: 0; 1 if the file cannot be read or something in it is wrong (standard error says what, as FILE:LINE:COLUMN), or the \
output cannot be written; 2 if the command line is wrong.")]
pub(crate) struct ImportArguments {
    /// The configuration to write; there must be no such file yet [default: standard output].
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The original's configuration.
    #[arg(value_name = "SMSvcHost.exe.config")]
    original: PathBuf,
}

/// The whole command.
pub(crate) fn run(arguments: &ImportArguments) -> ExitCode {
    let written = imported(&arguments.original).and_then(|toml| write(arguments.output.as_deref(), &toml));
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            let _ = writeln!(io::stderr().lock(), "{message}");
            ExitCode::FAILURE
        }
    }
}

/// The file as TOML, or all that is wrong with it.
fn imported(file: &Path) -> Result<String, String> {
    let named = |message: String| format!("broker import: {}: {message}", file.display());
    let octets = std::fs::read(file).map_err(|error| named(format!("cannot be read: {error}")))?;
    let text = text::decode(&octets).map_err(named)?;
    let name = file.file_name().unwrap_or(file.as_os_str()).to_string_lossy();
    import(&name, &text).map_err(|mistakes| {
        let lines = mistakes.iter().map(|Mistake { line, column, message }| {
            format!("{}:{line}:{column}: {message}", file.display())
        });
        lines.collect::<Vec<_>>().join("\n")
    })
}

fn write(output: Option<&Path>, toml: &str) -> Result<(), String> {
    let Some(file) = output else {
        let mut output = io::stdout().lock();
        let written = output.write_all(toml.as_bytes()).and_then(|()| output.flush());
        return match written {
            // Whoever reads it has seen enough.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(format!("broker import: standard output cannot be written: {error}"))
            }
            _ => Ok(()),
        };
    };
    let written = File::create_new(file).and_then(|mut file| file.write_all(toml.as_bytes()));
    written.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            format!("broker import: {} is there already; name another file, or remove it", file.display())
        }
        _ => format!("broker import: {} cannot be written: {error}", file.display()),
    })
}

#[cfg(test)]
mod tests;
