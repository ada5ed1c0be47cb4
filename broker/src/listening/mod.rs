//! Opens listening sockets, also beside others of ours on the same port.
//!
//! Linux lets a socket for one address and a socket for all addresses listen on one port only if both have
//! `SO_REUSEPORT` when the second is bound; and whoever has that option, of the same user, may join. So ours have it only
//! for the moment of that bind. Two traces of it must not stay:
//!
//! - A foreign listener with the option may be on the port, and we would have joined it: the table of listening sockets
//!   is read before and after.
//! - The kernel remembers, for the port as a whole, the address that was last bound with the option, and lets the same
//!   user bind that address with it again without looking for conflicts. A bind of another address takes its place in
//!   that memory: one of the other family (one of the same family would not, when the first is "all"), from a
//!   range that no host has.
//!
//! [`owner`]: who else listens there; [`free`]: whether nobody does. This folder uses no other.

pub(crate) mod free;
pub(crate) mod owner;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use handoff::RefusedReason;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketFlags, SocketType, accept_with, bind, ipproto, listen, socket_with, sockopt,
};

use self::owner::{Listener, listeners_on, overlap, owner_of};
use crate::socket_options::{defer_accept, turn_away, waiting};

/// As many connections as the system lets wait.
pub(crate) const BACKLOG: u16 = 4096;

/// Nobody's addresses: TEST-NET-1 (RFC 5737) and the discard prefix (RFC 6666).
const NOWHERE: (Ipv4Addr, Ipv6Addr) =
    (Ipv4Addr::new(192, 0, 2, 77), Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, 0x77));

/// Connections accepted from one socket before others get their turn.
pub(crate) const TURN: usize = 64;

/// A listening socket and the address it was opened for.
#[derive(Clone, Debug)]
pub(crate) struct Listening {
    pub(crate) address: SocketAddr,
    pub(crate) socket: Arc<OwnedFd>,
}

impl Listening {
    pub(crate) fn new(address: SocketAddr, socket: OwnedFd) -> Self {
        Self { address, socket: Arc::new(socket) }
    }

    /// Whether both are one socket. There may be two for one address, when the older is about to close.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.socket, &other.socket)
    }

    /// How many connections wait to be accepted, as far as is known.
    pub(crate) fn waiting(&self) -> Option<usize> {
        waiting(&self.socket)
    }

    /// The connection that has waited longest.
    pub(crate) fn accept(&self) -> Result<OwnedFd, Errno> {
        accept_with(&self.socket, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC)
    }

    /// Takes no new connections any more; those that the kernel has begun to make come soon.
    pub(crate) fn turn_away(&self) {
        turn_away(&self.socket);
        defer_accept(&self.socket, false);
    }
}

/// Why a port could not be opened.
#[derive(Debug)]
pub(crate) struct ListenError {
    address: SocketAddr,
    errno: Errno,
    /// Who has it.
    foreign: Option<Listener>,
}

impl ListenError {
    fn new(address: SocketAddr, errno: Errno, ours: &[Listening]) -> Self {
        let in_use = errno == Errno::ADDRINUSE;
        Self { address, errno, foreign: in_use.then(|| foreign(address, ours).into_iter().next()).flatten() }
    }

    /// The family, or the address, does not exist here.
    pub(crate) fn is_absent(&self) -> bool {
        [Errno::AFNOSUPPORT, Errno::ADDRNOTAVAIL, Errno::PROTONOSUPPORT].contains(&self.errno)
    }

    /// The number of the socket that has the port, if another program's has.
    pub(crate) fn holder(&self) -> Option<u64> {
        self.foreign.map(|listener| listener.inode)
    }

    /// There was no descriptor.
    pub(crate) fn is_shortage(&self) -> bool {
        [Errno::MFILE, Errno::NFILE].contains(&self.errno)
    }

