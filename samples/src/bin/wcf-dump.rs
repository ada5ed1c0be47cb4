//! Prints a captured net.tcp stream as XML: the framing and the envelopes, whatever they are encoded with.

use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

/// Show a captured net.tcp stream as XML, framing and encoding together
///
/// FILE is one direction of a connection, from its first octet on, as `tcpflow` or Wireshark's "Follow TCP Stream" save it.
///
/// The output is for people to read. It is not always well-formed XML: an envelope may be cut short or hold characters that
/// XML has no way to write.
#[derive(Parser)]
#[command(name = "wcf-dump", version)]
struct Cli {
    /// The octets that one side sent
    #[arg(value_name = "FILE.bin", required = true)]
    files: Vec<PathBuf>,
}

fn main() -> ExitCode {
    let Cli { files } = Cli::parse();
    for file in files {
        let mut out = BufWriter::new(io::stdout().lock());
        let printed = fs::read(&file).and_then(|octets| samples::dump::dump(&octets, &mut out));
        match printed.and_then(|()| out.flush()) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("wcf-dump: {}: {error}", file.display());
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}
