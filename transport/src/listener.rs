//! Accepting sessions at an address, on a port of one's own or a shared one.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use handoff::Register;
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::sync::{RwLock, Semaphore, mpsc, watch};
use tokio::task::JoinSet;

use crate::address::Address;
use crate::broker::{Broker, TakenBack};
use crate::channel::Channel;
use crate::connection::Connection;
use crate::error::{AcceptError, RegisterError};
use crate::home::{Home, Returned};
use crate::options::ListenOptions;
use crate::own_port::{OwnPort, from_std};
use crate::receiver::{Rules, Stage, open_session};
use crate::shared_port::{SharedPort, is_at_limit};

/// Accepts the sessions that initiators open at an address.
///
/// Preambles are read by tasks of their own, so a slow or hostile peer delays nobody. Connections are taken in while
/// [`accept`](Self::accept) is waited for; otherwise they wait where a TCP listener's do.
///
/// A service that ends [shuts down](Self::shutdown), or [stops](Self::stop), and accepts what is left; or [closes](Self::close) it.
/// Dropped, a listener stops at once: initiators whose session was not opened yet are told EndpointUnavailable (as long as the runtime goes on),
/// acknowledged sessions that nobody accepted break off, accepted ones go on.
///
/// ```no_run
/// use std::time::Duration;
/// use transport::{AcceptError, Channel, Listener, TransportError};
///
/// async fn serve(mut listener: Listener) -> Result<(), AcceptError> {
///     loop {
///         match listener.accept().await {
///             Ok(channel) => drop(tokio::spawn(echo(channel))),
///             // Out of descriptors: what waits is kept.
///             Err(error) if error.retry_helps() => tokio::time::sleep(Duration::from_millis(100)).await,
///             Err(error) => return Err(error),
///         }
///     }
/// }
///
/// async fn echo(mut channel: Channel) -> Result<(), TransportError> {
///     while let Some(envelope) = channel.receive().await? {
///         channel.send(&envelope.octets).await?;
///     }
///     channel.close().await
/// }
/// ```
#[derive(Debug)]
pub struct Listener {
    /// Nothing when it has stopped.
    port: Option<Port>,
    rules: Arc<Rules>,
    preambles: JoinSet<Option<Channel>>,
    /// Who may be taken in before a preamble is complete.
    pending: Arc<Semaphore>,
    stage: watch::Sender<Stage>,
    /// Those from which nothing was read have it for reading.
    untouched: Arc<RwLock<()>>,
    home: Home,
    returned: mpsc::UnboundedReceiver<Returned>,
}

#[derive(Debug)]
enum Port {
    Own(OwnPort),
    Shared(Box<SharedPort>),
}

impl Listener {
    /// Listens. Needs a tokio runtime with I/O and time, as everything here.
    ///
    /// A shared port needs a running port sharing service; if it goes away later, the listener waits for it to come back
    /// and registers again by itself; [`on_registration`](ListenOptions::on_registration) tells of it.
    ///
    /// # Errors
    /// [`InvalidAddress`](RegisterError::InvalidAddress); [`AddressInUse`](RegisterError::AddressInUse): by another
    /// listener or another program; [`NoBroker`](RegisterError::NoBroker) and [`Broker`](RegisterError::Broker) on a
    /// shared port; [`Listen`](RegisterError::Listen) on an own one.
    ///
    /// # Cancel safety
    /// Cancelled, nothing is listened on.
    pub async fn bind(options: ListenOptions) -> Result<Self, RegisterError> {
        let invalid = |reason: String| {
            let address = options.address.escape_debug().to_string();
            RegisterError::InvalidAddress { address, reason }
        };
        let mut address = Address::parse(&options.address, options.host_name_comparison).map_err(invalid)?;
        let broker = Broker::default();
        let port = if options.port_sharing {
            if address.port() == 0 {
                return Err(invalid("a shared port is one that clients know, 0 is none".into()));
            }
            Port::Shared(Box::new(register(&address, &options, broker.clone()).await?))
        } else {
            let port = OwnPort::bind(&address).map_err(|error| RegisterError::own_port(&address, error))?;
            if let (0, Some(local)) = (address.port(), port.local_addrs().first()) {
                address = address.at_port(local.port()).map_err(invalid)?;
            }
            Port::Own(port)
        };
        let (home, returned) = Home::new(options.max_idle_connections);
        let rules = Rules {
            address,
            port_sharing: options.port_sharing,
            broker,
            modes: options.modes,
            content_types: options.content_types,
            bounds: options.bounds,
            preamble_timeout: options.preamble_timeout,
            idle_timeout: options.idle_timeout,
        };
        Ok(Self {
            port: Some(port),
            rules: Arc::new(rules),
            preambles: JoinSet::new(),
            pending: Arc::new(Semaphore::new(options.max_pending_connections.min(Semaphore::MAX_PERMITS))),
            stage: watch::Sender::new(Stage::Listening),
            untouched: Arc::default(),
            home,
            returned,
        })
    }

