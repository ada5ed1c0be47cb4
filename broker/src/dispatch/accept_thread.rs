//! The thread of the accept loop: begun, frozen, and begun again, in this process or in the next.

use std::sync::{Arc, Mutex, mpsc};
use std::{io, thread};

use super::accept::Loop;
use super::begun::Begun;
use super::helpers::Help;
use super::refuse::too_late;
use crate::command::Command;
use crate::failure::Part;
use crate::lock::lock;
use crate::shared::Shared;

/// See the module. There is one thread at a time.
#[derive(Debug)]
pub(crate) struct AcceptThread {
    shared: Arc<Shared>,
    help: Arc<Help>,
    thread: Mutex<Option<thread::JoinHandle<Option<Begun>>>>,
}

impl AcceptThread {
    /// There is none yet.
    pub(crate) fn new(shared: &Arc<Shared>, help: &Arc<Help>) -> Self {
        Self { shared: Arc::clone(shared), help: Arc::clone(help), thread: Mutex::default() }
    }

    /// Starts it. It ends after [`Command::Stop`].
    ///
    /// # Errors
    /// There are no descriptors for it, or no thread; what it was to have has ended.
    pub(crate) fn begin(&self, begun: Begun) -> io::Result<()> {
        self.begin_when(Handed::new(&self.shared, begun, false), None)
    }

    /// Starts it with what is another process's still: it does nothing with it until [`Go::now`].
    ///
    /// # Errors
    /// There are no descriptors for it, or no thread; nothing has happened to what it was to have.
    pub(crate) fn begin_later(&self, begun: Begun) -> io::Result<Go> {
        let (go, wait) = mpsc::sync_channel(1);
        self.begin_when(Handed::new(&self.shared, begun, true), Some(wait))?;
        Ok(Go(go))
    }

    /// Ends it with its state in hand; what is sent to it meanwhile waits for [`AcceptThread::thaw`]. `None`: it ends already.
    pub(crate) fn freeze(&self) -> Option<Begun> {
        self.shared.commands.send(Command::Freeze);
        let thread = lock(&self.thread).take()?;
        // One that panicked has said so.
        thread.join().ok().flatten()
    }

    /// It goes on as if nothing had been.
    pub(crate) fn thaw(&self, begun: Begun) {
        let part = Part::new(&self.shared.failures, "the accept thread");
        match self.begin(begun) {
            Ok(()) => part.over(),
            Err(error) => part.failed(&error),
        }
    }

    /// Waits for its end.
    pub(crate) fn join(&self) {
        if let Some(thread) = lock(&self.thread).take() {
            let _ = thread.join();
        }
    }

    fn begin_when(&self, mut handed: Handed, wait: Option<mpsc::Receiver<()>>) -> io::Result<()> {
        let closed = Closed(Some(Arc::clone(&self.shared)));
        let mut accept_loop = Loop::new(Arc::clone(&self.shared), Arc::clone(&self.help))?;
        let part = Part::new(&self.shared.failures, "the accept thread");
        let run = move || {
            let (part, closed) = (part, closed);
            let mut begun = handed.begun.take()?;
            let listening = std::mem::take(&mut begun.listening);
            accept_loop.begin_with(begun);
            if wait.is_some_and(|wait| wait.recv().is_err()) {
                accept_loop.freeze().pass_on();
                part.over();
                return None;
            }
            accept_loop.listen(listening);
            match accept_loop.run() {
                Ok(Some(begun)) => {
                    closed.not_yet();
                    part.over();
                    return Some(begun);
                }
                Ok(None) => {}
                Err(error) => part.failed(&error),
            }
            None
        };
        *lock(&self.thread) = Some(thread::Builder::new().name("accept".to_owned()).spawn(run)?);
        Ok(())
    }
}

/// What a thread waits for that has what is another process's. Dropped, it leaves everything to that.
#[derive(Debug)]
pub(crate) struct Go(mpsc::SyncSender<()>);

impl Go {
    /// It is ours now.
    pub(crate) fn now(self) {
        let _ = self.0.send(());
    }
}

/// What a thread that has not begun is to have.
struct Handed {
    shared: Arc<Shared>,
    begun: Option<Begun>,
    /// Whether it is another process's still.
    foreign: bool,
}

impl Handed {
    fn new(shared: &Arc<Shared>, begun: Begun, foreign: bool) -> Self {
        Self { shared: Arc::clone(shared), begun: Some(begun), foreign }
    }
}

impl Drop for Handed {
    fn drop(&mut self) {
        match self.begun.take() {
            Some(begun) if self.foreign => begun.pass_on(),
            Some(begun) => begun.end(&self.shared),
            None => {}
        }
    }
}

/// Closes the line with the loop, however that ends, unless another begins: whoever waits for it would wait for ever.
#[derive(Debug)]
struct Closed(Option<Arc<Shared>>);

impl Closed {
    fn not_yet(mut self) {
        self.0 = None;
    }
}

