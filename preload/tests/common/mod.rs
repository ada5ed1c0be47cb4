//! A broker process, programs of other languages under `broker exec`, and clients that know only a preamble.
#![allow(dead_code, unused_imports, reason = "each test program uses its part")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

pub use test_peers::{DotNet, free_port, installed};

/// Nothing here takes that long; a test that waits for something gives up after it.
pub const LONG: Duration = Duration::from_secs(60);

/// Where cargo puts the broker and the library: built once, as the library of a cdylib is not built for its tests.
pub fn programs() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        // target/PROFILE/deps/this-test
        let this = std::env::current_exe().unwrap();
        let folder = this.ancestors().nth(2).unwrap().to_owned();
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo
            .args(["build", "--quiet", "-p", "broker", "-p", "preload", "--target-dir"])
            .arg(folder.parent().unwrap());
        if folder.file_name().is_some_and(|profile| profile == "release") {
            cargo.arg("--release");
        }
        let built = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).status().expect("cargo runs");
        assert!(built.success(), "broker and library are built");
        assert!(folder.join("libnet_tcp_port_sharing.so").is_file(), "the library is next to the broker");
        folder
    })
}

pub struct Broker {
    folder: tempfile::TempDir,
    process: Option<Child>,
    options: Vec<String>,
}

impl Broker {
    pub fn start() -> Self {
        Self::with(&[])
    }

    pub fn with(options: &[&str]) -> Self {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let options = options.iter().map(ToString::to_string).collect();
        let mut broker = Self { folder, process: None, options };
        broker.restart();
        broker
    }

    pub fn control(&self) -> PathBuf {
        self.folder.path().join("control")
    }

    pub fn restart(&mut self) {
        self.kill();
        let mut command = Command::new(programs().join("broker"));
        command.args(["run", "--log-level", "warn", "--control"]).arg(self.control()).args(&self.options);
        self.process = Some(command.spawn().unwrap());
        wait_until("the broker listens", || handoff::ControlConnection::connect(&self.control()).is_ok());
    }

    /// How many registrations there are.
    pub fn holders(&self) -> usize {
        self.list().len()
    }

    /// How many connections wait for workers.
    pub fn waiting(&self) -> u64 {
        self.list().iter().map(handoff::administration::Holder::waiting).sum()
    }

    fn list(&self) -> Vec<handoff::administration::Holder> {
        handoff::ControlConnection::connect(&self.control()).unwrap().list().unwrap()
    }

    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    /// `broker exec`; the program is to be added.
    pub fn exec(&self, addresses: &[String]) -> Command {
        self.exec_with(&[], addresses)
    }

    /// The same with further options.
    pub fn exec_with(&self, options: &[&str], addresses: &[String]) -> Command {
        let mut command = Command::new(programs().join("broker"));
        command.arg("exec").arg("--control").arg(self.control()).args(options);
        for address in addresses {
            command.args(["--address", address]);
        }
        command.arg("--");
        command
    }

    /// `broker exec` with this program.
    pub fn exec_command(&self, addresses: &[String], program: &Command) -> Command {
        self.exec_command_with(&[], addresses, program)
    }

    /// The same with further options.
    pub fn exec_command_with(&self, options: &[&str], addresses: &[String], program: &Command) -> Command {
        let mut command = self.exec_with(options, addresses);
        command.arg(program.get_program()).args(program.get_args());
        command.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command
    }

    /// Starts a program and waits for its first line, which says that it listens.
    pub fn serve(&self, addresses: &[String], program: &[&str]) -> Service {
        let mut command = self.exec(addresses);
        command.args(program);
        Service::start(command)
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A running program; killed in the end.
pub struct Service {
    pub process: Child,
    pub lines: BufReader<ChildStdout>,
    pub first_line: String,
}

impl Service {
    pub fn start(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
        let mut process = command.spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap());
        let mut first_line = String::new();
        lines.read_line(&mut first_line).unwrap();
        assert!(!first_line.is_empty(), "the program ended: {:?}", process.wait());
        Self { process, lines, first_line }
    }

    /// To it and its children.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let group = rustix::process::Pid::from_child(&self.process);
        let _ = rustix::process::kill_process_group(group, signal);
    }

