//! What signals mean to the broker.

use std::io::{self, IsTerminal};

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a signal asks for.
#[derive(Debug)]
pub(crate) enum Asked {
    /// The end; by the signal of this name.
    End(&'static str),
    /// That files are opened anew, and the configuration is read again.
    Reload,
    /// That the next broker takes over.
    Upgrade,
}

/// The signals that an operator may send. SIGQUIT stays what it is: an end with a core dump.
#[derive(Debug)]
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    user1: Signal,
    user2: Signal,
    at_a_terminal: bool,
}

impl Signals {
    /// From now on none of them ends the process by itself.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
            user1: signal(SignalKind::user_defined1())?,
            user2: signal(SignalKind::user_defined2())?,
            at_a_terminal: io::stderr().is_terminal(),
        })
    }

    /// What the next one asks for; those that mean nothing are answered in the log.
    ///
    /// Cancelled, no signal is lost.
    pub(crate) async fn next(&mut self) -> Asked {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return Asked::End("SIGTERM"),
                _ = self.interrupt.recv() => return Asked::End("SIGINT"),
                // A terminal that was closed is none any more.
                _ = self.hang_up.recv() => match self.at_a_terminal && !io::stderr().is_terminal() {
                    true => return Asked::End("SIGHUP, the terminal was closed"),
                    false => return Asked::Reload,
                },
                _ = self.user2.recv() => return Asked::Upgrade,
                _ = self.user1.recv() => tracing::warn!(
                    "SIGUSR1 changes nothing: SIGHUP has the configuration read again, SIGUSR2 has the next broker take over, SIGTERM \
                     ends this one"
                ),
            }
        }
    }
}
