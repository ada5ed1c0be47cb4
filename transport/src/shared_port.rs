//! Listening on a port that the port sharing service owns: connections come from the accept socket of a registration.

use core::mem::{Discriminant, discriminant};
use core::time::Duration;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use handoff::tokio::{AsyncAcceptSocket, AsyncControlConnection};
use handoff::{HandoffError, RefusedReason, Register};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::broker::{ANSWER_TIMEOUT, Asking, Broker};
use crate::own_port::from_std;
use crate::registration_event::{OnRegistration, RegistrationEvent};

/// Pauses between attempts to register again grow from this …
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// … to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// A registration that comes back when the broker does.
#[derive(Debug)]
pub(crate) struct SharedPort {
    control: PathBuf,
    register: Register,
    on_registration: OnRegistration,
    broker: Broker,
    registration: Option<Registration>,
    /// The one task that registers again. It goes on while nobody calls `accept`, and ends with this value.
    again: JoinSet<Registration>,
}

#[derive(Debug)]
struct Registration {
    accept_socket: AsyncAcceptSocket,
    /// Dropped, it ends the registration.
    asking: Asking,
}

impl SharedPort {
    pub(crate) async fn register(
        control: PathBuf,
        register: Register,
        on_registration: OnRegistration,
        broker: Broker,
    ) -> Result<Self, HandoffError> {
        let registration = Some(Registration::new(&control, &register, &broker).await?);
        Ok(Self { control, register, on_registration, broker, registration, again: JoinSet::new() })
    }

    /// Waits for a connection. While the broker is gone it waits for that, too.
    ///
    /// # Cancel safety
    /// Cancelled, no connection is lost.
    pub(crate) async fn accept(&mut self) -> io::Result<TcpStream> {
        loop {
            let Some(registration) = &mut self.registration else {
                self.registration = self.register_again().await;
                continue;
            };
            match registration.accept_socket.accept().await {
                Ok(socket) => return from_std(socket.into()),
                Err(error) if is_at_limit(&error) => return Err(error),
                Err(_) => {
                    self.registration = None;
                    self.on_registration.tell(RegistrationEvent::Lost);
                }
            }
        }
    }

    /// Whether the broker keeps the address for whoever comes next, when this is gone.
    pub(crate) fn has_grace(&self) -> bool {
        self.register.grace_seconds > 0
    }

    /// One of the connections that came with others in a message and were not accepted.
    pub(crate) fn take_received(&mut self) -> Option<OwnedFd> {
        self.registration.as_mut()?.accept_socket.take_received()
    }

    /// Ends the registration; gives the connections that came with others in a message and were not accepted. What is still
    /// queued the broker takes back.
    pub(crate) fn into_taken(self) -> Vec<TcpStream> {
        let Some(Registration { accept_socket, asking }) = self.registration else { return Vec::new() };
        drop(asking);
        accept_socket.into_received().filter_map(|socket| from_std(socket.into()).ok()).collect()
    }

    async fn register_again(&mut self) -> Option<Registration> {
        if self.again.is_empty() {
            let (control, register) = (self.control.clone(), self.register.clone());
            let (on_registration, broker) = (self.on_registration.clone(), self.broker.clone());
            self.again.spawn(register_until_done(control, register, on_registration, broker));
        }
        self.again.join_next().await?.ok()
    }
}

impl Registration {
    async fn new(control: &Path, register: &Register, broker: &Broker) -> Result<Self, HandoffError> {
        let registered = async {
            let mut control = AsyncControlConnection::connect(control).await?;
            let (registered, accept_socket) = control.register(register).await?;
            let asking = Asking::start(control, registered.id, broker)?;
            Ok(Self { accept_socket, asking })
        };
        timeout(ANSWER_TIMEOUT, registered).await.unwrap_or_else(|_| {
            Err(HandoffError::NoAnswer { path: control.to_owned(), waited: ANSWER_TIMEOUT })
        })
    }
}

/// Whatever is in the way, a TCP listener would know no error for it: no broker yet, or somebody else at the address.
async fn register_until_done(
    control: PathBuf,
    register: Register,
    on_registration: OnRegistration,
    broker: Broker,
) -> Registration {
    let mut pause = FIRST_PAUSE;
    let mut told = Vec::new();
    loop {
        sleep(pause).await;
        match Registration::new(&control, &register, &broker).await {
            Ok(registration) => {
                on_registration.tell(RegistrationEvent::Restored);
                return registration;
            }
            // Told already: it is lost.
            Err(HandoffError::NoBroker { .. } | HandoffError::Closed) => {}
            Err(error) => {
                let reason = reason_of(&error);
                if !told.contains(&reason) {
                    told.push(reason);
                    on_registration.tell(RegistrationEvent::Failed(error));
                }
            }
        }
        pause = LONGEST_PAUSE.min(pause * 2);
    }
}

/// What makes one reason another; the words may differ each time.
fn reason_of(error: &HandoffError) -> (Discriminant<HandoffError>, Option<RefusedReason>) {
    let refused = if let HandoffError::Refused(refused) = error { Some(refused.reason) } else { None };
    (discriminant(error), refused)
}

/// Neither the process nor the system has a descriptor, or no memory for one. What waits keeps waiting.
pub(crate) fn is_at_limit(error: &io::Error) -> bool {
    use rustix::io::Errno;
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM))
}