    /// Waits for the next session: its preamble was read, found right and acknowledged.
    ///
    /// # Errors
    /// [`AtLimit`](AcceptError::AtLimit): out of descriptors; nothing is lost, pause and go on.
    /// [`Io`](AcceptError::Io): the listening socket failed; the next call pauses for 0.1 s before it tries again.
    /// [`Stopped`](AcceptError::Stopped): after [`stop`](Self::stop), when
    /// nothing is left. Whatever a single peer does is no error.
    ///
    /// # Cancel safety
    /// Cancelled, no connection and no session is lost.
    pub async fn accept(&mut self) -> Result<Channel, AcceptError> {
        loop {
            if self.port.is_none() && self.preambles.is_empty() {
                return Err(AcceptError::Stopped);
            }
            let room = self.pending.available_permits() > 0;
            tokio::select! {
                biased;
                Some(done) = self.preambles.join_next() => if let Ok(Some(channel)) = done {
                    return Ok(channel);
                },
                Some(returned) = self.returned.recv() => self.open_again(returned),
                accepted = accept(self.port.as_mut()), if room => match accepted {
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
            Some(Port::Own(port)) => port.local_addrs(),
            Some(Port::Shared(_)) | None => Vec::new(),
        }
    }

    /// Stops listening: the port is closed, or the registration ended, and the address is free for others. Connections that
    /// this process has already taken are served: [`accept`](Self::accept) gives their sessions, then
    /// [`Stopped`](AcceptError::Stopped). What waits in the broker goes to another worker of the address, or is answered there;
    /// connections that wait for another session are closed, as their initiators expect.
    ///
    /// ```
    /// # use transport::{AcceptError, ListenOptions, Listener};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let mut listener = Listener::bind(ListenOptions::new("net.tcp://127.0.0.1:0/")).await?;
    /// listener.stop();
    /// assert!(matches!(listener.accept().await, Err(AcceptError::Stopped)));
    /// # Ok(()) }
    /// ```
    pub fn stop(&mut self) {
        self.leave(Stage::Stopping);
    }

    /// Stops listening, and gives back to the broker what it was handed and has read nothing from: the rest of a message of the
    /// accept socket, and connections that wait for another session. Another instance of the service gets them, if one is
    /// registered or comes meanwhile (on a shared port; an own port is [stopped](Self::stop)). First the broker gives this listener
    /// no new connections any more; in the end the registration is over, or waits for the next with [`grace`](ListenOptions::grace):
    /// then new connections are not refused meanwhile. Sessions that were begun are served: [`accept`](Self::accept)
    /// gives them, then [`Stopped`](AcceptError::Stopped).
    ///
    /// With a broker that is gone, too old to take connections back, or does not answer in 10 s, it serves them itself, as
    /// [`stop`](Self::stop) does.
    ///
    /// # Cancel safety
    /// Cancelled, it may be called again. The one connection that is just being given back is closed if the broker refuses it.
    pub async fn shutdown(&mut self) {
        let broker = self.rules.broker.clone();
        // With grace what is given back comes to its own queue, and waits there for the next as others do.
        let has_grace = matches!(&self.port, Some(Port::Shared(port)) if port.has_grace());
        let gives_back = has_grace || (matches!(self.port, Some(Port::Shared(_))) && broker.drain().await);
        if gives_back {
            while let Ok(returned) = self.returned.try_recv() {
                self.open_again(returned);
            }
            self.stage.send_replace(Stage::Returning);
            while let Some(Port::Shared(port)) = &mut self.port
                && let Some(socket) = port.take_received()
            {
                match broker.take_back(socket).await {
                    TakenBack::Yes => {}
                    TakenBack::No(socket) => {
                        from_std(socket.into()).into_iter().for_each(|stream| self.open(stream))
                    }
                    // What else there is has no better chance.
                    TakenBack::Unknown => break,
                }
            }
            drop(self.untouched.write().await);
            if !has_grace {
                broker.unregister().await;
            }
        }
        self.stop();
    }

    /// Stops at once: as if it was dropped, but waits until initiators whose session was not opened yet have been told
    /// EndpointUnavailable, for 10 s at most. For a program that ends, and its runtime with it.
    ///
    /// # Cancel safety
    /// Cancelled, it is dropped.
    pub async fn close(mut self) {
        self.leave(Stage::Gone);
        while self.preambles.join_next().await.is_some() {}
    }

    fn leave(&mut self, stage: Stage) {
        self.stage.send_replace(stage);
        let taken = match self.port.take() {
            Some(Port::Own(port)) => port.into_taken(),
            Some(Port::Shared(port)) => port.into_taken(),
            None => Vec::new(),
        };
        taken.into_iter().for_each(|stream| self.open(stream));
    }

    /// A connection that broke before it could be set up concerns nobody.
    fn open(&mut self, stream: TcpStream) {
        let Ok(connection) = Connection::new(stream) else { return };
        // Those that were taken already when it stopped may be more.
        let pending = Arc::clone(&self.pending).try_acquire_owned().ok();
        let (rules, home, stage) = (Arc::clone(&self.rules), self.home.clone(), self.stage.subscribe());
        let untouched = Arc::clone(&self.untouched).try_read_owned().ok();
        self.preambles.spawn(async move {
            let channel = open_session(connection, None, &rules, home, stage, untouched).await;
            drop(pending);
            channel
        });
    }

    fn open_again(&mut self, Returned { connection, via, room }: Returned) {
        let (rules, home, stage) = (Arc::clone(&self.rules), self.home.clone(), self.stage.subscribe());
        let untouched = Arc::clone(&self.untouched).try_read_owned().ok();
        self.preambles.spawn(async move {
            let channel = open_session(connection, Some(via), &rules, home, stage, untouched).await;
            drop(room);
            channel
        });
    }
}

async fn register(
    address: &Address,
    options: &ListenOptions,
    broker: Broker,
) -> Result<SharedPort, RegisterError> {
    let control = options.control.clone().unwrap_or_else(handoff::control_path);
    let mut register = Register::new([&options.address]).with_grace(options.grace).with_share(options.share);
    register.host_name_comparison = Some(options.host_name_comparison.to_string());
    let shared = SharedPort::register(control, register, options.on_registration.clone(), broker).await;
    shared.map_err(|error| RegisterError::shared_port(address, error))
}

/// Waits for ever when there is no port any more.
async fn accept(port: Option<&mut Port>) -> io::Result<TcpStream> {
    match port {
        Some(Port::Own(port)) => port.accept().await,
        Some(Port::Shared(port)) => port.accept().await,
        None => core::future::pending().await,
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if Handle::try_current().is_ok() {
            self.leave(Stage::Gone);
            self.preambles.detach_all();
        }
    }
}
