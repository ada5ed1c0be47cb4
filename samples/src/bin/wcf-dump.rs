//! Prints captured net.tcp traffic as XML: the framing and the envelopes, whatever they are encoded with.

use std::fs::File;
use std::io::{self, BufWriter, Seek, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;

/// Show captured net.tcp traffic as XML, framing and encoding together
///
/// FILE is a packet capture (pcap or pcapng, as tcpdump, tshark and Wireshark write them), one direction of a connection (as
/// `tcpflow` or Wireshark's "Follow TCP Stream" save it), or one envelope (the body of an HTTP message of type
/// application/soap+msbin1, as Fiddler saves it).
///
/// FILE may be larger than memory. What does not come from a regular file is kept in a temporary one (TMPDIR) meanwhile.
///
/// The output is for people to read. It is not always well-formed XML: an envelope may be cut short or hold characters that
/// XML has no way to write. The exit status is 1 if something could not be read; standard error says what.
#[derive(Parser)]
#[command(name = "wcf-dump", version)]
struct Cli {
    /// Of a packet capture, the connections from or to this port; without it those that speak net.tcp
    #[arg(long)]
    port: Option<u16>,
    /// The files to show; `-` is standard input
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

fn main() -> ExitCode {
    let Cli { port, files } = Cli::parse();
    let mut status = ExitCode::SUCCESS;
    for file in files {
        let name = if file.as_os_str() == "-" { "standard input".into() } else { file.display().to_string() };
        let opened = match open(&file) {
            Ok(opened) => opened,
            Err(error) => {
                eprintln!("wcf-dump: {name}: {error}");
                status = ExitCode::FAILURE;
                continue;
            }
        };
        let mut out = BufWriter::new(io::stdout().lock());
        let printed = samples::dump::dump_file(&opened, port, &mut out);
        let findings = match printed.and_then(|findings| out.flush().map(|()| findings)) {
            Ok(findings) => findings,
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("wcf-dump: standard output: {error}");
                return ExitCode::FAILURE;
            }
        };
        for warning in findings.warnings {
            eprintln!("wcf-dump: {name}: {warning}");
        }
        if let Some(problem) = findings.problem {
            let more = match findings.problems {
                0 | 1 => String::new(),
                problems => format!(" (and {} more)", problems - 1),
            };
            eprintln!("wcf-dump: {name}: {}{more}", problem.escape_debug());
            status = ExitCode::FAILURE;
        }
    }
    status
}

/// A file that can be read at any place: what comes through a pipe is put into one, which goes with this process.
fn open(file: &Path) -> io::Result<File> {
    let mut opened = if file.as_os_str() == "-" {
        File::from(io::stdin().as_fd().try_clone_to_owned()?)
    } else {
        File::open(file)?
    };
    if opened.metadata()?.is_file() && opened.stream_position()? == 0 {
        return Ok(opened);
    }
    let mut kept = tempfile::tempfile()?;
    io::copy(&mut opened, &mut kept)?;
    Ok(kept)
}
