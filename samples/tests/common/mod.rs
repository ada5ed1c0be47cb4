//! Processes for the tests of this room: a broker, the sample programs, Mono programs. Each has a deadline for whatever is
//! waited for, and none outlives the test.

#![allow(dead_code, unreachable_pub, reason = "each test program uses a part of it")]

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// Nothing that a test waits for takes as long.
pub const DEADLINE: Duration = Duration::from_secs(120);

/// The lines that the sample's client prints, and a Mono client too.
pub const RESULTS: [&str; 4] = [
    "Add(100,15.99) = 115.99",
    "Subtract(145,76.54) = 68.46",
    "Multiply(9,81.25) = 731.25",
    "Divide(22,7) = 3.14285714285714",
];

/// A program of the samples.
pub fn sample(name: &str) -> Command {
    Command::new(match name {
        "calculator-service" => env!("CARGO_BIN_EXE_calculator-service"),
        "calculator-client" => env!("CARGO_BIN_EXE_calculator-client"),
        "demo" => env!("CARGO_BIN_EXE_demo"),
        other => panic!("no program {other}"),
    })
}

/// A port that nobody listens on, for all addresses of this machine; another one each time.
pub fn free_port() -> u16 {
    static GIVEN: Mutex<Vec<u16>> = Mutex::new(Vec::new());
    let mut given = GIVEN.lock().unwrap();
    loop {
        let port = TcpListener::bind("0.0.0.0:0").unwrap().local_addr().unwrap().port();
        if !given.contains(&port) {
            given.push(port);
            return port;
        }
    }
}

