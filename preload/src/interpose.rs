//! The functions of the C library that a program calls instead of the originals.
//!
//! Each looks its descriptor up and passes the call on unchanged if it is not a listener's.

use core::ffi::{c_int, c_uint, c_ulong, c_void};
use core::ptr;
use core::sync::atomic::Ordering;
use std::fs;
use std::net::SocketAddr;

use libc::{epoll_event, sockaddr, socklen_t};
use rustix::io::Errno;

use crate::address;
use crate::descriptor::is_open;
use crate::listener::{self, Behind, LISTENERS, Listener, MEMFD_NAME, Shared, Wanted, at};
use crate::next::{self, fail};
use crate::reconnect;
use crate::settings::{self, settings};
use crate::table::{self, Entry, entry, is_owner};
use crate::watchers::open_descriptors;

#[used]
#[unsafe(link_section = ".init_array")]
static LOADED: extern "C" fn() = loaded;

/// Before the program's first line: what later must neither allocate nor take the loader's lock.
extern "C" fn loaded() {
    next::find_all();
    table::own();
    settings::load();
    if settings().is_none() {
        return;
    }
    // SAFETY: `own` stays loaded as long as the process lives, and does nothing that a child of fork may not.
    unsafe { libc::pthread_atfork(None, None, Some(own)) };
    adopt_inherited();
}

unsafe extern "C" fn own() {
    table::own();
}

/// An exec'd program has inherited listeners if it has their pages.
fn adopt_inherited() {
    let descriptors = open_descriptors();
    for state in &descriptors {
        if address::has_mark(*state) {
            address::expect_marked();
        }
        let target = fs::read_link(format!("/proc/self/fd/{state}"));
        if target.is_ok_and(|target| target.to_string_lossy().starts_with(&format!("/memfd:{MEMFD_NAME} "))) {
            listener::adopt(*state, |shared| programs_of(shared, &descriptors));
        }
    }
}

/// The descriptors that are the listener's epoll instance, but for the one behind it.
fn programs_of(shared: &Shared, descriptors: &[c_int]) -> Vec<c_int> {
    let epoll = shared.descriptor(Behind::Epoll);
    descriptors.iter().copied().filter(|other| *other != epoll && is_same_file(epoll, *other)).collect()
}

fn is_same_file(one: c_int, other: c_int) -> bool {
    const KCMP_FILE: c_int = 0;
    let process = table::pid();
    // SAFETY: compares two descriptors of this process; no memory is involved.
    match unsafe { libc::syscall(libc::SYS_kcmp, process, process, KCMP_FILE, one, other) } {
        0 => true,
        -1 if next::errno() != libc::EBADF => {
            // not allowed here: an epoll instance with the same content is the same
            let content = |number| fs::read_to_string(format!("/proc/self/fdinfo/{number}")).ok();
            content(one).is_some_and(|content| content.contains("tfd:")) && content(one) == content(other)
        }
        _ => false,
    }
}

fn listener_of(descriptor: c_int) -> Option<&'static Listener> {
    match entry(descriptor) {
        Entry::Listener(number) => Some(at(number)),
        _ => None,
    }
}

fn answer(result: Result<(), Errno>) -> c_int {
    match result {
        Ok(()) => 0,
        Err(errno) => fail(errno.raw_os_error()),
    }
}

/// # Safety
/// `bind(2)`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bind(socket: c_int, address: *const sockaddr, length: socklen_t) -> c_int {
    // SAFETY: the program's own arguments.
    let shared = unsafe { address::read(address, length) }.and_then(|local| share(socket, local));
    match shared {
        Some(result) => answer(result),
        // SAFETY: the program's own arguments.
        None => unsafe { next::bind.get()(socket, address, length) },
    }
}

/// None if it is no socket of ours to share.
fn share(socket: c_int, local: SocketAddr) -> Option<Result<(), Errno>> {
    let settings = settings()?;
    if listener_of(socket).is_some() {
        return Some(Err(Errno::INVAL));
    }
    let addresses = settings.addresses_of(local);
    let option = |level, name| address::option(socket, level, name);
    let family = if local.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    if addresses.is_empty()
        || option(libc::SOL_SOCKET, libc::SO_PROTOCOL) != Some(libc::IPPROTO_TCP)
        || option(libc::SOL_SOCKET, libc::SO_DOMAIN) != Some(family)
    {
        return None;
    }
    let dual_stack = local.is_ipv6() && option(libc::IPPROTO_IPV6, libc::IPV6_V6ONLY) == Some(0);
    let wanted = Wanted { local, dual_stack };
    Some(match reconnect::register(settings, addresses, wanted.bound()) {
        Ok(registration) => listener::create(socket, &wanted, registration),
        Err(error) => Err(reconnect::tell(&error)),
    })
}

