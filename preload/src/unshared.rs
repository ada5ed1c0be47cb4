//! Why a listener of the program is not shared: said once for each, as nobody would look for it.

use core::ffi::{CStr, c_char, c_int};
use core::sync::atomic::{AtomicU32, Ordering};
use core::{mem, ptr};
use std::net::SocketAddr;
use std::{env, fs};

use handoff::environment::{ADDRESSES_VARIABLE, INHERITED_SAID_VARIABLE};
use libc::sockaddr_in6;

use crate::next::environ;
use crate::settings::settings;
use crate::watchers::open_descriptors;
use crate::{address, next, say};

/// A program that opens listeners all the time is not to fill a log.
const MOST: u32 = 16;

static SAID: AtomicU32 = AtomicU32::new(0);

/// A descriptor of the program listens, and is none of ours.
pub(crate) fn say(socket: c_int) {
    let Some(local) = local(socket) else { return };
    if SAID.fetch_add(1, Ordering::Relaxed) >= MOST {
        return;
    }
    let port = local.port();
    let Some(settings) = settings() else {
        let value = env::var(ADDRESSES_VARIABLE).unwrap_or_default();
        return say::line(format_args!(
            "port {port} is not shared: no address is in {ADDRESSES_VARIABLE}={value}"
        ));
    };
    if !settings.has_port(port) {
        let authorities = settings.authorities();
        say::news(format_args!("port {port} is not shared: --address names {authorities}"));
    } else if settings.addresses_of(local).is_empty() {
        let others = settings.others_of_port(local).join(", ");
        say::news(format_args!(
            "{local} is not shared: --address names other IP addresses of port {port} ({others})"
        ));
    } else {
        say::line(format_args!("{local} is not shared: it was not bound by a `bind` that the library sees"));
    }
}

/// The program's own `bind` has failed: the broker may have the port, for this program's other IP addresses or for other programs.
pub(crate) fn say_not_bound(socket: c_int, local: SocketAddr) {
    let Some(settings) = settings() else { return };
    if address::option(socket, libc::SOL_SOCKET, libc::SO_PROTOCOL) != Some(libc::IPPROTO_TCP)
        || SAID.fetch_add(1, Ordering::Relaxed) >= MOST
    {
        return;
    }
    let port = local.port();
    if settings.has_port(port) {
        let others = settings.others_of_port(local).join(", ");
        return say::line(format_args!(
            "{local} is not shared, and cannot be bound beside the broker: --address names {others}"
        ));
    }
    let authorities = settings.authorities();
    say::news(format_args!(
        "port {port} is taken, and not shared: --address names {authorities}; if the broker has port {port}, name an address with it"
    ));
}

/// io_uring goes past the C library, to a descriptor that is no socket. Who makes a ring only after `listen` is not seen.
pub(crate) fn say_io_uring(local: SocketAddr) {
    let is_ring = |descriptor: c_int| {
        let target = fs::read_link(format!("/proc/self/fd/{descriptor}"));
        target.is_ok_and(|target| target.as_os_str() == "anon_inode:[io_uring]")
    };
    if open_descriptors().into_iter().any(is_ring) {
        say::news(format_args!(
            "this program has an io_uring: if it accepts from {local} by that, and not by `accept`, it gets no connection, \
             but ENOTSOCK (socket operation on non-socket)"
        ));
    }
}

/// What a program inherits is bound already (`LISTEN_FDS`, inetd). Of all the processes of a start script the first says it:
/// what `main` is given, and shells pass on, are the octets that are changed here.
pub(crate) fn say_inherited(descriptors: &[c_int]) {
    let said = said_cell();
    // SAFETY: null, or the value of a variable, which is at least the null behind it. Nobody else runs yet.
    if unsafe { said.as_ref() } == Some(&(b'1' as c_char)) {
        return;
    }
    let said_some = descriptors.iter().filter(|descriptor| is_said_inherited(**descriptor)).count() > 0;
    // SAFETY: as above; the kernel, or whoever has set it since, keeps the environment where it can be changed.
    if let Some(said) = unsafe { said.as_mut() }.filter(|said| said_some && **said == b'0' as c_char) {
        *said = b'1' as c_char;
    }
}

/// Where the value of the variable is; null if it is not set.
fn said_cell() -> *mut c_char {
    // SAFETY: the C library's array of C strings, which ends with null.
    unsafe {
        let mut next = environ;
        while !next.is_null() && !(*next).is_null() {
            let value = CStr::from_ptr(*next).to_bytes().strip_prefix(INHERITED_SAID_VARIABLE.as_bytes());
            if value.is_some_and(|value| value.starts_with(b"=")) {
                return (*next).add(INHERITED_SAID_VARIABLE.len() + 1).cast_mut();
            }
            next = next.add(1);
        }
    }
    ptr::null_mut()
}

fn is_said_inherited(socket: c_int) -> bool {
    if address::option(socket, libc::SOL_SOCKET, libc::SO_ACCEPTCONN) != Some(1) {
        return false;
    }
    let (Some(local), Some(settings)) = (local(socket), settings()) else { return false };
    let concerns = settings.has_port(local.port()) || env::var_os("LISTEN_FDS").is_some();
    if concerns {
        say::line(format_args!(
            "descriptor {socket}, which listens on {local}, is not shared: the program has it from whoever started it; \
             it must bind its address itself"
        ));
    }
    concerns
}

/// Where a TCP socket is bound.
fn local(socket: c_int) -> Option<SocketAddr> {
    if address::option(socket, libc::SOL_SOCKET, libc::SO_PROTOCOL) != Some(libc::IPPROTO_TCP) {
        return None;
    }
    let mut buffer = [0u8; mem::size_of::<sockaddr_in6>()];
    let mut length = address::length_of(&buffer);
    // SAFETY: the buffer has `length` octets, and both outlive the call; the kernel fills as many as `length` then says.
    unsafe {
        match next::getsockname.get()(socket, buffer.as_mut_ptr().cast(), &raw mut length) {
            0 => address::read(buffer.as_ptr().cast(), length),
            _ => None,
        }
    }
}
