//! Whether an address could be listened on, found without listening.

use std::net::SocketAddr;

use rustix::net::{bind, sockopt};

use super::{ListenError, unbound};

/// Whether an address could be listened on now, given that nothing of ours is on its port; IPv6 alone, or with IPv4 where that is
/// the system's default. It is bound for a moment, and nobody can connect.
///
/// # Errors
/// As for [`super::open`].
pub(crate) fn check_free(address: SocketAddr, ipv6_only: bool) -> Result<(), ListenError> {
    let attempt = || {
        let socket = unbound(address)?;
        if !ipv6_only && address.is_ipv6() {
            sockopt::set_ipv6_v6only(&socket, ipv6_is_alone())?;
        }
        bind(&socket, &address)
    };
    attempt().map_err(|errno| ListenError::new(address, errno, &[]))
}

/// Whether a socket for all IPv6 addresses has those of IPv4 only if it asks for them.
fn ipv6_is_alone() -> bool {
    std::fs::read_to_string("/proc/sys/net/ipv6/bindv6only").is_ok_and(|told| told.trim() == "1")
}