/// # Safety
/// `listen(2)`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listen(socket: c_int, backlog: c_int) -> c_int {
    let Some(listener) = listener_of(socket) else {
        // SAFETY: the program's own arguments.
        return unsafe { next::listen.get()(socket, backlog) };
    };
    let shared = listener.shared();
    if shared.shut.load(Ordering::Acquire) == 1 {
        // after shutdown, a TCP socket that listens again has its port back
        let registration = reconnect::again(listener).map_err(|error| reconnect::tell(&error));
        let renewed = registration.and_then(|registration| listener.renew(registration, listener.epoch()));
        if let Err(errno) = renewed {
            return fail(errno.raw_os_error());
        }
        shared.shut.store(0, Ordering::Release);
    }
    shared.listening.store(1, Ordering::Release);
    0
}

/// # Safety
/// `accept(2)`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn accept(socket: c_int, address: *mut sockaddr, length: *mut socklen_t) -> c_int {
    match listener_of(socket) {
        // SAFETY: the program's own arguments.
        Some(listener) => unsafe { accept_from(listener, socket, address, length, 0) },
        // SAFETY: as above.
        None => unsafe { next::accept.get()(socket, address, length) },
    }
}

/// # Safety
/// `accept4(2)`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn accept4(
    socket: c_int,
    address: *mut sockaddr,
    length: *mut socklen_t,
    flags: c_int,
) -> c_int {
    match listener_of(socket) {
        // SAFETY: the program's own arguments.
        Some(listener) => unsafe { accept_from(listener, socket, address, length, flags) },
        // SAFETY: as above.
        None => unsafe { next::accept4.get()(socket, address, length, flags) },
    }
}

/// # Safety
/// As `accept4(2)`.
unsafe fn accept_from(
    listener: &'static Listener,
    socket: c_int,
    address: *mut sockaddr,
    length: *mut socklen_t,
    flags: c_int,
) -> c_int {
    // SAFETY: passed on.
    match unsafe { crate::accept::accept(listener, socket, address, length, flags) } {
        Ok(accepted) => accepted,
        Err(errno) => fail(errno.raw_os_error()),
    }
}

/// # Safety
/// `getsockname(2)`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getsockname(socket: c_int, address: *mut sockaddr, length: *mut socklen_t) -> c_int {
    match listener_of(socket) {
        Some(_) if address.is_null() || length.is_null() => fail(libc::EFAULT),
        Some(listener) => {
            // SAFETY: the program's own arguments, not null.
            unsafe { address::write(listener.shared().local(), address, length) };
            0
        }
        // SAFETY: the program's own arguments.
        None => answer(unsafe { crate::accept::name(next::getsockname.get(), socket, address, length) }),
    }
}

/// # Safety
/// `getpeername(2)`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getpeername(socket: c_int, address: *mut sockaddr, length: *mut socklen_t) -> c_int {
    match listener_of(socket) {
        Some(_) => fail(libc::ENOTCONN),
        // SAFETY: the program's own arguments.
        None => answer(unsafe { crate::accept::peer(socket, address, length) }),
    }
}

/// # Safety
/// `getsockopt(2)`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getsockopt(
    socket: c_int,
    level: c_int,
    name: c_int,
    value: *mut c_void,
    length: *mut socklen_t,
) -> c_int {
    let Some(listener) = listener_of(socket) else {
        // SAFETY: the program's own arguments.
        let result = unsafe { next::getsockopt.get()(socket, level, name, value, length) };
        return match shown_as_ipv6(socket, level, name, result) {
            // SAFETY: as above; the kernel has found them good, or they are checked.
            Some(shown) => unsafe { write_int(shown, value, length) },
            None => result,
        };
    };
    if (level, name) == (libc::SOL_SOCKET, libc::SO_ACCEPTCONN) {
        let listening = listener.shared().listening.load(Ordering::Acquire) as c_int;
        // SAFETY: the program's own arguments, checked.
        return unsafe { write_int(listening, value, length) };
    }
    // SAFETY: the program's own arguments.
    unsafe { next::getsockopt.get()(listener.descriptor(Behind::Original), level, name, value, length) }
}

/// What an IPv4 connection of a dual-stack listener answers as the IPv6 socket that it would have been.
fn shown_as_ipv6(socket: c_int, level: c_int, name: c_int, result: c_int) -> Option<c_int> {
    match (level, name) {
        (libc::SOL_SOCKET, libc::SO_DOMAIN) if result == 0 => {
            address::is_marked(socket).then_some(libc::AF_INET6)
        }
        (libc::IPPROTO_IPV6, libc::IPV6_V6ONLY) if result != 0 => {
            let errno = next::errno();
            let shown = address::is_marked(socket).then_some(0);
            fail(errno);
            shown
        }
        _ => None,
    }
}

/// # Safety
/// `value` points to `*length` writable octets, or either is null.
unsafe fn write_int(shown: c_int, value: *mut c_void, length: *mut socklen_t) -> c_int {
    if value.is_null() || length.is_null() {
        return fail(libc::EFAULT);
    }
    let octets = shown.to_ne_bytes();
    // SAFETY: not null; no more than `*length` octets are written.
    unsafe {
        let room = (*length as usize).min(octets.len());
        ptr::copy_nonoverlapping(octets.as_ptr(), value.cast(), room);
        *length = room as socklen_t;
    }
    0
}

