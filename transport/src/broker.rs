//! What a listener on a shared port asks of the broker about connections that it has: whose the next session on one is, and to take
//! one back.

use core::time::Duration;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use handoff::administration::Which;
use handoff::tokio::AsyncControlConnection;
use handoff::{HandoffError, Validate};
use rustix::net::{Shutdown, shutdown};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, WeakUnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::time::timeout;

/// A broker that is stopped must not hold up a connection for ever.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// The way to the broker, while this process is registered. It keeps no registration alive.
#[derive(Debug, Clone, Default)]
pub(crate) struct Broker(Arc<Mutex<Option<WeakUnboundedSender<Question>>>>);

/// The control connection of a registration, which ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Asking {
    /// While it is there, the task goes on.
    _questions: UnboundedSender<Question>,
    /// A second descriptor: the task that has the first may not get its turn before others expect the address to be free.
    control: OwnedFd,
}

#[derive(Debug)]
enum Question {
    IsOurs(Validate, oneshot::Sender<bool>),
    /// Gives it back; it comes back if the broker does not take it.
    TakeBack(OwnedFd, oneshot::Sender<Option<OwnedFd>>),
    Drain(oneshot::Sender<()>),
    Unregister(oneshot::Sender<()>),
}

/// Where a connection is that the broker was to take back.
#[derive(Debug)]
pub(crate) enum TakenBack {
    Yes,
    /// It does not take it.
    No(OwnedFd),
    /// Nobody has said what became of it, and it is here no more.
    Unknown,
}

impl Broker {
    /// Whether a session with this Via, on a connection with this local address, belongs to this process; `None` if the broker
    /// does not say: it is gone, or too old to be asked.
    pub(crate) async fn is_ours(&self, via: &str, local: SocketAddr) -> Option<bool> {
        let validate = Validate::new(via, local);
        self.ask(|answer| Question::IsOurs(validate, answer)).await.ok()
    }

    /// Gives a connection back, of which nothing was read that is to be routed. It is in no runtime any more.
    pub(crate) async fn take_back(&self, socket: OwnedFd) -> TakenBack {
        match self.ask(|answer| Question::TakeBack(socket, answer)).await {
            Ok(None) => TakenBack::Yes,
            Ok(Some(socket)) | Err(Some(Question::TakeBack(socket, _))) => TakenBack::No(socket),
            Err(_) => TakenBack::Unknown,
        }
    }

    /// Has it give this process no new connections, if it lets us; whether it answers at all.
    pub(crate) async fn drain(&self) -> bool {
        self.ask(Question::Drain).await.is_ok()
    }

    /// Ends the registration; what waits is the broker's again when this returns.
    pub(crate) async fn unregister(&self) {
        drop(self.ask(Question::Unregister).await);
    }

    /// The question comes back if there is nobody to ask.
    async fn ask<T>(
        &self,
        question: impl FnOnce(oneshot::Sender<T>) -> Question,
    ) -> Result<T, Option<Question>> {
        let (answer, answered) = oneshot::channel();
        let question = question(answer);
        let questions = self.slot().as_ref().and_then(WeakUnboundedSender::upgrade);
        match questions {
            Some(questions) => questions.send(question).map_err(|unsent| Some(unsent.0))?,
            None => return Err(Some(question)),
        }
        match timeout(ANSWER_TIMEOUT, answered).await {
            Ok(Ok(answer)) => Ok(answer),
            _ => Err(None),
        }
    }

    fn slot(&self) -> MutexGuard<'_, Option<WeakUnboundedSender<Question>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Asking {
    /// A task has the control connection from now on, and answers what `broker` is asked.
    pub(crate) fn start(control: AsyncControlConnection, id: u64, broker: &Broker) -> io::Result<Self> {
        let second = control.as_fd().try_clone_to_owned()?;
        let (questions, asked) = unbounded_channel();
        *broker.slot() = Some(questions.downgrade());
        tokio::spawn(answer(Control { connection: control, id, takes_back: None }, asked));
        Ok(Self { _questions: questions, control: second })
    }
}

