//! The broker's own registry and accept loop, and the programs around them. Long, for each step has its own signs to wait for.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use framing_core::Record;
use handoff::administration::{State as Told, Which};
use handoff::tokio::{AsyncControlListener, AsyncControlPeer};
use handoff::{AcceptReceiver, ControlListener, ControlOptions, Register};
use proptest_state_machine::StateMachineTest;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use tokio::sync::mpsc::UnboundedReceiver;

use super::reference::{Client, Holder, Model, Standing, State};
use super::step::{ADDRESSES, ASKED, Grace, Step};
use crate::command::{Command, Job};
use crate::config::{Compatibility, Config, Loaded};
use crate::control::given_back::GivenBack;
use crate::control::listing::Cursor;
use crate::control::ports::Ports;
use crate::control::quota::Quotas;
use crate::control::registry::Registry;
use crate::dispatch::{Loop, back_end};
use crate::failure::Part;
use crate::outcome::{Answer, Outcome};
use crate::shared::Shared;

/// How long a sign may take before there is none.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a preamble may take, and a queue stand still: so long that the turns of a test are nothing to it.
const DEADLINE: Duration = Duration::from_secs(80_000);

/// More turns than anything takes.
const MOST_TURNS: usize = 1000;

/// See the module.
pub(super) struct System {
    runtime: tokio::runtime::Runtime,
    control: AsyncControlListener,
    folder: tempfile::TempDir,
    shared: Arc<Shared>,
    registry: Registry,
    accept_loop: Loop,
    relays: thread::JoinHandle<()>,
    jobs: UnboundedReceiver<Job>,
    /// What time it is for the loop.
    now: Instant,
    ports: [u16; 2],
    back_end: TcpListener,
    loaded: Loaded,
    workers: HashMap<u64, Worker>,
    clients: Vec<Initiator>,
}

/// What a worker's process has open.
struct Worker {
    _control: OwnedFd,
    receiver: AcceptReceiver,
    taken: VecDeque<(Client, OwnedFd)>,
}

struct Initiator {
    /// `None` when it knows how it ended.
    stream: Option<TcpStream>,
    /// Its own address, and where it has connected to: the kernel gives one port to several that connect to different ones.
    addresses: (SocketAddr, SocketAddr),
}

fn preamble(via: &str) -> Vec<u8> {
    let size = u8::try_from(via.len()).unwrap();
    [b"\0\x01\0\x01\x02\x02", &[size][..], via.as_bytes(), b"\x03\x08"].concat()
}

fn grace(grace: Grace) -> Duration {
    Duration::from_secs(match grace {
        Grace::None => 0,
        Grace::Short => 100,
        Grace::Long => 3600,
    })
}

