//! Socket addresses of the C interface, and `::ffff:` for what a dual-stack listener accepted.
//!
//! A connection over IPv4 that came through a dual-stack listener is a real AF_INET socket, but the program must see mapped
//! addresses from `accept`, `getpeername` and `getsockname` alike. Which sockets these are the kernel remembers: such a socket
//! has IP_MULTICAST_ALL off, which means nothing to TCP and stays with it through dup, fork, exec and descriptor passing.

use core::ffi::c_int;
use core::mem;
use core::ptr;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use libc::{sockaddr, sockaddr_in, sockaddr_in6, socklen_t};
use rustix::io::Errno;

use crate::next;
use crate::settings::settings;

const IP_MULTICAST_ALL: c_int = 49;

/// Marks an AF_INET socket that came through a dual-stack listener.
pub(crate) fn mark(socket: c_int) {
    set_int(socket, libc::IPPROTO_IP, IP_MULTICAST_ALL, 0);
}

/// Also in a process that was sent the socket. Where nothing is shared, nobody is asked.
pub(crate) fn is_marked(socket: c_int) -> bool {
    settings().is_some() && has_mark(socket)
}

/// False for what is no AF_INET socket.
fn has_mark(socket: c_int) -> bool {
    let mut value: c_int = 1;
    let mut length = length_of(&value);
    // SAFETY: both outlive the call, and the length is the value's.
    let result = unsafe {
        next::getsockopt.get()(
            socket,
            libc::IPPROTO_IP,
            IP_MULTICAST_ALL,
            (&raw mut value).cast(),
            &raw mut length,
        )
    };
    result == 0 && value == 0 && domain(socket) == Some(libc::AF_INET)
}

fn domain(socket: c_int) -> Option<c_int> {
    option(socket, libc::SOL_SOCKET, libc::SO_DOMAIN)
}

/// An option that is an int.
pub(crate) fn option(socket: c_int, level: c_int, name: c_int) -> Option<c_int> {
    let mut value: c_int = 0;
    let mut length = length_of(&value);
    // SAFETY: both outlive the call, and the length is the value's.
    let result =
        unsafe { next::getsockopt.get()(socket, level, name, (&raw mut value).cast(), &raw mut length) };
    (result == 0).then_some(value)
}

pub(crate) fn set_int(socket: c_int, level: c_int, name: c_int, value: c_int) {
    // SAFETY: the value outlives the call, and the length is its own.
    unsafe {
        next::setsockopt.get()(socket, level, name, (&raw const value).cast(), length_of(&value));
    }
}

pub(crate) fn length_of<T>(_: &T) -> socklen_t {
    mem::size_of::<T>() as socklen_t
}

/// An IPv4 or IPv6 address of the program; none if it is another family or too short.
///
/// # Safety
/// `address` is null or points to `length` octets.
pub(crate) unsafe fn read(address: *const sockaddr, length: socklen_t) -> Option<SocketAddr> {
    if address.is_null() || (length as usize) < mem::size_of::<sockaddr_in>() {
        return None;
    }
    // SAFETY: at least a sockaddr_in is readable there, alignment is not assumed.
    let family = unsafe { ptr::read_unaligned(address).sa_family };
    match c_int::from(family) {
        libc::AF_INET => {
            // SAFETY: as above.
            let v4 = unsafe { ptr::read_unaligned(address.cast::<sockaddr_in>()) };
            let ip = Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr));
            Some(SocketAddrV4::new(ip, u16::from_be(v4.sin_port)).into())
        }
        libc::AF_INET6 if length as usize >= mem::size_of::<sockaddr_in6>() => {
            // SAFETY: a sockaddr_in6 is readable there, alignment is not assumed.
            let v6 = unsafe { ptr::read_unaligned(address.cast::<sockaddr_in6>()) };
            let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
            Some(SocketAddrV6::new(ip, u16::from_be(v6.sin6_port), v6.sin6_flowinfo, v6.sin6_scope_id).into())
        }
        _ => None,
    }
}

