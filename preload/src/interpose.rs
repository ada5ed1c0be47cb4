//! The functions of the C library that a program calls instead of the originals, as far as they are about sockets.
//!
//! Each looks its descriptor up and passes the call on unchanged if it is not a listener's. A thread may be cancelled in some of
//! them, which unwinds its stack.

use core::ffi::{c_int, c_void};
use core::ptr;
use core::sync::atomic::Ordering;
use std::net::SocketAddr;

use libc::{sockaddr, socklen_t};
use rustix::io::Errno;

use crate::create::Wanted;
use crate::listener::{self, Listener};
use crate::next::{self, fail};
use crate::settings::settings;
use crate::shared::Behind;
use crate::{address, create, load, options, reconnect, register, say, unshared};

/// The listener that a socket is. The constructor of another library may call before ours has run.
fn listener_of(socket: c_int) -> Option<&'static Listener> {
    load::ensure();
    listener::listener_of(socket)
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
pub unsafe extern "C-unwind" fn bind(socket: c_int, address: *const sockaddr, length: socklen_t) -> c_int {
    // SAFETY: the program's own arguments.
    let local = unsafe { address::read(address, length) };
    if let Some(result) = local.and_then(|local| share(socket, local)) {
        return answer(result);
    }
    // SAFETY: the program's own arguments.
    let result = unsafe { next::bind.get()(socket, address, length) };
    let errno = next::errno();
    if let Some(local) = local.filter(|_| result != 0 && errno == libc::EADDRINUSE) {
        unshared::say_not_bound(socket, local);
        fail(errno);
    }
    result
}

/// None if it is no socket of ours to share.
fn share(socket: c_int, local: SocketAddr) -> Option<Result<(), Errno>> {
    if listener_of(socket).is_some() {
        return Some(Err(Errno::INVAL));
    }
    let settings = settings()?;
    let addresses = settings.addresses_of(local);
    let option = |level, name| address::option(socket, level, name);
    let family = if local.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    if addresses.is_empty()
        || option(libc::SOL_SOCKET, libc::SO_PROTOCOL) != Some(libc::IPPROTO_TCP)
        || option(libc::SOL_SOCKET, libc::SO_DOMAIN) != Some(family)
    {
        return None;
    }
    settings.say_broken();
    let dual_stack = local.is_ipv6() && option(libc::IPPROTO_IPV6, libc::IPV6_V6ONLY) == Some(0);
    let wanted = Wanted { local, dual_stack };
    if let Some(option) = options::unsuitable(socket) {
        say::line(format_args!(
            "{local} cannot be shared: {option} was set, which the broker's listener has not; {}",
            options::INSTEAD
        ));
        return Some(Err(Errno::OPNOTSUPP));
    }
    Some(match register::first(settings, &addresses, &wanted.bound()) {
        Ok(registration) => create::create(socket, &wanted, registration),
        Err(error) => Err(register::tell(&error)),
    })
}

/// # Safety
/// `listen(2)`.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn listen(socket: c_int, backlog: c_int) -> c_int {
    let Some(listener) = listener_of(socket) else {
        // SAFETY: the program's own arguments.
        let result = unsafe { next::listen.get()(socket, backlog) };
        if result == 0 {
            unshared::say(socket);
        }
        return result;
    };
    let shared = listener.shared();
    if shared.shut.load(Ordering::Acquire) == 1 {
        // after shutdown, a TCP socket that listens again has its port back
        let registration = reconnect::again(listener).map_err(|error| register::tell(&error));
        let renewed = registration.and_then(|registration| listener.renew(registration, listener.epoch()));
        if let Err(errno) = renewed {
            return fail(errno.raw_os_error());
        }
        shared.shut.store(0, Ordering::Release);
    }
    if shared.listening.swap(1, Ordering::AcqRel) == 0 {
        reconnect::say_registered(listener, "registered");
        unshared::say_io_uring(shared.local());
    }
    0
}

/// # Safety
/// `accept(2)`.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn accept(
    socket: c_int,
    address: *mut sockaddr,
    length: *mut socklen_t,
) -> c_int {
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
pub unsafe extern "C-unwind" fn accept4(
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
pub unsafe extern "C-unwind" fn getsockname(
    socket: c_int,
    address: *mut sockaddr,
    length: *mut socklen_t,
) -> c_int {
    match listener_of(socket) {
        // SAFETY: the program's own arguments.
        Some(listener) => answer(unsafe { address::write(listener.shared().local(), address, length) }),
        // SAFETY: the program's own arguments.
        None => answer(unsafe { crate::accept::name(next::getsockname.get(), socket, address, length) }),
    }
}

/// # Safety
/// `getpeername(2)`.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn getpeername(
    socket: c_int,
    address: *mut sockaddr,
    length: *mut socklen_t,
) -> c_int {
    match listener_of(socket) {
        Some(_) => fail(libc::ENOTCONN),
        // SAFETY: the program's own arguments.
        None => answer(unsafe { crate::accept::peer(socket, address, length) }),
    }
}

/// # Safety
/// `getsockopt(2)`.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn getsockopt(
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
pub unsafe extern "C-unwind" fn setsockopt(
    socket: c_int,
    level: c_int,
    name: c_int,
    value: *const c_void,
    length: socklen_t,
) -> c_int {
    let Some(listener) = listener_of(socket) else {
        // SAFETY: the program's own arguments.
        let result = unsafe { next::setsockopt.get()(socket, level, name, value, length) };
        if result == 0 && settings().is_some() {
            options::note_untold(socket, level, name);
        }
        if result != 0 && level == libc::IPPROTO_IPV6 {
            let errno = next::errno();
            // on an IPv6 socket with an IPv4 peer it would have been accepted without effect
            return if address::is_marked(socket) { 0 } else { fail(errno) };
        }
        return result;
    };
    if let Some(option) = options::name_of_unsuitable(level, name) {
        say::line(format_args!(
            "{option} is refused: the broker's listener has it not; {}",
            options::INSTEAD
        ));
        return fail(libc::ENOPROTOOPT);
    }
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
pub unsafe extern "C-unwind" fn shutdown(socket: c_int, how: c_int) -> c_int {
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
/// `connect(2)`: to no address, it ends listening, as `shutdown` does.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn connect(socket: c_int, address: *const sockaddr, length: socklen_t) -> c_int {
    let Some(listener) = listener_of(socket) else {
        // SAFETY: the program's own arguments.
        return unsafe { next::connect.get()(socket, address, length) };
    };
    if address.is_null() || (length as usize) < size_of::<libc::sa_family_t>() {
        return fail(libc::EINVAL);
    }
    // SAFETY: a family is readable there, alignment is not assumed.
    let family = unsafe { ptr::read_unaligned(address.cast::<libc::sa_family_t>()) };
    if c_int::from(family) != libc::AF_UNSPEC {
        return fail(libc::EISCONN);
    }
    listener.shut();
    0
}
