//! What is done to the broker.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SendFlags, Shutdown, SocketFlags, SocketType, sockopt};

/// How many connections are begun a second.
pub(crate) const RATE: usize = 1000;

/// The connections of one turn of an attacker, of which there are a hundred a second.
const STEP: Duration = Duration::from_millis(10);

/// After so many turns a connection is closed that is not there to stay.
const TURNS: usize = 20;

/// An attack.
#[derive(Clone, Copy)]
pub(crate) struct Attack {
    pub(crate) name: &'static str,
    /// What is sent at once.
    pub(crate) says: &'static [u8],
    pub(crate) then: Then,
}

/// What becomes of its connections.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// There are so many, and each sends an octet a second, which is right.
    Trickle(usize),
    /// There are so many, and they say nothing more.
    Stay(usize),
    /// Each is closed a moment later.
    Close,
    /// Each is ended at once, and closed a moment later.
    Fin,
    /// Each is reset at once.
    Reset,
    /// A second's are begun at the same time, and closed a moment later.
    Storm,
}

/// A Client Hello of TLS 1.2, cut short.
const TLS: &[u8] = b"\x16\x03\x01\x00\xc8\x01\x00\x00\xc4\x03\x03\x5f\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff\
    \x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10\x00\x00\x1a\xc0\x2f\xc0\x2b";

/// A preamble for an address that nobody has.
const NOWHERE: &[u8] = b"\x00\x01\x00\x01\x02\x02\x1anet.tcp://localhost/nobody\x03\x08\x0c";

/// The beginning of a preamble whose Via has 2,032 octets.
const LONG: &[u8] = b"\x00\x01\x00\x01\x02\x02\xf0\x0fnet.tcp://localhost/";

pub(crate) const ATTACKS: &[Attack] = &[
    Attack { name: "slow-loris, an octet a second", says: LONG, then: Then::Trickle(5000) },
    Attack { name: "half-open: connect, say nothing", says: b"", then: Then::Stay(5000) },
    Attack {
        name: "half a preamble, then FIN",
        says: b"\x00\x01\x00\x01\x02\x02\x20net.tcp",
        then: Then::Fin,
    },
    Attack {
        name: "half a preamble, then RST",
        says: b"\x00\x01\x00\x01\x02\x02\x20net.tcp",
        then: Then::Reset,
    },
    Attack { name: "garbage", says: &[0xa7; 1400], then: Then::Close },
    Attack { name: "HTTP", says: b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", then: Then::Close },
    Attack { name: "TLS", says: TLS, then: Then::Close },
    Attack { name: "reconnect storms: all of a second at once", says: NOWHERE, then: Then::Storm },
];

impl Attack {
    /// How many connections are there at a time, or begun a second.
    pub(crate) fn size(&self) -> String {
        match self.then {
            Then::Trickle(count) | Then::Stay(count) => format!("{count} open"),
            _ => format!("{RATE} a second"),
        }
    }

    /// Attacks until it is over. `begun`: how many connections there are, or were.
    pub(crate) fn run(&self, target: SocketAddr, begun: &AtomicUsize, over: &AtomicBool) {
        // An attacker has a machine of its own.
        let _ = rustix::process::nice(19);
        let mut connections: VecDeque<Option<OwnedFd>> = VecDeque::new();
        let (start, mut turn) = (Instant::now(), 0);
        while !over.load(Ordering::Relaxed) {
            let new = match self.then {
                Then::Trickle(most) | Then::Stay(most) => (most - connections.len()).min(RATE / 100),
                Then::Storm if turn % 100 == 0 => RATE,
                Then::Storm => 0,
                Then::Close | Then::Fin | Then::Reset => RATE / 100,
            };
            connections.extend((0..new).map(|n| self.begin(target, turn * 100 + n)));
            begun.fetch_add(new, Ordering::Relaxed);
            match self.then {
                Then::Trickle(_) => self.trickle(target, turn, &mut connections),
                Then::Stay(_) => {}
                Then::Storm => connections.truncate(if turn % 100 < TURNS { RATE } else { 0 }),
                Then::Close | Then::Fin | Then::Reset => {
                    connections.drain(..connections.len().saturating_sub(TURNS * RATE / 100));
                }
            }
            turn += 1;
            let next = STEP * u32::try_from(turn).unwrap_or(u32::MAX);
            sleep((start + next).saturating_duration_since(Instant::now()));
        }
    }

    /// A hundredth of them have their turn; one that was closed is begun again.
    fn trickle(&self, target: SocketAddr, turn: usize, connections: &mut VecDeque<Option<OwnedFd>>) {
        for (n, connection) in connections.iter_mut().enumerate().skip(turn % 100).step_by(100) {
            let sent = connection.as_ref().map(|socket| rustix::net::send(socket, b"x", SendFlags::NOSIGNAL));
            if !matches!(sent, Some(Ok(_) | Err(Errno::AGAIN))) {
                *connection = self.begin(target, n);
            }
        }
    }

    /// From one of many addresses of this machine, so that there are ports enough.
    fn begin(&self, target: SocketAddr, n: usize) -> Option<OwnedFd> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None).ok()?;
        let host = u8::try_from(n % 16).unwrap_or_default() + 2;
        rustix::net::bind(&socket, &SocketAddr::from(([127, 0, 0, host], 0))).ok()?;
        match rustix::net::connect(&socket, &target) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(_) => return None,
        }
        if !self.says.is_empty() {
            rustix::net::send(&socket, self.says, SendFlags::NOSIGNAL).ok()?;
        }
        match self.then {
            Then::Fin => rustix::net::shutdown(&socket, Shutdown::Write).ok()?,
            Then::Reset => {
                sockopt::set_socket_linger(&socket, Some(Duration::ZERO)).ok()?;
                return None;
            }
            Then::Trickle(_) | Then::Stay(_) | Then::Close | Then::Storm => {}
        }
        Some(socket)
    }
}