    /// What a worker is refused for.
    pub(crate) fn reason(&self) -> RefusedReason {
        match self.errno {
            Errno::ACCESS | Errno::PERM => RefusedReason::PortNotPermitted,
            Errno::MFILE | Errno::NFILE => RefusedReason::RegistrationQuotaExceeded,
            // `INVAL`: a link-local address without its interface.
            Errno::ADDRNOTAVAIL | Errno::AFNOSUPPORT | Errno::INVAL => RefusedReason::AddressNotAvailable,
            _ => RefusedReason::FailedToListen,
        }
    }

    /// The same with the program that has the port. Every process may have to be asked: it can take long.
    pub(crate) fn explained(&self) -> String {
        let Some(Listener { address, inode }) = self.foreign else { return self.to_string() };
        let owner =
            owner_of(inode).map_or_else(|| "a program of another user".to_owned(), |owner| owner.to_string());
        format!("address already in use: {owner} listens on {address}")
    }
}

impl std::fmt::Display for ListenError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { address, errno, foreign } = self;
        match (*errno, foreign) {
            (Errno::ADDRINUSE, Some(foreign)) => {
                write!(f, "address already in use: another program listens on {}", foreign.address)
            }
            (Errno::ADDRINUSE, None) => write!(f, "{address} is already in use by another program"),
            (Errno::ACCESS | Errno::PERM, _) => {
                write!(
                    f,
                    "not permitted to listen on {address}: {}",
                    handoff::why_not_permitted(address.port())
                )
            }
            (Errno::ADDRNOTAVAIL, _) => {
                write!(f, "{} is no address of this machine (`ip address` lists them)", address.ip())
            }
            (Errno::INVAL, _) if is_link_local(address.ip()) => {
                let ip = address.ip();
                write!(
                    f,
                    "{ip} is a link-local address, which cannot be shared; listen on [::] or on another address"
                )
            }
            (Errno::MFILE | Errno::NFILE, _) => write!(f, "no descriptor is free to listen on {address}"),
            (errno, _) => write!(f, "cannot listen on {address}: {}", io::Error::from(errno)),
        }
    }
}

/// `fe80::/10`, of which every interface may have the same.
fn is_link_local(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local())
}

/// Whether an address may be listened on, given that all addresses are on its port.
///
/// # Errors
/// As for [`open`]: it is no address of this machine.
pub(crate) fn is_here(address: SocketAddr) -> Result<(), ListenError> {
    // The kernel looks at the address before it looks who has the port.
    match unbound(address).and_then(|socket| bind(&socket, &address)) {
        Ok(()) | Err(Errno::ADDRINUSE) => Ok(()),
        Err(errno) => Err(ListenError::new(address, errno, &[])),
    }
}

/// Listens on an address. `ours` are the sockets we have on that port already.
pub(crate) fn open(address: SocketAddr, ours: &[Listening]) -> Result<Listening, ListenError> {
    let failed = |errno| ListenError::new(address, errno, ours);
    let beside: Vec<&Listening> =
        ours.iter().filter(|other| other.address.is_ipv4() == address.is_ipv4()).collect();
    let socket = unbound(address).map_err(failed)?;
    match bind_and_listen(&socket, address) {
        Err(Errno::ADDRINUSE) if !beside.is_empty() => {}
        result => {
            result.map_err(failed)?;
            return Ok(Listening::new(address, socket));
        }
    }
    drop(socket);

    if !foreign(address, ours).is_empty() {
        return Err(failed(Errno::ADDRINUSE));
    }
    let socket = open_beside(address, &beside).map_err(failed)?;
    let opened = Listening::new(address, socket);
    let all: Vec<Listening> = ours.iter().chain([&opened]).cloned().collect();
    forget_reuse(address, &all);
    if !foreign(address, &all).is_empty() {
        return Err(failed(Errno::ADDRINUSE));
    }
    Ok(opened)
}

fn unbound(address: SocketAddr) -> Result<OwnedFd, Errno> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP))?;
    // Connections of a broker that ran before may still be in TIME_WAIT.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    Ok(socket)
}

