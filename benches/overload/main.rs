//! What an attack costs the broker, and an honest client beside it.
//!
//! `cargo run --release -p benches --bin overload` starts a broker, a worker and a client that connects 250 times a second, and each
//! attack in turn; it prints a table, and ends with 1 when an attack takes a fifth of a processor or more, when the client's 99th
//! percentile is twice what it is without an attack or more, or when the client is not served.
//!
//! Each round of an attack begins with a quiet one right before it. The attackers run at the lowest priority, for they would be other
//! machines; what else runs on this machine disturbs all the same, so there are from two to five rounds, and of each figure the best
//! counts, of the quiet ones as well.

mod attack;
mod honest;

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use attack::{ATTACKS, Attack, Then};
use benches::{cost, machine};
use clap::Parser;
use handoff::{ControlConnection, Register};
use honest::Latency;

/// Of one processor.
const MOST_PROCESSOR: f64 = 0.2;

/// Of the quiet 99th percentile.
const MOST_RATIO: f64 = 2.0;

#[derive(Parser)]
struct Options {
    /// Rounds of an attack, until one keeps the limits.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of a measurement, quiet or under attack.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Only attacks whose name contains this word.
    #[arg(long, default_value = "")]
    only: String,
}

fn main() -> ExitCode {
    let mut words: Vec<String> = std::env::args().collect();
    if words.get(1).is_some_and(|word| word == "broker") {
        return broker::main_from(words.split_off(1));
    }
    match measure(&Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("overload: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all limits were kept.
fn measure(options: &Options) -> io::Result<bool> {
    // As many as there are attackers' and the client's sockets.
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let all = rustix::process::Rlimit { current: limit.maximum, ..limit };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, all)?;
    let rig = Rig::start()?;
    let preamble = rig.preamble();
    let mut control = ControlConnection::connect(&rig.control).map_err(io::Error::other)?;
    let (_, socket) = control.register(&Register::new([rig.via()])).map_err(io::Error::other)?;
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let worker = scope.spawn(|| honest::worker(&socket, &over));
        let told = (|| {
            println!(
                "{}; {} s each, the best of two to {} rounds.\n",
                machine(),
                options.seconds,
                options.rounds
            );
            println!(
                "| attack | connections | broker, % of a processor | p50 µs quiet | under attack | p99 µs quiet | under attack | × | rounds | ended |"
            );
            println!("|---|---:|---:|---:|---:|---:|---:|---:|---:|---|");
            let mut kept = true;
            for attack in ATTACKS.iter().filter(|attack| attack.name.contains(&options.only)) {
                kept &= rig.row(attack, &preamble, options)?;
            }
            Ok(kept)
        })();
        over.store(true, Ordering::Relaxed);
        worker.join().map_err(|_| io::Error::other("the worker panicked"))??;
        told
    })
}

/// What was measured in one round.
struct Round {
    processor: f64,
    quiet: Latency,
    attacked: Latency,
    ended: BTreeMap<String, u64>,
}

impl Round {
    /// The better of both, in each respect.
    fn or(self, other: Self) -> Self {
        let better = |one: Latency, other: Latency| if other.most < one.most { other } else { one };
        let processor = self.processor.min(other.processor);
        let (quiet, attacked) = (better(self.quiet, other.quiet), better(self.attacked, other.attacked));
        Self { processor, quiet, attacked, ended: other.ended }
    }

    fn ratio(&self) -> f64 {
        self.attacked.most.as_secs_f64() / self.quiet.most.as_secs_f64()
    }

    fn keeps_the_limits(&self) -> bool {
        self.processor < MOST_PROCESSOR && self.ratio() < MOST_RATIO
    }
}

/// A broker, and where it is.
struct Rig {
    folder: PathBuf,
    control: PathBuf,
    broker: Child,
    port: u16,
    http: u16,
}

