//! How to listen and how to connect.

use core::time::Duration;
use std::path::PathBuf;

use framing_core::{Limits, Mode};
use router::HostNameComparison;

use crate::registration_event::{OnRegistration, RegistrationEvent};

/// What holds for a whole session, whoever opened it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) limits: Limits,
    pub(crate) receive_timeout: Duration,
    pub(crate) send_timeout: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            receive_timeout: Duration::from_secs(600),
            send_timeout: Duration::from_secs(60),
        }
    }
}

/// Where and how to listen. Everything has WCF's default unless it says otherwise, port sharing included: off.
///
/// ```
/// use transport::ListenOptions;
///
/// let options = ListenOptions::new("net.tcp://localhost:9000/calculator").port_sharing(true);
/// ```
#[derive(Debug, Clone)]
pub struct ListenOptions {
    pub(crate) address: String,
    pub(crate) port_sharing: bool,
    pub(crate) control: Option<PathBuf>,
    pub(crate) on_registration: OnRegistration,
    pub(crate) grace: Duration,
    pub(crate) share: bool,
    pub(crate) host_name_comparison: HostNameComparison,
    pub(crate) modes: Vec<Mode>,
    pub(crate) content_types: Vec<String>,
    pub(crate) bounds: Bounds,
    pub(crate) preamble_timeout: Duration,
    pub(crate) idle_timeout: Duration,
    pub(crate) max_pending_connections: usize,
    pub(crate) max_idle_connections: usize,
}

impl ListenOptions {
    /// Listens on `address`, `net.tcp://HOST[:PORT]/PATH`. An IP literal as the host means that local address, a name
    /// (`localhost` too) all of them; the port is 808 if there is none. Port 0 is a free one, which
    /// [`local_addrs`](crate::Listener::local_addrs) tells and which the service's address then has; on a shared port it is
    /// refused, for nobody could know which it is.
    pub fn new(address: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            port_sharing: false,
            control: None,
            on_registration: OnRegistration::default(),
            grace: Duration::ZERO,
            share: false,
            host_name_comparison: HostNameComparison::default(),
            modes: vec![Mode::DUPLEX, Mode::SINGLETON_UNSIZED],
            content_types: Vec::new(),
            bounds: Bounds::default(),
            preamble_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(120),
            max_pending_connections: 512,
            max_idle_connections: 128,
        }
    }

    /// Shares the port with other processes through the port sharing service, instead of owning it.
    #[must_use]
    pub fn port_sharing(mut self, shared: bool) -> Self {
        self.port_sharing = shared;
        self
    }

    /// The service's control socket, if it is neither at the default path nor named by `NET_TCP_PORT_SHARING_CONTROL`.
    #[must_use]
    pub fn control(mut self, path: impl Into<PathBuf>) -> Self {
        self.control = Some(path.into());
        self
    }

    /// Calls a function when the registration on a shared port is lost, cannot be made again, and is made again: for a service that
    /// says so in its log or its health check. A loss is noticed while [`accept`](crate::Listener::accept) is waited for. The
    /// function is called by a task of the runtime, so it must not block.
    ///
    /// ```
    /// use transport::{ListenOptions, RegistrationEvent};
    ///
    /// let options = ListenOptions::new("net.tcp://localhost:9000/calculator")
    ///     .port_sharing(true)
    ///     .on_registration(|event| eprintln!("calculator: {event}"));
    /// ```
    #[must_use]
    pub fn on_registration(mut self, tell: impl Fn(RegistrationEvent) + Send + Sync + 'static) -> Self {
        self.on_registration = OnRegistration::new(tell);
        self
    }

    /// On a shared port: when this listener is gone, however it goes, its address stays with the port sharing service for so long
    /// (whole seconds, rounded up, an hour at most). Connections wait there for the next listener of the same user at this
    /// address, the service started again, say; if none comes they are told EndpointUnavailable. Not at all by default.
    ///
    /// ```
    /// use std::time::Duration;
    /// use transport::ListenOptions;
    ///
    /// let options = ListenOptions::new("net.tcp://localhost:9000/calculator")
    ///     .port_sharing(true)
    ///     .grace(Duration::from_secs(30));
    /// ```
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// On a shared port: other listeners of the same user that share the address, too, may have it as well, in whatever process.
    /// Each connection goes to the one for which the fewest wait. So a new instance of a service begins while the old one goes on,
    /// which then [shuts down](crate::Listener::shutdown), and nobody is refused. Not by default.
    ///
    /// ```
    /// use transport::ListenOptions;
    ///
    /// let options = ListenOptions::new("net.tcp://localhost:9000/calculator").port_sharing(true).share(true);
    /// ```
    #[must_use]
    pub fn share(mut self, share: bool) -> Self {
        self.share = share;
        self
    }

    /// What the host name of the address means: whether the one in a Via must be the same.
    #[must_use]
    pub fn host_name_comparison(mut self, comparison: HostNameComparison) -> Self {
        self.host_name_comparison = comparison;
        self
    }

    /// The modes to accept; both duplex (WCF: buffered) and singleton-unsized (streamed) by default.
    #[must_use]
    pub fn modes(mut self, modes: &[Mode]) -> Self {
        self.modes = modes.to_vec();
        self
    }

    /// Accepts this content type; may be called several times. Never called, every content type is accepted and the
    /// channel says which it is.
    #[must_use]
    pub fn content_type(mut self, content_type: impl Into<String>) -> Self {
        self.content_types.push(content_type.into());
        self
    }

    /// What a peer may make this process keep: WCF's defaults, so an envelope has at most 65,536 octets
    /// (`MaxReceivedMessageSize`).
    ///
    /// ```
    /// use transport::{Limits, ListenOptions};
    ///
    /// let limits = Limits { envelope: 16 << 20, ..Limits::DEFAULT };
    /// let options = ListenOptions::new("net.tcp://localhost:9000/photos").limits(limits);
    /// ```
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.bounds.limits = limits;
        self
    }

    /// Time for a whole preamble, from the connection's beginning, or its first octet where a session came before; 30 s by
    /// default.
    #[must_use]
    pub fn preamble_timeout(mut self, timeout: Duration) -> Self {
        self.preamble_timeout = timeout;
        self
    }

    /// How long a connection may wait for another session after one has ended; 120 s by default.
    #[must_use]
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_timeout = timeout;
        self
    }

    /// How long [`Channel::receive`](crate::Channel::receive) waits for an envelope before it breaks the session off; 10 minutes
    /// by default, WCF's `receiveTimeout`. [`Duration::MAX`] is for ever. A peer that has vanished is noticed sooner, by TCP's
    /// keepalive.
    #[must_use]
    pub fn receive_timeout(mut self, timeout: Duration) -> Self {
        self.bounds.receive_timeout = timeout;
        self
    }

    /// How long [`Channel::send`](crate::Channel::send) may take until the last octet is on its way, before it gives the session
    /// up; a minute by default, WCF's `sendTimeout`. [`Duration::MAX`] is for ever: a peer that reads nothing then holds the sender.
    #[must_use]
    pub fn send_timeout(mut self, timeout: Duration) -> Self {
        self.bounds.send_timeout = timeout;
        self
    }

    /// Accepted connections whose preamble is not yet complete and that carried no session before; 512 by default, because one
    /// that says nothing counts for the whole [`preamble_timeout`](Self::preamble_timeout) (WCF: 12 a processor). Further ones
    /// wait unaccepted: on an own port in the kernel, up to 4096; on a shared one up to 31 that came in one message with others,
    /// and then where `max_pending_connections` of the broker bounds them.
    #[must_use]
    pub fn max_pending_connections(mut self, connections: usize) -> Self {
        self.max_pending_connections = connections.max(1);
        self
    }

    /// Connections that wait for another session; 128 by default. Further ones are closed when their session ends.
    #[must_use]
    pub fn max_idle_connections(mut self, connections: usize) -> Self {
        self.max_idle_connections = connections;
        self
    }
}

