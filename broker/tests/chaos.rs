//! Everything at once: workers are killed, stopped, drained and followed by others; the broker is killed, upgraded and reloaded; initiators are
//! honest, slow and rude. Whoever is honest is served or told a proper fault in time, and in the end nothing is left of it all.
//!
//! `CHAOS_SECONDS=` for how long, `CHAOS_SEED=` for the same choices again (what the machine does in between is its own).

mod common;

#[path = "chaos/clients.rs"]
mod clients;
#[path = "chaos/judge.rs"]
mod judge;
#[path = "chaos/worker.rs"]
mod worker;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::{Broker, eventually, every_connection_has_ended, free_port, preamble};
use handoff::ControlConnection;
use handoff::administration::Which;
use serde_json::{Value, json};

use self::clients::Service;
use self::judge::{Judge, What};
use self::worker::Worker;

/// How long it takes if nobody says.
const SECONDS: u64 = 4;

/// What a broker may have more in the end than in the beginning, in KiB: what an allocator keeps of its busiest moment.
const MEMORY: usize = 16 * 1024;

const HONEST: usize = 5;
const RUDE: usize = 2;

fn said(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|said| said.parse().expect(variable))
}

#[test]
fn nothing_is_lost_whatever_happens() {
    let seed = said("CHAOS_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("CHAOS_SEED={seed}");
    let judge = Judge::new(seed);
    let _story = Story(&judge);
    let mut world = World::begin(&judge);
    let end = Instant::now() + Duration::from_secs(said("CHAOS_SECONDS").unwrap_or(SECONDS));
    let stop = AtomicBool::new(false);
    let services = world.services;
    thread::scope(|scope| {
        let _stop = Stop(&stop);
        for number in 0..HONEST + RUDE {
            let (judge, stop) = (&judge, &stop);
            let random = fastrand::Rng::with_seed(seed.wrapping_add(1 + number as u64));
            scope.spawn(move || match number {
                0..HONEST => clients::honest(judge, &services, random, stop),
                _ => clients::rude(&services, random, stop),
            });
        }
        while Instant::now() < end {
            world.step();
        }
        world.wake_all();
    });
    world.end();
    judge.fails_if_wrong();
    println!("{}", judge.counts());
    assert!(judge.of("served") > 0, "nobody was served");
}

/// Says what was done if it fails.
struct Story<'j>(&'j Judge);

impl Drop for Story<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("{}", self.0.story(""));
        }
    }
}

/// Initiators end, whatever happens.
struct Stop<'s>(&'s AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

struct World<'j> {
    judge: &'j Judge,
    random: fastrand::Rng,
    broker: Broker,
    /// Of a broker for which nobody has come.
    descriptors: usize,
    memory: usize,
    services: [Service; 4],
    back_end: std::net::SocketAddr,
    has_route: bool,
    steady: Vec<Worker>,
    grace: Worker,
    plain: Worker,
}

impl<'j> World<'j> {
    fn begin(judge: &'j Judge) -> Self {
        let ports = [free_port(), free_port()];
        let service = |name, path, port| Service { name, path, port };
        let services = [
            service('s', "steady", ports[0]),
            service('g', "grace", ports[0]),
            service('p', "plain", ports[1]),
            service('r', "routed", ports[0]),
        ];
        let broker = Broker::configured(&configuration(1000, None), &ARGUMENTS);
        let (descriptors, memory) = (broker.steady_descriptors(), memory(broker.pid()));
        let back_end = back_end(services[3]);
        let start = |at: usize| {
            Worker::start(&broker.control(), services[at].name, &services[at].address(), &members(at))
        };
        let (steady, grace, plain) = (vec![start(0), start(0)], start(1), start(2));
        let random = fastrand::Rng::with_seed(judge.seed);
        // There is none yet.
        judge.begins(What::Gone('r'));
        Self {
            judge,
            random,
            broker,
            descriptors,
            memory,
            services,
            back_end,
            has_route: false,
            steady,
            grace,
            plain,
        }
    }

    fn start(&self, at: usize) -> Worker {
        let service = self.services[at];
        Worker::start(&self.broker.control(), service.name, &service.address(), &members(at))
    }

    /// One thing more.
    fn step(&mut self) {
        thread::sleep(Duration::from_millis(self.random.u64(..10)));
        if self.random.u8(..3) == 0 {
            self.wake_all();
        }
        match self.random.u8(..64) {
            0..14 => self.kill_plain(),
            14..28 => self.kill_grace(),
            28..34 => self.kill_steady(),
            34..42 => self.stop_one(),
            42..46 => self.replace_steady("drain"),
            46..50 => self.replace_steady("leave"),
            50..53 => self.leave_plain(),
            53..57 => self.drain_plain(),
            57..61 => self.reload(),
            61..63 => self.upgrade(),
            _ => self.kill_broker(),
        }
        self.judge.fails_if_wrong();
    }

    fn kill_plain(&mut self) {
        let all = [What::WorkerKilled('p'), What::Gone('p')];
        all.iter().for_each(|what| self.judge.begins(*what));
        self.judge.count("workers killed");
        self.plain.kill();
        self.plain = self.start(2);
        all.iter().for_each(|what| self.judge.ends(*what));
    }

    /// Its next gets what waits.
    fn kill_grace(&mut self) {
        self.judge.begins(What::WorkerKilled('g'));
        self.judge.count("workers killed");
        self.grace.kill();
        self.judge.ends(What::WorkerKilled('g'));
        self.grace = self.start(1);
        self.judge.log("the next has registered");
    }

