//! Processes for the tests of this crate: a broker, the sample programs, Mono programs. None outlives the test.

#![allow(dead_code, unreachable_pub, unused_imports, reason = "each test program uses a part of it")]

mod serve;
mod shop;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

pub use serve::serve;
pub use shop::Shop;
use test_peers::Mono;
pub use test_peers::{DotNet, Process, Terminal, free_port, until};

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
        "wcf-dump" => env!("CARGO_BIN_EXE_wcf-dump"),
        other => panic!("no program {other}"),
    })
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
            match process.error_line() {
                Some(line) => said.push(line),
                None => panic!("the broker is not ready: {said:?}"),
            }
        }
        process
    }

    pub fn control(&self) -> PathBuf {
        self.folder.path().join("control")
    }
}

/// Puts the library of `broker exec` next to the sample programs: a cdylib is not built for another crate's tests.
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
pub struct MonoProgram(Mono);

impl MonoProgram {
    pub fn compile(source: &str) -> Option<Self> {
        Mono::compile(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(source)).map(Self)
    }

    pub fn start(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Process {
        Process::start(self.0.command().args(arguments))
    }

    /// Its client and the Rust one call a calculator in one of [`WAYS`].
    pub fn both_clients_call(&self, port: &str, number: &str, (binding, options): (&str, &[&str])) {
        let address = format!("net.tcp://localhost:{port}/calculator/{number}");
        let mono = self.start(["client", binding, &address]).finish();
        for (status, lines, errors) in [rust_client(port, number, options), mono] {
            assert_eq!(lines, RESULTS, "{binding}: {errors:?}");
            assert!(status.success());
        }
    }

    /// Starts it under `broker exec`: its listener on the address's port becomes a registration.
    pub fn start_sharing(&self, broker: &Broker, address: &str, arguments: &[&str]) -> Process {
        build_preload();
        let mono = self.0.command();
        let mut command = sample("demo");
        command.args(["broker-process", "exec", "--control"]).arg(broker.control());
        command.args(["--address", address, "--"]).arg(mono.get_program()).args(mono.get_args());
        command.args(arguments);
        Process::start(&mut command)
    }
}