impl System {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        let control = ControlListener::bind(&folder.path().join("control"), &ControlOptions::default());
        let control = {
            let _inside = runtime.enter();
            AsyncControlListener::new(control.unwrap()).unwrap()
        };
        let (to_do, jobs) = tokio::sync::mpsc::unbounded_channel();
        let config = Config { receive_timeout: DEADLINE, max_pending_connections: 2, ..Config::default() };
        let shared = Arc::new(Shared::new(&config, to_do).unwrap());
        let quotas = Arc::new(Quotas::new(&config.quota, &shared.descriptors));
        let listen = vec![IpAddr::from(Ipv4Addr::LOCALHOST)];
        let ports = Ports::new(Arc::clone(&shared.commands), shared.jobs.clone(), listen);
        let relayed = Arc::clone(&shared);
        let ended = move |initiator, holder: &_, end, copied, told| {
            back_end::relay_ended(&relayed, initiator, holder, end, copied, told);
        };
        let part = Part::new(&shared.failures, "the relay thread");
        Self {
            registry: Registry::new(Arc::clone(&shared), quotas, ports),
            accept_loop: Loop::new(Arc::clone(&shared), Arc::default()).unwrap(),
            relays: shared.relays.start(part, Box::new(ended)).unwrap(),
            now: Instant::now(),
            ports: [test_peers::free_port(), test_peers::free_port()],
            back_end: TcpListener::bind("127.0.0.1:0").unwrap(),
            loaded: Loaded::from_toml("max_pending_connections = 2").unwrap(),
            workers: HashMap::new(),
            clients: Vec::new(),
            runtime,
            control,
            folder,
            shared,
            jobs,
        }
    }

    fn via(&self, (port, path): (usize, &str)) -> String {
        format!("net.tcp://localhost:{}/{path}", self.ports[port])
    }

    /// What the loop has to do at this time; how much that was.
    fn turn(&mut self) -> usize {
        self.now += Duration::from_secs(1);
        let count = self.accept_loop.turn_at(self.now);
        let mut jobs = 0;
        while let Ok(job) = self.jobs.try_recv() {
            jobs += 1;
            match job {
                Job::Gone(id) => self.ask(move |registry| registry.leave(id, "gone")),
                Job::CloseLater(left) => self.ask(move |registry| registry.close_left(&left)),
                Job::Relay(..) => panic!("the back-end has an address"),
            }
        }
        count + jobs
    }

    /// Until nothing is left to do. A loop that always has something to do spins.
    fn settle(&mut self) {
        let mut idle = 0;
        for _ in 0..MOST_TURNS {
            idle = if self.turn() == 0 { idle + 1 } else { 0 };
            if idle == 2 {
                return;
            }
        }
        panic!("the loop spins");
    }

    /// Until it has come to that.
    fn until(&mut self, mut done: impl FnMut(&Self) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !done(self) {
            assert!(Instant::now() < end, "{}", self.shared.counters);
            if self.turn() == 0 {
                thread::yield_now();
            }
        }
    }

    /// The registry may wait for the loop.
    fn ask<T: Send>(&mut self, work: impl FnOnce(&mut Registry) -> T + Send) -> T {
        let Self { registry, accept_loop, now, .. } = self;
        thread::scope(|scope| {
            let asked = scope.spawn(|| work(registry));
            while !asked.is_finished() {
                if accept_loop.turn_at(*now) == 0 {
                    thread::yield_now();
                }
            }
            asked.join().unwrap()
        })
    }

    fn connect_worker(&self) -> (OwnedFd, Arc<AsyncControlPeer>) {
        let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None);
        let socket = socket.unwrap();
        let path: PathBuf = self.folder.path().join("control");
        connect(&socket, &SocketAddrUnix::new(path).unwrap()).unwrap();
        let peer = self.runtime.block_on(self.control.accept()).unwrap();
        (socket, Arc::new(peer))
    }

    fn register(&mut self, new: &Step, model: &Model) {
        let Step::Register { addresses, share, grace: wanted, per_message } = new else { return };
        let mut register = Register::new(addresses.iter().map(|address| self.via(ADDRESSES[*address])));
        register.sockets_per_message = Some(u32::try_from(*per_message).unwrap());
        let register = register.with_share(*share).with_grace(grace(*wanted));
        let (control, peer) = self.connect_worker();
        match self.ask(|registry| registry.register(&register, &peer)) {
            Ok((registered, socket)) => {
                assert!(!model.is_refused, "registered {}", registered.id);
                let worker = Worker {
                    _control: control,
                    receiver: AcceptReceiver::new(socket),
                    taken: VecDeque::new(),
                };
                self.workers.insert(registered.id, worker);
            }
            Err(denied) => assert!(model.is_refused, "{denied:?}"),
        }
    }

    fn reload(&mut self, routes: impl Iterator<Item = usize>, bound: usize, model: &Model) {
        let mut toml = format!("max_pending_connections = {bound}\n");
        for address in routes {
            let (via, to) = (self.via(ADDRESSES[address]), self.back_end.local_addr().unwrap());
            toml += &format!("[[route]]\naddress = '{via}'\nrelay = '{to}'\n");
        }
        let new = Loaded::from_toml(&toml).unwrap();
        let (changes, config) = (self.loaded.difference(&new), new.config().clone());
        let denied = self.ask(|registry| registry.change_routes(&changes, &config).is_err());
        assert_eq!(denied, model.is_refused, "{changes:?}");
        if !denied {
            self.loaded = new;
            self.shared.bounds.set_per_queue(bound);
            self.shared.commands.send(Command::Reconfigured { receive_timeout: DEADLINE });
        }
    }

    fn come(&mut self, asked: usize, octets: usize) {
        let octets_of_it = preamble(&self.via(ASKED[asked]));
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.ports[ASKED[asked].0])).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(&octets_of_it[..octets_of_it.len().min(octets)]).unwrap();
        let addresses = (stream.local_addr().unwrap(), stream.peer_addr().unwrap());
        self.clients.push(Initiator { stream: Some(stream), addresses });
    }

    /// As many have been accepted as have come.
    fn until_accepted(&mut self) {
        let count = self.clients.len() as u64;
        self.until(|system| system.shared.counters.accepted() == count);
    }

    fn take(&mut self, id: u64, most: usize) {
        // Whoever came last: the others with the same addresses have ended.
        let known: HashMap<(SocketAddr, SocketAddr), Client> =
            self.clients.iter().enumerate().map(|(client, of)| (of.addresses, client)).collect();
        let worker = self.workers.get_mut(&id).unwrap();
        for _ in 0..most {
            let Some(socket) = worker.receiver.try_accept().unwrap() else { break };
            let stream = TcpStream::from(socket);
            let client = known[&(stream.peer_addr().unwrap(), stream.local_addr().unwrap())];
            worker.taken.push_back((client, stream.into()));
        }
    }

    fn give_back(&mut self, id: u64) {
        let (_, socket) = self.workers.get_mut(&id).unwrap().taken.pop_front().unwrap();
        let given = GivenBack::new(socket).unwrap();
        let before = self.shared.counters.returned();
        self.ask(|registry| registry.take_back(given)).unwrap();
        self.until(|system| system.shared.counters.returned() == before + 1);
    }

    /// Those that a route has got are served by its back-end, and leave.
    fn serve_relayed(&mut self, model: &Model) {
        let relayed = |(client, (_, standing)): (Client, &(usize, Standing))| {
            (*standing == Standing::Relayed && self.clients[client].stream.is_some()).then_some(client)
        };
        let relayed: Vec<Client> = model.clients.iter().enumerate().filter_map(relayed).collect();
        for _ in &relayed {
            let (mut stream, _) = self.back_end.accept().unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            assert_eq!(stream.read(&mut [0]).unwrap(), 1);
            stream.write_all(b"!").unwrap();
        }
        for client in relayed {
            let mut stream = self.clients[client].stream.take().unwrap();
            assert_eq!(stream.read(&mut [0]).unwrap(), 1, "served by the back-end");
        }
        let ended = |system: &Self| {
            let of = |outcome| system.shared.counters.of(outcome);
            of(Outcome::Relayed) + of(Outcome::RelayBroken)
        };
        let all = model.clients.iter().filter(|client| client.1 == Standing::Relayed).count() as u64;
        self.until(|system| ended(system) == all);
    }

    /// Those that have ended have been told so, and the others nothing.
    fn hear(&mut self, model: &Model) {
        for (client, (_, standing)) in model.clients.iter().enumerate() {
            let Some(stream) = &mut self.clients[client].stream else { continue };
            match standing {
                Standing::Ended(outcome) => {
                    let mut told = Vec::new();
                    let end = stream.read_to_end(&mut told);
                    assert!(end.is_ok(), "{client} is to end as {outcome:?}: {end:?}");
                    assert_eq!(told, answer(*outcome), "{client} ends as {outcome:?}");
                    self.clients[client].stream = None;
                }
                Standing::Hesitates | Standing::Waits => {
                    stream.set_nonblocking(true).unwrap();
                    let peeked = stream.peek(&mut [0]);
                    stream.set_nonblocking(false).unwrap();
                    let waits = peeked.as_ref().is_err_and(|e| e.kind() == std::io::ErrorKind::WouldBlock);
                    assert!(waits, "{client} is told something while it waits: {peeked:?}");
                }
                Standing::Served | Standing::Relayed => {}
            }
        }
    }

    /// What each worker has taken is what it should have, in that order.
    fn compare_taken(&self, model: &Model) {
        for (id, holder) in &model.holders {
            if let Some(worker) = self.workers.get(id) {
                let taken: Vec<Client> = worker.taken.iter().map(|(client, _)| *client).collect();
                assert_eq!(taken, Vec::from(holder.taken.clone()), "taken by {id}");
            }
        }
    }
}

