//! The next broker's process, from its start until everything is its own.

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::predecessor::VARIABLE;
use crate::passed::manifest::VERSION;
use crate::passed::pair::{Message, Pair, PairError};

/// How often it is looked whether the broker ends meanwhile.
const LOOK: Duration = Duration::from_millis(50);

/// How long a process that has let go of the pair may take to end.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// See the module. Dropped before everything is its own, it is killed.
#[derive(Debug)]
pub(super) struct Successor {
    child: Option<Child>,
    pub(super) pair: Arc<Pair>,
    pub(super) pid: u32,
    pub(super) version: String,
}

impl Successor {
    /// Starts it as this one was started, and waits until it has read its configuration.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) fn start(
        program: &OsStr,
        until: Instant,
        given_up: impl Fn() -> bool,
    ) -> Result<Self, String> {
        let (pair, theirs) =
            Pair::new().map_err(|error| format!("no pair of sockets can be made for it: {error}"))?;
        let child = spawn(program, theirs)
            .map_err(|error| format!("{} cannot be started: {error}", program.display()))?;
        let pid = child.id();
        let mut this = Self { child: Some(child), pair: Arc::new(pair), pid, version: String::new() };
        loop {
            let received = this.pair.receive(until.min(Instant::now() + LOOK));
            match received.map(|(message, _)| message) {
                Ok(Message::Hello { manifest: VERSION, version, pid }) => {
                    (this.version, this.pid) = (version, pid);
                    return Ok(this);
                }
                Ok(Message::Hello { manifest, version, .. }) => {
                    return Err(format!(
                        "it is version {version}, which takes over what is written down in form {manifest}; this one writes \
                         form {VERSION}: a restart is needed"
                    ));
                }
                Ok(Message::Failed { why }) => return Err(format!("it cannot begin: {why}")),
                Ok(other) => return Err(format!("it is no broker: it says {other:?}")),
                Err(_) if given_up() => return Err("this broker ends".to_owned()),
                Err(PairError::TimedOut) if Instant::now() < until => {}
                Err(error) => return Err(this.why(&error)),
            }
        }
    }

    /// Waits until it has everything.
    ///
    /// # Errors
    /// Why it has not.
    pub(super) fn expect_ready(&mut self, until: Instant) -> Result<(), String> {
        match self.pair.receive(until) {
            Ok((Message::Ready, _)) => Ok(()),
            Ok((Message::Failed { why }, _)) => Err(format!("it cannot begin: {why}")),
            Ok((other, _)) => Err(format!("it says {other:?} in place of being ready")),
            Err(error) => Err(self.why(&error)),
        }
    }

    /// Everything is its own.
    pub(super) fn go(&mut self) -> Result<(), String> {
        let sent = self.pair.send(&Message::Go, None, Instant::now());
        sent.map_err(|error| self.why(&error))
    }

    /// From now on nobody kills it. It is waited for when it has ended.
    pub(super) fn let_go(mut self) -> (Arc<Pair>, Option<Child>) {
        (Arc::clone(&self.pair), self.child.take())
    }

    /// What an error of the pair means.
    pub(super) fn why(&mut self, error: &PairError) -> String {
        match error {
            PairError::Closed => {
                // It may have said why before.
                if let Ok(Ok((Message::Failed { why }, _))) = self.pair.next() {
                    return format!("it cannot begin: {why}");
                }
                match self.status() {
                    Some(status) => format!(
                        "it has ended ({status}) before it was ready; its standard error, which is this one's, may say why"
                    ),
                    None => "it has let go of what it was started with before it was ready".to_owned(),
                }
            }
            PairError::TimedOut => "it was not ready in time, and was killed".to_owned(),
            error => error.to_string(),
        }
    }

    fn status(&mut self) -> Option<ExitStatus> {
        let (child, end) = (self.child.as_mut()?, Instant::now() + LAST_WORDS);
        while Instant::now() < end {
            if let Ok(Some(status)) = child.try_wait() {
                return Some(status);
            }
            sleep(LOOK / 10);
        }
        None
    }
}

impl Drop for Successor {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// What the service manager said of this process is not true of the next.
const OF_THIS_PROCESS: [&str; 4] = ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "WATCHDOG_PID"];

fn spawn(program: &OsStr, theirs: OwnedFd) -> std::io::Result<Child> {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let mut command = Command::new(program);
    command.args(arguments).env(VARIABLE, std::process::id().to_string()).stdin(Stdio::from(theirs));
    for variable in OF_THIS_PROCESS {
        command.env_remove(variable);
    }
    // Our copy of its end goes with the command: without it we know when it has ended.
    command.spawn()
}
