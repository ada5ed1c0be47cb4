//! A journald of our own, where journald's place is, for one process.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};

/// See the module.
pub struct Journal {
    folder: tempfile::TempDir,
    socket: UnixDatagram,
    unshare: Vec<&'static str>,
}

impl Journal {
    /// `None` where no process may have mounts of its own.
    pub fn open() -> Option<Self> {
        let ways = [&["--mount"][..], &["--user", "--map-root-user", "--mount"]];
        let works = |way: &&&[&str]| {
            let mut command = Command::new("unshare");
            let tried = command
                .args(**way)
                .args(["mount", "-t", "tmpfs", "none", "/run"])
                .stderr(Stdio::null())
                .status();
            tried.is_ok_and(|status| status.success())
        };
        let Some(way) = ways.iter().find(works) else {
            super::skip("mounts of its own for a process", "unshare --mount must be permitted");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        super::open_to_all(folder.path());
        let socket = UnixDatagram::bind(folder.path().join("socket")).unwrap();
        Some(Self { folder, socket, unshare: way.to_vec() })
    }

    /// A process that has it.
    pub fn command(&self, program: &str) -> Command {
        const SCRIPT: &str = "mount -t tmpfs none /run && mkdir -p /run/systemd/journal \
                              && mount --bind \"$0\" /run/systemd/journal && exec \"$@\"";
        let mut command = Command::new("unshare");
        command.args(&self.unshare).args(["sh", "-c", SCRIPT]).arg(self.folder.path()).arg(program);
        command
    }

    /// Nobody finds it, or everybody does again.
    pub fn hide(&self, hidden: bool) {
        let (place, elsewhere) = (self.folder.path().join("socket"), self.folder.path().join("hidden"));
        let (from, to) = if hidden { (place, elsewhere) } else { (elsewhere, place) };
        std::fs::rename(from, to).unwrap();
    }

    /// All that has come until now.
    pub fn received(&self) -> Vec<BTreeMap<String, String>> {
        self.socket.set_nonblocking(true).unwrap();
        let mut octets = vec![0; 1 << 18];
        let mut records = Vec::new();
        loop {
            match self.socket.recv(&mut octets) {
                Ok(length) => records.push(fields(&octets[..length])),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return records,
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// As <https://systemd.io/JOURNAL_NATIVE_PROTOCOL/> says.
fn fields(mut octets: &[u8]) -> BTreeMap<String, String> {
    let mut fields = BTreeMap::new();
    while let Some(end) = octets.iter().position(|octet| *octet == b'\n') {
        let (name, rest) = (&octets[..end], &octets[end + 1..]);
        let (name, value, rest) = match name.iter().position(|octet| *octet == b'=') {
            Some(equals) => (&name[..equals], &name[equals + 1..], rest),
            None => {
                let (length, rest) = rest.split_first_chunk().unwrap();
                let (value, rest) = rest.split_at(usize::try_from(u64::from_le_bytes(*length)).unwrap());
                assert_eq!(rest[0], b'\n');
                (name, value, &rest[1..])
            }
        };
        let text = |octets: &[u8]| String::from_utf8(octets.to_vec()).unwrap();
        fields.insert(text(name), text(value));
        octets = rest;
    }
    assert!(octets.is_empty(), "what is left: {}", octets.escape_ascii());
    fields
}