impl Drop for Asking {
    /// The registration ends now, whenever the task does.
    fn drop(&mut self) {
        let _ = shutdown(&self.control, Shutdown::Both);
    }
}

/// Until nobody can ask any more, or the broker is gone; the control connection is closed then.
async fn answer(mut control: Control, mut asked: UnboundedReceiver<Question>) {
    while let Some(question) = asked.recv().await {
        match control.answer(question).await {
            Ok(()) | Err(HandoffError::Refused(_)) => {}
            Err(_) => return,
        }
    }
}

#[derive(Debug)]
struct Control {
    connection: AsyncControlConnection,
    id: u64,
    /// Whether the broker takes connections back, if that is known.
    takes_back: Option<bool>,
}

impl Control {
    /// Whoever has asked gets no answer where the broker gives none. It is asked by this task alone, which nobody cancels.
    async fn answer(&mut self, question: Question) -> Result<(), HandoffError> {
        match question {
            Question::IsOurs(validate, answer) => {
                let ours = self.connection.validate(&validate).await?;
                self.takes_back = Some(true);
                let _ = answer.send(ours.is_some());
            }
            Question::TakeBack(socket, answer) => {
                let taken = self.takes_back().await? && self.take_back(&socket).await?;
                let _ = answer.send(if taken { None } else { Some(socket) });
            }
            Question::Drain(answer) => {
                // Only an administrator may, of an older one.
                unless_refused(self.connection.drain(&Which::Id(self.id)).await)?;
                let _ = answer.send(());
            }
            Question::Unregister(answer) => {
                self.connection.unregister(self.id).await?;
                let _ = answer.send(());
            }
        }
        Ok(())
    }

    /// One that is too old for it would close the control connection because of the descriptor, so it is asked about something.
    async fn takes_back(&mut self) -> Result<bool, HandoffError> {
        if self.takes_back.is_none() {
            let anything = Validate::new("net.tcp://localhost/", (Ipv4Addr::LOCALHOST, 808).into());
            self.takes_back = Some(unless_refused(self.connection.validate(&anything).await)?.is_some());
        }
        Ok(self.takes_back == Some(true))
    }

    async fn take_back(&mut self, socket: &OwnedFd) -> Result<bool, HandoffError> {
        let taken = self.connection.give_back(self.id, socket.as_fd()).await;
        Ok(unless_refused(taken)?.is_some())
    }
}

fn unless_refused<T>(answer: Result<T, HandoffError>) -> Result<Option<T>, HandoffError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(HandoffError::Refused(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use handoff::{ControlListener, ControlOptions};

    use super::*;

    /// The clock goes on by itself when nobody has anything to do.
    #[tokio::test(start_paused = true)]
    async fn a_broker_that_does_not_answer_is_not_waited_for_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let listener =
            ControlListener::bind(&folder.path().join("control"), &ControlOptions::default()).unwrap();
        let control = AsyncControlConnection::connect(listener.path()).await.unwrap();
        let broker = Broker::default();
        let local = (Ipv4Addr::LOCALHOST, 808).into();
        assert_eq!(broker.is_ours("net.tcp://h/", local).await, None, "there is none");
        let socket = || std::fs::File::open("/dev/null").unwrap().into();
        assert!(matches!(broker.take_back(socket()).await, TakenBack::No(_)), "it stays here");
        let asking = Asking::start(control, 7, &broker).unwrap();
        assert_eq!(broker.is_ours("net.tcp://h/", local).await, None);
        assert!(!broker.drain().await);
        assert!(matches!(broker.take_back(socket()).await, TakenBack::Unknown));
        // It sees the end although the task still waits for its answer.
        let peer = listener.accept().unwrap();
        assert!(matches!(peer.receive(), Ok(Some(Ok(_)))));
        drop(asking);
        assert!(matches!(peer.receive(), Ok(None)));
        assert!(matches!(broker.take_back(socket()).await, TakenBack::Unknown | TakenBack::No(_)));
    }
}
