//! More loops, for when one processor is not enough.
//!
//! Where one loop suffices a second one only costs. So a helper sleeps until a loop finds more connections waiting than it
//! takes in a turn, and sleeps again when that is over. It does the fast path alone: what needs more than a look and a
//! message goes to the accept loop, which is the only one with a state.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::thread::{self, Thread};
use std::{io, mem};

use super::batch::{Batch, Batches};
use super::preamble::{self, Step};
use super::refuse::too_late;
use crate::command::{Command, Left};
use crate::connection::Connection;
use crate::failure::Part;
use crate::listening::{Listening, TURN};
use crate::shared::Shared;

/// Loops that help, at most.
const MOST: usize = 3;

/// What the loops have in common for helping each other.
#[derive(Debug, Default)]
pub(crate) struct Help {
    /// The sockets that helpers accept from. Whoever takes one out waits for the turns that use it.
    listeners: RwLock<Vec<Listening>>,
    helpers: OnceLock<Vec<Helper>>,
    stopping: AtomicBool,
}

#[derive(Debug)]
struct Helper {
    thread: Thread,
    awake: Arc<AtomicBool>,
}

impl Help {
    /// The accept loop has opened a socket.
    pub(crate) fn add(&self, listening: Listening) {
        self.listeners.write().unwrap_or_else(PoisonError::into_inner).push(listening);
    }

    /// The accept loop is about to close a socket; no helper has it when this returns.
    pub(crate) fn remove(&self, listening: &Listening) {
        let mut listeners = self.listeners.write().unwrap_or_else(PoisonError::into_inner);
        listeners.retain(|other| !other.is(listening));
    }

    /// The accept loop ends: no helper accepts, or has anything for the loop, when this returns.
    pub(crate) fn leave(&self) {
        self.listeners.write().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// One loop cannot keep up: wakes the first helper that sleeps.
    pub(crate) fn wanted(&self) {
        let asleep = |helper: &&Helper| !helper.awake.load(Ordering::Relaxed);
        if let Some(helper) = self.helpers.get().and_then(|helpers| helpers.iter().find(asleep)) {
            helper.awake.store(true, Ordering::Relaxed);
            helper.thread.unpark();
        }
    }

    /// Ends the helpers, which still have to be joined.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        for helper in self.helpers.get().into_iter().flatten() {
            helper.thread.unpark();
        }
    }
}

/// Starts as many helpers as there are further processors, or as many as there are threads for: a broker without them is slower
/// when there is much to do, and no worse.
pub(crate) fn start(shared: &Arc<Shared>, help: &Arc<Help>) -> Vec<thread::JoinHandle<()>> {
    let further = thread::available_parallelism().map_or(0, |processors| processors.get() - 1);
    start_by(shared, help, further.min(MOST), |run| thread::Builder::new().name("help".to_owned()).spawn(run))
}

/// What a helper's thread does.
type Run = Box<dyn FnOnce() + Send>;

fn start_by(
    shared: &Arc<Shared>,
    help: &Arc<Help>,
    wanted: usize,
    mut spawn: impl FnMut(Run) -> io::Result<thread::JoinHandle<()>>,
) -> Vec<thread::JoinHandle<()>> {
    let (mut helpers, mut threads) = (Vec::new(), Vec::new());
    for _ in 0..wanted {
        let awake = Arc::new(AtomicBool::new(false));
        let mut helping = Helping::new(Arc::clone(shared), Arc::clone(help));
        let switch = Arc::clone(&awake);
        let failures = Arc::clone(&shared.failures);
        let run = move || {
            // Here: one that never begins does not end either.
            let _part = Part::new(&failures, "a helping thread");
            while !helping.help.stopping.load(Ordering::Relaxed) {
                while helping.turn() {}
                switch.store(false, Ordering::Relaxed);
                thread::park();
            }
        };
        match spawn(Box::new(run)) {
            Ok(thread) => {
                helpers.push(Helper { thread: thread.thread().clone(), awake });
                threads.push(thread);
            }
            Err(error) => {
                let have = threads.len();
                tracing::warn!(%error, "there are threads for {have} of {wanted} further accept loops; the broker goes on");
                break;
            }
        }
    }
    help.helpers.get_or_init(|| helpers);
    threads
}

/// The state of a helper between two lines of its turn; empty at the end of it.
#[derive(Debug)]
pub(crate) struct Helping {
    shared: Arc<Shared>,
    help: Arc<Help>,
    batches: Batches,
    left: Vec<Left>,
}

impl Helping {
    pub(crate) fn new(shared: Arc<Shared>, help: Arc<Help>) -> Self {
        Self { shared, help, batches: Batches::default(), left: Vec::new() }
    }

    /// Accepts from each socket at which more wait than one loop takes in a turn; false if there is none.
    fn turn(&mut self) -> bool {
        let help = Arc::clone(&self.help);
        let listeners = help.listeners.read().unwrap_or_else(PoisonError::into_inner);
        let mut helped = false;
        self.shared.telling.turn(self.shared.counters.clock());
        for listening in &*listeners {
            let waiting = listening.waiting().unwrap_or(0);
            if waiting > TURN && !help.stopping.load(Ordering::Relaxed) {
                helped |= self.accept(listening, TURN);
                if waiting > 4 * TURN {
                    help.wanted();
                }
            }
        }
        self.send_batches();
        if !self.left.is_empty() {
            let again = Command::Again(mem::take(&mut self.left));
            if let Err(again) = self.shared.commands.try_send(again) {
                too_late(&self.shared, again);
            }
        }
        helped
    }

