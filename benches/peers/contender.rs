//! Whoever is compared: how each is started for the job, and what is asked of it.

use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::cost;
use crate::load::{Target, preamble};

/// Where every Via of a run begins; the rest is the service's name.
const BASE: &str = "net.tcp://localhost:9000/peers/";

/// The services of a run: the name in the Via, the letter its worker answers with, what the worker does then.
const SERVICES: [(&str, char, &str); 4] =
    [("first", 'a', "close"), ("second", 'b', "close"), ("held", 'h', "hold"), ("filled", 'f', "fill")];

/// Every contender, in the order of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Floor,
    FloorDefer,
    FloorQueue,
    FloorPack,
    FloorBlock,
    HaproxyTcp,
    HaproxyUnix,
    NginxTcp,
    NginxUnix,
}

impl Kind {
    pub(crate) const ALL: [Self; 9] = [
        Self::Floor,
        Self::FloorDefer,
        Self::FloorQueue,
        Self::FloorPack,
        Self::FloorBlock,
        Self::HaproxyTcp,
        Self::HaproxyUnix,
        Self::NginxTcp,
        Self::NginxUnix,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Floor => "C floor",
            Self::FloorDefer => "C floor, deferred accept",
            Self::FloorQueue => "C floor, deferred accept, queue length",
            Self::FloorPack => "C floor, deferred accept, queue length, packed",
            Self::FloorBlock => "C floor, deferred blocking accept, packed",
            Self::HaproxyTcp => "HAProxy, TCP back-end",
            Self::HaproxyUnix => "HAProxy, Unix back-end",
            Self::NginxTcp => "nginx and njs, TCP back-end",
            Self::NginxUnix => "nginx and njs, Unix back-end",
        }
    }

    /// Whether this is the floor that every ratio refers to.
    pub(crate) const fn is_floor(self) -> bool {
        matches!(self, Self::FloorDefer)
    }

    /// Whether this is the project's own broker.
    pub(crate) const fn is_ours(self) -> bool {
        false
    }

    /// Whether connections pass through it, rather than being handed over.
    pub(crate) const fn relays(self) -> bool {
        matches!(self, Self::HaproxyTcp | Self::HaproxyUnix | Self::NginxTcp | Self::NginxUnix)
    }
}

/// A process that ends with its owner.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The directory with the configurations, sockets and the floor of one run; removed at its end.
pub(crate) struct Place {
    path: PathBuf,
    registrations: usize,
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// A running contender with its workers.
pub(crate) struct Contender {
    pub(crate) kind: Kind,
    process: Process,
    _workers: Vec<Process>,
    address: SocketAddr,
}

impl Place {
    pub(crate) fn new(registrations: usize) -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("net-tcp-peers-{}", std::process::id()));
        fs::create_dir(&path)?;
        Ok(Self { path, registrations })
    }

    /// Starts a contender and its workers.
    ///
    /// # Errors
    /// When its program is not installed, or does not open its port within seconds.
    pub(crate) fn start(&self, kind: Kind) -> io::Result<Contender> {
        match kind {
            Kind::Floor => self.floor(kind, &[]),
            Kind::FloorDefer => self.floor(kind, &["defer"]),
            Kind::FloorQueue => self.floor(kind, &["defer", "queue"]),
            Kind::FloorPack => self.floor(kind, &["defer", "queue", "pack"]),
            Kind::FloorBlock => self.floor(kind, &["defer", "block", "pack"]),
            Kind::HaproxyTcp => self.haproxy(kind, "tcp"),
            Kind::HaproxyUnix => self.haproxy(kind, "unix"),
            Kind::NginxTcp => self.nginx(kind, "tcp"),
            Kind::NginxUnix => self.nginx(kind, "unix"),
        }
    }

    fn floor(&self, kind: Kind, words: &[&str]) -> io::Result<Contender> {
        let program = self.path.join("floor");
        if !program.exists() {
            let source = self.path.join("floor.c");
            fs::write(&source, include_str!("floor.c"))?;
            let status = Command::new("cc").arg("-O2").arg("-o").arg(&program).arg(&source).status()?;
            if !status.success() {
                return Err(io::Error::other("cc failed"));
            }
        }
        let (sending, receiving) = rustix::net::socketpair(
            rustix::net::AddressFamily::UNIX,
            rustix::net::SocketType::SEQPACKET,
            rustix::net::SocketFlags::CLOEXEC,
            None,
        )?;
        let (name, letter, then) = SERVICES[0];
        let worker = this_program()?
            .args(["worker", &letter.to_string(), "accept", name, then])
            .stdin(Stdio::from(receiving))
            .spawn()
            .map(Process)?;
        let mut floor = Command::new(&program)
            .args(words)
            .stdin(Stdio::from(sending))
            .stdout(Stdio::piped())
            .spawn()
            .map(Process)?;
        let port = port_said(&mut floor)?;
        Ok(Contender {
            kind,
            process: floor,
            _workers: vec![worker],
            address: (Ipv4Addr::LOCALHOST, port).into(),
        })
    }

    fn haproxy(&self, kind: Kind, family: &str) -> io::Result<Contender> {
        let (workers, backends) = self.relay_workers(kind, family)?;
        let port = free_port()?;
        let (mut map, mut servers) = (String::new(), String::new());
        for ((name, ..), backend) in SERVICES.iter().zip(&backends) {
            map += &format!("{BASE}{name} {name}\n");
            servers += &format!("backend {name}\n    server worker {backend}\n");
        }
        let vias = self.write(kind, "map", &map)?;
        let text =
            include_str!("haproxy.cfg").replace("@PORT@", &port.to_string()).replace("@MAP@", &text(&vias));
        let configuration = self.write(kind, "cfg", &(text + &servers))?;
        let process = Command::new("haproxy").args(["-q", "-db"]).arg("-f").arg(configuration).spawn().map(Process)?;
        Contender { kind, process, _workers: workers, address: (Ipv4Addr::LOCALHOST, port).into() }.opened()
    }

    fn nginx(&self, kind: Kind, family: &str) -> io::Result<Contender> {
        let (workers, backends) = self.relay_workers(kind, family)?;
        let port = free_port()?;
        let mut map = String::new();
        for ((name, ..), backend) in SERVICES.iter().zip(&backends) {
            let backend = if family == "unix" { format!("unix:{backend}") } else { backend.clone() };
            map += &format!("        \"{BASE}{name}\" {backend};\n");
        }
        let script = self.write(kind, "js", include_str!("via.js"))?;
        let text = include_str!("nginx.conf")
            .replace("@PORT@", &port.to_string())
            .replace("@MAP@", &map)
            .replace("@PLACE@", &text(&self.path))
            .replace("@SCRIPT@", &text(&script));
        let configuration = self.write(kind, "conf", &text)?;
        let process = Command::new("nginx")
            .arg("-c")
            .arg(configuration)
            .arg("-p")
            .arg(&self.path)
            .spawn()
            .map(Process)?;
        Contender { kind, process, _workers: workers, address: (Ipv4Addr::LOCALHOST, port).into() }.opened()
    }

    /// A worker of its own listener for each service, and their addresses.
    fn relay_workers(&self, kind: Kind, family: &str) -> io::Result<(Vec<Process>, Vec<String>)> {
        let (mut workers, mut addresses) = (Vec::new(), Vec::new());
        for (name, letter, then) in SERVICES {
            let path = self.path.join(format!("{kind:?}-{name}"));
            let mut worker = this_program()?
                .args(["worker", &letter.to_string(), family, &text(&path), then])
                .stdout(Stdio::piped())
                .spawn()
                .map(Process)?;
            addresses.push(match family {
                "tcp" => format!("127.0.0.1:{}", port_said(&mut worker)?),
                _ => {
                    line_said(&mut worker)?;
                    text(&path)
                }
            });
            workers.push(worker);
        }
        Ok((workers, addresses))
    }

    fn write(&self, kind: Kind, ending: &str, text: &str) -> io::Result<PathBuf> {
        let path = self.path.join(format!("{kind:?}.{ending}"));
        fs::write(&path, text)?;
        Ok(path)
    }
}