    /// With its children.
    pub fn kill(&mut self) {
        if let Ok(None) = self.process.try_wait() {
            self.signal(rustix::process::Signal::KILL);
        }
        let _ = self.process.wait();
    }

    /// As [`rests`].
    pub fn rests(&self, most: u64) {
        rests(self.process.id(), most);
    }
}

/// Waits for a second in which the process, its threads and its children compute next to nothing: at most so many ticks of
/// 10 ms. Who waits for the broker by looking again and again never has such a second.
pub fn rests(process: u32, most: u64) {
    let ticks = || ticks(&process.to_string());
    wait_until("it computes nothing without a broker", || {
        let before = ticks();
        std::thread::sleep(Duration::from_secs(1));
        ticks() - before <= most
    });
}

fn ticks(process: &str) -> u64 {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{process}/stat")) else { return 0 };
    let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_ascii_whitespace().collect();
    let own = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    let children =
        std::fs::read_to_string(format!("/proc/{process}/task/{process}/children")).unwrap_or_default();
    own + children.split_ascii_whitespace().map(ticks).sum::<u64>()
}

impl Drop for Service {
    fn drop(&mut self) {
        self.kill();
    }
}

pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < LONG, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub fn address(port: u16, path: &str) -> String {
    format!("net.tcp://localhost:{port}/{path}")
}

/// Version, mode, Via and encoding; the length of the Via in one or two octets.
pub fn preamble(via: &str) -> Vec<u8> {
    let mut octets = vec![0, 1, 0, 1, 2, 2];
    if via.len() > 127 {
        octets.push((via.len() as u8) | 0x80);
    }
    octets.push(if via.len() > 127 { (via.len() >> 7) as u8 } else { via.len() as u8 });
    octets.extend(via.as_bytes());
    octets.extend([3, 8]);
    octets
}

/// Connects, sends a preamble, and reads the answer to its end.
pub fn call_at(ip: IpAddr, port: u16, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&SocketAddr::new(ip, port), LONG)?;
    stream.set_read_timeout(Some(LONG))?;
    stream.write_all(&preamble(&address(port, path)))?;
    let mut answer = Vec::new();
    stream.take(1 << 16).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

pub fn call(port: u16, path: &str) -> String {
    call_at([127, 0, 0, 1].into(), port, path).unwrap()
}

/// Calls from several threads; gives all answers.
pub fn load(port: u16, path: &str, threads: usize, each: usize) -> Vec<String> {
    let mut answers = Vec::new();
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..threads)
            .map(|_| scope.spawn(|| (0..each).map(|_| call(port, path)).collect::<Vec<_>>()))
            .collect();
        answers.extend(clients.into_iter().flat_map(|client| client.join().unwrap()));
    });
    answers
}

/// The C servers answer with a number that counts their connections: each number once and none left out.
#[track_caller]
pub fn assert_each_once(answers: Vec<String>, first: usize) {
    let mut numbers: Vec<usize> =
        answers.iter().map(|answer| answer.trim().parse().unwrap_or_else(|_| panic!("{answer:?}"))).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (first..first + numbers.len()).collect::<Vec<_>>());
}

/// Compiles a C program of this folder with gcc; none without it.
pub fn compile(source: &str, flags: &[&str]) -> Option<tempfile::TempPath> {
    if !installed("gcc") {
        return None;
    }
    let program = tempfile::NamedTempFile::new().unwrap().into_temp_path();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(source);
    let mut gcc = Command::new("gcc");
    gcc.args(["-O1", "-g", "-Wall", "-Werror", "-pthread", "-o"]).arg(&program).arg(source).args(flags);
    assert!(gcc.status().unwrap().success());
    Some(program)
}
