//! Descriptors by number, as the C interface has them.

use core::ffi::c_int;
use std::os::fd::{BorrowedFd, IntoRawFd, OwnedFd};

use rustix::io::{Errno, FdFlags, fcntl_dupfd_cloexec, fcntl_getfd, fcntl_setfd};
use rustix::process::{Resource, getrlimit};

/// For system calls that check the number themselves.
pub(crate) fn borrow(number: c_int) -> BorrowedFd<'static> {
    // SAFETY: not -1; a number that is not open (any more) only makes the kernel answer EBADF.
    unsafe { BorrowedFd::borrow_raw(number.max(0)) }
}

/// Closes a descriptor of ours, past our own `close`.
pub(crate) fn close(number: c_int) {
    // SAFETY: the number is one of a listener's own descriptors, whose table entry is gone.
    unsafe { libc::syscall(libc::SYS_close, number) };
}

/// Makes `number` another descriptor of `file`, past our own `dup3`; open or not before.
pub(crate) fn replace(number: c_int, file: BorrowedFd<'_>, close_on_exec: bool) -> Result<(), Errno> {
    use std::os::fd::AsRawFd;
    let flags = if close_on_exec { libc::O_CLOEXEC } else { 0 };
    // SAFETY: closes only what is open at `number`, which the caller owns or the program asked to be replaced.
    match unsafe { libc::syscall(libc::SYS_dup3, file.as_raw_fd(), number, flags) } {
        -1 => Err(Errno::from_raw_os_error(crate::next::errno())),
        _ => Ok(()),
    }
}

/// Another descriptor of the same file.
pub(crate) fn duplicate(number: c_int) -> Result<OwnedFd, Errno> {
    fcntl_dupfd_cloexec(borrow(number), 0)
}

/// Moves a descriptor of ours out of the way of programs that expect small numbers.
pub(crate) fn move_up(descriptor: OwnedFd) -> c_int {
    let limit = getrlimit(Resource::Nofile)
        .current
        .and_then(|limit| c_int::try_from(limit).ok())
        .unwrap_or(c_int::MAX);
    let lowest = (limit / 4).saturating_mul(3).min(960);
    match fcntl_dupfd_cloexec(&descriptor, lowest) {
        Ok(moved) => moved.into_raw_fd(),
        Err(_) => descriptor.into_raw_fd(),
    }
}

pub(crate) fn is_close_on_exec(number: c_int) -> bool {
    fcntl_getfd(borrow(number)).is_ok_and(|flags| flags.contains(FdFlags::CLOEXEC))
}

pub(crate) fn set_close_on_exec(number: c_int, close_on_exec: bool) {
    let flags = if close_on_exec { FdFlags::CLOEXEC } else { FdFlags::empty() };
    let _ = fcntl_setfd(borrow(number), flags);
}

pub(crate) fn is_open(number: c_int) -> bool {
    fcntl_getfd(borrow(number)).is_ok()
}
