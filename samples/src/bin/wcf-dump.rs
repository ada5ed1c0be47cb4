//! Prints a captured net.tcp stream as XML: the framing and the envelopes, whatever they are encoded with.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

/// Show a captured net.tcp stream as XML, framing and encoding together
///
/// FILE is one direction of a connection, from its first octet on, as `tcpflow` or Wireshark's "Follow TCP Stream" save it.
#[derive(Parser)]
struct Cli {
    /// The octets that one side sent
    #[arg(value_name = "FILE.bin", required = true)]
    files: Vec<PathBuf>,
}

fn main() -> ExitCode {
    let Cli { files } = Cli::parse();
    for file in files {
        let printed = std::fs::read(&file)
            .and_then(|octets| std::io::stdout().lock().write_all(samples::dump::dump(&octets).as_bytes()));
        match printed {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("wcf-dump: {}: {error}", file.display());
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}