impl Rig {
    fn start() -> io::Result<Self> {
        let folder = std::env::temp_dir().join(format!("net-tcp-overload-{}", std::process::id()));
        std::fs::create_dir(&folder)?;
        let control = folder.join("control");
        let [port, http] = [free_port()?, free_port()?];
        let mut command = Command::new(std::env::current_exe()?);
        command.args([
            "broker",
            "run",
            "--log-level",
            "warn",
            "--max-pending-connections",
            "1000",
            "--control",
        ]);
        command.arg(&control).args(["--http-listen", &format!("127.0.0.1:{http}")]);
        let broker = command.stderr(std::fs::File::create(folder.join("log"))?).spawn()?;
        let rig = Self { folder, control, broker, port, http };
        let deadline = Instant::now() + Duration::from_secs(20);
        while ControlConnection::connect(&rig.control).is_err() || rig.ended().is_err() {
            if Instant::now() > deadline {
                return Err(io::Error::other("the broker does not start"));
            }
            sleep(Duration::from_millis(5));
        }
        Ok(rig)
    }

    fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    fn via(&self) -> String {
        format!("net.tcp://localhost:{}/honest", self.port)
    }

    fn preamble(&self) -> Vec<u8> {
        let via = self.via();
        let size = u8::try_from(via.len()).unwrap_or_default();
        [b"\0\x01\0\x01\x02\x02", &[size][..], via.as_bytes(), b"\x03\x08\x0c"].concat()
    }

    /// Prints what the best round of an attack was; whether it kept the limits.
    fn row(&self, attack: &Attack, preamble: &[u8], options: &Options) -> io::Result<bool> {
        let mut best: Option<Round> = None;
        let mut rounds = 0;
        while rounds < options.rounds && !(rounds > 1 && best.as_ref().is_some_and(Round::keeps_the_limits)) {
            let round = self.round(attack, preamble, Duration::from_secs(options.seconds))?;
            rounds += 1;
            best = Some(match best {
                Some(best) => best.or(round),
                None => round,
            });
        }
        let Some(best) = best else { return Ok(true) };
        let ended: Vec<String> =
            best.ended.iter().map(|(outcome, count)| format!("{outcome} {count}")).collect();
        println!(
            "| {} | {} | {:.1} | {} | {} | {} | {} | {:.2}{} | {rounds} | {} |",
            attack.name,
            attack.size(),
            best.processor * 100.0,
            best.quiet.half.as_micros(),
            best.attacked.half.as_micros(),
            best.quiet.most.as_micros(),
            best.attacked.most.as_micros(),
            best.ratio(),
            if best.keeps_the_limits() { "" } else { " **over**" },
            ended.join(", ")
        );
        Ok(best.keeps_the_limits())
    }

    fn round(&self, attack: &Attack, preamble: &[u8], time: Duration) -> io::Result<Round> {
        let quiet = honest::client(self.address(), preamble, time)?;
        let (begun, over) = (AtomicUsize::new(0), AtomicBool::new(false));
        thread::scope(|scope| {
            let attacker = scope.spawn(|| attack.run(self.address(), &begun, &over));
            let attacked = (|| {
                // All are there, and the kernel has shown those that say nothing.
                while let Then::Trickle(most) | Then::Stay(most) = attack.then
                    && begun.load(Ordering::Relaxed) < most
                {
                    sleep(Duration::from_millis(10));
                }
                sleep(Duration::from_millis(1500));
                let (ended, processor, start) = (self.ended()?, self.processor_time()?, Instant::now());
                let attacked = honest::client(self.address(), preamble, time)?;
                let spent = Duration::from_nanos(self.processor_time()? - processor).as_secs_f64();
                let processor = spent / start.elapsed().as_secs_f64();
                let more = self.ended()?.into_iter().map(|(outcome, count)| {
                    let before = ended.get(&outcome).copied().unwrap_or_default();
                    (outcome, count - before)
                });
                let ended = more.filter(|(_, count)| *count > 0).collect();
                Ok(Round { processor, quiet, attacked, ended })
            })();
            over.store(true, Ordering::Relaxed);
            attacker.join().map_err(|_| io::Error::other("the attacker panicked"))?;
            attacked
        })
    }

    fn processor_time(&self) -> io::Result<u64> {
        cost::processor_time(self.broker.id())
    }

    /// How many connections have ended in which way, as the broker's metrics say.
    fn ended(&self) -> io::Result<BTreeMap<String, u64>> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.http))?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        let ended = text.lines().filter_map(|line| {
            let line = line.strip_prefix("net_tcp_broker_connections_ended_total{outcome=\"")?;
            let (outcome, count) = line.split_once("\"} ")?;
            Some((outcome.to_owned(), count.parse().ok()?))
        });
        Ok(ended.collect())
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let _ = self.broker.kill();
        let _ = self.broker.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A port that nobody has at the moment.
fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
