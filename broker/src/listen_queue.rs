//! How many connections wait to be accepted.
//!
//! `TCP_INFO` of a listening socket says it. An `accept4` that finds nobody costs more than one that finds somebody, and
//! this call a tenth of either. No library has a function for it; nix has the macro its own options are made with, so that
//! the unsafe call is nix's.

use std::os::fd::AsFd;

use nix::libc;
use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::GetStruct;

#[derive(Clone, Copy, Debug)]
struct TcpInfo;

nix::getsockopt_impl!(TcpInfo, libc::IPPROTO_TCP, libc::TCP_INFO, libc::tcp_info, GetStruct<libc::tcp_info>);

/// The length of a listening socket's queue; `None` if the kernel does not say.
pub(crate) fn length(listener: impl AsFd) -> Option<usize> {
    // In the state LISTEN the field has this meaning.
    usize::try_from(getsockopt(&listener, TcpInfo).ok()?.tcpi_unacked).ok()
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn counts_who_waits() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        assert_eq!(length(&listener), Some(0));
        let _clients = [(); 3].map(|()| TcpStream::connect(listener.local_addr().unwrap()).unwrap());
        assert_eq!(length(&listener), Some(3));
        drop(listener.accept().unwrap());
        assert_eq!(length(&listener), Some(2));
    }
}
