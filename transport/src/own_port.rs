//! Listening on a port of one's own: the same rules as the port sharing service's.

use core::task::{Context, Poll};
use core::time::Duration;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use handoff::accept_error::concerns_one_connection;
use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep_until};

use crate::address::{Address, Host};

/// Connections that the kernel keeps while nobody accepts them; it takes its own maximum if that is less.
const BACKLOG: i32 = 4096;

/// How long nothing is accepted after an error that the next attempt would find again.
const PAUSE: Duration = Duration::from_millis(100);

/// How many free ports are tried where a host name asks for one.
const FREE_PORTS: usize = 16;

/// One socket for an IP literal; one for each family for a host name, which means all addresses.
#[derive(Debug)]
pub(crate) struct OwnPort {
    listeners: Vec<TcpListener>,
    first: usize,
    /// The end of a pause.
    again_at: Option<Instant>,
}

impl OwnPort {
    pub(crate) fn bind(address: &Address) -> io::Result<Self> {
        let port = address.port();
        let listeners = match address.host() {
            Host::Ip(ip) => vec![listen(SocketAddr::new(ip, port))?],
            // A port that is free for one family may be taken for the other.
            Host::Name(_) if port == 0 => {
                (0..FREE_PORTS).find_map(|_| listen_on_all(0).ok()).map_or_else(|| listen_on_all(0), Ok)?
            }
            Host::Name(_) => listen_on_all(port)?,
        };
        if listeners.is_empty() {
            return Err(Errno::AFNOSUPPORT.into());
        }
        Ok(Self { listeners, first: 0, again_at: None })
    }

    /// Where it listens.
    pub(crate) fn local_addrs(&self) -> Vec<SocketAddr> {
        self.listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect()
    }

    /// Stops listening; gives the connections that were made and not accepted.
    pub(crate) fn into_taken(self) -> Vec<TcpStream> {
        let listeners = self.listeners.into_iter().filter_map(|listener| listener.into_std().ok());
        let taken = listeners.flat_map(|listener| {
            (0..BACKLOG)
                .map(move |_| listener.accept())
                .take_while(|taken| taken.as_ref().err().is_none_or(concerns_one_connection))
                .filter_map(|taken| from_std(taken.ok()?.0).ok())
        });
        taken.collect()
    }

    /// Waits for a connection. Those that failed before they were accepted are passed over. Any other error is given at once,
    /// and the next call pauses first: whoever calls in a loop does not spin.
    ///
    /// # Cancel safety
    /// Cancelled, no connection is lost, and the pause is as long.
    pub(crate) async fn accept(&mut self) -> io::Result<TcpStream> {
        if let Some(again_at) = self.again_at {
            sleep_until(again_at).await;
            self.again_at = None;
        }
        loop {
            match core::future::poll_fn(|cx| self.poll_accept(cx)).await {
                Ok(stream) => return Ok(stream),
                Err(error) if concerns_one_connection(&error) => {}
                Err(error) => {
                    self.again_at = Some(Instant::now() + PAUSE);
                    return Err(error);
                }
            }
        }
    }

    /// The sockets take turns to be asked first.
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<TcpStream>> {
        self.first = (self.first + 1) % self.listeners.len();
        let (later, first) = self.listeners.split_at(self.first);
        for listener in first.iter().chain(later) {
            if let Poll::Ready(accepted) = listener.poll_accept(cx) {
                return Poll::Ready(accepted.map(|(stream, _)| stream));
            }
        }
        Poll::Pending
    }
}

/// Accepted sockets do not inherit that they must not block.
pub(crate) fn from_std(stream: std::net::TcpStream) -> io::Result<TcpStream> {
    stream.set_nonblocking(true)?;
    TcpStream::from_std(stream)
}

fn listen_on_all(port: u16) -> io::Result<Vec<TcpListener>> {
    let v4 = unless_missing(listen((Ipv4Addr::UNSPECIFIED, port).into()))?;
    let port = v4.as_ref().map_or(Ok(port), |v4| v4.local_addr().map(|local| local.port()))?;
    let v6 = unless_missing(listen((Ipv6Addr::UNSPECIFIED, port).into()))?;
    Ok(v4.into_iter().chain(v6).collect())
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // On Linux this allows to bind beside connections of the past, never beside another listener.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// A machine may have one address family only.
fn unless_missing(listener: io::Result<TcpListener>) -> io::Result<Option<TcpListener>> {
    match listener {
        Err(error)
            if matches!(Errno::from_io_error(&error), Some(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL)) =>
        {
            Ok(None)
        }
        other => other.map(Some),
    }
}