/// How to open a session.
#[derive(Debug, Clone)]
pub struct ConnectOptions {
    pub(crate) content_type: String,
    pub(crate) mode: Mode,
    pub(crate) bounds: Bounds,
    pub(crate) open_timeout: Duration,
}

impl ConnectOptions {
    /// A duplex session whose envelopes have that content type.
    pub fn new(content_type: impl Into<String>) -> Self {
        Self {
            content_type: content_type.into(),
            mode: Mode::DUPLEX,
            bounds: Bounds::default(),
            open_timeout: Duration::from_secs(60),
        }
    }

    /// The mode of the session: duplex or singleton-unsized.
    #[must_use]
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// What the peer may make this process keep: WCF's defaults, so an envelope has at most 65,536 octets
    /// (`MaxReceivedMessageSize`).
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.bounds.limits = limits;
        self
    }

    /// How long [`Channel::receive`](crate::Channel::receive) waits for an envelope before it breaks the session off; 10 minutes
    /// by default, WCF's `receiveTimeout`. [`Duration::MAX`] is for ever. A peer that has vanished is noticed sooner, by TCP's
    /// keepalive.
    #[must_use]
    pub fn receive_timeout(mut self, timeout: Duration) -> Self {
        self.bounds.receive_timeout = timeout;
        self
    }

    /// How long [`Channel::send`](crate::Channel::send) may take until the last octet is on its way, before it gives the session
    /// up; a minute by default, WCF's `sendTimeout`. [`Duration::MAX`] is for ever: a peer that reads nothing then holds the sender.
    #[must_use]
    pub fn send_timeout(mut self, timeout: Duration) -> Self {
        self.bounds.send_timeout = timeout;
        self
    }

    /// Time from the first attempt to connect to the peer's answer; 60 s by default.
    #[must_use]
    pub fn open_timeout(mut self, timeout: Duration) -> Self {
        self.open_timeout = timeout;
        self
    }
}
