//! A worker's process: this program again, with what it is to do in its environment. It serves whoever comes, gives back what
//! asks for another service, and comes back to a broker that begins again.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle, sleep};
use std::time::{Duration, Instant};

use handoff::administration::Which;
use handoff::{AcceptReceiver, ControlConnection, Register, Validate};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::{Value, json};

use crate::common::{PATIENCE, signal};

/// The environment variable that says so.
const WORKER: &str = "CHAOS_WORKER";

/// A running one, seen from outside.
pub(crate) struct Worker {
    child: Child,
    input: ChildStdin,
    lines: BufReader<ChildStdout>,
    is_stopped: bool,
}

impl Worker {
    /// Its answer is this octet. It has registered when this returns.
    pub(crate) fn start(control: &Path, name: char, address: &str, members: &Value) -> Self {
        let what = json!({"control": control, "name": name, "address": address, "members": members});
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "worker::process", "--nocapture"])
            .env(WORKER, what.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, lines) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let mut worker = Self { child, input, lines, is_stopped: false };
        worker.until("registered");
        worker
    }

    /// Reads what it says until it has said that.
    fn until(&mut self, said: &str) {
        let mut line = String::new();
        while !line.trim_end().ends_with(said) {
            line.clear();
            assert_ne!(self.lines.read_line(&mut line).unwrap(), 0, "a worker ends before it is {said}");
        }
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn stop(&mut self) {
        signal(self.child.id(), rustix::process::Signal::STOP);
        self.is_stopped = true;
    }

    pub(crate) fn go_on(&mut self) {
        if std::mem::take(&mut self.is_stopped) {
            signal(self.child.id(), rustix::process::Signal::CONT);
        }
    }

    /// With a broker that has begun again.
    pub(crate) fn registers_again(&mut self) {
        self.until("registered");
    }

    /// `drain`: it drains, takes its queue to the end and leaves. `leave`: it leaves at once, and its queue is another's.
    pub(crate) fn told(&mut self, what: &str) {
        writeln!(self.input, "{what}").unwrap();
    }

    /// It ends by itself, with nobody unserved.
    pub(crate) fn ends(&mut self) {
        assert!(self.child.wait().unwrap().success(), "a worker that was to leave failed");
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// No test but where it is started as a worker.
#[test]
fn process() {
    let Ok(what) = std::env::var(WORKER) else { return };
    let what: Value = serde_json::from_str(&what).unwrap();
    let text = |name: &str| what[name].as_str().unwrap().to_owned();
    let mut register = json!({"addresses": [text("address")], "protocol": 1});
    register.as_object_mut().unwrap().extend(what["members"].as_object().unwrap().clone());
    Serving {
        control: text("control").into(),
        register: serde_json::from_value(register).unwrap(),
        name: text("name").as_bytes()[0],
        sessions: Vec::new(),
    }
    .run();
    // At once: what libtest would say nobody reads.
    std::process::exit(0);
}

struct Serving {
    control: PathBuf,
    register: Register,
    name: u8,
    sessions: Vec<JoinHandle<()>>,
}

/// What its sessions ask the broker with.
struct Asking {
    control: Mutex<ControlConnection>,
    id: u64,
    name: u8,
    address: String,
}

/// Why it stops accepting.
enum End {
    /// The broker is gone.
    Broker,
    Told(String),
}

impl Serving {
    fn run(mut self) {
        loop {
            let (asking, mut receiver) = self.registered();
            println!("\nregistered");
            let end = self.accept(&asking, &mut receiver);
            match &end {
                End::Broker => {}
                End::Told(what) if what == "drain" => self.drain(&asking, &mut receiver),
                End::Told(_) => drop(asking.control.lock().unwrap().unregister(asking.id)),
            }
            // What the broker has not taken back is ours.
            self.take(&asking, &mut receiver);
            if let End::Told(_) = end {
                self.sessions.drain(..).for_each(|session| session.join().unwrap());
                return;
            }
        }
    }

    /// A broker that begins again is not there at once.
    fn registered(&self) -> (Arc<Asking>, AcceptReceiver) {
        let patience = Instant::now() + PATIENCE;
        loop {
            let registered = ControlConnection::connect(&self.control).and_then(|mut control| {
                let (registered, socket) = control.register(&self.register)?;
                Ok((control, registered, socket))
            });
            match registered {
                Ok((control, registered, socket)) => {
                    let (id, name, address) = (registered.id, self.name, self.register.addresses[0].clone());
                    let asking = Asking { control: Mutex::new(control), id, name, address };
                    return (Arc::new(asking), AcceptReceiver::new(socket));
                }
                Err(error) if Instant::now() > patience => panic!("{error}"),
                Err(_) => {}
            }
            sleep(Duration::from_millis(10));
        }
    }

    /// Until the broker is gone or it is told something.
    fn accept(&mut self, asking: &Arc<Asking>, receiver: &mut AcceptReceiver) -> End {
        let input = std::io::stdin();
        let control = asking.control.lock().unwrap().as_fd().try_clone_to_owned().unwrap();
        loop {
            let mut sockets = [
                PollFd::new(receiver, PollFlags::IN),
                PollFd::new(&input, PollFlags::IN),
                PollFd::new(&control, PollFlags::RDHUP),
            ];
            match poll(&mut sockets, None) {
                Err(rustix::io::Errno::INTR) => continue,
                ready => drop(ready.unwrap()),
            }
            let [_, told, broker] = sockets.map(|socket| !socket.revents().is_empty());
            self.take(asking, receiver);
            if told {
                let mut line = String::new();
                // Whoever started it is gone.
                if std::io::stdin().read_line(&mut line).unwrap() == 0 {
                    std::process::exit(1);
                }
                return End::Told(line.trim_end().to_owned());
            }
            if broker {
                return End::Broker;
            }
        }
    }

    /// All that is there.
    fn take(&mut self, asking: &Arc<Asking>, receiver: &mut AcceptReceiver) {
        self.sessions.retain(|session| !session.is_finished());
        while let Ok(Some(socket)) = receiver.try_accept() {
            let asking = Arc::clone(asking);
            self.sessions.push(thread::spawn(move || asking.serve(socket)));
        }
    }

    /// Nothing new comes; it leaves when nothing waits.
    fn drain(&mut self, asking: &Arc<Asking>, receiver: &mut AcceptReceiver) {
        loop {
            let drained = asking.control.lock().unwrap().drain(&Which::Id(asking.id));
            self.take(asking, receiver);
            // Without a broker there is nothing to wait for.
            let Ok(drained) = drained else { return };
            if drained.iter().all(|drained| drained.waiting == 0) {
                break;
            }
            let mut socket = [PollFd::new(receiver, PollFlags::IN)];
            let _ = poll(&mut socket, Some(&Timespec { tv_sec: 0, tv_nsec: 10_000_000 }));
        }
        // Whoever asks for another service next can only be given back as long as we are here.
        self.sessions.drain(..).for_each(|session| session.join().unwrap());
        drop(asking.control.lock().unwrap().unregister(asking.id));
    }
}

impl Asking {
    /// Every session of a connection that is for this service; the next goes back.
    fn serve(&self, socket: OwnedFd) {
        let mut stream = TcpStream::from(socket);
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        while let Some((octets, via)) = self.next(&stream) {
            // Without a broker nobody else can have it.
            if via != self.address {
                let validate = Validate::new(via, stream.local_addr().unwrap());
                let mut control = self.control.lock().unwrap();
                if matches!(control.validate(&validate), Ok(None)) {
                    drop(control.give_back(self.id, stream.as_fd()));
                }
                return;
            }
            let mut preamble = vec![0; octets];
            if stream.read_exact(&mut preamble).is_err() || stream.write_all(&[self.name]).is_err() {
                return;
            }
        }
    }

    /// How long the next preamble is, and its Via, with nothing read; `None` when none comes.
    fn next(&self, stream: &TcpStream) -> Option<(usize, String)> {
        let mut octets = [0; 256];
        loop {
            match stream.peek(&mut octets) {
                Ok(0) => return None,
                Ok(count) => {
                    let whole = octets.get(6).map(|size| usize::from(*size) + 9);
                    if let Some(whole) = whole.filter(|whole| count >= *whole && count > 6) {
                        let via = String::from_utf8(octets[7..whole - 2].to_vec()).ok()?;
                        return Some((whole, via));
                    }
                    // The rest is on its way.
                    sleep(Duration::from_millis(1));
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return None,
            }
        }
    }
}
