//! `accept` of a listener: one message of the accept socket.

use core::ffi::{c_int, c_void};
use core::sync::atomic::Ordering;
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd};

use handoff::ReceiveError;
use handoff::accept_socket::{Sockets, receive_lowest};
use libc::{nfds_t, pollfd, sockaddr, sockaddr_in, socklen_t};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, socket_timeout};

use crate::descriptor::{borrow, set_close_on_exec};
use crate::listener::{Listener, Outage};
use crate::shared::Behind;
use crate::{address, next, reconnect};

enum Taken {
    Socket(OwnedFd),
    /// None waits.
    None,
    /// None waits, and the broker is gone: the accept socket of this generation has ended.
    Ended(u32),
}

/// The next connection of `program`, a descriptor of `listener`.
///
/// # Errors
/// Those of `accept4`.
///
/// # Safety
/// `address` points to `*length` writable octets, or is null.
pub(crate) unsafe fn accept(
    listener: &'static Listener,
    program: c_int,
    address: *mut sockaddr,
    length: *mut socklen_t,
    flags: c_int,
) -> Result<c_int, Errno> {
    if flags & !(libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC) != 0 {
        return Err(Errno::INVAL);
    }
    let epoch = listener.epoch();
    loop {
        if listener.shared().listening.load(Ordering::Acquire) == 0 {
            return Err(Errno::INVAL);
        }
        let taken = listener.exclusively(|| take(listener))?;
        if let Taken::Socket(socket) = taken {
            // SAFETY: passed on.
            return unsafe { finish(listener, socket, address, length, flags) };
        }
        let outage = match taken {
            Taken::Ended(generation) => Some(Outage { epoch, generation }),
            _ => None,
        };
        if let Some(outage) = outage {
            reconnect::start(listener, outage);
        }
        if fcntl_getfl(borrow(program))?.contains(OFlags::NONBLOCK) {
            return Err(Errno::AGAIN);
        }
        match outage {
            Some(outage) => wait_for_registration(listener, program, outage)?,
            None => wait(listener)?,
        }
        if listener.epoch() != epoch {
            return Err(Errno::BADF);
        }
    }
}

fn take(listener: &Listener) -> Result<Taken, Errno> {
    let mut sockets = Sockets::default();
    loop {
        listener.refresh();
        let generation = listener.generation();
        match receive_lowest(borrow(listener.descriptor(Behind::Accept)), &mut sockets) {
            // one socket per message was asked for
            Ok(true) => return Ok(sockets.drain().next().map_or(Taken::None, Taken::Socket)),
            Ok(false) => return Ok(Taken::None),
            Err(ReceiveError::TooManyOpenFiles) => return Err(Errno::MFILE),
            Err(ReceiveError::Closed) => {
                let shared = listener.shared();
                if shared.shut.load(Ordering::Acquire) == 1 {
                    return Err(Errno::INVAL);
                }
                if shared.generation.load(Ordering::Acquire) == generation {
                    listener.quiet();
                    return Ok(Taken::Ended(generation));
                }
                listener.refresh();
                if listener.generation() == generation {
                    // the newer accept socket could not be had: no room for it
                    return Err(Errno::MFILE);
                }
            }
            Err(ReceiveError::Malformed) => {}
            Err(error) => return Err(Errno::from_io_error(&error.into()).unwrap_or(Errno::IO)),
        }
    }
}

// Waiting is by the C library's functions: a thread that waits can be cancelled, as in `accept`, which unwinds its stack.
unsafe extern "C-unwind" {
    fn recv(socket: c_int, buffer: *mut c_void, length: usize, flags: c_int) -> isize;
    fn poll(descriptors: *mut pollfd, count: nfds_t, timeout: c_int) -> c_int;
}

/// Until there may be a connection.
fn wait(listener: &Listener) -> Result<(), Errno> {
    let mut octet = 0u8;
    let accept = listener.descriptor(Behind::Accept);
    // SAFETY: one octet is writable, and outlives the call.
    match unsafe { recv(accept, (&raw mut octet).cast(), 1, libc::MSG_PEEK) } {
        -1 => Err(Errno::from_raw_os_error(next::errno())),
        _ => Ok(()),
    }
}

