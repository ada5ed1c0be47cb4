//! The broker's side of a shared port, played by the test.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use handoff::{
    AcceptSender, ControlListener, ControlOptions, ControlPeer, Register, Registered, Reply, Request,
    accept_pair,
};
use transport::{ListenOptions, Listener};

use super::{DUPLEX, Raw, TEXT_END, preamble};

pub const ADDRESS: &str = "net.tcp://localhost:9000/echo";
pub const VIA: &str = "net.tcp://h:9000/Echo/x";

/// Takes one registration and hands connections over.
pub struct Broker {
    _control: ControlListener,
    pub worker: ControlPeer,
    pub sender: AcceptSender,
    pub port: TcpListener,
    pub register: Register,
}

impl Broker {
    pub fn start(path: &Path) -> Self {
        let control = ControlListener::bind(path, &ControlOptions::default()).unwrap();
        let worker = control.accept().unwrap();
        let Some(Ok(Request::Register(register))) = worker.receive().unwrap() else {
            panic!("no registration")
        };
        let (sender, accept_socket) = accept_pair().unwrap();
        worker.send(&Reply::Registered(Registered::new(1)), Some(accept_socket.as_fd())).unwrap();
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        Self { _control: control, worker, sender, port, register }
    }

    /// The next request, and the connection that comes with it.
    pub fn asked(&self) -> (Request, Option<TcpStream>) {
        let (request, connection) = self.worker.receive_with_connection().unwrap().unwrap().unwrap();
        (request, connection.map(TcpStream::from))
    }

    pub fn answer(&self, reply: &Reply) {
        self.worker.send(reply, None).unwrap();
    }

    /// New connections, accepted by the broker, that come in one message and have sent their preambles.
    pub fn connections(&self, count: usize) -> Vec<Raw> {
        let connect = |_| {
            let mut raw = Raw::connect(self.port.local_addr().unwrap());
            raw.write(&preamble(DUPLEX, VIA, TEXT_END));
            let (socket, _) = self.port.accept().unwrap();
            socket.set_nonblocking(true).unwrap();
            (raw, socket)
        };
        let (peers, sockets): (Vec<Raw>, Vec<TcpStream>) = (0..count).map(connect).unzip();
        self.sender.send(&sockets.iter().map(AsFd::as_fd).collect::<Vec<_>>()).unwrap();
        peers
    }

    /// Hands a connection over that was given back.
    pub fn send(&self, connection: TcpStream) {
        connection.set_nonblocking(true).unwrap();
        self.sender.send(&[connection.as_fd()]).unwrap();
    }

    /// A new connection, accepted by the broker and now the worker's.
    pub fn connection(&self) -> Raw {
        let raw = Raw::connect(self.port.local_addr().unwrap());
        let (socket, _) = self.port.accept().unwrap();
        socket.set_nonblocking(true).unwrap();
        self.sender.send(&[socket.as_fd()]).unwrap();
        raw
    }
}

pub fn options(control: &Path) -> ListenOptions {
    ListenOptions::new(ADDRESS).port_sharing(true).control(control)
}

pub async fn bound(control: PathBuf) -> (Listener, Broker) {
    bound_with(control, |options| options).await
}

pub async fn bound_with(
    control: PathBuf,
    configure: impl FnOnce(ListenOptions) -> ListenOptions,
) -> (Listener, Broker) {
    let path = control.clone();
    let broker = tokio::task::spawn_blocking(move || Broker::start(&path));
    while !control.exists() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let listener = Listener::bind(configure(options(&control))).await.unwrap();
    (listener, broker.await.unwrap())
}
