//! A broker that is killed comes back with what a service manager has kept. Long: with the service manager that it needs.
//!
//! Nobody is refused, and nothing is lost but what the broker had itself.

mod common;

use std::collections::BTreeMap;
use std::io::{IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use command_fds::{CommandFdExt, FdMapping};
use common::{
    Broker, Told, Worker, address, answer, ask, connect, eventually, free_port, preamble, signal, told,
};
use handoff::administration::{State, Which};
use handoff::{ControlConnection, Register};
use rustix::fs::fstat;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::process::Signal;

/// By names, the last first, as systemd has them.
type Kept = Vec<(String, OwnedFd)>;

/// What systemd does with the descriptors of a service.
struct Manager {
    folder: tempfile::TempDir,
    kept: Arc<Mutex<Kept>>,
    most: usize,
    end: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Manager {
    /// One that keeps so many.
    fn keeping(most: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let (kept, end) = (Arc::<Mutex<Kept>>::default(), Arc::<AtomicBool>::default());
        let (keeps, ends) = (Arc::clone(&kept), Arc::clone(&end));
        let thread = thread::spawn(move || {
            while !ends.load(Ordering::Relaxed) {
                if let Some((lines, descriptors)) = next(&socket) {
                    hear(&mut keeps.lock().unwrap(), most, &lines, descriptors);
                }
            }
        });
        Self { folder, kept, most, end, thread: Some(thread) }
    }

    fn command(&self) -> Command {
        let mut command = Command::new("sh");
        command
            .args(["-c", r#"LISTEN_PID=$$ exec "$0" "$@""#, env!("CARGO_BIN_EXE_broker")])
            .env("NOTIFY_SOCKET", self.folder.path().join("notify"))
            .env("FDSTORE", self.most.to_string());
        let kept = self.kept.lock().unwrap();
        if !kept.is_empty() {
            let names: Vec<&str> = kept.iter().map(|(name, _)| name.as_str()).collect();
            command.env("LISTEN_FDS", kept.len().to_string()).env("LISTEN_FDNAMES", names.join(":"));
            let given = kept.iter().zip(3..).map(|((_, descriptor), child_fd)| FdMapping {
                parent_fd: descriptor.try_clone().unwrap(),
                child_fd,
            });
            command.fd_mappings(given.collect()).unwrap();
        }
        command
    }

    fn start(&self, arguments: &[&str]) -> Broker {
        Broker::start_by(self.command(), arguments)
    }

    /// Kills it, and starts it again; waits for nothing.
    fn kill_and_start(&self, broker: &mut Broker, arguments: &[&str]) {
        signal(broker.pid(), Signal::KILL);
        self.start_again(broker, arguments);
    }

    fn start_again(&self, broker: &mut Broker, arguments: &[&str]) {
        // What it has said is heard before its end is.
        broker.wait();
        self.hears_all();
        broker.is_started_again(self.command(), arguments);
    }

    /// Waits until everything that was sent is heard.
    fn hears_all(&self) {
        let sender = UnixDatagram::unbound().unwrap();
        let mark = format!("mark{:?}", std::time::Instant::now());
        sender
            .send_to(format!("FDSTORE=1\nFDNAME={mark}").as_bytes(), self.folder.path().join("notify"))
            .unwrap();
        let heard = || self.kept.lock().unwrap().extract_if(.., |(name, _)| *name == mark).count() == 1;
        eventually(heard, || "the manager does not hear".to_owned());
    }

    /// How many descriptors there are of each kind.
    fn kinds(&self) -> BTreeMap<char, usize> {
        self.hears_all();
        let mut kinds = BTreeMap::new();
        for (name, _) in &*self.kept.lock().unwrap() {
            *kinds.entry(name.chars().next().unwrap()).or_default() += 1;
        }
        kinds
    }

    fn keeps(&self, expected: &[(char, usize)]) {
        let expected: BTreeMap<char, usize> = expected.iter().copied().collect();
        eventually(|| self.kinds() == expected, || format!("{:?} instead of {expected:?}", self.kinds()));
    }
}

impl Manager {
    /// As a broker that was killed a moment earlier would have left it.
    fn loses(&self, kind: char) {
        self.hears_all();
        let mut kept = self.kept.lock().unwrap();
        let place = kept.iter().position(|(name, _)| name.starts_with(kind)).unwrap();
        kept.remove(place);
    }

    fn has_besides(&self, name: &str, descriptor: impl Into<OwnedFd>) {
        self.kept.lock().unwrap().insert(0, (name.to_owned(), descriptor.into()));
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
        let heard = self.thread.take().unwrap().join();
        assert!(heard.is_ok() || thread::panicking());
    }
}

fn next(socket: &UnixDatagram) -> Option<(String, Vec<OwnedFd>)> {
    let mut octets = [0; 4096];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(253), ScmCredentials(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received =
        recvmsg(socket, &mut [IoSliceMut::new(&mut octets)], &mut control, RecvFlags::CMSG_CLOEXEC).ok()?;
    let mut descriptors = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights);
        }
    }
    Some((String::from_utf8(octets[..received.bytes].to_vec()).unwrap(), descriptors))
}

fn hear(kept: &mut Kept, most: usize, message: &str, descriptors: Vec<OwnedFd>) {
    let value = |key: &str| message.lines().find_map(|line| line.strip_prefix(key)).map(str::to_owned);
    let name = value("FDNAME=").unwrap_or_default();
    if value("FDSTOREREMOVE=").is_some() {
        return kept.retain(|(other, _)| *other != name);
    }
    if value("FDSTORE=").is_none() {
        return;
    }
    if name.starts_with("mark") {
        return kept.push((name, std::fs::File::open("/dev/null").unwrap().into()));
    }
    assert_eq!(value("FDPOLL="), Some("0".to_owned()), "{message}");
    assert!(name.len() <= 9 && !name.contains(':'), "{name}");
    for descriptor in descriptors {
        let of = |descriptor: &OwnedFd| fstat(descriptor).map(|stat| (stat.st_dev, stat.st_ino)).unwrap();
        if kept.iter().any(|(_, other)| of(other) == of(&descriptor)) {
            continue;
        }
        if kept.len() == most {
            eprintln!("cannot store more than {most}, closing the rest");
            return;
        }
        kept.insert(0, (name.clone(), descriptor));
    }
}

#[test]
fn killed_it_comes_back_with_what_its_workers_have() {
    let (manager, port) = (Manager::keeping(100), free_port());
    let arguments = ["--max-pending-connections", "2"];
    let mut broker = manager.start(&arguments);
    let mut worker = Worker::register(&broker, &[address(port, "x")]);
    let register = Register::new([address(port, "y")]).with_share(true);
    let mut shares = [0, 1].map(|_| Worker::register_as(&broker, register.clone()));
    let drains = Worker::register(&broker, &[address(port, "z")]);
    ControlConnection::connect(&broker.control()).unwrap().drain(&Which::Id(drains.id)).unwrap();
    manager.keeps(&[('c', 2), ('l', 2), ('w', 4), ('r', 12), ('d', 1)]);
    let expected = preamble(&address(port, "x"));

    // Two in the queue; two that the broker has, and one that has not said what it wants.
    let mut clients = [(); 4].map(|()| {
        let before = broker.waiting(worker.id);
        let client = ask(port, "x");
        eventually(|| broker.waiting(worker.id) == before + 1, || broker.log());
        client
    });
    let mut shared = [(); 2].map(|()| ask(port, "y"));
    eventually(|| shares.iter().all(|one| broker.waiting(one.id) == 1), || broker.log());
    let mut silent = connect(port);
    silent.write_all(b"\0").unwrap();
    eventually(|| here(&broker) == 3, || broker.log());

    manager.kill_and_start(&mut broker, &arguments);
    // Before it is there.
    let mut late = ask(port, "x");
    broker.ready();
    assert_eq!(broker.holders().len(), 4, "{}", broker.log());
    assert_eq!(broker.holders().iter().filter(|holder| holder.state == State::Draining).count(), 1);
    let [first, second, lost @ ..] = &mut clients;
    for client in [first, second, &mut late] {
        common::serve(worker.accept(), &expected, b'!');
        assert_eq!(answer(client), b'!');
    }
    // What the broker itself had, and no more.
    for client in lost.iter_mut().chain([&mut silent]) {
        assert!(matches!(told(client), Told::End | Told::Reset), "it is lost");
    }
    for worker in &mut shares {
        common::serve(worker.accept(), &preamble(&address(port, "y")), b'!');
    }
    shared.iter_mut().for_each(|client| assert_eq!(answer(client), b'!'));
    manager.keeps(&[('c', 2), ('l', 2), ('w', 4), ('r', 12), ('d', 1)]);

    // It is like any other afterwards.
    worker.control.unregister(worker.id).unwrap();
    drop((drains, shares));
    manager.keeps(&[('c', 2), ('w', 1)]);
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    assert!(std::net::TcpListener::bind(("0.0.0.0", port)).is_ok(), "nobody has it");
    drop(worker);
    manager.keeps(&[('c', 2)]);
}

/// Whatever is missing, the worker is told by the end of its control connection, and registers again; what waits for it waits.
#[test]
fn what_is_half_kept_is_nobodys() {
    // One descriptor of: the registration, the control connection, the sockets that listen (both of them), the control socket.
    for lost in ["r", "w", "ll", "c", "rwllc"] {
        let (manager, port) = (Manager::keeping(100), free_port());
        let mut broker = manager.start(&[]);
        let worker = Worker::register(&broker, &[address(port, "x")]);
        manager.keeps(&[('c', 2), ('l', 2), ('w', 1), ('r', 3)]);
        signal(broker.pid(), Signal::KILL);
        broker.wait();
        lost.chars().for_each(|kind| manager.loses(kind));
        manager.start_again(&mut broker, &[]);
        broker.ready();
        let mut again = if lost == "c" {
            // Nothing that its worker needs.
            worker
        } else {
            eventually(|| is_closed(&worker.control), || broker.log());
            Worker::register(&broker, &[address(port, "x")])
        };
        again.serve_all(&mut [ask(port, "x")], &preamble(&address(port, "x")));
        manager.keeps(&[('c', 2), ('l', 2), ('w', 1), ('r', 3)]);
        assert_eq!(broker.holders().len(), 1, "{lost}");
    }
}

#[test]
fn what_is_nothing_of_ours_is_closed_and_given_up() {
    let (manager, port) = (Manager::keeping(100), free_port());
    let mut broker = manager.start(&[]);
    let mut worker = Worker::register(&broker, &[address(port, "x")]);
    manager.keeps(&[('c', 2), ('l', 2), ('w', 1), ('r', 3)]);
    signal(broker.pid(), Signal::KILL);
    broker.wait();
    let null = || std::fs::File::open("/dev/null").unwrap();
    let listener = || std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (one, other) = std::os::unix::net::UnixStream::pair().unwrap();
    let at = listener();
    let stray = at.local_addr().unwrap();
    for name in ["", "stored", "r", "r0", "r00", "r7fffffff", "d9", "w1", "l1", "h1", "a", "R1", "l100000000"]
    {
        manager.has_besides(name, null());
    }
    manager.has_besides("w2", one);
    manager.has_besides("l2", at);
    let (twice, twice_more) = (listener(), listener());
    manager.has_besides("h9", twice);
    manager.has_besides("h9", twice_more);
    // Another version's.
    let file = rustix::fs::memfd_create("entry", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
    let entry = r#"{"version":0,"inodes":[],"what":{"Draining":null}}"#;
    rustix::io::pwrite(&file, entry.as_bytes(), 0).unwrap();
    manager.has_besides("d1", file);
    manager.start_again(&mut broker, &[]);
    broker.ready();
    worker.serve_all(&mut [ask(port, "x")], &preamble(&address(port, "x")));
    eventually(|| TcpStream::connect(stray).is_err(), || broker.log());
    drop(other);
    manager.keeps(&[('c', 2), ('l', 2), ('w', 1), ('r', 3)]);
}

#[test]
fn what_there_is_no_room_for_is_registered_again() {
    let (manager, port) = (Manager::keeping(8), free_port());
    let mut broker = manager.start(&[]);
    let mut kept = Worker::register(&broker, &[address(port, "x")]);
    let not_kept = [0, 1].map(|n| Worker::register(&broker, &[address(port, &format!("y{n}"))]));
    let said = "the service manager keeps 8 descriptors for the next broker";
    eventually(|| broker.log().contains(said), || broker.log());
    assert_eq!(broker.whole_log().matches(said).count(), 1);
    // A registration is kept whole or not at all.
    manager.keeps(&[('c', 2), ('l', 2), ('w', 1), ('r', 3)]);
    // One more of a worker that is kept: then it is not whole.
    manager.kill_and_start(&mut broker, &[]);
    broker.ready();
    eventually(|| not_kept.iter().all(|worker| is_closed(&worker.control)), || broker.log());
    assert_eq!(broker.holders().len(), 1);
    kept.serve_all(&mut [ask(port, "x")], &preamble(&address(port, "x")));
    let (_more, _socket) = kept.control.register(&Register::new([address(port, "more")])).unwrap();
    manager.kill_and_start(&mut broker, &[]);
    broker.ready();
    eventually(|| is_closed(&kept.control), || broker.log());
    let mut waits = ask(port, "x");
    let mut again = Worker::register(&broker, &[address(port, "x")]);
    common::serve(again.accept(), &preamble(&address(port, "x")), b'!');
    assert_eq!(answer(&mut waits), b'!');
}

/// `systemctl restart`, an upgrade, and a worker that has left meanwhile.
#[test]
fn it_is_kept_over_other_ends_too() {
    let (manager, port) = (Manager::keeping(100), free_port());
    let mut broker = manager.start(&[]);
    let mut stays = Worker::register(&broker, &[address(port, "x")]);
    let leaves = Worker::register(&broker, &[address(port, "y")]);
    let all = [('c', 2), ('l', 2), ('w', 2), ('r', 6)];
    manager.keeps(&all);
    assert!(broker.terminate(), "{}", broker.log());
    manager.keeps(&all);
    let mut waits = ask(port, "x");
    drop(leaves);
    manager.start_again(&mut broker, &[]);
    common::serve(stays.accept(), &preamble(&address(port, "x")), b'!');
    assert_eq!(answer(&mut waits), b'!');
    manager.keeps(&[('c', 2), ('l', 2), ('w', 1), ('r', 3)]);
    eventually(|| broker.holders().len() == 1, || broker.log());

    broker.upgrade();
    let more = Worker::register(&broker, &[address(port, "z")]);
    manager.keeps(&all);
    signal(broker.pid(), Signal::KILL);
    manager.start_again(&mut broker, &[]);
    broker.ready();
    assert_eq!(broker.holders().len(), 2, "{}", broker.log());
    stays.serve_all(&mut [ask(port, "x")], &preamble(&address(port, "x")));
    drop(more);
    manager.keeps(&[('c', 2), ('l', 2), ('w', 1), ('r', 3)]);
}

#[test]
fn what_does_not_fit_a_new_configuration_is_left_out() {
    let (manager, port) = (Manager::keeping(100), free_port());
    let mut broker = manager.start(&[]);
    let [taken, mut stays] = ["x", "y"].map(|path| Worker::register(&broker, &[address(port, path)]));
    manager.keeps(&[('c', 2), ('l', 2), ('w', 2), ('r', 6)]);
    let mut waits = ask(port, "x");
    eventually(|| broker.waiting(taken.id) == 1, || broker.log());
    let back_end = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    let to = back_end.local_addr().unwrap();
    std::fs::write(&file, format!("[[route]]\naddress = '{}'\nrelay = '{to}'\n", address(port, "x")))
        .unwrap();
    let arguments = ["--config", file.path().to_str().unwrap()];
    manager.kill_and_start(&mut broker, &arguments);
    broker.ready();
    eventually(|| is_closed(&taken.control), || broker.log());
    assert!(broker.log().contains("its worker has to register again: registration "), "{}", broker.log());
    // What waited for it goes where its address is now.
    common::serve(back_end.accept().unwrap().0, &preamble(&address(port, "x")), b'!');
    assert_eq!(answer(&mut waits), b'!');
    stays.serve_all(&mut [ask(port, "y")], &preamble(&address(port, "y")));
    // It may not listen there any more.
    std::fs::write(&file, "[listen]\naddresses = ['127.0.0.9']\n").unwrap();
    manager.kill_and_start(&mut broker, &arguments);
    broker.ready();
    eventually(|| is_closed(&stays.control), || broker.log());
    manager.keeps(&[('c', 2)]);
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
}

/// Killed at random moments while connections come and registrations come and go: nobody is refused, and of each thread's
/// connections one may be lost at each time, that which the broker itself had. `STORE_KILLS=` for more.
#[test]
fn killed_again_and_again_it_refuses_nobody() {
    const CLIENTS: usize = 4;
    let kills = std::env::var("STORE_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(10);
    let (manager, port) = (Manager::keeping(100), free_port());
    let arguments = ["--log-level", "info"];
    let mut broker = manager.start(&arguments);
    let mut worker = Worker::register(&broker, &[address(port, "x")]);
    let [served, lost] = [0, 0].map(AtomicUsize::new);
    let (over, all_gone) = (AtomicBool::new(false), AtomicBool::new(false));
    let path = broker.control();
    thread::scope(|scope| {
        let serves = scope.spawn(|| {
            let expected = preamble(&address(port, "x"));
            while !all_gone.load(Ordering::Relaxed) {
                // Its registration never ends.
                match worker.receiver.try_accept().expect("the registration is kept") {
                    Some(socket) => {
                        let stream = TcpStream::from(socket);
                        stream.set_nonblocking(false).unwrap();
                        common::serve(stream, &expected, b'!');
                    }
                    None => thread::sleep(Duration::from_micros(200)),
                }
            }
            worker
        });
        let clients = [(); CLIENTS].map(|()| {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let mut client = TcpStream::connect(("127.0.0.1", port)).expect("nobody is refused");
                    client.set_read_timeout(Some(common::PATIENCE)).unwrap();
                    let mut octet = [0];
                    let told = client
                        .write_all(&preamble(&address(port, "x")))
                        .and_then(|()| std::io::Read::read(&mut client, &mut octet));
                    match told {
                        Ok(1) if octet[0] == b'!' => served.fetch_add(1, Ordering::Relaxed),
                        Ok(1) => panic!("it is told {octet:?}"),
                        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                            panic!("it waits for ever")
                        }
                        _ => lost.fetch_add(1, Ordering::Relaxed),
                    };
                }
            })
        });
        // Registers, and leaves in either way.
        let changes = scope.spawn(|| {
            let mut registered = 0;
            for turn in 0_usize.. {
                if over.load(Ordering::Relaxed) {
                    return registered;
                }
                let Ok(mut control) = ControlConnection::connect(&path) else { continue };
                control.set_timeout(Some(common::PATIENCE)).unwrap();
                let asked = control.register(&Register::new([address(port, "changes")]));
                match asked {
                    Ok((is, _socket)) => {
                        registered += 1;
                        if turn % 2 == 0 {
                            let _ = control.unregister(is.id);
                        }
                    }
                    Err(error) => assert!(!error.to_string().contains("time"), "no answer: {error}"),
                }
            }
            registered
        });
        for kill in 0..kills {
            let before = served.load(Ordering::Relaxed);
            eventually(|| served.load(Ordering::Relaxed) > before + 5, || broker.log());
            thread::sleep(Duration::from_micros(kill * 7919 % 20_000));
            manager.kill_and_start(&mut broker, &arguments);
        }
        let before = served.load(Ordering::Relaxed);
        eventually(|| served.load(Ordering::Relaxed) > before + 5, || broker.log());
        over.store(true, Ordering::Relaxed);
        for client in clients {
            client.join().unwrap();
        }
        let registered = changes.join().unwrap();
        all_gone.store(true, Ordering::Relaxed);
        let worker = serves.join().unwrap();
        let [served, lost] = [&served, &lost].map(|count| count.load(Ordering::Relaxed));
        println!(
            "{kills} kills: {served} served, {lost} lost with the broker, 0 refused; {registered} registrations"
        );
        assert!(lost <= kills as usize * CLIENTS);
        eventually(|| broker.holders().len() == 1, || broker.log());
        manager.keeps(&[('c', 2), ('l', 2), ('w', 1), ('r', 3)]);
        drop(worker);
    });
}

fn is_closed(control: &ControlConnection) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut sockets = [PollFd::new(control, PollFlags::RDHUP)];
    poll(&mut sockets, Some(&Timespec::default())).unwrap() > 0
}

fn here(broker: &Broker) -> u64 {
    ControlConnection::connect(&broker.control()).unwrap().status().unwrap().here
}
