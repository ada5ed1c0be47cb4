//! Who else listens on a port, for operators and for us: `/proc/net/tcp` and the descriptors of other processes.

use std::fmt;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A listening socket of this network namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Listener {
    pub(crate) address: SocketAddr,
    /// The number of the socket, as in `/proc/PID/fd`.
    pub(crate) inode: u64,
}

/// A process that holds a listening socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) pid: u32,
    pub(crate) program: String,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (pid {})", self.program.escape_debug(), self.pid)
    }
}

/// Every listening socket on this port.
pub(crate) fn listeners_on(port: u16) -> Vec<Listener> {
    let mut found = Vec::new();
    for path in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let Ok(file) = File::open(path) else { continue };
        let lines = BufReader::new(file).lines().skip(1).map_while(Result::ok);
        // Listening sockets come first; tens of thousands of others may follow, which are not even made into text then.
        let listeners = lines.map_while(|line| parse(&line));
        found.extend(listeners.filter(|listener| listener.address.port() == port));
    }
    found
}

/// The process that has the socket, if we may see it.
pub(crate) fn owner_of(inode: u64) -> Option<Owner> {
    let target = format!("socket:[{inode}]");
    fs::read_dir("/proc").ok()?.flatten().find_map(|process| {
        let pid = process.file_name().to_str()?.parse().ok()?;
        let holds = fs::read_dir(process.path().join("fd"))
            .ok()?
            .flatten()
            .any(|fd| fs::read_link(fd.path()).is_ok_and(|link| link.as_os_str() == target.as_str()));
        holds.then(|| Owner { pid, program: program_of(pid) })
    })
}

/// The process at the other end of a socket, of which the kernel may not tell the number: `dotnet (pid 4711)`.
pub(crate) fn process(pid: u32) -> String {
    match pid {
        0 => "a program in another PID namespace".to_owned(),
        pid => Owner { pid, program: program_of(pid) }.to_string(),
    }
}

/// The name of a process.
pub(crate) fn program_of(pid: u32) -> String {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    if name.is_empty() { "a program".to_owned() } else { name.trim_end().to_owned() }
}

/// One line, if it is that of a listening socket: number, local address, remote address, state, six more fields, and the inode.
fn parse(line: &str) -> Option<Listener> {
    const LISTEN: &str = "0A";
    let mut fields = line.split_ascii_whitespace();
    let address = fields.nth(1)?;
    let state = fields.nth(1)?;
    let inode = fields.nth(5)?.parse().ok()?;
    (state == LISTEN).then_some(Listener { address: parse_address(address)?, inode })
}

/// The octets of an address in groups of four, each group a hexadecimal number in this machine's byte order.
fn parse_address(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let words = address.as_bytes().chunks(8).map(|word| {
        let word = u32::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok()?;
        Some(word.to_ne_bytes())
    });
    let octets = words.collect::<Option<Vec<_>>>()?.concat();
    let ip: IpAddr = match octets.len() {
        4 => Ipv4Addr::from(<[u8; 4]>::try_from(octets).ok()?).into(),
        _ => Ipv6Addr::from(<[u8; 16]>::try_from(octets).ok()?).into(),
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn finds_our_own_listener() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(address) else { continue };
            let address = listener.local_addr().unwrap();
            let found = listeners_on(address.port());
            assert_eq!(found.len(), 1);
            assert_eq!(found[0].address, address);
            assert_eq!(owner_of(found[0].inode).unwrap().pid, std::process::id());
        }
    }

    #[test]
    fn other_states_end_the_list() {
        assert_eq!(parse(""), None);
        let established =
            "   1: 0100007F:2328 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 99 1";
        assert_eq!(parse(established), None);
    }
}
