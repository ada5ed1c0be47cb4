//! The receiver's side of a preamble: read it, judge it, answer it.

use core::time::Duration;

use framing_core::preamble::{self, PreambleView};
use framing_core::receiver::Event;
use framing_core::{DecodeError, Encoding, Fault, KnownEncoding, Limits, Mode, Preamble, Receiver, Step};
use tokio::sync::{OwnedRwLockReadGuard, watch};
use tokio::time::timeout;

use crate::address::Address;
use crate::broker::{Broker, TakenBack};
use crate::channel::{Channel, Session};
use crate::connection::Connection;
use crate::home::Home;
use crate::options::Bounds;
use crate::own_port::from_std;

/// What a listener accepts.
#[derive(Debug)]
pub(crate) struct Rules {
    pub(crate) address: Address,
    pub(crate) port_sharing: bool,
    /// The way to it, on a shared port.
    pub(crate) broker: Broker,
    pub(crate) modes: Vec<Mode>,
    pub(crate) content_types: Vec<String>,
    pub(crate) bounds: Bounds,
    pub(crate) preamble_timeout: Duration,
    pub(crate) idle_timeout: Duration,
}

/// How far a listener's end has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    Listening,
    /// What nobody has read from goes back to the broker.
    Returning,
    /// No session is begun on a connection that carried one.
    Stopping,
    /// No session is begun.
    Gone,
}

/// Held as long as a connection can be given back because nothing was read from it.
pub(crate) type Untouched = OwnedRwLockReadGuard<()>;

/// Waits until a listener is at this stage of its end.
async fn reached(mut at: watch::Receiver<Stage>, stage: Stage) {
    // An error says that it is gone.
    drop(at.wait_for(|at| *at >= stage).await);
}

