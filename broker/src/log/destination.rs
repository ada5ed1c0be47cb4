//! Standard error, and a file that has a name.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Access, AtFlags, CWD, OFlags, accessat};
use rustix::io::Errno;

/// What its group may do with a file that is made: read it, as logs are.
const MODE: u32 = 0o640;

/// Writes all of it. Whoever started us may have made standard error non-blocking; a pipe that has a name is opened so.
///
/// # Errors
/// What the system says: the reader is gone, the file system is full.
pub(crate) fn write_all(mut to: impl Write + AsFd, mut octets: &[u8]) -> io::Result<()> {
    while !octets.is_empty() {
        match to.write(octets) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => octets = &octets[written..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let _ = poll(&mut [PollFd::new(&to, PollFlags::OUT)], None);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// A file to whose end lines are written, and which may be given another name meanwhile.
#[derive(Debug)]
pub(crate) struct LogFile {
    path: PathBuf,
    file: File,
    /// Whether the last line could not be written; some of it may have been.
    fails: bool,
}

impl LogFile {
    /// # Errors
    /// It is not there, and cannot be made, or not written.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), file: open(path)?, fails: false })
    }

    /// Whether it could be opened, as far as is seen without making it. A named pipe is not opened: its reader would see it end.
    ///
    /// # Errors
    /// Those of [`LogFile::open`].
    pub(crate) fn check(path: &Path) -> io::Result<()> {
        match path.metadata() {
            Ok(file) if file.file_type().is_fifo() => {
                Ok(accessat(CWD, path, Access::WRITE_OK, AtFlags::EACCESS)?)
            }
            Ok(_) => options().open(path).map(drop),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let folder = path.parent().unwrap_or(path);
                Ok(accessat(CWD, folder, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS)?)
            }
            Err(error) => Err(error),
        }
    }

    /// Writes a line; false if that fails. The service's log is told when it begins to.
    pub(crate) fn write(&mut self, line: &[u8]) -> bool {
        let written = self.end_torn_line().and_then(|()| write_all(&self.file, line));
        if let Err(error) = &written
            && !self.fails
        {
            let path = self.path.display();
            tracing::error!("{path} cannot be written: {error}; lines are lost until it can be");
        }
        self.fails = written.is_err();
        !self.fails
    }

    /// What is left of a line that did not fit is a line of its own, and no beginning of the next.
    fn end_torn_line(&self) -> io::Result<()> {
        let is_there = |file: &File| file.metadata().is_ok_and(|file| file.is_file() && file.len() > 0);
        if self.fails && is_there(&self.file) { write_all(&self.file, b"\n") } else { Ok(()) }
    }

    /// The file that has the name now, or, if there can be none, the one that had it.
    pub(crate) fn reopen(&mut self) {
        let path = self.path.display();
        match open(&self.path) {
            Ok(file) => {
                (self.file, self.fails) = (file, false);
                tracing::info!("{path} is opened again");
            }
            Err(error) => {
                tracing::error!(
                    "{path} cannot be opened again: {error}; the file that had this name is still written"
                )
            }
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    options().create(true).open(path).map_err(|error| match Errno::from_io_error(&error) {
        Some(Errno::NXIO) => {
            io::Error::other(format!("it is a named pipe or a device, and nobody reads it: {error}"))
        }
        _ => error,
    })
}

/// A named pipe without a reader is an error: to wait for one would be to wait for ever.
fn options() -> OpenOptions {
    let flags = i32::try_from(OFlags::NONBLOCK.union(OFlags::NOCTTY).bits()).unwrap_or_default();
    let mut options = OpenOptions::new();
    options.append(true).mode(MODE).custom_flags(flags);
    options
}
