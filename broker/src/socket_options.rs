//! Socket options that no library has a function for. nix has the macro its own options are made with, so that the unsafe
//! call is nix's.

use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::time::Duration;

use nix::libc;
use nix::sys::socket::sockopt::{GetStruct, SetStruct};
use nix::sys::socket::{getsockopt, setsockopt};

/// How long a silent connection stays with the kernel: until it repeats its answer to the SYN for the first time.
const SILENT_SECONDS: u32 = 1;

/// After so long every connection that the kernel kept from us is there, if deferring was switched off.
pub(crate) const STRAGGLERS: Duration = Duration::from_millis(1200);

#[derive(Clone, Copy, Debug)]
struct DeferAccept;
nix::setsockopt_impl!(DeferAccept, libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT, u32, SetStruct<'_, u32>);

#[derive(Clone, Copy, Debug)]
struct MinTtl;
nix::setsockopt_impl!(MinTtl, libc::IPPROTO_IP, libc::IP_MINTTL, u32, SetStruct<'_, u32>);

#[derive(Clone, Copy, Debug)]
struct MinHopCount;
nix::setsockopt_impl!(MinHopCount, libc::IPPROTO_IPV6, libc::IPV6_MINHOPCOUNT, u32, SetStruct<'_, u32>);

#[derive(Clone, Copy, Debug)]
struct TcpInfo;
nix::getsockopt_impl!(TcpInfo, libc::IPPROTO_TCP, libc::TCP_INFO, libc::tcp_info, GetStruct<libc::tcp_info>);

/// How many connections wait to be accepted; `None` if the kernel does not say. An `accept4` that finds nobody costs more
/// than one that finds somebody, and this a tenth of either.
pub(crate) fn waiting(listener: impl AsFd) -> Option<usize> {
    // In the state LISTEN the field has this meaning.
    usize::try_from(getsockopt(&listener, TcpInfo).ok()?.tcpi_unacked).ok()
}

/// `TCP_DEFER_ACCEPT`: a connection is shown to us when its first octets are there, so that one look is mostly enough.
/// Without it everything works as well, slower.
pub(crate) fn defer_accept(socket: impl AsFd, on: bool) {
    let seconds = if on { SILENT_SECONDS } else { 0 };
    if let Err(error) = setsockopt(&socket, DeferAccept, &seconds) {
        tracing::debug!(%error, "TCP_DEFER_ACCEPT is not to be had");
    }
}

/// Makes a listening socket drop every SYN, silently: an initiator sends it again a second later. The connections it has
/// already are not affected. Nothing travels with the highest TTL there is, not even over loopback.
pub(crate) fn set_deaf(socket: impl AsFd, address: SocketAddr, deaf: bool) {
    let least = if deaf { 255 } else { 0 };
    let set = match address {
        SocketAddr::V4(_) => setsockopt(&socket, MinTtl, &least),
        SocketAddr::V6(_) => setsockopt(&socket, MinHopCount, &least),
    };
    if let Err(error) = set {
        tracing::debug!(%error, "IP_MINTTL is not to be had");
    }
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Write};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_silent_connection_is_not_shown_yet() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        defer_accept(&listener, true);
        listener.set_nonblocking(true).unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
        client.write_all(b"\0").unwrap();
        listener.accept().unwrap();
    }

    #[test]
    fn the_kernel_counts_who_waits() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        assert_eq!(waiting(&listener), Some(0));
        let _clients = [(); 3].map(|()| TcpStream::connect(listener.local_addr().unwrap()).unwrap());
        assert_eq!(waiting(&listener), Some(3));
        drop(listener.accept().unwrap());
        assert_eq!(waiting(&listener), Some(2));
    }

    #[test]
    fn a_deaf_listener_keeps_what_it_has() {
        for ip in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(ip) else { continue };
            let address = listener.local_addr().unwrap();
            defer_accept(&listener, true);
            listener.set_nonblocking(true).unwrap();
            let mut client = TcpStream::connect(address).unwrap();
            set_deaf(&listener, address, true);
            defer_accept(&listener, false);
            let newcomer = TcpStream::connect_timeout(&address, Duration::from_millis(100));
            assert_eq!(newcomer.unwrap_err().kind(), ErrorKind::TimedOut);
            client.write_all(b"\0").unwrap();
            let (accepted, _) = listener.accept().unwrap();
            // What came in through a deaf listener is deaf, too, until it is told otherwise.
            set_deaf(&accepted, address, false);
            client.write_all(b"\0").unwrap();
            let mut octets = [0; 2];
            accepted.set_nonblocking(false).unwrap();
            std::io::Read::read_exact(&mut &accepted, &mut octets).unwrap();
        }
    }
}
