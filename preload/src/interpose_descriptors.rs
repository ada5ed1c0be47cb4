//! The replaced functions that close, copy or change descriptors of any kind.

use core::ffi::{c_char, c_int, c_uint, c_ulong, c_void};
use core::mem::MaybeUninit;
use core::ptr;
use std::os::fd::AsRawFd;

use libc::epoll_event;
use rustix::fs::{Mode, OFlags, RawDir};

use crate::descriptor::{is_close_on_exec, is_open};
use crate::listener::{at, listener_of};
use crate::next::{self, fail};
use crate::shared::Behind;
use crate::table::{self, Entry, LISTENERS, entry, is_owner};

/// # Safety
/// `close(2)`.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn close(descriptor: c_int) -> c_int {
    let number = match entry(descriptor) {
        // SAFETY: the program's own argument.
        Entry::Other => return unsafe { next::close.get()(descriptor) },
        // it is not the program's: it closes all it can find, say
        Entry::Internal(_) => return fail(libc::EBADF),
        Entry::Listener(number) => number,
    };
    let owner = is_owner();
    if owner {
        // before another thread can be given the number
        table::set(descriptor, Entry::Other);
    }
    // SAFETY: the program's own argument.
    let result = unsafe { next::close.get()(descriptor) };
    let errno = next::errno();
    if owner {
        at(number).release();
    } else if !is_kept(number, 0, 0) {
        at(number).close_behind_here();
    }
    fail(errno);
    result
}

/// # Safety
/// `close_range(2)`.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn close_range(first: c_uint, last: c_uint, flags: c_int) -> c_int {
    if first > last || flags & CLOSE_RANGE_CLOEXEC != 0 {
        return next::close_range_or_syscall(first, last, flags);
    }
    let mut closed = [0u32; LISTENERS];
    if is_owner() {
        // before another thread can be given the numbers
        table::for_each_in(first, last, |descriptor, entry| {
            if let Entry::Listener(number) = entry
                && let Some(closed) = closed.get_mut(number)
            {
                table::set(descriptor, Entry::Other);
                *closed = closed.saturating_add(1);
            }
        });
    }
    // what stands behind a listener that the program keeps is spared: the rest goes piece by piece around it
    let mut result = 0;
    let mut from = first;
    table::for_each_in(first, last, |descriptor, entry| match entry {
        Entry::Internal(number) if is_kept(number, first, last) => {
            let descriptor = descriptor.unsigned_abs();
            if from < descriptor {
                result |= next::close_range_or_syscall(from, descriptor.saturating_sub(1), flags);
            }
            from = descriptor.saturating_add(1);
        }
        _ => {}
    });
    if from <= last {
        result |= next::close_range_or_syscall(from, last, flags);
    }
    for (number, count) in closed.into_iter().enumerate() {
        (0..count).for_each(|_| at(number).release());
    }
    result
}

/// Whether the program has a descriptor of the listener open, outside of a range that it closes. The table of a child of vfork
/// is its parent's, which the child may have closed descriptors of.
fn is_kept(number: usize, first: c_uint, last: c_uint) -> bool {
    let mut kept = false;
    table::for_each_in(0, c_uint::MAX, |descriptor, entry| {
        let outside = last == 0 || !(first..=last).contains(&descriptor.unsigned_abs());
        kept |= entry == Entry::Listener(number) && outside && is_open(descriptor);
    });
    kept
}

const CLOSE_RANGE_CLOEXEC: c_int = 4;

/// # Safety
/// `closefrom(3)`.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn closefrom(lowest: c_int) {
    let first = c_uint::try_from(lowest).unwrap_or(0);
    // SAFETY: as `close_range`.
    if unsafe { close_range(first, c_uint::MAX, 0) } != 0 {
        close_each_from(first);
    }
}

/// Where the kernel has no `close_range`, or a filter of system calls forbids it. What stands behind a kept listener stays.
fn close_each_from(first: c_uint) {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let Ok(folder) = rustix::fs::open(c"/proc/self/fd", flags, Mode::empty()) else { return };
    let mut room = [MaybeUninit::uninit(); 4096];
    let mut descriptors = RawDir::new(&folder, &mut room);
    while let Some(Ok(descriptor)) = descriptors.next() {
        let number = descriptor.file_name().to_str().ok().and_then(|name| name.parse::<c_int>().ok());
        let number = number.filter(|number| *number != folder.as_raw_fd());
        if let Some(number) = number.filter(|number| number.unsigned_abs() >= first) {
            // SAFETY: the program has asked for it; ours that are still needed it does not close.
            unsafe { close(number) };
        }
    }
}

