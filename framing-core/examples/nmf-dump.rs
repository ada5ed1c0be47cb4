//! Prints the records of a net.tcp stream, one a line: `nmf-dump [FILE]`, standard input without FILE.
//!
//! Exit status 0 if the stream ends between records, 1 with the offset on standard error if an octet is no record or the
//! stream ends inside one, 2 if it cannot be read.

use std::fmt;
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::process::ExitCode;

use framing_core::dump::{DumpError, Dumper};

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let (file, more) = (arguments.next(), arguments.next());
    if more.is_some() {
        eprintln!("usage: nmf-dump [FILE]");
        return ExitCode::from(2);
    }
    let opened: io::Result<Box<dyn Read>> = match &file {
        Some(path) => File::open(path).map(|file| Box::new(file) as Box<dyn Read>),
        None => Ok(Box::new(io::stdin().lock())),
    };
    match opened.and_then(|mut input| dump(&mut *input, &mut Text(BufWriter::new(io::stdout().lock())))) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => {
            eprintln!("nmf-dump: offset {}: {error}", error.offset().unwrap_or_default());
            ExitCode::FAILURE
        }
        // A reader like `head` has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("nmf-dump: {}: {error}", file.unwrap_or_else(|| "standard input".into()).display());
            ExitCode::from(2)
        }
    }
}

/// Dumps all of the input in constant memory; the lines before an error are written.
fn dump<W: Write>(input: &mut dyn Read, out: &mut Text<W>) -> io::Result<Result<(), DumpError>> {
    let mut dumper = Dumper::new();
    let mut buffer = vec![0; 64 * 1024];
    let dumped = loop {
        match input.read(&mut buffer) {
            Ok(0) => break dumper.finish(out),
            Ok(octets) => {
                if let Err(error) = dumper.dump(&buffer[..octets], out) {
                    break Err(error);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    };
    out.0.flush()?;
    match dumped {
        Err(DumpError::Write) => Err(io::ErrorKind::BrokenPipe.into()),
        dumped => Ok(dumped),
    }
}

/// Text into octets.
struct Text<W: Write>(BufWriter<W>);

impl<W: Write> fmt::Write for Text<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write_all(text.as_bytes()).map_err(|_| fmt::Error)
    }
}
