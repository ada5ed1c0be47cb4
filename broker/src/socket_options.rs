//! What the kernel is told and asked of a socket: options that no library has a function for, and the addresses of both ends.
//! nix has the macro its own options are made with, so that the unsafe call is nix's.

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
struct BindToIfIndex;
nix::setsockopt_impl!(BindToIfIndex, libc::SOL_SOCKET, libc::SO_BINDTOIFINDEX, i32, SetStruct<'_, i32>);

#[derive(Clone, Copy, Debug)]
struct TcpInfo;
nix::getsockopt_impl!(TcpInfo, libc::IPPROTO_TCP, libc::TCP_INFO, libc::tcp_info, GetStruct<libc::tcp_info>);

#[derive(Clone, Copy, Debug)]
struct ReceiveLowMark;
nix::setsockopt_impl!(ReceiveLowMark, libc::SOL_SOCKET, libc::SO_RCVLOWAT, i32, SetStruct<'_, i32>);

/// States of a TCP socket, by the kernel's numbers.
const ESTABLISHED: u8 = 1;
const CLOSE_WAIT: u8 = 8;

/// How many connections wait to be accepted; `None` if the kernel does not say. An `accept4` that finds nobody costs more
/// than one that finds somebody, and this a tenth of either.
pub(crate) fn waiting(listener: impl AsFd) -> Option<usize> {
    // In the state LISTEN the field has this meaning.
    usize::try_from(getsockopt(&listener, TcpInfo).ok()?.tcpi_unacked).ok()
}

/// For how many milliseconds nothing has come.
pub(crate) fn since_last_octets(socket: impl AsFd) -> Option<u32> {
    Some(getsockopt(&socket, TcpInfo).ok()?.tcpi_last_data_recv)
}

/// Whether this is a TCP socket that is connected, and whose end on this machine has not been ended.
pub(crate) fn may_still_be_served(socket: impl AsFd) -> bool {
    getsockopt(&socket, TcpInfo).is_ok_and(|info| matches!(info.tcpi_state, ESTABLISHED | CLOSE_WAIT))
}

/// Makes a socket that another program has had be as one that was just accepted, as far as the broker depends on it: no call
/// on it waits, the first octet makes it readable, and closing it is no reset.
pub(crate) fn as_accepted(socket: impl AsFd) {
    let _ = rustix::io::ioctl_fionbio(&socket, true);
    let _ = setsockopt(&socket, ReceiveLowMark, &1);
    let _ = rustix::net::sockopt::set_socket_linger(&socket, None);
}

/// `TCP_DEFER_ACCEPT`: a connection is shown to us when its first octets are there, so that one look is mostly enough.
/// Without it everything works as well, slower.
pub(crate) fn defer_accept(socket: impl AsFd, on: bool) {
    let seconds = if on { SILENT_SECONDS } else { 0 };
    if let Err(error) = setsockopt(&socket, DeferAccept, &seconds) {
        tracing::debug!(%error, "TCP_DEFER_ACCEPT is not to be had");
    }
}

/// Makes a listening socket take no new connections, for good: they are refused as if the port was closed. What the kernel
/// has begun goes on, for it knows those connections by themselves; listening sockets it looks up by the device that a SYN
/// comes in through, and this one listens on a device that there is not.
///
/// Without it (Linux before 5.7, as an ordinary user) the socket takes connections until it is closed.
pub(crate) fn turn_away(listener: impl AsFd) {
    if let Err(error) = setsockopt(&listener, BindToIfIndex, &i32::MAX) {
        tracing::debug!(%error, "SO_BINDTOIFINDEX is not to be had");
    }
}

/// The local address of a connection.
pub(crate) fn local_address(socket: impl AsFd) -> Option<SocketAddr> {
    rustix::net::getsockname(socket).ok()?.try_into().ok()
}

/// The initiator's address.
pub(crate) fn peer_address(socket: impl AsFd) -> Option<SocketAddr> {
    rustix::net::getpeername(socket).ok()??.try_into().ok()
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
    fn a_connection_may_be_served_until_our_end_of_it_is_ended() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(!may_still_be_served(&listener));
        assert!(!may_still_be_served(std::fs::File::open("/dev/null").unwrap()));
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        assert!(may_still_be_served(&accepted));
        client.shutdown(std::net::Shutdown::Write).unwrap();
        accepted.peek(&mut [0]).unwrap();
        assert!(may_still_be_served(&accepted), "what was sent before may be answered");
        assert!(!may_still_be_served(&client));
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
    fn a_listener_that_turns_others_away_keeps_what_it_has() {
        for ip in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(ip) else { continue };
            let address = listener.local_addr().unwrap();
            defer_accept(&listener, true);
            let mut client = TcpStream::connect(address).unwrap();
            let silent = TcpStream::connect(address).unwrap();
            turn_away(&listener);
            defer_accept(&listener, false);
            let newcomer = TcpStream::connect(address);
            assert_eq!(newcomer.unwrap_err().kind(), ErrorKind::ConnectionRefused);
            // What was begun comes, whether it speaks or not, and is a connection like any other.
            client.write_all(b"x").unwrap();
            for expected in [&client, &silent] {
                let (mut accepted, peer) = listener.accept().unwrap();
                assert_eq!(peer, expected.local_addr().unwrap());
                accepted.write_all(b"y").unwrap();
                std::io::Read::read_exact(&mut &*expected, &mut [0]).unwrap();
            }
        }
    }
}