/// # Safety
/// `setsockopt(2)`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn setsockopt(
    socket: c_int,
    level: c_int,
    name: c_int,
    value: *const c_void,
    length: socklen_t,
) -> c_int {
    let Some(listener) = listener_of(socket) else {
        // SAFETY: the program's own arguments.
        let result = unsafe { next::setsockopt.get()(socket, level, name, value, length) };
        if result != 0 && level == libc::IPPROTO_IPV6 {
            let errno = next::errno();
            // on an IPv6 socket with an IPv4 peer it would have been accepted without effect
            return if address::is_marked(socket) { 0 } else { fail(errno) };
        }
        return result;
    };
    let original = listener.descriptor(Behind::Original);
    // SAFETY: the program's own arguments.
    let result = unsafe { next::setsockopt.get()(original, level, name, value, length) };
    if result == 0 {
        // SAFETY: as above; the kernel has read `length` octets there.
        unsafe { listener.shared().options.note(level, name, value, length) };
        if (level, name) == (libc::SOL_SOCKET, libc::SO_RCVTIMEO) {
            let _ = listener.set_receive_timeout();
        }
    }
    result
}

/// # Safety
/// `shutdown(2)`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shutdown(socket: c_int, how: c_int) -> c_int {
    let Some(listener) = listener_of(socket) else {
        // SAFETY: the program's own arguments.
        return unsafe { next::shutdown.get()(socket, how) };
    };
    match how {
        libc::SHUT_RD | libc::SHUT_RDWR if listener.shared().listening.load(Ordering::Acquire) == 1 => {
            listener.shut()
        }
        libc::SHUT_RD | libc::SHUT_RDWR => return fail(libc::ENOTCONN),
        libc::SHUT_WR => {}
        _ => return fail(libc::EINVAL),
    }
    0
}

/// # Safety
/// `close(2)`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn close(descriptor: c_int) -> c_int {
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
pub unsafe extern "C" fn close_range(first: c_uint, last: c_uint, flags: c_int) -> c_int {
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
pub unsafe extern "C" fn closefrom(lowest: c_int) {
    let first = c_uint::try_from(lowest).unwrap_or(0);
    // SAFETY: as `close_range`.
    unsafe { close_range(first, c_uint::MAX, 0) };
}

/// Notes that `copy`, which `dup` or the like gave, is the same as `of`.
fn noted(of: c_int, copy: c_int) -> c_int {
    if let Entry::Listener(number) = entry(of)
        && copy >= 0
        && copy != of
        && is_owner()
    {
        at(number).refer();
        table::set(copy, Entry::Listener(number));
    }
    copy
}

/// # Safety
/// `dup(2)`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dup(descriptor: c_int) -> c_int {
    // SAFETY: the program's own argument.
    noted(descriptor, unsafe { next::dup.get()(descriptor) })
}

/// # Safety
/// `dup2(2)`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dup2(descriptor: c_int, to: c_int) -> c_int {
    // SAFETY: the program's own arguments.
    over(descriptor, to, || unsafe { next::dup2.get()(descriptor, to) })
}

/// # Safety
/// `dup3(2)`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dup3(descriptor: c_int, to: c_int, flags: c_int) -> c_int {
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
pub unsafe extern "C" fn fcntl(descriptor: c_int, command: c_int, argument: usize) -> c_int {
    // SAFETY: the program's own arguments.
    control(descriptor, command, argument, || unsafe { next::fcntl.get()(descriptor, command, argument) })
}

/// # Safety
/// As [`fcntl`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fcntl64(descriptor: c_int, command: c_int, argument: usize) -> c_int {
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
pub unsafe extern "C" fn ioctl(descriptor: c_int, request: c_ulong, argument: usize) -> c_int {
    // SAFETY: the program's own arguments.
    let result = unsafe { next::ioctl.get()(descriptor, request, argument) };
    if result >= 0 && (request == libc::FIOCLEX || request == libc::FIONCLEX) {
        inherit(descriptor, request == libc::FIOCLEX);
    }
    result
}

/// What an exec'd program inherits of a listener is all of it or nothing.
fn inherit(descriptor: c_int, close_on_exec: bool) {
    if let Some(listener) = listener_of(descriptor) {
        listener.set_close_on_exec(close_on_exec);
    }
}

/// # Safety
/// `epoll_ctl(2)`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epoll_ctl(
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
pub unsafe extern "C" fn socket(domain: c_int, kind: c_int, protocol: c_int) -> c_int {
    // SAFETY: the program's own arguments.
    let socket = unsafe { next::socket.get()(domain, kind, protocol) };
    if let (Entry::Listener(number), true) = (entry(socket), is_owner()) {
        table::set(socket, Entry::Other);
        at(number).release();
    }
    socket
}
