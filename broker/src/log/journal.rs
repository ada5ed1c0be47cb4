//! journald's socket.
//!
//! `tracing-journald` sends from the thread that logs, and waits there for a journald that does not read.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use rustix::fs::fstat;

/// Where journald reads.
const SOCKET: &str = "/run/systemd/journal/socket";

/// See the module.
#[derive(Debug)]
pub(crate) struct Journal(UnixDatagram);

impl Journal {
    /// # Errors
    /// There is no journald.
    pub(crate) fn open() -> io::Result<Self> {
        UnixDatagram::unbound().map(Self).and_then(|journal| {
            // Not connected: journald may begin anew.
            let exists = Path::new(SOCKET).try_exists()?;
            exists.then_some(journal).ok_or_else(|| io::Error::other(format!("there is no {SOCKET}")))
        })
    }

    /// # Errors
    /// journald is gone, or does not take this.
    pub(crate) fn send(&self, datagram: &[u8]) -> io::Result<()> {
        self.0.send_to(datagram, SOCKET).map(drop)
    }
}

/// Whether standard error leads to journald: systemd says in `JOURNAL_STREAM` which stream does, by device and inode, for
/// what was started may have another one.
pub(crate) fn has_standard_error() -> bool {
    let told = std::env::var("JOURNAL_STREAM").unwrap_or_default();
    fstat(io::stderr()).is_ok_and(|stream| told == format!("{}:{}", stream.st_dev, stream.st_ino))
}
