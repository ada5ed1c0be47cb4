//! Ports that tests may use.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;

use crate::skip;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, getsockname, ipproto, socket_with, sockopt};

/// A port that is free in both families, and stays so while this process lives: sockets that are bound and do not listen
/// keep the kernel from giving it to anybody who asks for any port, also as the near end of a connection. Who asks for this
/// one with `SO_REUSEADDR`, as servers do, gets it.
///
/// # Panics
/// No socket can be had.
pub fn free_port() -> u16 {
    loop {
        let (four, port) = reserve(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))).expect("a free port");
        if !has_ipv6() {
            std::mem::forget(four);
            return port;
        }
        if let Some((six, _)) = reserve(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))) {
            std::mem::forget((four, six));
            return port;
        }
    }
}

/// Whether this machine has IPv6.
pub fn has_ipv6() -> bool {
    TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok()
}

/// The same for a test that can do nothing without; if not, it says so as [`skip`] does.
///
/// # Panics
/// As [`skip`].
#[track_caller]
pub fn needs_ipv6() -> bool {
    let has = has_ipv6();
    if !has {
        skip("IPv6", "it needs ::1");
    }
    has
}

/// `None` if another socket has the address.
fn reserve(address: SocketAddr) -> Option<(OwnedFd, u16)> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    // A child would have it beside its own descriptors.
    let tcp = Some(ipproto::TCP);
    let reserved = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, tcp).expect("a socket");
    sockopt::set_socket_reuseaddr(&reserved, true).expect("SO_REUSEADDR");
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&reserved, true).expect("IPV6_V6ONLY");
    }
    bind(&reserved, &address).ok()?;
    let port =
        SocketAddr::try_from(getsockname(&reserved).expect("its own address")).expect("an IP address").port();
    Some((reserved, port))
}