fn bind_and_listen(socket: &OwnedFd, address: SocketAddr) -> Result<(), Errno> {
    bind(socket, &address)?;
    defer_accept(socket, true);
    listen(socket, BACKLOG.into())
}

/// With `SO_REUSEPORT` on all of them, for the moment.
fn open_beside(address: SocketAddr, beside: &[&Listening]) -> Result<OwnedFd, Errno> {
    let socket = unbound(address)?;
    sockopt::set_socket_reuseport(&socket, true)?;
    let result = with_reuse(beside.iter().map(|other| &*other.socket), || bind_and_listen(&socket, address));
    sockopt::set_socket_reuseport(&socket, false)?;
    result.map(|()| socket)
}

/// Puts an address that nobody has into the kernel's memory of the last bind with `SO_REUSEPORT`.
fn forget_reuse(address: SocketAddr, ours: &[Listening]) {
    let nowhere = match address {
        SocketAddr::V4(_) => IpAddr::V6(NOWHERE.1),
        SocketAddr::V6(_) => IpAddr::V4(NOWHERE.0),
    };
    let nowhere = SocketAddr::new(nowhere, address.port());
    let attempt = || {
        let socket = unbound(nowhere)?;
        sockopt::set_socket_reuseport(&socket, true)?;
        match nowhere {
            SocketAddr::V4(_) => sockopt::set_ip_freebind(&socket, true)?,
            SocketAddr::V6(_) => sockopt::set_ipv6_freebind(&socket, true)?,
        }
        with_reuse(ours.iter().map(|other| &*other.socket), || bind(&socket, &nowhere))
    };
    if let Err(error) = attempt() {
        // Without the other family: another program of this user, with SO_REUSEPORT, could listen on this address too.
        tracing::warn!(%error, %address, "the port cannot be closed to other programs of this user with SO_REUSEPORT");
    }
}

fn with_reuse<'a, T>(
    sockets: impl Iterator<Item = &'a OwnedFd> + Clone,
    act: impl FnOnce() -> Result<T, Errno>,
) -> Result<T, Errno> {
    for socket in sockets.clone() {
        sockopt::set_socket_reuseport(socket, true)?;
    }
    let result = act();
    for socket in sockets {
        sockopt::set_socket_reuseport(socket, false)?;
    }
    result
}

/// Listening sockets on the port that are not ours, and that overlap with the address.
fn foreign(address: SocketAddr, ours: &[Listening]) -> Vec<Listener> {
    let own: Vec<u64> = ours.iter().filter_map(|listening| inode(&listening.socket)).collect();
    let listeners = listeners_on(address.port()).into_iter();
    listeners.filter(|other| overlap(other.address, address) && !own.contains(&other.inode)).collect()
}

