//! Whose connections are counted together: an IPv4 address's, or those of the first 64 bits of an IPv6 address, which one host has.

use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::AsFd;

use crate::socket_options::peer_address;

/// The source that an address belongs to, by the first address of it.
pub(crate) fn source(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX)).into(),
        ip => ip,
    }
}

/// The source of a connection; `None` if it is none any more.
pub(crate) fn source_of(socket: impl AsFd) -> Option<IpAddr> {
    peer_address(socket).map(|peer| source(peer.ip()))
}
