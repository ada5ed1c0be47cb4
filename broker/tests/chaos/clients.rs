//! Initiators: honest ones, who say what became of them; slow ones, who are honest, too; and rude ones, of whom nobody asks that.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::common::preamble;
use crate::judge::Judge;

/// How long an honest one may wait.
pub(crate) const DEADLINE: Duration = Duration::from_secs(45);

/// Who they ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Service {
    pub(crate) name: char,
    pub(crate) path: &'static str,
    pub(crate) port: u16,
}

impl Service {
    pub(crate) fn address(&self) -> String {
        format!("net.tcp://localhost:{}/{}", self.port, self.path)
    }
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// By this answer.
    Served(char),
    Fault(String),
    Refused,
    /// Without a word.
    Closed,
    Reset,
    TooLate,
    Other(String),
}

/// One session on a connection.
fn session(stream: &mut TcpStream, service: &Service, slowly: bool) -> Ended {
    let octets = preamble(&service.address());
    let parts: Vec<&[u8]> = if slowly { octets.chunks(7).collect() } else { vec![&octets] };
    for part in parts {
        if let Err(error) = stream.write_all(part) {
            return failed(&error);
        }
        if slowly {
            sleep(Duration::from_millis(2));
        }
    }
    let mut answer = [0; 300];
    match stream.read(&mut answer[..1]) {
        Ok(0) => Ended::Closed,
        Ok(_) if answer[0] == 8 => {
            let mut rest = Vec::new();
            if let Err(error) = stream.read_to_end(&mut rest) {
                return failed(&error);
            }
            let text = String::from_utf8_lossy(rest.get(1..).unwrap_or_default()).into_owned();
            Ended::Fault(text.rsplit('/').next().unwrap_or_default().to_owned())
        }
        Ok(_) => Ended::Served(char::from(answer[0])),
        Err(error) => failed(&error),
    }
}

fn failed(error: &std::io::Error) -> Ended {
    match error.kind() {
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => Ended::Reset,
        ErrorKind::ConnectionRefused => Ended::Refused,
        ErrorKind::WouldBlock | ErrorKind::TimedOut => Ended::TooLate,
        _ => Ended::Other(error.to_string()),
    }
}

fn connect(port: u16) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), DEADLINE)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    stream.set_write_timeout(Some(DEADLINE))?;
    Ok(stream)
}

/// Comes again and again; some for one session, some for several services one after the other.
pub(crate) fn honest(judge: &Judge, services: &[Service], mut random: fastrand::Rng, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let service = services[random.usize(..services.len())];
        let mut begun = Instant::now();
        let mut stream = match connect(service.port) {
            Ok(stream) => stream,
            Err(error) => {
                judge.tells(&service, begun, &failed(&error), "connecting");
                sleep(Duration::from_millis(1));
                continue;
            }
        };
        let slowly = random.u8(..8) == 0;
        let mut ended = session(&mut stream, &service, slowly);
        judge.tells(&service, begun, &ended, if slowly { "slowly" } else { "" });
        // The same connection for another, as WCF's clients do.
        let mut last = service;
        while matches!(ended, Ended::Served(by) if by != 'r') && random.u8(..4) == 0 {
            let same_port: Vec<Service> =
                services.iter().copied().filter(|other| other.port == service.port).collect();
            let next = same_port[random.usize(..same_port.len())];
            let again = Instant::now();
            ended = session(&mut stream, &next, false);
            // Whoever had it may be gone since its last answer.
            judge.tells_of_both(&last, &next, begun, &ended);
            (last, begun) = (next, again);
        }
    }
}

/// Whatever comes to a port that anybody may connect to.
pub(crate) fn rude(services: &[Service], mut random: fastrand::Rng, stop: &AtomicBool) {
    let mut kept = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        sleep(Duration::from_millis(random.u64(..8)));
        let service = services[random.usize(..services.len())];
        let Ok(mut stream) = connect(service.port) else { continue };
        let octets = preamble(&service.address());
        match random.u8(..8) {
            0 => {}
            1 => drop(stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")),
            2 => drop(stream.write_all(b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03")),
            3 => drop(stream.write_all(&octets[..random.usize(1..octets.len())])),
            // A whole one, and gone before the answer.
            4 => drop(stream.write_all(&octets)),
            5 => {
                let _ = stream.write_all(&octets[..random.usize(1..octets.len())]);
                let _ = rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO));
            }
            6 => {
                let _ = stream.write_all(&octets[..random.usize(1..octets.len())]);
                let _ = stream.shutdown(Shutdown::Write);
                kept.push(stream);
            }
            // Half of one, for a while.
            _ => {
                let _ = stream.write_all(&octets[..random.usize(1..octets.len() - 2)]);
                kept.push(stream);
            }
        }
        if kept.len() > 40 {
            kept.drain(..random.usize(1..kept.len()));
        }
    }
}
