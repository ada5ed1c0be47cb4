//! Who else listens on a port, for operators and for us: `/proc/net/tcp` and the descriptors of other processes.

use std::collections::HashSet;
use std::fmt;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A listening socket of this network namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Where it listens.
    pub address: SocketAddr,
    /// The number of the socket, as in `/proc/PID/fd`.
    pub inode: u64,
}

/// A process that holds a listening socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The number of the process.
    pub pid: u32,
    /// Its name, as the kernel knows it.
    pub program: String,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (pid {})", self.program.escape_debug(), self.pid)
    }
}

/// Every listening socket on this port, IPv4 before IPv6; none where there is no `/proc`.
pub fn listeners_on(port: u16) -> Vec<Listener> {
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

/// Whether an address may not be listened on because somebody listens on the other one.
pub(crate) fn overlap(other: SocketAddr, address: SocketAddr) -> bool {
    let (port, other, ip) = (other.port(), other.ip(), address.ip());
    // A dual-stack socket on [::] has the port for IPv4 too.
    port == address.port()
        && (other == ip
            || (other.is_unspecified() && (other.is_ipv6() || ip.is_ipv4()))
            || (ip.is_unspecified() && other.is_ipv4() == ip.is_ipv4()))
}

/// The process that has the socket, if we may see it; of those that have inherited it from each other the first. Such a one may
/// have it for a moment only, between the two steps in which a process starts another.
pub(crate) fn owner_of(inode: u64) -> Option<Owner> {
    let mut owners = holders_of(inode).map(|pid| first_holder(pid, inode));
    // It may have let go of it meanwhile.
    owners.find(|pid| holds(*pid, inode)).map(|pid| Owner { pid, program: program_of(pid) })
}

/// The numbers of the sockets that a process has; `None` if we may not see them.
pub(crate) fn sockets_of(pid: u32) -> Option<HashSet<u64>> {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.flatten();
    let inode = |link: PathBuf| link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok();
    Some(descriptors.filter_map(|descriptor| fs::read_link(descriptor.path()).ok().and_then(inode)).collect())
}

/// Whether the process that has the socket runs the same program as this one.
pub(crate) fn runs_this_program(inode: u64) -> bool {
    let program =
        |pid: u32| fs::metadata(format!("/proc/{pid}/exe")).ok().map(|file| (file.dev(), file.ino()));
    let own = program(std::process::id());
    own.is_some() && owner_of(inode).is_some_and(|owner| program(owner.pid) == own)
}

/// All the processes that have the socket, of those whose descriptors we may see.
pub fn owners_of(inode: u64) -> impl Iterator<Item = Owner> {
    holders_of(inode).map(|pid| Owner { pid, program: program_of(pid) })
}

fn holders_of(inode: u64) -> impl Iterator<Item = u32> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = processes.filter_map(|process| process.file_name().to_str()?.parse().ok());
    numbers.filter(move |pid| holds(*pid, inode))
}

/// The farthest ancestor of this process that has the socket, as all do between the two.
fn first_holder(pid: u32, inode: u64) -> u32 {
    let parent = |pid: &u32| parent_of(*pid).filter(|parent| holds(*parent, inode));
    std::iter::successors(Some(pid), parent).last().unwrap_or(pid)
}

fn holds(pid: u32, inode: u64) -> bool {
    let target = format!("socket:[{inode}]");
    let is_it = |link: &Path| link.as_os_str() == target.as_str();
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    descriptors.into_iter().any(|descriptor| fs::read_link(descriptor.path()).is_ok_and(|link| is_it(&link)))
}

/// From `/proc/PID/stat`, where the program's name may have any characters in it: state and parent follow it.
fn parent_of(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit(')').next()?.split_ascii_whitespace().nth(1)?.parse().ok()
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
    use std::process::{Command, Stdio};

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

    /// A child that was started before it was closed on exec, or a worker of a server that forks: whoever opened it is meant.
    #[test]
    fn what_was_inherited_is_its_first_holder_s() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        rustix::io::fcntl_setfd(&listener, rustix::io::FdFlags::empty()).unwrap();
        // Its child has it, too, and so does the child's.
        let mut children = Command::new("sh");
        children.args(["-c", "sleep 1000 & echo $!; wait"]).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = children.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let grandchild = line.trim().parse().unwrap();
        let inode = listeners_on(listener.local_addr().unwrap().port())[0].inode;
        let found = [child.id(), grandchild].map(|pid| (holds(pid, inode), first_holder(pid, inode)));
        let owner = owner_of(inode).map(|owner| owner.pid);
        let grandchild = rustix::process::Pid::from_raw(i32::try_from(grandchild).unwrap()).unwrap();
        rustix::process::kill_process(grandchild, rustix::process::Signal::KILL).unwrap();
        child.wait().unwrap();
        assert_eq!((found, owner), ([(true, std::process::id()); 2], Some(std::process::id())));
    }

    #[test]
    fn other_states_end_the_list() {
        assert_eq!(parse(""), None);
        let established =
            "   1: 0100007F:2328 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 99 1";
        assert_eq!(parse(established), None);
    }
}
