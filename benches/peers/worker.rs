//! The worker process of a run: takes connections, answers their preambles, and closes, holds or fills them.

use std::collections::HashMap;
use std::io::{self, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::net::TcpListener;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::UnixListener;
use std::path::Path;

use handoff::{ControlConnection, Register};
use rustix::event::epoll;
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendFlags, SocketFlags,
};

use crate::contender::{CROWD, crowd_address};

/// The event of the first source; connections have the numbers of their descriptors.
const SOURCE: u64 = 1 << 32;

/// Most descriptors of one message.
const MOST: usize = 32;

/// `worker LETTER accept|tcp|unix|broker WHERE close|hold|fill`.
///
/// The source is an accept socket on standard input, a listener of the worker's own (for a relay; WHERE is the path of a
/// Unix one), or a registration (WHERE is the control socket and the address, with a blank between). A line on standard
/// output says that it is open, and its port if it has one. Each preamble is answered with a Preamble Ack Record and
/// the letter; then the connection is closed, held until the other side closes, or filled until it does.
///
/// # Errors
/// When the source cannot be opened or breaks.
pub(crate) fn main(words: &[String]) -> io::Result<()> {
    let [letter, source, place, then] = words else { return Err(io::ErrorKind::InvalidInput.into()) };
    let answer = [0x0B, letter.bytes().next().unwrap_or(b'?')];
    let mut _control = None; // a registration ends with its connection
    let (socket, handed) = match source.as_str() {
        "accept" => (io::stdin().as_fd().try_clone_to_owned()?, true),
        "tcp" => {
            let listener = TcpListener::bind("127.0.0.1:0")?;
            println!("{}", listener.local_addr()?.port());
            (listener.into(), false)
        }
        "broker" => {
            let (path, address) = place.split_once(' ').ok_or(io::ErrorKind::InvalidInput)?;
            let mut control = ControlConnection::connect(Path::new(path)).map_err(io::Error::other)?;
            let (_, socket) = control.register(&Register::new([address])).map_err(io::Error::other)?;
            _control = Some(control);
            println!("ready");
            (OwnedFd::from(socket), true)
        }
        _ => {
            let listener = UnixListener::bind(place)?;
            println!("ready");
            (OwnedFd::from(listener), false)
        }
    };
    if !handed {
        rustix::net::listen(&socket, 4096)?;
    }
    if then == "fill" { fill(&socket, answer) } else { serve(&[socket], handed, answer, then == "hold") }
}

/// `crowd CONTROL PORT COUNT`: registers many addresses, a thousand in a message, and serves them as a worker does.
///
/// # Errors
/// When the broker refuses.
pub(crate) fn crowd(words: &[String]) -> io::Result<()> {
    let [path, port, count] = words else { return Err(io::ErrorKind::InvalidInput.into()) };
    let count: usize = count.parse().map_err(io::Error::other)?;
    let mut control = ControlConnection::connect(Path::new(path)).map_err(io::Error::other)?;
    let port: u16 = port.parse().map_err(io::Error::other)?;
    let addresses: Vec<String> = (0..count).map(|number| crowd_address(port, number)).collect();
    let mut sockets: Vec<OwnedFd> = Vec::new();
    for some in addresses.chunks(1000) {
        sockets.push(control.register(&Register::new(some)).map_err(io::Error::other)?.1.into());
    }
    println!("ready");
    serve(&sockets, true, [0x0B, u8::try_from(CROWD).unwrap_or(b'?')], false)
}

/// One loop over everything, as lean as a worker can be: what it costs is not the contender's.
fn serve(sources: &[OwnedFd], handed: bool, answer: [u8; 2], hold: bool) -> io::Result<()> {
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    for (n, source) in (SOURCE..).zip(sources) {
        rustix::io::ioctl_fionbio(source, true)?;
        epoll::add(&epoll, source, epoll::EventData::new_u64(n), epoll::EventFlags::IN)?;
    }
    let mut held: HashMap<RawFd, OwnedFd> = HashMap::new();
    let mut ready = Vec::with_capacity(64);
    loop {
        ready.clear();
        epoll::wait(&epoll, rustix::buffer::spare_capacity(&mut ready), None)?;
        for event in &ready {
            if let Some(n) = event.data.u64().checked_sub(SOURCE) {
                let source = &sources[usize::try_from(n).unwrap_or(0)];
                for connection in if handed { receive(source.as_fd())? } else { accept(source.as_fd())? } {
                    if !answered(&connection, answer)? || hold {
                        let number = connection.as_raw_fd();
                        let data = epoll::EventData::new_u64(u64::try_from(number).unwrap_or(0));
                        epoll::add(&epoll, &connection, data, epoll::EventFlags::IN)?;
                        held.insert(number, connection);
                    }
                }
            } else {
                let number = RawFd::try_from(event.data.u64()).unwrap_or(-1);
                let Some(connection) = held.get(&number) else { continue };
                if !matches!(answered(connection, answer), Ok(true)) || !hold {
                    held.remove(&number); // closing it takes it out of the epoll
                }
            }
        }
    }
}

/// Takes the preamble out and answers it; false when there is none yet, an error when there will be none.
fn answered(connection: &OwnedFd, answer: [u8; 2]) -> io::Result<bool> {
    let mut octets = [0; 2304];
    match rustix::net::recv(connection, &mut octets, RecvFlags::DONTWAIT) {
        Ok((0, _)) => Err(io::ErrorKind::UnexpectedEof.into()),
        Ok(_) => {
            rustix::net::send(connection, &answer, SendFlags::NOSIGNAL)?;
            Ok(true)
        }
        Err(Errno::AGAIN) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The sockets of one message of an accept socket.
fn receive(socket: BorrowedFd<'_>) -> io::Result<Vec<OwnedFd>> {
    let mut versions = [0; MOST];
    let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut room);
    let message = rustix::net::recvmsg(
        socket,
        &mut [IoSliceMut::new(&mut versions)],
        &mut ancillary,
        RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT,
    )?;
    if message.bytes == 0 {
        std::process::exit(0); // the contender has ended
    }
    if message.flags.contains(ReturnFlags::CTRUNC) {
        return Err(io::Error::other("descriptors were lost"));
    }
    let mut sockets = Vec::with_capacity(message.bytes);
    for part in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = part {
            sockets.extend(descriptors);
        }
    }
    Ok(sockets)
}

/// One connection of a listener.
fn accept(listener: BorrowedFd<'_>) -> io::Result<Vec<OwnedFd>> {
    match rustix::net::accept_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
        Ok(connection) => Ok(vec![connection]),
        Err(Errno::AGAIN | Errno::CONNABORTED) => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

/// Answers each connection's preamble and sends octets until the other side has enough; one connection at a time.
fn fill(listener: &OwnedFd, answer: [u8; 2]) -> io::Result<()> {
    let octets = vec![0x55; 1 << 18];
    loop {
        // A file reads and writes a socket of either family.
        let mut connection = std::fs::File::from(rustix::net::accept_with(listener, SocketFlags::CLOEXEC)?);
        let _ = connection.read(&mut [0; 2304])?;
        connection.write_all(&answer)?;
        while connection.write_all(&octets).is_ok() {}
    }
}