fn inode(socket: impl AsFd) -> Option<u64> {
    rustix::fs::fstat(socket).ok().map(|stat| stat.st_ino)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};

    use super::*;

    const V4: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    const V6: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
    const LOCAL4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const LOCAL6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

    /// Like another program of the same user that sets `SO_REUSEPORT`.
    fn intrude(ip: IpAddr, port: u16) -> Result<OwnedFd, Errno> {
        let address = SocketAddr::new(ip, port);
        let socket = unbound(address)?;
        sockopt::set_socket_reuseport(&socket, true)?;
        bind_and_listen(&socket, address)?;
        Ok(socket)
    }

    fn free_port() -> u16 {
        TcpListener::bind("0.0.0.0:0").unwrap().local_addr().unwrap().port()
    }

    #[test]
    fn one_and_all_in_any_order_and_nobody_else() {
        if !test_peers::needs_ipv6() {
            return;
        }
        for order in [
            &[LOCAL4, V4, V6][..],
            &[LOCAL4, LOCAL6, V4, V6],
            &[V4, V6, LOCAL4, LOCAL6],
            &[V4, LOCAL4, V6, LOCAL6],
            &[LOCAL6, V6, V4, LOCAL4],
        ] {
            let port = free_port();
            let mut ours = Vec::new();
            for &ip in order {
                ours.push(open(SocketAddr::new(ip, port), &ours).unwrap());
                // Whatever our sockets cover, no other program can bind.
                for other in ours.iter().map(|listening| listening.address.ip()) {
                    assert_eq!(intrude(other, port).err(), Some(Errno::ADDRINUSE), "{order:?} {other}");
                }
            }
            for ip in [LOCAL4, LOCAL6, "127.0.0.2".parse().unwrap()] {
                assert_eq!(intrude(ip, port).err(), Some(Errno::ADDRINUSE), "{order:?} {ip}");
            }
        }
    }

    #[test]
    fn a_foreign_listener_is_never_joined() {
        let port = free_port();
        let ours = vec![open(SocketAddr::new(LOCAL4, port), &[]).unwrap()];
        // It comes while ours has the option set.
        sockopt::set_socket_reuseport(&ours[0].socket, true).unwrap();
        let foreign = intrude("127.0.0.2".parse().unwrap(), port).unwrap();
        sockopt::set_socket_reuseport(&ours[0].socket, false).unwrap();

        let error = open(SocketAddr::new(V4, port), &ours).unwrap_err();
        let message = error.explained();
        assert!(
            message.contains("127.0.0.2") && message.contains(&format!("pid {}", std::process::id())),
            "{message}"
        );
        drop(foreign);
        open(SocketAddr::new(V4, port), &ours).unwrap();
    }

    #[test]
    fn all_of_ipv4_is_nothing_to_ipv6() {
        let other = TcpListener::bind("0.0.0.0:0").unwrap();
        let port = other.local_addr().unwrap().port();
        for ip in [V6, LOCAL6] {
            assert!(foreign(SocketAddr::new(ip, port), &[]).is_empty(), "{ip}");
        }
        for ip in [V4, LOCAL4] {
            assert_eq!(foreign(SocketAddr::new(ip, port), &[]).len(), 1, "{ip}");
        }
    }

    #[test]
    fn the_narrower_socket_gets_its_connections() {
        let port = free_port();
        let mut ours = Vec::new();
        for ip in [LOCAL4, V4] {
            ours.push(open(SocketAddr::new(ip, port), &ours).unwrap());
        }
        let mut clients = ["127.0.0.1", "127.0.0.2"].map(|ip| TcpStream::connect((ip, port)).unwrap());
        for client in &mut clients {
            client.write_all(b"\0").unwrap();
        }
        for listening in &ours {
            rustix::net::accept(&*listening.socket).unwrap();
            assert_eq!(rustix::net::accept(&*listening.socket).err(), Some(Errno::AGAIN));
        }
    }

    /// As without the broker: a program that may not have a port is told so, and not that another has it.
    #[test]
    fn what_is_not_permitted_is_not_in_use() {
        let refused = |errno| ListenError::new(SocketAddr::new(LOCAL4, 80), errno, &[]);
        for errno in [Errno::ACCESS, Errno::PERM] {
            let error = refused(errno);
            assert_eq!(error.reason(), RefusedReason::PortNotPermitted);
            assert!(error.explained().starts_with("not permitted to listen on 127.0.0.1:80: "), "{error}");
        }
        assert_eq!(refused(Errno::MFILE).reason(), RefusedReason::RegistrationQuotaExceeded);
        assert_eq!(refused(Errno::ADDRNOTAVAIL).reason(), RefusedReason::AddressNotAvailable);
        assert_eq!(refused(Errno::ADDRINUSE).reason(), RefusedReason::FailedToListen);
    }

    #[test]
    fn says_who_has_the_port() {
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = other.local_addr().unwrap();
        let message = open(address, &[]).unwrap_err().explained();
        assert!(message.starts_with("address already in use: "), "{message}");
        assert!(message.contains(&format!("(pid {})", std::process::id())), "{message}");
        assert!(message.ends_with(&format!("listens on {address}")), "{message}");
    }
}
