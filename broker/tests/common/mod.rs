//! A broker process, workers and initiators for whole-process tests.
#![allow(dead_code, unreachable_pub, unused_imports, reason = "each test file uses its own part")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use handoff::{AcceptReceiver, ControlConnection, Register};
use serde_json::Value;
pub use test_peers::{Strace, Terminal, free_port, has_ipv6, installed, is_root, needs_ipv6, skip};

/// How long anything may take before a test gives up.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A broker of our own, ended with the value.
pub struct Broker {
    child: Child,
    folder: tempfile::TempDir,
    configuration: Option<tempfile::NamedTempFile>,
}

impl Broker {
    pub fn start(arguments: &[&str]) -> Self {
        Self::start_by(Command::new(env!("CARGO_BIN_EXE_broker")), arguments)
    }

    /// With a configuration file.
    pub fn configured(toml: &str, arguments: &[&str]) -> Self {
        let broker = Self::spawn_configured(toml, arguments);
        broker.ready();
        broker
    }

    /// With a configuration file; waits for nothing.
    pub fn spawn_configured(toml: &str, arguments: &[&str]) -> Self {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, toml).unwrap();
        let arguments = [&["--config", file.path().to_str().unwrap()], arguments].concat();
        let mut broker = Self::spawn(Command::new(env!("CARGO_BIN_EXE_broker")), &arguments);
        broker.configuration = Some(file);
        broker
    }

    pub fn start_by(command: Command, arguments: &[&str]) -> Self {
        let broker = Self::spawn(command, arguments);
        broker.ready();
        broker
    }

    fn ready(&self) {
        eventually(|| self.log().contains("ready"), || self.log());
        assert!(self.control().exists());
    }

    /// Waits for nothing.
    pub fn spawn(mut command: Command, arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        open_to_all(folder.path());
        let level: &[&str] = if arguments.contains(&"--log-level") { &[] } else { &["--log-level", "debug"] };
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let child = command
            .arg("run")
            .arg("--control")
            .arg(folder.path().join("control"))
            .args(level)
            .args(arguments)
            .stderr(log)
            .spawn()
            .unwrap();
        Self { child, folder, configuration: None }
    }

    pub fn control(&self) -> PathBuf {
        self.folder.path().join("control")
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// All that was logged until now: lines are written a moment later, in their order, and its answer to a signal is one.
    pub fn whole_log(&self) -> String {
        let answers = || self.log().matches("SIGUSR1 changes nothing").count();
        let before = answers();
        signal(self.pid(), rustix::process::Signal::USR1);
        eventually(|| answers() > before, || self.log());
        self.log()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How many descriptors the process has open.
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap().count()
    }

    /// How many there are when nothing is under way: a reply that was just sent still has its descriptor for a moment. A thread
    /// that does something is not asleep, even if no processor has time for it.
    pub fn steady_descriptors(&self) -> usize {
        let mut last = Vec::new();
        eventually(
            || {
                if !threads(self.pid()).all(|state| state == 'S') {
                    last.clear();
                }
                last.push(self.descriptors());
                sleep(Duration::from_millis(10));
                last.len() > 8 && last.iter().rev().take(8).all(|count| Some(count) == last.last())
            },
            || self.log(),
        );
        self.descriptors()
    }

    /// Waits until the process has so many descriptors again.
    pub fn settles_at(&self, descriptors: usize) {
        eventually(
            || self.descriptors() == descriptors,
            || format!("{} descriptors instead of {descriptors}\n{}", self.descriptors(), self.log()),
        );
    }

    /// Milliseconds of processor time so far.
    pub fn processor_time(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_ascii_whitespace().collect();
        (fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()) * 10
    }

    /// The number of a thread. It gives itself its name when it begins.
    pub fn thread(&self, name: &str) -> u32 {
        let named =
            |path: &PathBuf| std::fs::read_to_string(path.join("comm")).is_ok_and(|comm| comm.trim() == name);
        let mut task = None;
        eventually(
            || {
                let tasks = std::fs::read_dir(format!("/proc/{}/task", self.pid())).unwrap().flatten();
                task = tasks.map(|task| task.path()).find(named);
                task.is_some()
            },
            || format!("no thread {name}"),
        );
        task.unwrap().file_name().unwrap().to_str().unwrap().parse().unwrap()
    }

    /// How often a thread of it went to sleep by itself.
    pub fn wake_ups(&self, thread: &str) -> u64 {
        let status = format!("/proc/{}/task/{}/status", self.pid(), self.thread(thread));
        let status = std::fs::read_to_string(status).unwrap();
        let line = status.lines().find(|line| line.starts_with("voluntary_ctxt_switches")).unwrap();
        line.split_ascii_whitespace().last().unwrap().parse().unwrap()
    }

    /// Ends it as an administrator would; true if it ended well.
    pub fn terminate(&mut self) -> bool {
        signal(self.pid(), rustix::process::Signal::TERM);
        self.ends()
    }

    /// Waits until it has ended; true if it ended well.
    pub fn ends(&mut self) -> bool {
        let mut status = None;
        eventually(
            || {
                status = self.child.try_wait().unwrap();
                status.is_some()
            },
            || "the broker does not end".to_owned(),
        );
        status.unwrap().success()
    }
}

