//! Both directions against what was sent, however it is cut; and every way in which a relay ends.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, channel};

use proptest::prelude::{Strategy, any, prop};
use proptest::{prop_assert_eq, proptest};
use rustix::net::AddressFamily;

use super::*;
use crate::config::RelayTo;
use crate::outcome::{Counters, Outcome};
use crate::relay::relaying::Relaying;
use crate::routes::holder::StaticRoute;

/// A connection of whichever family, as seen by one of its ends.
struct End(std::fs::File, Box<dyn Fn() + Send + Sync>);

impl End {
    fn tcp(stream: TcpStream) -> Self {
        let other = stream.try_clone().unwrap();
        Self(OwnedFd::from(stream).into(), Box::new(move || other.shutdown(Shutdown::Write).unwrap()))
    }

    fn unix(stream: UnixStream) -> Self {
        let other = stream.try_clone().unwrap();
        Self(OwnedFd::from(stream).into(), Box::new(move || other.shutdown(Shutdown::Write).unwrap()))
    }
}

fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (stream, listener.accept().unwrap().0)
}

/// Stopped at the end of a test.
struct Running(Arc<Relays>, Option<thread::JoinHandle<()>>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.stop();
        self.1.take().unwrap().join().unwrap();
    }
}

fn relays() -> (Running, Receiver<(OwnedFd, RelayEnd)>) {
    relays_idle(Duration::ZERO)
}

fn relays_idle(idle: Duration) -> (Running, Receiver<(OwnedFd, RelayEnd)>) {
    let (said, ends) = channel();
    let relays = Arc::new(Relays::new(idle).unwrap());
    let ended = move |initiator: Connection, holder: &Holder, end, _, _| {
        let ended =
            initiator.end(&Counters::default(), Outcome::Relayed, holder.into(), None, Told::default());
        drop(said.send((ended, end)));
    };
    let thread = relays.start(Part::new(&Arc::default(), "the relay thread"), Box::new(ended)).unwrap();
    (Running(relays, Some(thread)), ends)
}

fn join(relays: &Running, initiator: OwnedFd, back_end: OwnedFd) {
    let unix = rustix::net::getsockname(&back_end).unwrap().address_family() == AddressFamily::UNIX;
    let holder = Holder::Route(Arc::new(StaticRoute::new(1, RelayTo::Name("test:1".to_owned()))));
    let initiator = Connection::accepted(initiator, &Counters::default());
    let joined = Joined { initiator, back_end, holder: Relaying::begin(holder), own: None };
    relays.0.join(joined, !unix, Told::default()).unwrap();
}

fn non_blocking(socket: impl Into<OwnedFd>) -> OwnedFd {
    let socket = socket.into();
    rustix::io::ioctl_fionbio(&socket, true).unwrap();
    socket
}

/// The initiator's end and the back-end's end of a relayed connection.
fn relayed(relays: &Running, unix: bool) -> (End, End) {
    let (initiator, accepted) = tcp_pair();
    let (back_end, ours) = if unix {
        let (back_end, ours) = UnixStream::pair().unwrap();
        (End::unix(back_end), OwnedFd::from(ours))
    } else {
        let (back_end, ours) = tcp_pair();
        (End::tcp(back_end), OwnedFd::from(ours))
    };
    join(relays, non_blocking(accepted), non_blocking(ours));
    (End::tcp(initiator), back_end)
}

/// The octet at a place of a stream; no two near places have the same neighbourhood.
fn octet(place: usize) -> u8 {
    (place.wrapping_mul(0x9E37_79B1) >> 13) as u8
}

#[derive(Clone, Debug)]
struct Stream {
    chunks: Vec<usize>,
    /// Octets a read asks for, in turns.
    reads: Vec<usize>,
    /// Whether the reader begins only when the writer could do no more.
    late: bool,
}

fn stream() -> impl Strategy<Value = Stream> {
    let chunk = prop::sample::select(vec![1, 7, 60, 1500, 16_383, 16_384, 16_385, 70_000, 1_200_000]);
    let read = prop::sample::select(vec![1 << 10, 5000, 65_536, 1 << 20]);
    (prop::collection::vec(chunk, 0..6), prop::collection::vec(read, 1..4), any::<bool>())
        .prop_map(|(chunks, reads, late)| Stream { chunks, reads, late })
}

/// Writes a stream and then its end.
fn write(end: &End, stream: &Stream) {
    let mut place = 0;
    for &chunk in &stream.chunks {
        let octets: Vec<u8> = (place..place + chunk).map(octet).collect();
        (&end.0).write_all(&octets).unwrap();
        place += chunk;
    }
    (end.1)();
}