fn answer(outcome: Outcome) -> Vec<u8> {
    let Some(Answer::Fault(fault)) = outcome.answer(Compatibility::Default) else { return Vec::new() };
    let record = Record::Fault(fault);
    let mut octets = vec![0; record.encoded_len()];
    record.encode(&mut octets).unwrap();
    octets
}

impl StateMachineTest for System {
    type SystemUnderTest = Self;
    type Reference = Model;

    fn init_test(_: &Model) -> Self {
        Self::start()
    }

    fn apply(mut system: Self, model: &Model, step: Step) -> Self {
        match &step {
            Step::Register { .. } => system.register(&step, model),
            Step::Unregister(id) => {
                system.ask(|registry| registry.unregister(*id, "unregistered"));
                system.workers.remove(id);
            }
            Step::Die(id) => drop(system.workers.remove(id)),
            Step::Leave(id) => system.ask(|registry| registry.leave(*id, "its worker has left")),
            Step::GracesEnd(longest) => {
                let now = Instant::now() + grace(*longest) + Duration::from_secs(1);
                system.ask(|registry| registry.end_graces(now));
            }
            Step::Drain(id, draining) => {
                let drained = system.ask(|registry| registry.drain(&Which::Id(*id), *draining));
                assert_eq!(drained.is_err(), model.is_refused, "{drained:?}");
            }
            Step::Reload { routes, bound } => system.reload(routes.iter().copied(), *bound, model),
            Step::Come { asked, count } => {
                (0..*count).for_each(|_| system.come(*asked, usize::MAX));
                system.until_accepted();
            }
            Step::Hesitate(asked) => {
                system.come(*asked, 9);
                system.until_accepted();
            }
            Step::GoOn(client) => {
                let rest = preamble(&system.via(ASKED[model.clients[*client].0])).split_off(9);
                system.clients[*client].stream.as_mut().unwrap().write_all(&rest).unwrap();
                system.until_as_many_are_parked(model);
            }
            Step::GiveUp(client) => {
                let stream = system.clients[*client].stream.as_ref().unwrap();
                stream.shutdown(std::net::Shutdown::Write).unwrap();
                let ended = ended(model, Outcome::ClosedEarly);
                system.until(|system| system.shared.counters.of(Outcome::ClosedEarly) == ended);
            }
            Step::Take(id, count) => {
                let all = model.holders[id].per_message != 1;
                system.take(*id, if all { usize::MAX } else { *count });
                while all && system.take_more(*id) {}
            }
            Step::Return(id) => system.give_back(*id),
            Step::TimePasses => {
                system.settle();
                system.now += DEADLINE / 8;
                system.settle();
                system.now += DEADLINE;
            }
        }
        system.settle();
        system.serve_relayed(model);
        system.settle();
        system.compare_taken(model);
        system.hear(model);
        system
    }