impl Contender {
    pub(crate) fn pid(&self) -> u32 {
        self.process.0.id()
    }

    /// The connections to one service.
    pub(crate) fn target(&self, service: usize) -> Target {
        let (name, letter, _) = SERVICES[service];
        let letter = u8::try_from(letter).unwrap_or(b'?');
        Target { address: self.address, preamble: preamble(&format!("{BASE}{name}")), letter }
    }

    /// Each Via reaches its own worker, and one that nobody registered reaches none.
    ///
    /// # Errors
    /// When one does not.
    pub(crate) fn check(&self) -> io::Result<()> {
        let wrong = |what: &str| io::Error::other(format!("{} {what}", self.kind.name()));
        self.target(0).open().map_err(|error| wrong(&format!("does not route: {error}")))?;
        if self.kind.relays() {
            self.target(1).open().map_err(|error| wrong(&format!("routes one service only: {error}")))?;
        }
        let nobody =
            Target { preamble: preamble("net.tcp://localhost:9000/nobody/at/home"), ..self.target(0) };
        if nobody.open().is_ok() {
            return Err(wrong("routes a Via that nobody registered"));
        }
        Ok(())
    }

    /// Processor seconds for each GiB through one connection.
    ///
    /// # Errors
    /// When the connection breaks before.
    pub(crate) fn bulk(&self, gibibytes: u64) -> io::Result<f64> {
        let mut stream = self.target(3).open()?;
        let mut octets = vec![0; 1 << 18];
        let mut left = gibibytes << 30;
        let before = cost::processor_time(self.pid())?;
        while left > 0 {
            match stream.read(&mut octets)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                length => left = left.saturating_sub(u64::try_from(length).unwrap_or(0)),
            }
        }
        let spent = Duration::from_nanos(cost::processor_time(self.pid())? - before);
        Ok(spent.as_secs_f64() / gibibytes as f64)
    }

    /// Octets of the contender's memory for each of a number of idle relayed connections.
    ///
    /// # Errors
    /// When one of them cannot be made.
    pub(crate) fn idle(&self, connections: usize) -> io::Result<f64> {
        let target = self.target(2);
        let before = cost::memory(self.pid())?;
        let held: Vec<TcpStream> = (0..connections).map(|_| target.open()).collect::<io::Result<_>>()?;
        std::thread::sleep(Duration::from_millis(300));
        let grown = cost::memory(self.pid())?.saturating_sub(before);
        drop(held);
        Ok(grown as f64 / connections as f64)
    }

    /// Waits until the port is open.
    fn opened(mut self) -> io::Result<Self> {
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(self.address).is_err() {
            if let Some(status) = self.process.0.try_wait()? {
                return Err(io::Error::other(format!("ended with {status}")));
            }
            if Instant::now() > deadline {
                return Err(io::ErrorKind::TimedOut.into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(self)
    }
}

fn this_program() -> io::Result<Command> {
    Ok(Command::new(std::env::current_exe()?))
}

fn line_said(process: &mut Process) -> io::Result<String> {
    let mut line = String::new();
    let output = process.0.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
    BufReader::new(output).read_line(&mut line)?;
    Ok(line.trim_end().to_owned())
}

fn port_said(process: &mut Process) -> io::Result<u16> {
    line_said(process)?.parse().map_err(io::Error::other)
}

/// A port that nobody has at the moment.
fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
