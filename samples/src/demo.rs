//! What the program `demo` does, and what it starts.

use core::time::Duration;
use std::io::{self, Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, bail, ensure};
use broker::{ListeningSocket, Owner, listeners_on, owners_of};
use rustix::process::{Signal, getpid, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{sleep, timeout};

use crate::place::Place;
use crate::random;

/// First argument of the process that is the broker.
pub const BROKER: &str = "broker-process";
/// First argument of a process that is a calculator service.
pub const SERVICE: &str = "service-process";
/// First argument of a process that is a calculator client.
pub const CLIENT: &str = "client-process";

/// No step takes longer than a moment; one that does has failed.
const STEP_TIMEOUT: Duration = Duration::from_secs(20);

/// Runs all steps, cleans up, and only then says what went wrong, if anything did.
///
/// # Errors
/// A step failed, or a signal came first.
pub async fn run() -> anyhow::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let folder = Folder::new()?;
    // Processes end when the future that holds them is dropped, before the folder goes.
    tokio::select! {
        done = steps(&folder.0) => done,
        _ = interrupt.recv() => bail!("interrupted"),
        _ = terminate.recv() => bail!("terminated"),
    }
}

async fn steps(folder: &Path) -> anyhow::Result<()> {
    let control = folder.join("control");
    let port = free_port()?;

    say(
        "1. A broker: the port sharing service. It listens where its workers ask it to, and so far nobody does.",
    )?;
    let mut broker = Process::start(
        "broker",
        &[BROKER, "--log-level", "warn", "--control", &control.display().to_string()].map(String::from),
    )?;
    broker.until_exists(&control).await?;
    say(&format!("   Process {}, control socket {}", broker.pid, control.display()))?;

    say(&format!(
        "\n2. Two calculator services, each a process of its own, register addresses on one port, {port}."
    ))?;
    let numbers = two_numbers();
    let mut services = Vec::new();
    for number in numbers {
        let mut service = Process::service(number, port, &control)?;
        let line = service.line().await?.context("it ended without a word")?;
        say(&format!("   Process {}: {line}", service.pid))?;
        services.push(service);
    }

    say("\n3. One port, one owner: the services have no listening socket.")?;
    show_owners(port, broker.pid)?;

    say(
        "\n4. The client calls both, in .NET Binary XML as any NetTcpBinding does. It knows nothing of port sharing:",
    )?;
    say("   both addresses have the same port.")?;
    for (service, number) in services.iter().zip(numbers) {
        say(&format!("   {}, process {}:", address(port, number), service.pid))?;
        call(port, number).await?;
    }

    say("\n5. An address that nobody registered.")?;
    let unknown = (1..).find(|number| !numbers.contains(number)).unwrap_or_default();
    say(&format!("   {}:", address(port, unknown)))?;
    call_in_vain(port, unknown).await?;

    say("\n6. The services end, and with the last address the port is closed; then the broker ends.")?;
    for service in services {
        service.end().await?;
    }
    until_closed(port).await?;
    broker.end().await?;
    say("   Nothing is left.")
}

fn two_numbers() -> [u32; 2] {
    let first = random::number();
    let second = core::iter::repeat_with(random::number).find(|second| *second != first);
    [first, second.unwrap_or_default()]
}

fn address(port: u16, number: u32) -> String {
    Place { host: "localhost".into(), port }.address(number)
}

fn say(line: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).context("standard output")
}

/// Free now; nobody else is likely to take it in the moment until the broker does.
fn free_port() -> anyhow::Result<u16> {
    let probe = TcpListener::bind("0.0.0.0:0").context("no free port")?;
    Ok(probe.local_addr()?.port())
}

/// Every listening socket of the port is the broker's and nobody else's, and there is one.
fn show_owners(port: u16, broker: u32) -> anyhow::Result<()> {
    let listening = listeners_on(port);
    ensure!(!listening.is_empty(), "nothing listens on port {port}");
    for ListeningSocket { address, inode } in listening {
        let owners: Vec<Owner> = owners_of(inode).collect();
        let shown: Vec<String> = owners.iter().map(Owner::to_string).collect();
        ensure!(
            matches!(&owners[..], [owner] if owner.pid == broker),
            "{address} is the broker's to open, process {broker}, and of {shown:?}: try again"
        );
        say(&format!("   {address} belongs to process {broker}, the broker."))?;
    }
    Ok(())
}

async fn call(port: u16, number: u32) -> anyhow::Result<()> {
    let mut client = Process::client(number, port, Stdio::inherit())?;
    let mut results = 0;
    while let Some(line) = client.line().await? {
        say(&line)?;
        results += 1;
    }
    ensure!(client.ended().await? && results == 4, "the client did not get its four results");
    Ok(())
}

