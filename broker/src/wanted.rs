//! Somebody wants the next broker to take over: an administrator, or who sends SIGUSR2. Done by `upgrade`, one at a time.

use std::path::PathBuf;

use handoff::administration::Upgraded;
use tokio::sync::{mpsc, oneshot};

/// An upgrade that is wanted.
#[derive(Debug)]
pub(crate) struct Wanted {
    /// The program; `None`: by the name of this one.
    pub(crate) binary: Option<PathBuf>,
    /// The control connection whose request this is; see [`Turns::all`](crate::control::turns::Turns::all).
    pub(crate) asker: Option<u64>,
    pub(crate) answer: oneshot::Sender<(Upgraded, Untold)>,
}

/// Whoever asked has not been told yet; the broker does not end before that.
#[derive(Debug)]
pub(crate) struct Untold(#[expect(dead_code, reason = "ends with it")] pub(crate) oneshot::Sender<()>);

/// The way to whoever does it.
pub(crate) type Upgrades = mpsc::UnboundedSender<Wanted>;

/// Has it done, if somebody is there to do it. What is returned besides is to be dropped when whoever asked has been told.
pub(crate) async fn upgrade(
    upgrades: Option<&Upgrades>,
    binary: Option<PathBuf>,
    asker: Option<u64>,
) -> (Upgraded, Option<Untold>) {
    let (answer, wait) = oneshot::channel();
    let sent = upgrades.is_some_and(|upgrades| upgrades.send(Wanted { binary, asker, answer }).is_ok());
    let (true, Ok((upgraded, untold))) = (sent, wait.await) else {
        return (Upgraded::refused("the broker ends, or is part of another program, which starts it"), None);
    };
    (upgraded, Some(untold))
}
