//! The receiver's side of a preamble: read it, judge it, answer it.

use core::time::Duration;

use framing_core::receiver::Event;
use framing_core::{DecodeError, Encoding, Fault, KnownEncoding, Mode, Preamble, Receiver, Step};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::address::Address;
use crate::channel::{Channel, Session};
use crate::connection::Connection;
use crate::home::Home;
use crate::options::Bounds;

/// What a listener accepts.
#[derive(Debug)]
pub(crate) struct Rules {
    pub(crate) address: Address,
    pub(crate) port_sharing: bool,
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
    /// No session is begun on a connection that carried one.
    Stopping,
    /// No session is begun.
    Gone,
}

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
) -> Option<Channel> {
    if earlier.is_some() {
        tokio::select! {
            biased;
            () = reached(stage.clone(), Stage::Stopping) => return None,
            another = wait_for_another(&mut connection, rules.idle_timeout) => another?,
        }
    }
    let mut machine = Receiver::new(rules.bounds.limits);
    let opened = open(&mut connection, &mut machine, earlier.as_deref(), rules);
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
        Err(Refusal::Close) => {}
    }
    None
}

async fn wait_for_another(connection: &mut Connection, idle_timeout: Duration) -> Option<()> {
    connection.rest();
    if connection.unread().is_empty() {
        timeout(idle_timeout, connection.fill()).await.ok()?.ok().filter(|octets| *octets > 0)?;
    }
    Some(())
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
        // Who owns another Via only the broker knows; the initiator asks it by connecting again.
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