async fn call_in_vain(port: u16, number: u32) -> anyhow::Result<()> {
    let mut client = Process::client(number, port, Stdio::piped())?;
    let mut complaint = String::new();
    let errors = client.child.stderr.take().context("standard error")?;
    let mut lines = BufReader::new(errors).lines();
    while let Some(line) = within(lines.next_line()).await?? {
        say(&line)?;
        complaint.push_str(&line);
    }
    ensure!(!client.ended().await?, "the client found a service that does not exist");
    ensure!(complaint.contains("EndpointNotFound"), "the client was not told EndpointNotFound");
    Ok(())
}

async fn until_closed(port: u16) -> anyhow::Result<()> {
    let closed = async {
        while !listeners_on(port).is_empty() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    within(closed).await.context("the port stays open")
}

async fn within<T>(step: impl Future<Output = T>) -> anyhow::Result<T> {
    timeout(STEP_TIMEOUT, step)
        .await
        .with_context(|| format!("nothing happened for {} s", STEP_TIMEOUT.as_secs()))
}

/// A process of the demonstration: this program, started again. It ends when its standard input does, so it survives
/// neither this value nor this program.
struct Process {
    name: &'static str,
    child: Child,
    pid: u32,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Process {
    fn service(number: u32, port: u16, control: &Path) -> anyhow::Result<Self> {
        let control = control.display().to_string();
        let (number, port) = (number.to_string(), port.to_string());
        let arguments = [SERVICE, "--number", &number, "--port", &port, "--control", &control];
        Self::start("service", &arguments.map(String::from))
    }

    fn client(number: u32, port: u16, errors: Stdio) -> anyhow::Result<Self> {
        let (number, port) = (number.to_string(), port.to_string());
        let arguments = [CLIENT, "--number", &number, "--port", &port];
        Self::start_with("client", &arguments.map(String::from), errors)
    }

    fn start(name: &'static str, arguments: &[String]) -> anyhow::Result<Self> {
        Self::start_with(name, arguments, Stdio::inherit())
    }

    fn start_with(name: &'static str, arguments: &[String], errors: Stdio) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("where this program is")?;
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(errors)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting the {name}"))?;
        let pid = child.id().context("its process number")?;
        let lines = BufReader::new(child.stdout.take().context("its standard output")?).lines();
        Ok(Self { name, child, pid, lines })
    }

    async fn line(&mut self) -> anyhow::Result<Option<String>> {
        let line =
            within(self.lines.next_line()).await.with_context(|| format!("waiting for the {}", self.name))?;
        Ok(line?)
    }

    async fn until_exists(&mut self, path: &Path) -> anyhow::Result<()> {
        let exists = async {
            while !path.exists() {
                if let Some(status) = self.child.try_wait()? {
                    bail!("the {} ended with {status}", self.name);
                }
                sleep(Duration::from_millis(10)).await;
            }
            Ok(())
        };
        within(exists).await.with_context(|| format!("waiting for the {}", self.name))?
    }

    /// Whether it ended well by itself.
    async fn ended(mut self) -> anyhow::Result<bool> {
        Ok(within(self.child.wait()).await??.success())
    }

    /// Asks it to end, and waits until it has, in good order.
    async fn end(mut self) -> anyhow::Result<()> {
        drop(self.child.stdin.take());
        let ended = within(self.child.wait()).await;
        let status = ended.with_context(|| format!("waiting for the {} to end", self.name))??;
        ensure!(status.success(), "the {} ended with {status}", self.name);
        Ok(())
    }
}

/// A folder of this user's alone, gone when this value is.
struct Folder(PathBuf);

impl Folder {
    fn new() -> anyhow::Result<Self> {
        use std::os::unix::fs::DirBuilderExt;
        let path =
            std::env::temp_dir().join(format!("net-tcp-demo-{}-{}", std::process::id(), random::number()));
        std::fs::DirBuilder::new().mode(0o700).create(&path).with_context(|| path.display().to_string())?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// Asks this process to end as an administrator would when its standard input ends, that is, when the demonstration is over,
/// however that came: a broker closes what it has open, and writes the last lines of its log.
pub fn end_with_the_starter() {
    std::thread::spawn(|| {
        drop(io::stdin().read_to_end(&mut Vec::new()));
        if kill_process(getpid(), Signal::TERM).is_err() {
            std::process::abort();
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_of_another_program_is_found() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let us = std::process::id();
        show_owners(port, us).unwrap();
        let said = show_owners(port, us + 1).unwrap_err().to_string();
        assert!(said.starts_with("127.0.0.1:") && said.contains(&format!("(pid {us})")), "{said}");

        // A service that has inherited it.
        let inherited = std::os::fd::OwnedFd::from(listener.try_clone().unwrap());
        let mut service = std::process::Command::new("sleep").arg("600").stdin(inherited).spawn().unwrap();
        let shown = show_owners(port, us);
        service.kill().unwrap();
        service.wait().unwrap();
        let said = shown.unwrap_err().to_string();
        assert!(said.contains(&format!("(pid {})", service.id())), "{said}");
    }
}