/// Until the outage is over. A call of the kernel that has a timeout is never restarted, and one without is: so are these.
fn wait_for_registration(listener: &Listener, program: c_int, outage: Outage) -> Result<(), Errno> {
    let timeout = socket_timeout(borrow(listener.descriptor(Behind::Original)), Timeout::Recv)?;
    let Some(timeout) = timeout else {
        listener.over.wait()?;
        if outage.is_over(listener) {
            // for the next who waits
            listener.over.post();
        }
        return Ok(());
    };
    let timeout = c_int::try_from(timeout.as_millis()).unwrap_or(c_int::MAX);
    let mut readable = pollfd { fd: program, events: libc::POLLIN, revents: 0 };
    // SAFETY: one pollfd, which outlives the call.
    match unsafe { poll(&raw mut readable, 1, timeout) } {
        -1 => Err(Errno::from_raw_os_error(next::errno())),
        0 => Err(Errno::AGAIN),
        _ => Ok(()),
    }
}

/// Makes it what `accept4` of the program's own listener would have given: also a connection that its peer has reset already,
/// which shows at the first read or write.
///
/// # Safety
/// As [`accept`].
unsafe fn finish(
    listener: &Listener,
    socket: OwnedFd,
    address: *mut sockaddr,
    length: *mut socklen_t,
    flags: c_int,
) -> Result<c_int, Errno> {
    let number = socket.as_raw_fd();
    let shared = listener.shared();
    shared.options.apply(number);
    let mapped = shared.dual_stack.load(Ordering::Relaxed) == 1
        && address::option(number, libc::SOL_SOCKET, libc::SO_DOMAIN) == Some(libc::AF_INET);
    if mapped {
        address::mark(number);
    }
    if !address.is_null() {
        let is_v4 = mapped || shared.local().is_ipv4();
        // as the kernel says where it knows no peer
        let peer = address::accepted_peer(number, is_v4).ok_or(Errno::CONNABORTED)?;
        let peer = if mapped { address::mapped(peer) } else { peer };
        // SAFETY: passed on; it writes at most `*length` octets.
        unsafe { address::write(peer, address, length) }?;
    }
    // it arrives non-blocking and closed on exec
    if flags & libc::SOCK_NONBLOCK == 0 {
        fcntl_setfl(&socket, OFlags::empty())?;
    }
    if flags & libc::SOCK_CLOEXEC == 0 {
        set_close_on_exec(number, false);
    }
    Ok(socket.into_raw_fd())
}

/// # Safety
/// `address` points to `*length` writable octets.
pub(crate) unsafe fn peer(
    socket: c_int,
    address: *mut sockaddr,
    length: *mut socklen_t,
) -> Result<(), Errno> {
    // SAFETY: passed on.
    unsafe { name(next::getpeername.get(), socket, address, length) }
}

/// A `getsockname` or `getpeername` that maps what came through a dual-stack listener.
///
/// # Safety
/// `function` is one of the two; `address` points to `*length` writable octets, or what the kernel refuses.
pub(crate) unsafe fn name(
    function: unsafe extern "C-unwind" fn(c_int, *mut sockaddr, *mut socklen_t) -> c_int,
    socket: c_int,
    address: *mut sockaddr,
    length: *mut socklen_t,
) -> Result<(), Errno> {
    // SAFETY: the program's own; the kernel refuses null.
    let room = if length.is_null() { 0 } else { unsafe { *length } };
    // SAFETY: the program's own arguments.
    if unsafe { function(socket, address, length) } != 0 {
        return Err(Errno::from_raw_os_error(next::errno()));
    }
    // SAFETY: the kernel has written there.
    let is_v4 = unsafe { *length } == size_of::<sockaddr_in>() as socklen_t;
    if !is_v4 || !address::is_marked(socket) {
        return Ok(());
    }
    let mut buffer = [0u8; size_of::<sockaddr_in>()];
    let mut written = address::length_of(&buffer);
    // SAFETY: the buffer is that long.
    if unsafe { function(socket, buffer.as_mut_ptr().cast(), &raw mut written) } != 0 {
        return Err(Errno::from_raw_os_error(next::errno()));
    }
    // SAFETY: the kernel has written `written` octets, at most the buffer's; there was `room` before.
    unsafe {
        let value = address::read(buffer.as_ptr().cast(), written).ok_or(Errno::INVAL)?;
        *length = room;
        address::write(address::mapped(value), address, length)
    }
}
