//! Lines on the program's standard error, for whoever started it with `broker exec`.
//!
//! Standard error is the program's: a line goes only where it went when the program began, and never waits. A descriptor 2
//! that was closed, or has become a file or a connection of the program's own, gets none.

use core::ffi::c_int;
use core::fmt::{self, Write};
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicU64, Ordering};

use libc::{pollfd, stat};

use crate::address;
use crate::settings::settings;

const STANDARD_ERROR: c_int = 2;

/// Device and inode of what descriptor 2 was when the library was loaded; 0 and 0: nothing to write to.
static PLACE: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];

/// What a pipe takes whole.
const LONGEST: usize = 1024;

/// Notes where standard error goes. A connection is none: who starts a program for one makes it descriptor 2, too.
pub(crate) fn load() {
    let is_connection = matches!(
        address::option(STANDARD_ERROR, libc::SOL_SOCKET, libc::SO_DOMAIN),
        Some(domain) if domain != libc::AF_UNIX
    );
    if let Some(place) = place().filter(|_| !is_connection) {
        PLACE.iter().zip(place).for_each(|(cell, value)| cell.store(value, Ordering::Relaxed));
    }
}

fn place() -> Option<[u64; 2]> {
    let mut status = MaybeUninit::<stat>::uninit();
    // SAFETY: there is room for the status, which is read only if the call has filled it.
    let status = unsafe {
        match libc::syscall(libc::SYS_fstat, STANDARD_ERROR, status.as_mut_ptr()) {
            0 => status.assume_init(),
            _ => return None,
        }
    };
    Some([status.st_dev, status.st_ino])
}

/// Whether it is what systemd connected a unit's standard error to: `JOURNAL_STREAM` names that by device and inode.
pub(crate) fn is_journal() -> bool {
    let Ok(journal) = std::env::var("JOURNAL_STREAM") else { return false };
    let numbers = journal.split_once(':').map(|(device, inode)| [device.parse(), inode.parse()]);
    place().is_some_and(|place| numbers == Some(place.map(Ok)))
}

/// Whether somebody may be there who reads it now.
pub(crate) fn is_terminal() -> bool {
    // SAFETY: no memory is involved.
    unsafe { libc::isatty(STANDARD_ERROR) == 1 }
}

/// News, unless `broker exec --quiet`.
pub(crate) fn news(what: fmt::Arguments<'_>) {
    if settings().is_none_or(|settings| !settings.quiet) {
        line(what);
    }
}

/// One line. Allocates nothing itself, takes no lock and never blocks; what has no room is lost. `errno` stays.
pub(crate) fn line(what: fmt::Arguments<'_>) {
    let expected = PLACE.each_ref().map(|cell| cell.load(Ordering::Relaxed));
    if expected == [0, 0] || place() != Some(expected) {
        return;
    }
    let errno = crate::next::errno();
    let mut text = Text { octets: [0; LONGEST], length: 0 };
    let _ = write!(text, "net.tcp port sharing: {what}");
    text.length = text.length.min(LONGEST.saturating_sub(1));
    if let Some(end) = text.octets.get_mut(text.length) {
        *end = b'\n';
    }
    let mut writable = pollfd { fd: STANDARD_ERROR, events: libc::POLLOUT, revents: 0 };
    // SAFETY: one pollfd and so many octets, which outlive the calls. A reader that is gone is seen before it can be a signal.
    unsafe {
        if libc::syscall(libc::SYS_ppoll, &raw mut writable, 1, &raw const NO_TIME, 0, 0) == 1
            && writable.revents == libc::POLLOUT
        {
            let length = text.length.saturating_add(1);
            libc::syscall(libc::SYS_write, STANDARD_ERROR, text.octets.as_ptr(), length);
        }
    }
    crate::next::fail(errno);
}

static NO_TIME: libc::timespec = libc::timespec { tv_sec: 0, tv_nsec: 0 };

/// Text up to a length, without what a terminal obeys.
struct Text {
    octets: [u8; LONGEST],
    length: usize,
}

impl Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.octets.get_mut(self.length..).unwrap_or_default();
        for (to, octet) in room.iter_mut().zip(text.bytes()) {
            *to = if octet.is_ascii_control() { b'?' } else { octet };
            self.length = self.length.saturating_add(1);
        }
        Ok(())
    }
}