    fn check_invariants(system: &Self, model: &Model) {
        let (listed, _) = system.registry.list(Cursor::default(), u64::MAX);
        let real: BTreeMap<u64, _> = listed
            .iter()
            .map(|holder| {
                let is = |state| holder.states.contains(&state);
                let counts = (holder.queued as usize, holder.held as usize);
                (holder.id, (holder.addresses.clone(), counts, is(Told::Draining), is(Told::Absent)))
            })
            .collect();
        let expected = |holder: &Holder| {
            let addresses: Vec<String> =
                holder.addresses.iter().map(|address| system.via(ADDRESSES[*address])).collect();
            let counts = (holder.queued.len(), holder.held.len());
            (addresses, counts, holder.draining, holder.state == State::Absent)
        };
        let expected: BTreeMap<u64, _> =
            model.holders.iter().map(|(id, holder)| (*id, expected(holder))).collect();
        assert_eq!(real, expected);

        let counters = &system.shared.counters;
        assert_eq!(
            [counters.accepted(), counters.taken_back(), counters.returned()],
            [model.clients.len() as u64, model.taken_back, model.returned],
            "{counters}"
        );
        assert_eq!(counters.of(Outcome::HandedOver), model.handed_over, "{counters}");
        for outcome in [
            Outcome::ClosedEarly,
            Outcome::DeadlinePassed,
            Outcome::EndpointNotFound,
            Outcome::ServerTooBusy,
            Outcome::EndpointUnavailable,
            Outcome::Draining,
            Outcome::DispatchFailed,
            Outcome::CrowdedOut,
        ] {
            assert_eq!(counters.of(outcome), ended(model, outcome), "{outcome:?}: {counters}");
        }
        assert_eq!(counters.here(), hesitating(model) + held(model), "{counters}");
        for (port, number) in system.ports.iter().enumerate() {
            let is_closed = || TcpStream::connect((Ipv4Addr::LOCALHOST, *number)).is_err();
            assert!(model.is_open(port) || is_closed(), "port {port} is open for nobody");
        }
    }