/// Reads to the end; how many octets came, and whether each was the one that was sent.
fn read(end: &End, stream: &Stream) -> (usize, bool) {
    if stream.late {
        thread::sleep(Duration::from_millis(20));
    }
    let (mut place, mut same) = (0, true);
    for &most in stream.reads.iter().cycle() {
        let mut octets = vec![0; most];
        let length = (&end.0).read(&mut octets).unwrap();
        if length == 0 {
            break;
        }
        same &= octets[..length].iter().enumerate().all(|(n, &got)| got == octet(place + n));
        place += length;
    }
    (place, same)
}

proptest! {
    #![proptest_config(proptest::test_runner::Config { cases: 48, ..Default::default() })]

    /// However it is cut, however late it is read, whoever ends first: what arrives is what was sent, then the end.
    #[test]
    fn what_arrives_is_what_was_sent(up in stream(), down in stream(), unix in any::<bool>(), turns in 0..3) {
        let (relays, ends) = relays();
        let (initiator, back_end) = relayed(&relays, unix);
        let (got_up, got_down) = thread::scope(|scope| {
            let reading_up = scope.spawn(|| read(&back_end, &up));
            let reading_down = scope.spawn(|| read(&initiator, &down));
            match turns {
                0 => {
                    scope.spawn(|| write(&back_end, &down));
                    write(&initiator, &up);
                }
                // One direction has ended before the other begins.
                1 => {
                    write(&initiator, &up);
                    let got_up = reading_up.join().unwrap();
                    write(&back_end, &down);
                    return (got_up, reading_down.join().unwrap());
                }
                _ => {
                    write(&back_end, &down);
                    let got_down = reading_down.join().unwrap();
                    write(&initiator, &up);
                    return (reading_up.join().unwrap(), got_down);
                }
            }
            (reading_up.join().unwrap(), reading_down.join().unwrap())
        });
        prop_assert_eq!(got_up, (up.chunks.iter().sum(), true));
        prop_assert_eq!(got_down, (down.chunks.iter().sum(), true));
        prop_assert_eq!(ends.recv_timeout(Duration::from_secs(60)).unwrap().1, RelayEnd::Complete);
    }
}

#[test]
fn a_reset_is_passed_on() {
    for unix in [false, true] {
        let (relays, ends) = relays();
        let (initiator, back_end) = relayed(&relays, unix);
        (&initiator.0).write_all(b"preamble").unwrap();
        (&back_end.0).read_exact(&mut [0; 8]).unwrap();
        sockopt::set_socket_linger(&initiator.0, Some(Duration::ZERO)).unwrap();
        drop(initiator);
        assert_eq!(ends.recv_timeout(Duration::from_secs(60)).unwrap().1, RelayEnd::Broken);
        let seen = (&back_end.0).read(&mut [0; 8]);
        if !unix {
            assert_eq!(seen.unwrap_err().kind(), ErrorKind::ConnectionReset);
        }
    }
}

#[test]
fn what_a_side_sent_before_it_went_is_delivered() {
    let (relays, ends) = relays();
    let (initiator, back_end) = relayed(&relays, false);
    let sent: Vec<u8> = (0..3_000_000).map(octet).collect();
    thread::scope(|scope| {
        scope.spawn(|| {
            (&back_end.0).write_all(&sent).unwrap();
            drop(back_end);
        });
        let mut got = Vec::new();
        (&initiator.0).read_to_end(&mut got).unwrap();
        assert!(got == sent, "{} of {} octets", got.len(), sent.len());
    });
    drop(initiator);
    ends.recv_timeout(Duration::from_secs(60)).unwrap();
}

#[test]
fn a_back_end_that_is_not_there() {
    let (relays, ends) = relays();
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let back_end = rustix::net::socket_with(
        AddressFamily::INET,
        rustix::net::SocketType::STREAM,
        rustix::net::SocketFlags::NONBLOCK,
        None,
    )
    .unwrap();
    assert_eq!(rustix::net::connect(&back_end, &nobody), Err(Errno::INPROGRESS));
    let (mut initiator, accepted) = tcp_pair();
    initiator.write_all(b"preamble").unwrap();
    join(&relays, non_blocking(accepted), back_end);
    let (accepted, end) = ends.recv_timeout(Duration::from_secs(60)).unwrap();
    assert_eq!(end, RelayEnd::NotConnected(Errno::CONNREFUSED));
    // Nothing was read: it can still be refused, or relayed elsewhere.
    let mut octets = [0; 8];
    rustix::net::recv(&accepted, &mut octets, rustix::net::RecvFlags::empty()).unwrap();
    assert_eq!(&octets, b"preamble");
}

#[test]
fn the_end_of_the_broker_is_the_end_of_its_relays() {
    let (relays, ends) = relays();
    let (initiator, _back_end) = relayed(&relays, false);
    drop(relays);
    assert_eq!(ends.recv().unwrap().1, RelayEnd::ShutDown);
    assert_eq!((&initiator.0).read(&mut [0; 8]).unwrap(), 0);
}

#[test]
fn an_entry_is_small() {
    assert!(size_of::<(u64, Relay)>() <= 200, "{}", size_of::<(u64, Relay)>());
}