    /// The others have what waits.
    fn kill_steady(&mut self) {
        let new = self.start(0);
        self.judge.begins(What::WorkerKilled('s'));
        self.judge.count("workers killed");
        let at = self.random.usize(..self.steady.len());
        self.steady[at].kill();
        self.judge.ends(What::WorkerKilled('s'));
        self.steady[at] = new;
    }

    fn replace_steady(&mut self, how: &str) {
        let new = self.start(0);
        self.judge.log(format!("one of several is replaced: {how}"));
        let at = self.random.usize(..self.steady.len());
        let mut old = std::mem::replace(&mut self.steady[at], new);
        old.go_on();
        if how == "leave" {
            self.judge.begins(What::Left('s'));
        }
        old.told(how);
        old.ends();
        self.judge.ends(What::Left('s'));
        self.judge.count("workers replaced");
    }

    fn leave_plain(&mut self) {
        self.judge.begins(What::Gone('p'));
        self.plain.go_on();
        self.plain.told("leave");
        self.plain.ends();
        self.plain = self.start(2);
        self.judge.ends(What::Gone('p'));
        self.judge.count("workers that left");
    }

    fn administrator(&self) -> ControlConnection {
        ControlConnection::connect(&self.broker.control()).unwrap()
    }

    fn drain_plain(&mut self) {
        self.judge.begins(What::Gone('p'));
        let which = Which::Address(self.services[2].address());
        self.administrator().drain(&which).unwrap();
        thread::sleep(Duration::from_millis(self.random.u64(..5)));
        self.administrator().undrain(&which).unwrap();
        self.judge.ends(What::Gone('p'));
        self.judge.count("drained and not");
    }

    fn reload(&mut self) {
        let bound = self.random.usize(300..1000);
        let had = std::mem::replace(&mut self.has_route, self.random.bool());
        if had && !self.has_route {
            self.judge.begins(What::Gone('r'));
        }
        self.configure(bound);
        if !had && self.has_route {
            self.judge.ends(What::Gone('r'));
        }
        self.judge.count("reloaded");
    }

    fn configure(&mut self, bound: usize) {
        let route = self.has_route.then_some((self.services[3], self.back_end));
        self.broker.rewrite(&configuration(bound, route));
        let reloaded = self.administrator().reload().unwrap();
        assert_eq!(reloaded.error, None);
    }

    fn upgrade(&mut self) {
        self.judge.log("upgrade begins");
        let pause = self.broker.upgrade();
        self.judge.log(format!("upgrade ends; paused for {pause} µs"));
        self.judge.count("upgraded");
    }

    fn kill_broker(&mut self) {
        self.judge.begins(What::BrokerKilled);
        self.judge.count("brokers killed");
        self.broker.kill_and_start_again(&ARGUMENTS);
        self.wake_all();
        for worker in self.steady.iter_mut().chain([&mut self.grace, &mut self.plain]) {
            worker.registers_again();
        }
        self.judge.ends(What::BrokerKilled);
    }

    fn stop_one(&mut self) {
        let at = self.random.usize(..self.steady.len() + 2);
        self.judge.log(format!("worker {at} is stopped"));
        let mut workers = self.steady.iter_mut().chain([&mut self.grace, &mut self.plain]);
        workers.nth(at).unwrap().stop();
    }

    fn wake_all(&mut self) {
        for worker in self.steady.iter_mut().chain([&mut self.grace, &mut self.plain]) {
            worker.go_on();
        }
    }

    /// Everybody goes, and nothing is left.
    fn end(self) {
        let mut this = self;
        this.judge.log("the end");
        this.has_route = false;
        this.configure(1000);
        let workers = this.steady.into_iter().chain([this.plain]);
        for mut worker in workers {
            worker.told("leave");
            worker.ends();
        }
        this.grace.told("leave");
        this.grace.ends();
        let broker = &mut this.broker;
        eventually(|| broker.holders().is_empty(), || format!("{:?}", broker.holders()));
        let mut administrator = ControlConnection::connect(&broker.control()).unwrap();
        let mut here = || administrator.status().unwrap().here;
        eventually(|| here() == 0, || "connections stay".to_owned());
        drop(administrator);
        broker.settles_at(this.descriptors);
        let (before, after) = (this.memory, memory(broker.pid()));
        println!("memory: {before} KiB before, {after} KiB after; descriptors: {}", this.descriptors);
        assert!(after <= before + MEMORY, "{after} KiB, before {before} KiB");
        assert!(broker.terminate(), "{}", broker.log());
        every_connection_has_ended(&broker.log());
    }
}

const ARGUMENTS: [&str; 4] = ["--log-level", "info", "--receive-timeout-seconds", "30"];

fn configuration(bound: usize, route: Option<(Service, std::net::SocketAddr)>) -> String {
    let route =
        route.map(|(service, to)| format!("[[route]]\naddress = '{}'\nrelay = '{to}'\n", service.address()));
    format!("max_pending_connections = {bound}\n{}", route.unwrap_or_default())
}

fn members(at: usize) -> Value {
    match at {
        0 => json!({"share": true}),
        1 => json!({"grace_seconds": 600}),
        _ => json!({"sockets_per_message": 1}),
    }
}

/// A program that knows nothing of the broker, until this process ends.
fn back_end(service: Service) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            thread::spawn(move || {
                let mut octets = preamble(&service.address());
                if stream.read_exact(&mut octets).is_ok() {
                    let _ = stream.write_all(&[service.name as u8]);
                    let _ = stream.read(&mut [0]);
                }
            });
        }
    });
    address
}

/// What of a process is in memory, in KiB.
fn memory(pid: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_ascii_whitespace().nth(1).unwrap().parse().unwrap()
}