/// Notes that `copy`, which `dup` or the like gave, is the same as `of`.
fn noted(of: c_int, copy: c_int) -> c_int {
    let errno = next::errno();
    if let Entry::Listener(number) = entry(of)
        && copy >= 0
        && copy != of
    {
        if is_owner() {
            at(number).refer();
            table::set(copy, Entry::Listener(number));
        }
        // in a child of vfork, too: descriptors are its own
        if !is_close_on_exec(copy) {
            at(number).set_close_on_exec(false);
        }
        fail(errno);
    }
    copy
}

/// # Safety
/// `dup(2)`.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn dup(descriptor: c_int) -> c_int {
    // SAFETY: the program's own argument.
    noted(descriptor, unsafe { next::dup.get()(descriptor) })
}

/// # Safety
/// `dup2(2)`.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn dup2(descriptor: c_int, to: c_int) -> c_int {
    // SAFETY: the program's own arguments.
    over(descriptor, to, || unsafe { next::dup2.get()(descriptor, to) })
}

/// # Safety
/// `dup3(2)`.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn dup3(descriptor: c_int, to: c_int, flags: c_int) -> c_int {
    // SAFETY: the program's own arguments.
    over(descriptor, to, || unsafe { next::dup3.get()(descriptor, to, flags) })
}

/// A `dup2` or `dup3`, which also closes `to`.
fn over(descriptor: c_int, to: c_int, call: impl FnOnce() -> c_int) -> c_int {
    let closed = match entry(to) {
        Entry::Other => None,
        _ if descriptor == to || !is_owner() => None,
        Entry::Internal(_) => return fail(libc::EBUSY),
        Entry::Listener(number) => Some(number),
    };
    let result = call();
    if let (Some(number), true) = (closed, result >= 0) {
        table::set(to, Entry::Other);
        at(number).release();
    }
    noted(descriptor, result)
}

/// # Safety
/// `fcntl(2)`. The third argument, if there is one, is an int or a pointer; both are passed as this one is on the platforms
/// that Linux runs on.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn fcntl(descriptor: c_int, command: c_int, argument: usize) -> c_int {
    // SAFETY: the program's own arguments.
    control(descriptor, command, argument, || unsafe { next::fcntl.get()(descriptor, command, argument) })
}

/// # Safety
/// As [`fcntl`].
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn fcntl64(descriptor: c_int, command: c_int, argument: usize) -> c_int {
    let function = next::fcntl64.find().unwrap_or_else(|| next::fcntl.get());
    // SAFETY: the program's own arguments.
    control(descriptor, command, argument, || unsafe { function(descriptor, command, argument) })
}

fn control(descriptor: c_int, command: c_int, argument: usize, call: impl FnOnce() -> c_int) -> c_int {
    let result = call();
    if result < 0 {
        return result;
    }
    match command {
        libc::F_DUPFD | libc::F_DUPFD_CLOEXEC => return noted(descriptor, result),
        libc::F_SETFD => inherit(descriptor, argument & libc::FD_CLOEXEC as usize != 0),
        _ => {}
    }
    result
}

/// # Safety
/// `ioctl(2)`; of the third argument, see [`fcntl`].
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn ioctl(descriptor: c_int, request: c_ulong, argument: usize) -> c_int {
    // SAFETY: the program's own arguments.
    let result = unsafe { next::ioctl.get()(descriptor, request, argument) };
    if result >= 0 && (request == libc::FIOCLEX || request == libc::FIONCLEX) {
        inherit(descriptor, request == libc::FIOCLEX);
    }
    result
}

/// What an exec'd program inherits of a listener is all of it or nothing: all if it inherits a descriptor of it.
fn inherit(descriptor: c_int, close_on_exec: bool) {
    if let Entry::Listener(number) = entry(descriptor) {
        let mut close_on_exec = close_on_exec;
        table::for_each_in(0, c_uint::MAX, |other, entry| {
            let is_inherited = || is_open(other) && !is_close_on_exec(other);
            close_on_exec &= entry != Entry::Listener(number) || !is_inherited();
        });
        at(number).set_close_on_exec(close_on_exec);
    }
}