/// Waits until this is so.
pub fn until(mut so: impl FnMut() -> bool) {
    let limit = Instant::now() + DEADLINE;
    while !so() {
        assert!(Instant::now() < limit, "waited in vain");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A running program whose lines can be waited for. Killed when dropped.
pub struct Process {
    name: String,
    child: Child,
    lines: Receiver<String>,
    errors: Receiver<String>,
}

impl Process {
    pub fn start(command: &mut Command) -> Self {
        let name = format!("{command:?}");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{name}: {error}"));
        let lines = lines_of(child.stdout.take().unwrap());
        let errors = lines_of(child.stderr.take().unwrap());
        Self { name, child, lines, errors }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The next line on standard output; `None` at its end.
    pub fn line(&self) -> Option<String> {
        match self.lines.recv_timeout(DEADLINE) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("{} says nothing", self.name),
        }
    }

    /// Waits for a line on standard output that starts like this.
    pub fn expect(&self, start: &str) -> String {
        let mut said = Vec::new();
        while let Some(line) = self.line() {
            if line.starts_with(start) {
                return line;
            }
            said.push(line);
        }
        panic!(
            "{} never said '{start}' but {said:?} and {:?}",
            self.name,
            self.errors.iter().collect::<Vec<_>>()
        );
    }

    /// Closes standard input: end of input.
    pub fn close_input(&mut self) {
        drop(self.child.stdin.take());
    }

    /// Ends it without warning.
    pub fn kill(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }

    /// Types a line.
    pub fn enter(&mut self, line: &str) {
        self.child.stdin.as_mut().unwrap().write_all(line.as_bytes()).unwrap();
    }

    /// Asks it to end, as a service manager does.
    pub fn terminate(&self) {
        self.signal("-TERM");
    }

    /// Ctrl-C.
    pub fn interrupt(&self) {
        self.signal("-INT");
    }

    fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([signal, &self.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for its end; gives what it said on standard output, as far as nobody has read it, and on standard error.
    pub fn finish(mut self) -> (ExitStatus, Vec<String>, Vec<String>) {
        until(|| !self.is_running());
        let status = self.child.wait().unwrap();
        (status, self.lines.iter().collect(), self.errors.iter().collect())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn lines_of(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    receiver
}

/// A broker process with its control socket in a folder of its own.
pub struct Broker {
    pub process: Process,
    folder: tempfile::TempDir,
}

impl Broker {
    /// A broker with these lines of configuration, or without any.
    pub fn start(configuration: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let process = Self::start_in(folder.path(), configuration);
        Self { process, folder }
    }

    /// Kills it and starts another one at the same place.
    pub fn kill_and_restart(&mut self) {
        self.process.kill();
        self.process = Self::start_in(self.folder.path(), "");
    }

    fn start_in(folder: &Path, configuration: &str) -> Process {
        let control = folder.join("control");
        drop(std::fs::remove_file(&control));
        let mut command = sample("demo");
        command.arg("broker-process").arg("run").arg("--control").arg(&control);
        if !configuration.is_empty() {
            let file = folder.join("broker.toml");
            std::fs::write(&file, configuration).unwrap();
            command.arg("--config").arg(file);
        }
        let process = Process::start(&mut command);
        // The control socket comes first, then the ports of the routes.
        let mut said = Vec::new();
        while !said.last().is_some_and(|line: &String| line.ends_with("ready")) {
            match process.errors.recv_timeout(DEADLINE) {
                Ok(line) => said.push(line),
                Err(_) => panic!("the broker is not ready: {said:?}"),
            }
        }
        process
    }

    pub fn control(&self) -> PathBuf {
        self.folder.path().join("control")
    }
}

/// Puts the library of `broker exec` next to the sample programs: a cdylib is not built for another room's tests.
fn build_preload() {
    static BUILT: std::sync::Once = std::sync::Once::new();
    BUILT.call_once(|| {
        let folder = Path::new(env!("CARGO_BIN_EXE_demo")).parent().unwrap();
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args(["build", "--quiet", "-p", "preload", "--target-dir"]).arg(folder.parent().unwrap());
        if folder.file_name().is_some_and(|profile| profile == "release") {
            cargo.arg("--release");
        }
        assert!(cargo.current_dir(env!("CARGO_MANIFEST_DIR")).status().expect("cargo runs").success());
    });
}

/// The ways in which a client may open sessions: Mono's binding, and the options of the Rust client.
pub const WAYS: [(&str, &[&str]); 3] =
    [("net-tcp", &[]), ("streamed", &["--streamed"]), ("text", &["--encoding", "text"])];

/// Runs the Rust client to its end.
pub fn rust_client(port: &str, number: &str, more: &[&str]) -> (ExitStatus, Vec<String>, Vec<String>) {
    Process::start(sample("calculator-client").args(["--port", port, "--number", number]).args(more)).finish()
}

/// A C# source of this folder, compiled; `None` where there is no Mono, which it says.
pub struct MonoProgram {
    executable: PathBuf,
    _folder: tempfile::TempDir,
}

impl MonoProgram {
    pub fn compile(source: &str) -> Option<Self> {
        let there = |program: &str| Command::new(program).arg("--version").output().is_ok();
        if !there("mcs") || !there("mono") {
            println!("skipped: no mono");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let executable = folder.path().join("program.exe");
        let mut out = std::ffi::OsString::from("-out:");
        out.push(&executable);
        let compiled = Command::new("mcs")
            .args(["-r:System.ServiceModel", "-r:System.Runtime.Serialization"])
            .arg(out)
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(source))
            .output()
            .unwrap();
        assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
        Some(Self { executable, _folder: folder })
    }

    pub fn start(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Process {
        Process::start(Command::new("mono").arg(&self.executable).args(arguments))
    }

    /// Starts it under `broker exec`: its listener on the address's port becomes a registration.
    pub fn start_sharing(&self, broker: &Broker, address: &str, arguments: &[&str]) -> Process {
        build_preload();
        let mut command = sample("demo");
        command.args(["broker-process", "exec", "--control"]).arg(broker.control());
        command.args(["--address", address, "--", "mono"]).arg(&self.executable).args(arguments);
        Process::start(&mut command)
    }
}
