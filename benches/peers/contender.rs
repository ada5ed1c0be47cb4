//! Whoever is compared, and what is asked of it.

use std::io::{self, Read};
use std::net::{SocketAddr, TcpStream};
use std::process::Child;
use std::time::{Duration, Instant};

use benches::cost;

use crate::load::{Target, preamble};

/// Where every Via of a run begins; the rest is the service's name.
pub(crate) const BASE: &str = "net.tcp://localhost:9000/peers/";

/// The services of a run: the name in the Via, the letter its worker answers with, what the worker does then.
pub(crate) const SERVICES: [(&str, char, &str); 4] =
    [("first", 'a', "close"), ("second", 'b', "close"), ("held", 'h', "hold"), ("filled", 'f', "fill")];

/// Every contender, in the order of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Floor,
    FloorDefer,
    FloorQueue,
    FloorPack,
    FloorBlock,
    Broker,
    BrokerCrowd,
    BrokerTcp,
    BrokerUnix,
    HaproxyTcp,
    HaproxyUnix,
    NginxTcp,
    NginxUnix,
}

impl Kind {
    pub(crate) const ALL: [Self; 13] = [
        Self::Floor,
        Self::FloorDefer,
        Self::FloorQueue,
        Self::FloorPack,
        Self::FloorBlock,
        Self::Broker,
        Self::BrokerCrowd,
        Self::BrokerTcp,
        Self::BrokerUnix,
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
            Self::Broker => "broker",
            Self::BrokerCrowd => "broker, a million addresses, asked at random",
            Self::BrokerTcp => "broker, relay to a TCP back-end",
            Self::BrokerUnix => "broker, relay to a Unix back-end",
            Self::HaproxyTcp => "HAProxy, TCP back-end",
            Self::HaproxyUnix => "HAProxy, Unix back-end",
            Self::NginxTcp => "nginx and njs, TCP back-end",
            Self::NginxUnix => "nginx and njs, Unix back-end",
        }
    }

    /// The program that must be installed.
    pub(crate) const fn program(self) -> Option<&'static str> {
        match self {
            Self::HaproxyTcp | Self::HaproxyUnix => Some("haproxy"),
            Self::NginxTcp | Self::NginxUnix => Some("nginx"),
            _ => None,
        }
    }

    /// Whether this is the floor that every ratio refers to.
    pub(crate) const fn is_reference(self) -> bool {
        matches!(self, Self::FloorDefer)
    }

    /// Whether this is a floor of some shape.
    const fn is_floor(self) -> bool {
        matches!(self, Self::Floor | Self::FloorDefer | Self::FloorQueue | Self::FloorPack | Self::FloorBlock)
    }

    /// Whether this is the project's own broker.
    pub(crate) const fn is_ours(self) -> bool {
        matches!(self, Self::Broker | Self::BrokerCrowd) || matches!(self, Self::BrokerTcp | Self::BrokerUnix)
    }

    /// Whether connections pass through it, rather than being handed over.
    pub(crate) const fn relays(self) -> bool {
        !self.is_floor() && !matches!(self, Self::Broker | Self::BrokerCrowd)
    }
}

/// A process that ends with its owner.
pub(crate) struct Process(pub(crate) Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A running contender with its workers.
pub(crate) struct Contender {
    pub(crate) kind: Kind,
    pub(crate) process: Process,
    /// They live as long as the contender.
    #[expect(dead_code, reason = "held for their end")]
    pub(crate) workers: Vec<Process>,
    pub(crate) address: SocketAddr,
    /// How many addresses beside the services are registered.
    pub(crate) crowd: usize,
}

/// The letter that the worker of the crowd answers with.
pub(crate) const CROWD: char = 'c';

/// One of the crowd of addresses.
pub(crate) fn crowd_address(port: u16, number: usize) -> String {
    format!("net.tcp://localhost:{port}/crowd/{}/{number}", number % 97)
}

/// How many different ones of the crowd are asked for, more than any cache of a processor holds.
const ASKED: usize = 100_000;

impl Contender {
    pub(crate) fn pid(&self) -> u32 {
        self.process.0.id()
    }

    /// The connections to one service.
    pub(crate) fn target(&self, service: usize) -> Target {
        let (name, letter, _) = SERVICES[service];
        let letter = u8::try_from(letter).unwrap_or(b'?');
        Target { address: self.address, preambles: vec![preamble(&format!("{BASE}{name}"))], letter }
    }

    /// The connections whose cost is measured: to the first service, or in a crowd to one after another of it, at random.
    pub(crate) fn measured(&self) -> Target {
        if self.crowd == 0 {
            return self.target(0);
        }
        let mut random = 0x9E37_79B9_7F4A_7C15_u64;
        let preambles = (0..ASKED.min(self.crowd)).map(|_| {
            // xorshift64, the same in each run.
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let number = usize::try_from(random % self.crowd as u64).unwrap_or(0);
            preamble(&crowd_address(self.address.port(), number))
        });
        let letter = u8::try_from(CROWD).unwrap_or(b'?');
        Target { address: self.address, preambles: preambles.collect(), letter }
    }

    /// Each Via reaches its own worker, and one that nobody registered reaches none.
    ///
    /// # Errors
    /// When one does not.
    pub(crate) fn check(&self) -> io::Result<()> {
        let wrong = |what: &str| io::Error::other(format!("{} {what}", self.kind.name()));
        self.target(0).open().map_err(|error| wrong(&format!("does not route: {error}")))?;
        self.measured().open().map_err(|error| wrong(&format!("does not route: {error}")))?;
        if !self.kind.is_floor() {
            self.target(1).open().map_err(|error| wrong(&format!("routes one service only: {error}")))?;
        }
        let nobody =
            Target { preambles: vec![preamble("net.tcp://localhost:9000/nobody/at/home")], ..self.target(0) };
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
    pub(crate) fn opened(mut self) -> io::Result<Self> {
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