/// Why no session was opened, and what the initiator gets to know.
enum Refusal {
    Fault(Fault<'static>),
    /// Not .NET framing: an orderly end says as much as that peer would understand.
    Silence,
    /// The original's answer where its clients try again by themselves.
    Reset,
    /// It is another worker's, and nothing was read of it: the broker gets it back.
    Elsewhere,
    /// The peer is gone, or too slow.
    Close,
}

impl From<std::io::Error> for Refusal {
    fn from(_: std::io::Error) -> Self {
        Self::Close
    }
}

impl From<DecodeError> for Refusal {
    fn from(error: DecodeError) -> Self {
        error.fault().map_or(Self::Silence, Self::Fault)
    }
}

/// Opens a session on a connection; `earlier` is the Via of the session that it carried before.
pub(crate) async fn open_session(
    mut connection: Connection,
    earlier: Option<String>,
    rules: &Rules,
    home: Home,
    stage: watch::Receiver<Stage>,
    untouched: Option<Untouched>,
) -> Option<Channel> {
    if earlier.is_some() {
        tokio::select! {
            biased;
            () = reached(stage.clone(), Stage::Returning) => {}
            another = wait_for_another(&mut connection, rules.idle_timeout) => another?,
        }
    }
    let at = *stage.borrow();
    if at == Stage::Returning && untouched.is_some() && connection.unread().is_empty() {
        connection = given_back(connection, rules).await?;
    }
    drop(untouched);
    if earlier.is_some() && at >= Stage::Returning {
        return None;
    }
    let mut machine = Receiver::new(rules.bounds.limits);
    let opened = async {
        let known = match earlier {
            Some(earlier) if rules.port_sharing => Some(whose(&connection, earlier, rules).await?),
            earlier => earlier,
        };
        open(&mut connection, &mut machine, known.as_deref(), rules).await
    };
    let opened = tokio::select! {
        biased;
        () = reached(stage, Stage::Gone) => Err(Refusal::Fault(Fault::ENDPOINT_UNAVAILABLE)),
        opened = timeout(rules.preamble_timeout, opened) => opened.unwrap_or(Err(Refusal::Close)),
    };
    match opened {
        Ok(session) => {
            return Some(Channel::accepted(connection, machine, session, rules.bounds, home));
        }
        Err(Refusal::Fault(fault)) => connection.refuse(Some(fault)).await,
        Err(Refusal::Silence) => connection.refuse(None).await,
        Err(Refusal::Reset) => connection.reset(),
        Err(Refusal::Elsewhere) => given_back(connection, rules).await?.reset(),
        Err(Refusal::Close) => connection.forget(),
    }
    None
}

/// Gives a connection back to the broker; it comes back if that does not take it.
async fn given_back(connection: Connection, rules: &Rules) -> Option<Connection> {
    match rules.broker.take_back(connection.into_socket().ok()?).await {
        TakenBack::No(socket) => Connection::new(from_std(socket.into()).ok()?).ok(),
        TakenBack::Yes | TakenBack::Unknown => None,
    }
}

async fn wait_for_another(connection: &mut Connection, idle_timeout: Duration) -> Option<()> {
    connection.rest();
    if connection.unread().is_empty() {
        timeout(idle_timeout, connection.peek(&mut [0], 0)).await.ok()?.ok().filter(|octets| *octets > 0)?;
    }
    Some(())
}

/// Whose the next session is, on a connection of a shared port: gives a Via that is ours. Nothing is read of it.
async fn whose(connection: &Connection, earlier: String, rules: &Rules) -> Result<String, Refusal> {
    // What is no preamble is answered when it is read.
    let Some(via) = next_via(connection, &rules.bounds.limits).await else { return Ok(earlier) };
    if via == earlier {
        return Ok(via);
    }
    match rules.broker.is_ours(&via, connection.stream().local_addr()?).await {
        Some(true) => Ok(via),
        Some(false) if connection.unread().is_empty() => Err(Refusal::Elsewhere),
        // Read in part already, with the end of the session before; or the broker does not say.
        _ => Ok(earlier),
    }
}

async fn next_via(connection: &Connection, limits: &Limits) -> Option<String> {
    if !connection.unread().is_empty() {
        return via_in(connection.unread(), limits).ok()?;
    }
    let mut octets = vec![0; limits.preamble_octets()];
    let mut seen = 0;
    loop {
        let there = connection.peek(&mut octets, seen).await.ok()?;
        let via = via_in(octets.get(..there)?, limits).ok()?;
        if via.is_some() || there == seen {
            return via;
        }
        seen = there;
    }
}

/// The Via of a preamble, as soon as it is there.
fn via_in(octets: &[u8], limits: &Limits) -> Result<Option<String>, DecodeError> {
    Ok(match preamble::view(octets, limits)? {
        PreambleView::Via { via, .. } | PreambleView::Encoding { via, .. } => Some(via.to_owned()),
        _ => None,
    })
}

async fn open(
    connection: &mut Connection,
    machine: &mut Receiver,
    earlier: Option<&str>,
    rules: &Rules,
) -> Result<Session, Refusal> {
    let mut session = None;
    loop {
        let Step { consumed, event } = machine.step(connection.unread())?;
        match event {
            Event::Preamble(preamble) => session = Some(admit(&preamble, earlier, rules)?),
            // Upgrades have their place here: answer, and go on inside the upgraded stream.
            Event::UpgradeRequest(_) => return Err(Refusal::Fault(Fault::UPGRADE_INVALID)),
            Event::PreambleEnd => {
                let mut ack = [0; 1];
                machine.acknowledge(&mut ack).map_err(|_| Refusal::Close)?;
                connection.discard(consumed);
                connection.write([&ack]).await?;
                return session.ok_or(Refusal::Close);
            }
            Event::NeedMore(_) => {
                if connection.fill().await? == 0 {
                    return Err(Refusal::Close);
                }
                continue;
            }
            _ => return Err(Refusal::Close),
        }
        connection.discard(consumed);
    }
}

/// In the order of the original: the address, the mode, the content type.
fn admit(preamble: &Preamble<'_>, earlier: Option<&str>, rules: &Rules) -> Result<Session, Refusal> {
    let Preamble { mode, via, encoding } = *preamble;
    match earlier {
        // Another Via, of which the broker has not said that it is ours: the initiator asks it by connecting again.
        Some(earlier) if rules.port_sharing && earlier != via => return Err(Refusal::Reset),
        _ if rules.port_sharing => {}
        _ if rules.address.covers(via) => {}
        _ => return Err(Refusal::Fault(Fault::ENDPOINT_NOT_FOUND)),
    }
    if !rules.modes.contains(&mode) {
        return Err(Refusal::Fault(Fault::UNSUPPORTED_MODE));
    }
    let accepted = |content_type: &&str| {
        let listed = rules.content_types.iter().any(|listed| listed == content_type);
        (listed || rules.content_types.is_empty()) && goes_with(mode, encoding)
    };
    match encoding.content_type().filter(accepted) {
        Some(content_type) => {
            Ok(Session { mode, via: via.to_owned(), content_type: content_type.to_owned() })
        }
        None => Err(Refusal::Fault(Fault::CONTENT_TYPE_INVALID)),
    }
}

/// [MS-NMFTB] 3.1.1: a dictionary lives as long as a duplex session; a singleton has no use for one.
fn goes_with(mode: Mode, encoding: Encoding<'_>) -> bool {
    !matches!(
        (mode, encoding),
        (Mode::DUPLEX, Encoding::Known(KnownEncoding::BINARY))
            | (Mode::SINGLETON_UNSIZED, Encoding::Known(KnownEncoding::BINARY_SESSION))
    )
}
