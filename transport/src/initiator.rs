//! Opening a session with a service, as its initiator.

use std::io;

use framing_core::initiator::Event;
use framing_core::{Encoding, Initiator, Preamble, Step};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use crate::address::{Host, target};
use crate::channel::{Channel, Session};
use crate::connection::Connection;
use crate::error::TransportError;
use crate::options::ConnectOptions;

/// Opens a session with the service at `via`, `net.tcp://HOST[:PORT]/PATH`: connects, sends the preamble, waits for the
/// answer. Of a host name's addresses the next is tried when one has failed, or says nothing for 250 ms ([RFC 8305]); the
/// first connection that is made is used. Needs a tokio runtime with I/O and time.
///
/// # Errors
/// [`InvalidVia`](TransportError::InvalidVia); [`Unreachable`](TransportError::Unreachable): nobody listens there, or the
/// name is unknown; [`Fault`](TransportError::Fault): the service refuses, and says why;
/// [`Protocol`](TransportError::Protocol): it speaks something else; [`Closed`](TransportError::Closed);
/// [`TimedOut`](TransportError::TimedOut).
///
/// # Cancel safety
/// Cancelled, there is no connection.
///
/// ```no_run
/// use transport::{ConnectOptions, Mode, TransportError, connect};
///
/// # async fn call(request: &[u8]) -> Result<(), TransportError> {
/// // One request and one reply, streamed, as a NetTcpBinding with TransferMode.Streamed.
/// let options = ConnectOptions::new("application/soap+msbin1").mode(Mode::SINGLETON_UNSIZED);
/// let mut channel = connect("net.tcp://localhost:808/documents", options).await?;
/// channel.send(request).await?;
/// if let Some(reply) = channel.receive().await? {
///     println!("{} octets", reply.octets.len());
/// }
/// channel.close().await
/// # }
/// ```
///
/// [RFC 8305]: https://www.rfc-editor.org/rfc/rfc8305
pub async fn connect(via: &str, options: ConnectOptions) -> Result<Channel, TransportError> {
    let time = options.open_timeout;
    timeout(time, open(via, options)).await.unwrap_or(Err(TransportError::TimedOut(time)))
}

async fn open(via: &str, options: ConnectOptions) -> Result<Channel, TransportError> {
    let invalid = |reason: String| TransportError::InvalidVia { via: via.escape_debug().to_string(), reason };
    if !options.mode.has_back_channel() {
        return Err(TransportError::Misuse("over TCP a session is duplex or singleton-unsized"));
    }
    let (host, port) = target(via).map_err(invalid)?;
    let encoding = Encoding::from_content_type(&options.content_type);
    let preamble = Preamble { mode: options.mode, via, encoding };
    let mut machine = Initiator::new(options.bounds.limits);
    let mut octets = vec![0; preamble.encoded_len() + 1];
    let written = machine.preamble(&preamble, &mut octets).map_err(|error| invalid(error.to_string()))?;
    // An upgrade would come here, instead of the end of the preamble in the same write.
    machine
        .preamble_end(octets.get_mut(written..).unwrap_or_default())
        .map_err(|error| invalid(error.to_string()))?;

    let stream = dial(&host, port).await.map_err(|error| TransportError::unreachable(via, error))?;
    let mut connection = Connection::new(stream)?;
    connection.write([&octets]).await?;
    await_answer(&mut connection, &mut machine).await?;
    let session = Session { mode: options.mode, via: via.to_owned(), content_type: options.content_type };
    Ok(Channel::connected(connection, machine, session, options.bounds))
}

/// A program that connects has no budget of sockets but its descriptors.
async fn dial(host: &Host, port: u16) -> io::Result<TcpStream> {
    match host {
        Host::Ip(ip) => TcpStream::connect((*ip, port)).await,
        Host::Name(name) => {
            let addresses = lookup_host((name.as_str(), port)).await?;
            Ok(happy_eyeballs::connect(addresses, None, || Some(())).await?)
        }
    }
}

async fn await_answer(connection: &mut Connection, machine: &mut Initiator) -> Result<(), TransportError> {
    loop {
        let Step { consumed, event } = machine.step(connection.unread()).map_err(TransportError::Protocol)?;
        match event {
            Event::NeedMore(_) => {
                if connection.fill().await? == 0 {
                    return Err(TransportError::Closed);
                }
            }
            Event::PreambleAck => {
                connection.discard(consumed);
                return Ok(());
            }
            Event::Fault(fault) => return Err(TransportError::Fault { uri: fault.uri().to_owned() }),
            _ => return Err(TransportError::Closed),
        }
    }
}
