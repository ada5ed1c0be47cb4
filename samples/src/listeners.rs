//! Who listens on a TCP port, as `/proc` tells.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

/// `TCP_LISTEN` of the kernel's socket states.
const LISTENING: &str = "0A";

/// A listening socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListeningSocket {
    /// The local address.
    pub address: SocketAddr,
    /// Its number in the file system of sockets.
    pub inode: u64,
}

/// The listening sockets of a port, IPv4 before IPv6.
///
/// # Errors
/// `/proc/net/tcp` cannot be read.
pub fn on_port(port: u16) -> io::Result<Vec<ListeningSocket>> {
    let v4 = std::fs::read_to_string("/proc/net/tcp")?;
    // missing where the machine has no IPv6
    let v6 = std::fs::read_to_string("/proc/net/tcp6").unwrap_or_default();
    let sockets = v4.lines().chain(v6.lines()).filter_map(parse);
    Ok(sockets.filter(|socket| socket.address.port() == port).collect())
}

/// Whether a process has that socket open.
///
/// # Errors
/// The process is gone or another user's.
pub fn process_has(pid: u32, inode: u64) -> io::Result<bool> {
    let socket = format!("socket:[{inode}]");
    for descriptor in std::fs::read_dir(format!("/proc/{pid}/fd"))? {
        if std::fs::read_link(descriptor?.path()).is_ok_and(|target| target.as_os_str() == socket.as_str()) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Columns: number, local address, remote address, state, …; the tenth is the inode.
fn parse(line: &str) -> Option<ListeningSocket> {
    let columns: Vec<&str> = line.split_whitespace().collect();
    if *columns.get(3)? != LISTENING {
        return None;
    }
    let (ip, port) = columns.get(1)?.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    // each word of the address is printed as a number of this machine's octet order
    let word = |at: usize| Some(u32::from_str_radix(ip.get(at * 8..at * 8 + 8)?, 16).ok()?.to_ne_bytes());
    let address = match ip.len() {
        8 => SocketAddr::new(Ipv4Addr::from(word(0)?).into(), port),
        32 => {
            let words = [word(0)?, word(1)?, word(2)?, word(3)?];
            let octets: [u8; 16] = words.concat().try_into().ok()?;
            SocketAddr::new(Ipv6Addr::from(octets).into(), port)
        }
        _ => return None,
    };
    Some(ListeningSocket { address, inode: columns.get(9)?.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_its_own_listener() {
        for ip in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = std::net::TcpListener::bind(ip) else { continue };
            let address = listener.local_addr().unwrap();
            let found = on_port(address.port()).unwrap();
            let found = found.iter().find(|socket| socket.address == address).expect(ip);
            assert!(process_has(std::process::id(), found.inode).unwrap());
            assert!(!process_has(std::process::id(), u64::MAX).unwrap());
        }
    }
}
