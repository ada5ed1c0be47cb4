//! How each contender is started for the job, with its workers.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, BufRead, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::contender::{BASE, Contender, Kind, Process, SERVICES};

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
            Kind::Broker => self.broker(kind, 0),
            Kind::BrokerCrowd => self.broker(kind, self.registrations),
            Kind::BrokerTcp => self.broker_relay(kind, "tcp"),
            Kind::BrokerUnix => self.broker_relay(kind, "unix"),
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
        let mut floor = self::program(&program)
            .args(words)
            .stdin(Stdio::from(sending))
            .stdout(Stdio::piped())
            .spawn()
            .map(Process)?;
        let port = port_said(&mut floor)?;
        Ok(Contender {
            kind,
            process: floor,
            workers: vec![worker],
            address: (Ipv4Addr::LOCALHOST, port).into(),
            crowd: 0,
        })
    }

    fn broker(&self, kind: Kind, crowd: usize) -> io::Result<Contender> {
        let (process, control, port) = self.broker_process(kind, "")?;
        let mut workers = Vec::new();
        for (name, letter, then) in SERVICES.into_iter().filter(|(.., then)| *then != "fill") {
            let place = format!("{control} net.tcp://localhost:{port}/peers/{name}");
            let mut worker = helper(&["worker", &letter.to_string(), "broker", &place, then])?;
            line_said(&mut worker)?;
            workers.push(worker);
        }
        if crowd > 0 {
            let mut registrar = helper(&["crowd", &control, &port.to_string(), &crowd.to_string()])?;
            line_said(&mut registrar)?;
            workers.push(registrar);
        }
        Contender { kind, process, workers, address: (Ipv4Addr::LOCALHOST, port).into(), crowd }.opened()
    }

    fn broker_relay(&self, kind: Kind, family: &str) -> io::Result<Contender> {
        let (workers, backends) = self.relayworkers(kind, family)?;
        let mut routes = String::new();
        for ((name, ..), backend) in SERVICES.iter().zip(&backends) {
            let backend = if family == "unix" { format!("unix:{backend}") } else { backend.clone() };
            routes += &format!(
                "[[route]]\naddress = \"net.tcp://localhost:@PORT@/peers/{name}\"\nrelay = \"{backend}\"\n"
            );
        }
        let (process, _, port) = self.broker_process(kind, &routes)?;
        Contender { kind, process, workers, address: (Ipv4Addr::LOCALHOST, port).into(), crowd: 0 }.opened()
    }

    /// A broker, its control socket and its port.
    fn broker_process(&self, kind: Kind, routes: &str) -> io::Result<(Process, String, u16)> {
        let (port, control) = (free_port()?, self.path.join(format!("{kind:?}.control")));
        let text_of_configuration = format!(
            "control = \"{}\"\nmax_pending_connections = 1000\n[listen]\naddresses = [\"127.0.0.1\"]\n{routes}",
            text(&control)
        );
        let configuration =
            self.write(kind, "toml", &text_of_configuration.replace("@PORT@", &port.to_string()))?;
        let arguments = ["broker", "run", "--log-level", "warn", "--config", &text(&configuration)];
        let process = this_program()?.args(arguments).spawn().map(Process)?;
        let deadline = Instant::now() + Duration::from_secs(20);
        while !control.exists() {
            if Instant::now() > deadline {
                return Err(io::ErrorKind::TimedOut.into());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok((process, text(&control), port))
    }

    fn haproxy(&self, kind: Kind, family: &str) -> io::Result<Contender> {
        let (workers, backends) = self.relayworkers(kind, family)?;
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
        let process =
            program("haproxy").args(["-q", "-db"]).arg("-f").arg(configuration).spawn().map(Process)?;
        Contender { kind, process, workers, address: (Ipv4Addr::LOCALHOST, port).into(), crowd: 0 }.opened()
    }

    fn nginx(&self, kind: Kind, family: &str) -> io::Result<Contender> {
        let (workers, backends) = self.relayworkers(kind, family)?;
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
        let process =
            program("nginx").arg("-c").arg(configuration).arg("-p").arg(&self.path).spawn().map(Process)?;
        Contender { kind, process, workers, address: (Ipv4Addr::LOCALHOST, port).into(), crowd: 0 }.opened()
    }

    /// A worker of its own listener for each service, and their addresses.
    fn relayworkers(&self, kind: Kind, family: &str) -> io::Result<(Vec<Process>, Vec<String>)> {
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

/// A program that ends with this one, however this one ends.
fn program(path: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(path);
    command
}

fn this_program() -> io::Result<Command> {
    Ok(program(std::env::current_exe()?))
}

/// This program as a helper process that says when it is ready.
fn helper(words: &[&str]) -> io::Result<Process> {
    this_program()?.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map(Process)
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