impl Drop for Broker {
    /// After every test: the broker ends when it is asked to, and each connection it has accepted has ended in one way.
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = self.child.kill();
            let _ = self.child.wait();
            eprintln!("the broker's log:\n{}", self.log());
            return;
        }
        if self.child.try_wait().unwrap().is_none() {
            signal(self.pid(), rustix::process::Signal::CONT);
            assert!(self.terminate(), "{}", self.log());
            every_connection_has_ended(&self.log());
        }
    }
}

/// By what a broker says of itself when it ends, and at the level `debug` by what it has said of each connection before.
pub fn every_connection_has_ended(log: &str) {
    if log.contains(" lost: standard error") {
        // Too busy a machine to tell.
        return;
    }
    let end = log.lines().rev().find_map(|line| line.split_once(" ended; connections "));
    let counts = end.unwrap_or_else(|| panic!("no counts at the end: {log}")).1.split(' ');
    let counts = counts.map(|count| count.split_once('=').unwrap());
    let counts: Vec<(&str, usize)> = counts.map(|(name, count)| (name, count.parse().unwrap())).collect();
    let of = |name| counts.iter().find(|count| count.0 == name).map_or(0, |count| count.1);
    let outcomes = counts.iter().filter(|(name, _)| !["accepted", "unfinished"].contains(name));
    assert_eq!((of("accepted"), of("unfinished")), (outcomes.map(|(_, count)| count).sum(), 0), "{log}");
    if log.contains(" DEBUG ") {
        let lines = |text: &str| log.matches(text).count();
        assert_eq!(lines("connection ended "), of("accepted") + lines("connection taken back"), "{log}");
    }
}

pub fn open_to_all(folder: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o777)).unwrap();
}

pub fn signal(pid: u32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}

/// Stops a process, and waits until it is (or its tracer has it): a thread that sleeps in a system call may still finish it.
pub fn stop(pid: u32) {
    signal(pid, rustix::process::Signal::STOP);
    let stopped = |state| ['T', 't'].contains(&state);
    eventually(|| threads(pid).all(stopped), || format!("process {pid} does not stop"));
}

/// The states of a process's threads, as in `/proc`.
fn threads(pid: u32) -> impl Iterator<Item = char> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
    // One may end meanwhile.
    let status = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("stat")).ok());
    status.map(|status| status.rsplit(')').next().unwrap().trim_start().chars().next().unwrap())
}

/// A copy of a program that another user may run. Made by a process of its own: one that this process starts meanwhile would
/// have the copy open for writing for a moment, and it could not be run.
pub fn copy_of_the_broker() -> PathBuf {
    let program = std::env::temp_dir().join(format!("broker-{}", std::process::id()));
    let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_broker")).arg(&program).status().unwrap();
    assert!(copied.success());
    program
}