/// # Safety
/// `fstat(2)`: a listener is a socket.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn fstat(descriptor: c_int, status: *mut c_void) -> c_int {
    let Some(function) = next::fstat.find() else { return fail(libc::ENOSYS) };
    // SAFETY: the program's own arguments, or a descriptor of ours.
    unsafe { function(socket_behind(descriptor), status) }
}

/// # Safety
/// As [`fstat`].
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn fstat64(descriptor: c_int, status: *mut c_void) -> c_int {
    let Some(function) = next::fstat64.find() else { return fail(libc::ENOSYS) };
    // SAFETY: the program's own arguments, or a descriptor of ours.
    unsafe { function(socket_behind(descriptor), status) }
}

/// # Safety
/// [`fstat`] of programs that were linked with a GNU C library before 2.33: .NET and Node.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn __fxstat(version: c_int, descriptor: c_int, status: *mut c_void) -> c_int {
    let Some(function) = next::__fxstat.find() else { return fail(libc::ENOSYS) };
    // SAFETY: the program's own arguments, or a descriptor of ours.
    unsafe { function(version, socket_behind(descriptor), status) }
}

/// # Safety
/// As [`__fxstat`].
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn __fxstat64(version: c_int, descriptor: c_int, status: *mut c_void) -> c_int {
    let Some(function) = next::__fxstat64.find() else { return fail(libc::ENOSYS) };
    // SAFETY: the program's own arguments, or a descriptor of ours.
    unsafe { function(version, socket_behind(descriptor), status) }
}

/// # Safety
/// `statx(2)`: with an empty path, [`fstat`].
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn statx(
    folder: c_int,
    path: *const c_char,
    flags: c_int,
    mask: c_uint,
    status: *mut c_void,
) -> c_int {
    let Some(function) = next::statx.find() else { return fail(libc::ENOSYS) };
    // SAFETY: the program's own arguments, or a descriptor of ours.
    unsafe { function(socket_behind(folder), path, flags, mask, status) }
}

/// # Safety
/// `fstatat(2)`: with an empty path, [`fstat`].
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn fstatat(
    folder: c_int,
    path: *const c_char,
    status: *mut c_void,
    flags: c_int,
) -> c_int {
    let Some(function) = next::fstatat.find() else { return fail(libc::ENOSYS) };
    // SAFETY: the program's own arguments, or a descriptor of ours.
    unsafe { function(socket_behind(folder), path, status, flags) }
}

/// # Safety
/// As [`fstatat`].
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn fstatat64(
    folder: c_int,
    path: *const c_char,
    status: *mut c_void,
    flags: c_int,
) -> c_int {
    let Some(function) = next::fstatat64.find() else { return fail(libc::ENOSYS) };
    // SAFETY: the program's own arguments, or a descriptor of ours.
    unsafe { function(socket_behind(folder), path, status, flags) }
}

fn socket_behind(descriptor: c_int) -> c_int {
    listener_of(descriptor).map_or(descriptor, |listener| listener.descriptor(Behind::Original))
}

/// # Safety
/// `epoll_ctl(2)`.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn epoll_ctl(
    epoll: c_int,
    operation: c_int,
    descriptor: c_int,
    event: *mut epoll_event,
) -> c_int {
    const EXCLUSIVE: u32 = libc::EPOLLEXCLUSIVE as u32;
    if listener_of(descriptor).is_none() || event.is_null() {
        // SAFETY: the program's own arguments.
        return unsafe { next::epoll_ctl.get()(epoll, operation, descriptor, event) };
    }
    // SAFETY: not null; an epoll_event is packed on some platforms, so it is copied.
    let mut event = unsafe { ptr::read_unaligned(event) };
    // an epoll instance cannot be waited for exclusively
    event.events &= !EXCLUSIVE;
    // SAFETY: the program's own arguments but for the copy, which outlives the call.
    unsafe { next::epoll_ctl.get()(epoll, operation, descriptor, &raw mut event) }
}

/// # Safety
/// `socket(2)`: a number that a listener had and that was closed behind our back is no listener any more.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn socket(domain: c_int, kind: c_int, protocol: c_int) -> c_int {
    // SAFETY: the program's own arguments.
    let socket = unsafe { next::socket.get()(domain, kind, protocol) };
    if let (Entry::Listener(number), true) = (entry(socket), is_owner()) {
        table::set(socket, Entry::Other);
        at(number).release();
    }
    socket
}
