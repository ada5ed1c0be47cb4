//! The fast path without a thread around it, so that its instructions can be counted.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use handoff::{AcceptSocket, MAX_SOCKETS, accept_pair};
use router::{HostNameComparison, Prefix, PrefixError};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with};
use tokio::sync::mpsc::unbounded_channel;

use super::helpers::Helping;
use crate::config::Config;
use crate::listening::Listening;
use crate::routes::holder::Holder;
use crate::routes::queue::Queue;
use crate::routes::table::{Bound, Table, Target};
use crate::shared::Shared;
use crate::socket_options::local_address;

/// Accept, preamble, route and dispatch on demand: the code of the loops, with a listening socket and a worker of its own.
#[derive(Debug)]
pub struct OneTurn {
    helping: Helping,
    listening: Listening,
    worker: AcceptSocket,
}

impl OneTurn {
    /// With a table of these paths, all of one worker.
    ///
    /// # Errors
    ///
    /// Those of the sockets, and a path that makes no address.
    pub fn new<'a>(paths: impl IntoIterator<Item = &'a str>) -> io::Result<Self> {
        let (jobs, _) = unbounded_channel();
        let shared = Arc::new(Shared::new(&Config::default(), jobs)?);
        let socket = socket_with(
            AddressFamily::INET,
            SocketType::STREAM,
            SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
            None,
        )?;
        bind(&socket, &SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        listen(&socket, 128)?;
        let address = local_address(&socket).ok_or(io::ErrorKind::AddrNotAvailable)?;
        let (sender, worker) = accept_pair()?;
        let queue = Arc::new(Queue::new(1, String::new(), sender, worker.try_clone()?, MAX_SOCKETS));
        let mut table = Table::default();
        for path in paths {
            let address = format!("net.tcp://localhost:{}/{path}", address.port());
            let wrong = |error: PrefixError| io::Error::new(io::ErrorKind::InvalidInput, error.to_string());
            let prefix = Prefix::parse(&address, HostNameComparison::StrongWildcard).map_err(wrong)?;
            table.insert(Target::new(prefix, Holder::Worker(Arc::clone(&queue)), &Bound::default()));
        }
        shared.table.store(Arc::new(table));
        let helping = Helping::new(shared, Arc::default());
        Ok(Self { helping, listening: Listening::new(address, socket), worker })
    }

    /// Where initiators connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.listening.address
    }

    /// The worker's end.
    #[must_use]
    pub fn worker(&self) -> &AcceptSocket {
        &self.worker
    }

    /// Accepts and dispatches so many connections, which must be waiting.
    pub fn take(&mut self, connections: usize) {
        self.helping.accept(&self.listening, connections);
        self.helping.send_batches();
    }
}
