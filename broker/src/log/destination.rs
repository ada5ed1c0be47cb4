//! Standard error.

use std::io::{self, Write};
use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, poll};

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