    /// Whoever waits is served, and whoever is still here when the broker ends is told so.
    fn teardown(mut system: Self, model: Model) {
        for (id, holder) in model.holders.iter().filter(|(_, holder)| holder.state == State::Here) {
            if !holder.is_worker {
                continue;
            }
            system.take(*id, usize::MAX);
            while system.take_more(*id) {}
            let waited = holder.taken.iter().chain(&holder.queued).chain(&holder.held).copied();
            let taken = system.workers[id].taken.iter().map(|(client, _)| *client);
            assert_eq!(taken.collect::<Vec<_>>(), waited.collect::<Vec<_>>(), "in the end, for {id}");
        }
        let shared = Arc::clone(&system.shared);
        shared.failures.may_end();
        shared.commands.send(Command::Stop);
        assert!(system.accept_loop.run().unwrap().is_none());
        shared.relays.stop();
        system.relays.join().unwrap();
        assert_eq!(shared.counters.here(), 0, "{}", shared.counters);
    }
}

impl System {
    /// What has moved up meanwhile; whether there was any.
    fn take_more(&mut self, id: u64) -> bool {
        self.settle();
        let before = self.workers[&id].taken.len();
        self.take(id, usize::MAX);
        self.workers[&id].taken.len() > before
    }

    fn until_as_many_are_parked(&mut self, model: &Model) {
        let here = hesitating(model);
        self.until(|system| {
            let held = u64::try_from(system.shared.bounds.held()).unwrap();
            let relayed = system.shared.relayed.load(std::sync::atomic::Ordering::Relaxed) as u64;
            system.shared.counters.here() == here + held + relayed
        });
    }
}

fn ended(model: &Model, outcome: Outcome) -> u64 {
    model.clients.iter().filter(|client| client.1 == Standing::Ended(outcome)).count() as u64
}

fn hesitating(model: &Model) -> u64 {
    model.clients.iter().filter(|client| client.1 == Standing::Hesitates).count() as u64
}

fn held(model: &Model) -> u64 {
    model.holders.values().map(|holder| holder.held.len() as u64).sum()
}