impl Drop for Closed {
    fn drop(&mut self) {
        if let Some(shared) = self.0.take() {
            let commands = shared.commands.close();
            commands.into_iter().for_each(|command| too_late(&shared, command));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::time::{Duration, Instant};

    use handoff::{AcceptReceiver, accept_pair};
    use router::{HostNameComparison, Prefix};

    use super::*;
    use crate::config::Config;
    use crate::dispatch::helpers;
    use crate::listening::Listening;
    use crate::outcome::Outcome;
    use crate::routes::holder::Holder;
    use crate::routes::queue::Queue;
    use crate::routes::table::{Bound, Table, Target};

    const PATIENCE: Duration = Duration::from_secs(60);

    fn preamble(via: &str) -> Vec<u8> {
        let length = u8::try_from(via.len()).unwrap();
        [&b"\0\x01\0\x01\x02\x02"[..], &[length], via.as_bytes(), b"\x03\x08"].concat()
    }

    /// While some wait for their preamble and some for their worker, and others come.
    #[test]
    fn a_loop_that_is_frozen_and_thawed_loses_nobody() {
        let (jobs, _) = tokio::sync::mpsc::unbounded_channel();
        let config = Config { max_pending_connections: 2, ..Config::default() };
        let shared = Arc::new(Shared::new(&config, jobs).unwrap());
        let help = Arc::default();
        let accept = AcceptThread::new(&shared, &help);
        accept.begin(Begun::default()).unwrap();
        let helping = helpers::start(&shared, &help);

        // Ports that the clients have are not free for the tests beside this one, which mostly want one of IPv4.
        let loopback = if test_peers::has_ipv6() {
            IpAddr::from(Ipv6Addr::LOCALHOST)
        } else {
            Ipv4Addr::LOCALHOST.into()
        };
        let socket = std::net::TcpListener::bind((loopback, 0)).unwrap();
        socket.set_nonblocking(true).unwrap();
        let at: SocketAddr = socket.local_addr().unwrap();
        let via = format!("net.tcp://{at}/x");
        let (sender, receiver) = accept_pair().unwrap();
        let queue = Queue::new(1, via.clone(), sender, receiver.try_clone().unwrap(), 2);
        let prefix = Prefix::parse(&via, HostNameComparison::default()).unwrap();
        let mut table = Table::default();
        table.insert(Target::new(prefix, Holder::Worker(Arc::new(queue)), &Bound::default()));
        shared.table.store(Arc::new(table));
        shared.commands.send(Command::Listen(Listening::new(at, socket.into())));

        let (over, left, served) = (AtomicBool::new(false), AtomicBool::new(false), AtomicUsize::new(0));
        let busy = AtomicUsize::new(0);
        let preamble = preamble(&via);
        thread::scope(|scope| {
            let worker = scope.spawn(|| {
                let mut receiver = AcceptReceiver::new(receiver);
                let mut served = 0;
                while !left.load(Ordering::Relaxed) {
                    let Some(socket) = receiver.try_accept().unwrap() else {
                        thread::sleep(Duration::from_micros(100));
                        continue;
                    };
                    let mut stream = TcpStream::from(socket);
                    stream.set_nonblocking(false).unwrap();
                    let mut read = vec![0; preamble.len()];
                    stream.read_exact(&mut read).unwrap();
                    assert_eq!(read, preamble);
                    stream.write_all(b"!").unwrap();
                    served += 1;
                }
                served
            });
            let client = || {
                while !over.load(Ordering::Relaxed) {
                    let mut stream = TcpStream::connect(at).unwrap();
                    stream.set_read_timeout(Some(PATIENCE)).unwrap();
                    let (first, rest) = preamble.split_at(7);
                    stream.write_all(first).unwrap();
                    thread::yield_now();
                    stream.write_all(rest).unwrap();
                    let mut answer = [0];
                    stream.read_exact(&mut answer).expect("it is answered");
                    let count = if answer == *b"!" { &served } else { &busy };
                    count.fetch_add(1, Ordering::Relaxed);
                }
            };
            let clients = [(); 4].map(|()| scope.spawn(client));
            // Until freezing has met both kinds, several times.
            let (mut parked, mut held, end) = (0, 0, Instant::now() + PATIENCE);
            for frozen in 0.. {
                let begun = accept.freeze().expect("it goes on");
                assert_eq!(begun.listening.len(), usize::from(frozen > 0 || !begun.listening.is_empty()));
                parked += usize::from(!begun.parked.is_empty());
                held += usize::from(!begun.held.is_empty());
                accept.thaw(begun);
                if frozen >= 20 && parked > 3 && held > 3 {
                    break;
                }
                assert!(
                    Instant::now() < end,
                    "{frozen} times, {parked} with parked ones, {held} with held ones"
                );
                thread::yield_now();
            }
            over.store(true, Ordering::Relaxed);
            clients.into_iter().for_each(|client| client.join().unwrap());
            left.store(true, Ordering::Relaxed);
            assert_eq!(worker.join().unwrap(), served.load(Ordering::Relaxed));
        });
        let [served, busy] = [served, busy].map(|count| u64::try_from(count.into_inner()).unwrap());
        let counted =
            [Outcome::HandedOver, Outcome::ServerTooBusy].map(|outcome| shared.counters.of(outcome));
        assert_eq!((counted, shared.counters.accepted()), ([served, busy], served + busy));

        shared.failures.may_end();
        help.stop();
        shared.commands.send(Command::Stop);
        assert!(accept.freeze().is_none(), "it was stopped before");
        helping.into_iter().for_each(|thread| thread.join().unwrap());
    }

    #[test]
    fn who_was_to_go_on_and_cannot_is_shut_down() {
        let (jobs, _) = tokio::sync::mpsc::unbounded_channel();
        let shared = Arc::new(Shared::new(&Config::default(), jobs).unwrap());
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut initiator = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (socket, _) = listener.accept().unwrap();
        let waits = crate::connection::Connection::accepted(socket.into(), &shared.counters);
        let waits = crate::dispatch::parked::Waits::Preamble(waits);
        let begun = Begun { parked: vec![(waits, Instant::now())], ..Begun::default() };
        begun.end(&shared);
        assert_eq!((shared.counters.of(Outcome::ShutDown), shared.counters.here()), (1, 0));
        assert_eq!(initiator.read(&mut [0]).unwrap(), 0, "an orderly end");
    }
}