/// Waits for something that comes at its own time.
pub fn eventually(mut done: impl FnMut() -> bool, otherwise: impl FnOnce() -> String) {
    let end = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < end, "{}", otherwise());
        sleep(Duration::from_millis(5));
    }
}

/// A worker written with the handoff crate, in this process.
pub struct Worker {
    pub control: ControlConnection,
    pub receiver: AcceptReceiver,
    pub id: u64,
}

impl Worker {
    pub fn register(broker: &Broker, addresses: &[String]) -> Self {
        Self::register_as(broker, Register::new(addresses.to_vec()))
    }

    pub fn register_as(broker: &Broker, register: Register) -> Self {
        let mut control = ControlConnection::connect(&broker.control()).unwrap();
        let (id, socket) = control.register(&register).unwrap();
        Self { control, receiver: AcceptReceiver::new(socket), id }
    }

    /// The next connection, blocking.
    pub fn accept(&mut self) -> TcpStream {
        let mut accepted = None;
        eventually(
            || {
                accepted = self.receiver.try_accept().unwrap();
                accepted.is_some()
            },
            || "no connection was handed over".to_owned(),
        );
        let stream = TcpStream::from(accepted.unwrap());
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Accepts as many connections, in whatever order they come, and serves each of these initiators.
    pub fn serve_all(&mut self, clients: &mut [TcpStream], expected: &[u8]) {
        for _ in &*clients {
            serve(self.accept(), expected, b'!');
        }
        for client in clients {
            assert_eq!(answer(client), b'!');
        }
    }

    pub fn nothing_waits(&mut self) -> bool {
        self.receiver.try_accept().unwrap().is_none()
    }
}

pub fn address(port: u16, path: &str) -> String {
    format!("net.tcp://localhost:{port}/{path}")
}

/// A duplex preamble through its encoding record.
pub fn preamble(via: &str) -> Vec<u8> {
    let mut octets = b"\0\x01\0\x01\x02\x02".to_vec();
    let mut size = via.len();
    while size >= 0x80 {
        octets.push(u8::try_from(size & 0x7f).unwrap() | 0x80);
        size >>= 7;
    }
    octets.push(u8::try_from(size).unwrap());
    octets.extend(via.as_bytes());
    octets.extend(b"\x03\x08");
    octets
}

pub fn connect(port: u16) -> TcpStream {
    connect_to("127.0.0.1".parse().unwrap(), port)
}

pub fn connect_to(ip: IpAddr, port: u16) -> TcpStream {
    let stream = TcpStream::connect(SocketAddr::new(ip, port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Connects and says where it wants to go.
pub fn ask(port: u16, path: &str) -> TcpStream {
    let mut stream = connect(port);
    stream.write_all(&preamble(&address(port, path))).unwrap();
    stream
}

/// What an initiator is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// A fault of this name, then the end of the stream.
    Fault(String),
    /// Just the end.
    End,
    /// A reset.
    Reset,
    /// Anything else, escaped.
    Other(String),
}

pub fn fault(name: &str) -> Told {
    Told::Fault(name.to_owned())
}

/// Reads to the end, without closing first.
pub fn told(stream: &mut TcpStream) -> Told {
    const URI: &str = "http://schemas.microsoft.com/ws/2006/05/framing/faults/";
    let mut octets = Vec::new();
    match stream.read_to_end(&mut octets) {
        Ok(_) if octets.is_empty() => Told::End,
        Ok(_) => {
            let uri = std::str::from_utf8(octets.get(2..).unwrap_or_default()).unwrap_or_default();
            match uri.strip_prefix(URI) {
                Some(name) if octets[0] == 8 && usize::from(octets[1]) == uri.len() => {
                    Told::Fault(name.to_owned())
                }
                _ => Told::Other(octets.escape_ascii().to_string()),
            }
        }
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => Told::Reset,
        Err(error) => Told::Other(error.to_string()),
    }
}

/// Sends octets and reads what comes back.
pub fn tell(port: u16, octets: &[u8]) -> Told {
    let mut stream = connect(port);
    stream.write_all(octets).unwrap();
    told(&mut stream)
}

/// Answers one octet so that the initiator knows who it got, and checks that nothing was read before.
pub fn serve(mut stream: TcpStream, expected: &[u8], answer: u8) {
    let mut octets = vec![0; expected.len()];
    stream.read_exact(&mut octets).unwrap();
    assert_eq!(octets.escape_ascii().to_string(), expected.escape_ascii().to_string());
    stream.write_all(&[answer]).unwrap();
}

pub fn answer(stream: &mut TcpStream) -> u8 {
    let mut octet = [0];
    stream.read_exact(&mut octet).unwrap();
    octet[0]
}

/// The control socket without any help: octets out, octets and descriptors in.
pub struct Raw {
    socket: std::os::unix::net::UnixStream,
}

impl Raw {
    pub fn connect(path: &Path) -> Self {
        use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
        let socket =
            socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
        connect(&socket, &SocketAddrUnix::new(path).unwrap()).unwrap();
        let socket = std::os::unix::net::UnixStream::from(socket);
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket }
    }

    pub fn send(&mut self, octets: &[u8]) {
        assert_eq!(self.socket.write(octets).unwrap(), octets.len());
    }

    pub fn send_with(&mut self, octets: &[u8], descriptor: impl AsFd) {
        use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let descriptors = [descriptor.as_fd()];
        assert!(control.push(SendAncillaryMessage::ScmRights(&descriptors)));
        sendmsg(&self.socket, &[std::io::IoSlice::new(octets)], &mut control, SendFlags::empty()).unwrap();
    }

    /// The next reply and its descriptors; `None` at the end.
    pub fn receive(&mut self) -> Option<(Value, Vec<OwnedFd>)> {
        use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
        let mut octets = vec![0; 65_536];
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut parts = [std::io::IoSliceMut::new(&mut octets)];
        let length = loop {
            match recvmsg(&self.socket, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC) {
                Ok(received) => break received.bytes,
                Err(rustix::io::Errno::CONNRESET) => break 0,
                // A wait with a timeout ends so when the process was stopped, too.
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => panic!("the control socket: {error}"),
            }
        };
        if length == 0 {
            return None;
        }
        let descriptors = control.drain().flat_map(|message| match message {
            RecvAncillaryMessage::ScmRights(descriptors) => descriptors.collect::<Vec<_>>(),
            _ => Vec::new(),
        });
        let descriptors = descriptors.collect();
        Some((serde_json::from_slice(&octets[..length]).unwrap(), descriptors))
    }

    /// A request and its answer.
    pub fn ask(&mut self, request: &Value) -> (Value, Vec<OwnedFd>) {
        self.send(request.to_string().as_bytes());
        self.receive().unwrap()
    }

    /// The reason of the refusal of this request.
    pub fn refusal(&mut self, request: &Value) -> String {
        let (reply, descriptors) = self.ask(request);
        assert!(descriptors.is_empty());
        reason(&reply)
    }
}

pub fn reason(reply: &Value) -> String {
    let refused = &reply["refused"];
    assert!(refused["message"].is_string(), "{reply}");
    refused["reason"].as_str().unwrap_or_else(|| panic!("{reply}")).to_owned()
}

/// A worker process in Python, written from the specification of the protocol alone.
pub struct Python {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Python {
    /// Answers every connection with `name`, and prints what it sees.
    pub fn start(broker: &Broker, name: char, address: &str) -> Self {
        let mut child = Command::new("python3")
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/worker.py"))
            .arg(broker.control())
            .arg(name.to_string())
            .arg(address)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        let mut python = Self { child, lines };
        let reply: Value = serde_json::from_str(&python.line()).unwrap();
        assert!(reply["registered"]["id"].is_u64(), "{reply}");
        python
    }

    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The initiator has nothing more to say.
pub fn finish(stream: &TcpStream) {
    stream.shutdown(Shutdown::Write).unwrap();
}