/// Gives the program an address, as the kernel does: cut off at `*length`, which becomes the whole length.
///
/// # Errors
/// EFAULT if one of the two is null, EINVAL if the length is negative as an int.
///
/// # Safety
/// `address` points to `*length` writable octets, or either is null.
pub(crate) unsafe fn write(
    value: SocketAddr,
    address: *mut sockaddr,
    length: *mut socklen_t,
) -> Result<(), Errno> {
    if address.is_null() || length.is_null() {
        return Err(Errno::FAULT);
    }
    // SAFETY: not null, so the program's own.
    if unsafe { *length }.cast_signed() < 0 {
        return Err(Errno::INVAL);
    }
    match value {
        SocketAddr::V4(v4) => {
            let raw = sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: v4.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from(*v4.ip()).to_be() },
                sin_zero: [0; 8],
            };
            // SAFETY: passed on.
            unsafe { write_raw(&raw, address, length) };
        }
        SocketAddr::V6(v6) => {
            let raw = sockaddr_in6 {
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: v6.port().to_be(),
                sin6_flowinfo: v6.flowinfo(),
                sin6_addr: libc::in6_addr { s6_addr: v6.ip().octets() },
                sin6_scope_id: v6.scope_id(),
            };
            // SAFETY: passed on.
            unsafe { write_raw(&raw, address, length) };
        }
    }
    Ok(())
}

/// # Safety
/// As [`write`], and not null.
unsafe fn write_raw<T>(raw: &T, address: *mut sockaddr, length: *mut socklen_t) {
    // SAFETY: `length` is valid; at most `*length` octets are written to `address`, and read from `raw`.
    unsafe {
        let room = (*length as usize).min(mem::size_of::<T>());
        ptr::copy_nonoverlapping(ptr::from_ref(raw).cast::<u8>(), address.cast::<u8>(), room);
        *length = length_of(raw);
    }
}

/// The peer of a connection as `accept` shows it, also when it has reset the connection since and `getpeername` knows it no
/// more: SO_PEERNAME asks the kernel as its own `accept` does.
pub(crate) fn accepted_peer(socket: c_int, is_v4: bool) -> Option<SocketAddr> {
    let mut buffer = [0u8; mem::size_of::<sockaddr_in6>()];
    // the kernel refuses whoever asks for more than the address has
    let mut length = if is_v4 { mem::size_of::<sockaddr_in>() as socklen_t } else { length_of(&buffer) };
    let value = buffer.as_mut_ptr();
    // SAFETY: the buffer has at least `length` octets, and both outlive the call.
    let result = unsafe {
        next::getsockopt.get()(socket, libc::SOL_SOCKET, libc::SO_PEERNAME, value.cast(), &raw mut length)
    };
    // SAFETY: the buffer has `length` octets.
    if result == 0 { unsafe { read(value.cast(), length) } } else { None }
}

/// IPv4 as a dual-stack socket shows it.
pub(crate) fn mapped(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(v4) => SocketAddrV6::new(v4.ip().to_ipv6_mapped(), v4.port(), 0, 0).into(),
        v6 => v6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_the_same_and_is_cut_off_as_the_kernel_does() {
        for text in ["192.0.2.1:808", "[2001:db8::1]:65535", "[::ffff:192.0.2.1]:1"] {
            let value: SocketAddr = text.parse().unwrap();
            let mut buffer = [0xAAu8; 64];
            let mut length: socklen_t = 64;
            // SAFETY: the buffer has `length` octets.
            let read = unsafe {
                write(value, buffer.as_mut_ptr().cast(), &raw mut length).unwrap();
                read(buffer.as_ptr().cast(), length)
            };
            assert_eq!(read, Some(value));
            let whole = length;
            let mut short = [0xAAu8; 64];
            length = 4;
            // SAFETY: the buffer has more than `length` octets.
            unsafe { write(value, short.as_mut_ptr().cast(), &raw mut length) }.unwrap();
            assert_eq!((length, &short[..4], short[4]), (whole, &buffer[..4], 0xAA));
            length = socklen_t::MAX;
            // SAFETY: nothing is written for such a length.
            let refused = unsafe { write(value, short.as_mut_ptr().cast(), &raw mut length) };
            assert_eq!(refused, Err(Errno::INVAL));
        }
    }

    #[test]
    fn ipv4_is_shown_mapped() {
        assert_eq!(mapped("192.0.2.1:7".parse().unwrap()), "[::ffff:192.0.2.1]:7".parse().unwrap());
    }
}
