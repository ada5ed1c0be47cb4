//! Accepting sessions at an address, on a port of one's own or a shared one.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use handoff::Register;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::address::Address;
use crate::channel::Channel;
use crate::connection::Connection;
use crate::error::{AcceptError, RegisterError};
use crate::home::{Home, Returned};
use crate::options::ListenOptions;
use crate::own_port::OwnPort;
use crate::receiver::{Rules, open_session};
use crate::shared_port::{SharedPort, is_at_limit};

/// Accepts the sessions that initiators open at an address.
///
/// Preambles are read by tasks of their own, so a slow or hostile peer delays nobody. Connections are taken in while
/// [`accept`](Self::accept) is waited for; otherwise they wait where a TCP listener's do. Dropped, it stops listening:
/// connections without a complete preamble are closed, open sessions go on.
#[derive(Debug)]
pub struct Listener {
    port: Port,
    rules: Arc<Rules>,
    preambles: JoinSet<Option<Channel>>,
    max_preambles: usize,
    home: Home,
    returned: mpsc::UnboundedReceiver<Returned>,
}

#[derive(Debug)]
enum Port {
    Own(OwnPort),
    Shared(Box<SharedPort>),
}

impl Listener {
    /// Listens.
    ///
    /// A shared port needs a running port sharing service; if it goes away later, the listener waits for it to come back
    /// and registers again by itself.
    ///
    /// # Errors
    /// [`InvalidAddress`](RegisterError::InvalidAddress); [`AddressInUse`](RegisterError::AddressInUse): by another
    /// listener or another program; [`NoBroker`](RegisterError::NoBroker) and [`Broker`](RegisterError::Broker) on a
    /// shared port; [`Listen`](RegisterError::Listen) on an own one.
    ///
    /// # Cancel safety
    /// Cancelled, nothing is listened on.
    pub async fn bind(options: ListenOptions) -> Result<Self, RegisterError> {
        let address = Address::parse(&options.address).map_err(|reason| {
            let address = options.address.escape_debug().to_string();
            RegisterError::InvalidAddress { address, reason }
        })?;
        let port = if options.port_sharing {
            Port::Shared(Box::new(register(&address, &options).await?))
        } else {
            Port::Own(OwnPort::bind(&address).map_err(|error| RegisterError::own_port(&address, error))?)
        };
        let (home, returned) = Home::new(options.max_idle_connections);
        let rules = Rules {
            address,
            port_sharing: options.port_sharing,
            modes: options.modes,
            content_types: options.content_types,
            limits: options.limits,
            preamble_timeout: options.preamble_timeout,
            idle_timeout: options.idle_timeout,
        };
        Ok(Self {
            port,
            rules: Arc::new(rules),
            preambles: JoinSet::new(),
            max_preambles: options.max_pending_connections.saturating_add(options.max_idle_connections),
            home,
            returned,
        })
    }

    /// Waits for the next session: its preamble was read, found right and acknowledged.
    ///
    /// # Errors
    /// [`AtLimit`](AcceptError::AtLimit): out of descriptors; nothing is lost, pause and go on.
    /// [`Io`](AcceptError::Io): the listening socket failed. Whatever a single peer does is no error.
    ///
    /// # Cancel safety
    /// Cancelled, no connection and no session is lost.
    pub async fn accept(&mut self) -> Result<Channel, AcceptError> {
        loop {
            tokio::select! {
                Some(done) = self.preambles.join_next() => if let Ok(Some(channel)) = done {
                    return Ok(channel);
                },
                Some(returned) = self.returned.recv() => self.open_again(returned),
                accepted = self.port.accept(), if self.preambles.len() < self.max_preambles => match accepted {
                    Ok(stream) => self.open(stream),
                    Err(error) if is_at_limit(&error) => return Err(AcceptError::AtLimit(error)),
                    Err(error) => return Err(AcceptError::Io(error)),
                },
            }
        }
    }

    /// Where an own port is listened on; nothing for a shared one, which is the broker's.
    pub fn local_addrs(&self) -> Vec<SocketAddr> {
        match &self.port {
            Port::Own(port) => port.local_addrs(),
            Port::Shared(_) => Vec::new(),
        }
    }

    /// A connection that broke before it could be set up concerns nobody.
    fn open(&mut self, stream: TcpStream) {
        let Ok(connection) = Connection::new(stream) else { return };
        let (rules, home) = (Arc::clone(&self.rules), self.home.clone());
        self.preambles.spawn(async move { open_session(connection, None, &rules, home).await });
    }

    fn open_again(&mut self, Returned { connection, via, room }: Returned) {
        let (rules, home) = (Arc::clone(&self.rules), self.home.clone());
        self.preambles.spawn(async move {
            let channel = open_session(connection, Some(via), &rules, home).await;
            drop(room);
            channel
        });
    }
}

async fn register(address: &Address, options: &ListenOptions) -> Result<SharedPort, RegisterError> {
    let control = options.control.clone().unwrap_or_else(handoff::control_path);
    let mut register = Register::new([&options.address]);
    register.host_name_comparison = Some(options.host_name_comparison.to_string());
    let shared = SharedPort::register(control, register).await;
    shared.map_err(|error| RegisterError::shared_port(address, error))
}

impl Port {
    async fn accept(&mut self) -> io::Result<TcpStream> {
        match self {
            Self::Own(port) => port.accept().await,
            Self::Shared(port) => port.accept().await,
        }
    }
}
