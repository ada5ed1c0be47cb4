//! Why a listener of the program is not shared: said once for each, as nobody would look for it.

use core::ffi::c_int;
use core::mem;
use core::sync::atomic::{AtomicU32, Ordering};
use std::env;
use std::net::SocketAddr;

use handoff::environment::ADDRESSES_VARIABLE;
use libc::sockaddr_in6;

use crate::settings::settings;
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
        say::news(format_args!("{local} is not shared: --address names other IP addresses of port {port}"));
    } else {
        say::line(format_args!("{local} is not shared: it was not bound by a `bind` that the library sees"));
    }
}

/// What a program inherits is bound already (`LISTEN_FDS`, inetd).
pub(crate) fn say_inherited(socket: c_int) {
    if address::option(socket, libc::SOL_SOCKET, libc::SO_ACCEPTCONN) != Some(1) {
        return;
    }
    let (Some(local), Some(settings)) = (local(socket), settings()) else { return };
    if settings.has_port(local.port()) || env::var_os("LISTEN_FDS").is_some() {
        say::line(format_args!(
            "descriptor {socket}, which listens on {local}, is not shared: the program has it from whoever started it; \
             it must bind its address itself"
        ));
    }
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