    /// A turn at one socket; false if this is no time to help.
    pub(crate) fn accept(&mut self, listening: &Listening, most: usize) -> bool {
        for _ in 0..most {
            // Whoever finds nobody, or no descriptor, leaves it to the accept loop to do something about it.
            let Ok(socket) = listening.accept() else { return false };
            let connection = Connection::accepted(socket, &self.shared.counters);
            if self.shared.descriptors.are_scarce(&connection) {
                self.left.push(Left::Accepted(connection, listening.address));
                return false;
            }
            match preamble::arrived(&self.shared, &connection, listening.address) {
                Step::HandOver(queue) if !queue.holds() => {
                    if let Some(full) = self.batches.add(connection, queue) {
                        self.send(full);
                    }
                }
                Step::HandOver(queue) => self.left.push(Left::For(connection, queue)),
                _ => self.left.push(Left::Accepted(connection, listening.address)),
            }
        }
        true
    }

    /// The end of a turn.
    pub(crate) fn send_batches(&mut self) {
        while let Some(batch) = self.batches.pop() {
            self.send(batch);
        }
    }

    fn send(&mut self, batch: Batch) {
        let mut sent = batch.send(&self.shared);
        if sent.count > 0 && sent.queue.watch() {
            self.shared.commands.send(Command::Watch(Arc::clone(&sent.queue)));
        }
        let left = sent.rest.drain(..).map(|connection| Left::For(connection, Arc::clone(&sent.queue)));
        self.left.extend(left);
        self.batches.reuse(sent.rest);
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;
    use crate::config::Config;
    use crate::limits::Descriptors;
    use crate::relay::bridge::Expected;
    use crate::routes::queue::Queue;

    /// The end of this test is half of it.
    #[test]
    fn helpers_that_could_be_had_help_and_end() {
        let (jobs, _) = tokio::sync::mpsc::unbounded_channel();
        let shared = Arc::new(Shared::new(&Config::default(), jobs).unwrap());
        let help = Arc::new(Help::default());
        let mut left = 2;
        let threads = start_by(&shared, &help, 3, |run| {
            if left == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            left -= 1;
            thread::Builder::new().spawn(run)
        });
        assert_eq!((threads.len(), help.helpers.get().map(Vec::len)), (2, Some(2)));
        assert!(!shared.failures.is_failed(), "one that never began has not ended");
        shared.failures.may_end();
        help.stop();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    }

    /// A broker that expects a bridge for this queue at this socket, to which it has come.
    fn expected() -> (Shared, Arc<Queue>, Listening, (TcpStream, Expected)) {
        let (jobs, _) = tokio::sync::mpsc::unbounded_channel();
        let shared = Shared::new(&Config::default(), jobs).unwrap();
        let (sender, worker) = handoff::accept_pair().unwrap();
        let queue = Arc::new(Queue::new(1, String::new(), sender, worker, 1));
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        let listening = Listening::new(socket.local_addr().unwrap(), socket.into());
        let bridge = TcpStream::connect(listening.address).unwrap();
        let expected = shared.bridges.expect(bridge.local_addr().unwrap(), Arc::clone(&queue));
        (shared, queue, listening, (bridge, expected))
    }

    /// Nobody else can say whose it is: its Via may lead to another, and where the broker makes it from was asked once.
    #[test]
    fn a_bridge_that_a_helper_cannot_pass_on_keeps_its_queue() {
        let (shared, queue, listening, _bridge) = expected();
        assert!(queue.hold(&shared.bounds), "somebody waits for it");
        let shared = Arc::new(shared);
        let mut helping = Helping::new(Arc::clone(&shared), Arc::default());
        helping.accept(&listening, 1);
        let left = mem::take(&mut helping.left);
        assert!(matches!(&left[..], [Left::For(_, kept)] if Arc::ptr_eq(kept, &queue)), "{left:?}");
        too_late(&shared, Command::Again(left));
    }

    /// Nor is that asked before there is room for it: the accept loop makes some.
    #[test]
    fn a_bridge_that_comes_when_descriptors_are_scarce_is_known_to_the_accept_loop() {
        let (mut shared, queue, listening, _bridge) = expected();
        shared.descriptors = Descriptors::scarce();
        let shared = Arc::new(shared);
        let mut helping = Helping::new(Arc::clone(&shared), Arc::default());
        assert!(!helping.accept(&listening, 1));
        let left = mem::take(&mut helping.left);
        let [Left::Accepted(connection, at)] = &left[..] else { panic!("{left:?}") };
        let step = preamble::arrived(&shared, connection, *at);
        assert!(matches!(&step, Step::HandOver(its) if Arc::ptr_eq(its, &queue)), "{step:?}");
        too_late(&shared, Command::Again(left));
    }
}
