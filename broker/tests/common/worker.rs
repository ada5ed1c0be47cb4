//! Workers: with the library, by hand, in Python.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use handoff::{AcceptReceiver, ControlConnection, Register};
use serde_json::Value;

use super::{Broker, PATIENCE, answer, eventually, serve};

/// A worker written with the handoff crate, in this process.
pub struct Worker {
    pub control: ControlConnection,
    pub receiver: AcceptReceiver,
    pub id: u64,
}

impl Worker {
    pub fn register(broker: &Broker, addresses: &[String]) -> Self {
        Self::register_as(broker, Register::new(addresses.to_vec()))
    }

    pub fn register_as(broker: &Broker, register: Register) -> Self {
        let mut control = ControlConnection::connect(&broker.control()).unwrap();
        let (registered, socket) = control.register(&register).unwrap();
        Self { control, receiver: AcceptReceiver::new(socket), id: registered.id }
    }

    /// The next connection, blocking.
    pub fn accept(&mut self) -> TcpStream {
        let mut accepted = None;
        eventually(
            || {
                accepted = self.receiver.try_accept().unwrap();
                accepted.is_some()
            },
            || "no connection was handed over".to_owned(),
        );
        let stream = TcpStream::from(accepted.unwrap());
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Accepts as many connections, in whatever order they come, and serves each of these initiators.
    pub fn serve_all(&mut self, clients: &mut [TcpStream], expected: &[u8]) {
        for _ in &*clients {
            serve(self.accept(), expected, b'!');
        }
        for client in clients {
            assert_eq!(answer(client), b'!');
        }
    }

    /// Accepts as many connections as there are of these, in their order.
    pub fn serve_in_order(&mut self, clients: &mut [TcpStream], expected: &[u8]) {
        for client in clients {
            let accepted = self.accept();
            assert_eq!(accepted.peer_addr().unwrap(), client.local_addr().unwrap());
            serve(accepted, expected, b'!');
            assert_eq!(answer(client), b'!');
        }
    }

    pub fn nothing_waits(&mut self) -> bool {
        self.receiver.try_accept().unwrap().is_none()
    }
}

/// The control socket without any help: octets out, octets and descriptors in.
pub struct Raw {
    socket: std::os::unix::net::UnixStream,
}

impl Raw {
    pub fn connect(path: &Path) -> Self {
        use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
        let socket =
            socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
        connect(&socket, &SocketAddrUnix::new(path).unwrap()).unwrap();
        let socket = std::os::unix::net::UnixStream::from(socket);
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket }
    }

    pub fn send(&mut self, octets: &[u8]) {
        assert_eq!(self.socket.write(octets).unwrap(), octets.len());
    }

    pub fn send_with(&mut self, octets: &[u8], descriptor: impl AsFd) {
        self.send_with_all(octets, &[descriptor.as_fd()]);
    }

    /// At most four.
    pub fn send_with_all(&mut self, octets: &[u8], descriptors: &[BorrowedFd<'_>]) {
        use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() {
            assert!(control.push(SendAncillaryMessage::ScmRights(descriptors)));
        }
        sendmsg(&self.socket, &[std::io::IoSlice::new(octets)], &mut control, SendFlags::empty()).unwrap();
    }

    /// Nothing more is sent; what comes is still read.
    pub fn says_no_more(&mut self) {
        self.socket.shutdown(std::net::Shutdown::Write).unwrap();
    }

    /// The next reply and its descriptors; `None` at the end.
    pub fn receive(&mut self) -> Option<(Value, Vec<OwnedFd>)> {
        use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
        let mut octets = vec![0; 65_536];
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut parts = [std::io::IoSliceMut::new(&mut octets)];
        let length = loop {
            match recvmsg(&self.socket, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC) {
                Ok(received) => break received.bytes,
                Err(rustix::io::Errno::CONNRESET) => break 0,
                // A wait with a timeout ends so when the process was stopped, too.
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => panic!("the control socket: {error}"),
            }
        };
        if length == 0 {
            return None;
        }
        let descriptors = control.drain().flat_map(|message| match message {
            RecvAncillaryMessage::ScmRights(descriptors) => descriptors.collect::<Vec<_>>(),
            _ => Vec::new(),
        });
        let descriptors = descriptors.collect();
        Some((serde_json::from_slice(&octets[..length]).unwrap(), descriptors))
    }

    /// A request and its answer.
    pub fn ask(&mut self, request: &Value) -> (Value, Vec<OwnedFd>) {
        self.send(request.to_string().as_bytes());
        self.receive().unwrap()
    }

    /// The reason of the refusal of this request.
    pub fn refusal(&mut self, request: &Value) -> String {
        let (reply, descriptors) = self.ask(request);
        assert!(descriptors.is_empty());
        reason(&reply)
    }
}

pub fn reason(reply: &Value) -> String {
    let refused = &reply["refused"];
    assert!(refused["message"].is_string(), "{reply}");
    refused["reason"].as_str().unwrap_or_else(|| panic!("{reply}")).to_owned()
}

/// A worker process in Python, written from the specification of the protocol alone.
pub struct Python {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Python {
    /// Answers every connection with `name`, and prints what it sees.
    pub fn start(broker: &Broker, name: char, address: &str) -> Self {
        Self::start_with(broker, name, address, &serde_json::json!({}))
    }

    /// With further members of its registration.
    pub fn start_with(broker: &Broker, name: char, address: &str, more: &Value) -> Self {
        let mut child = Command::new("python3")
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/worker.py"))
            .arg(broker.control())
            .arg(name.to_string())
            .arg(address)
            .arg(more.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        let mut python = Self { child, lines };
        let reply: Value = serde_json::from_str(&python.line()).unwrap();
        assert!(reply["registered"]["id"].is_u64(), "{reply}");
        python
    }

    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
