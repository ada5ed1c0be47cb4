//! `broker drain` and `broker undrain`: whoever has an address gets no new connections, or gets them again.

use std::io::{self, Write};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;
use handoff::administration::{Drained, List, State, Which as Holder};
use handoff::{ControlConnection, printable};

use super::ask::{self, Which};

/// How often it is asked what still waits.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

#[derive(Debug, Args)]
#[command(after_help = "\
New connections go to another registration of the address, or get EndpointUnavailable; what waits for the worker already it still \
takes. Meanwhile the same user may register the address again: that one gets the new connections. It lasts until `broker undrain`, \
the end of the registration, or of the broker; a reload does not change it.

Example:
  broker drain net.tcp://localhost:808/orders --wait 30 && systemctl restart orders

Exit status: 0, with --wait if nothing waits any more, also because its worker has ended; 1 if connections still wait after that \
time, were left by a worker that ended, or somebody has undrained it meanwhile (standard error says which, and how many); 2 if there \
is no answer, or no such address.")]
pub(crate) struct DrainArguments {
    #[command(flatten)]
    broker: Which,
    /// Return when nothing waits in the queue any more, and no relay of a static route is left, or after so many seconds.
    #[arg(long, value_name = "SECONDS")]
    wait: Option<u64>,
    /// An address as in `broker ls`, or the number there.
    #[arg(value_name = "ADDRESS|ID")]
    holder: String,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  broker undrain net.tcp://localhost:808/orders

Exit status: 0, or 2 if there is no answer, or no such address, or another has the address now.")]
pub(crate) struct UndrainArguments {
    #[command(flatten)]
    broker: Which,
    /// An address as in `broker ls`, or the number there.
    #[arg(value_name = "ADDRESS|ID")]
    holder: String,
}

/// The whole command.
pub(crate) fn drain(arguments: &DrainArguments) -> ExitCode {
    ask::change("drain", || {
        let mut broker = arguments.broker.connect()?;
        let holder = holder(&arguments.holder);
        let drained = broker.drain(&holder)?;
        let Some(time) = arguments.wait.map(Duration::from_secs) else {
            tell(&drained)?;
            return Ok(ExitCode::SUCCESS);
        };
        let waited = wait(&mut broker, drained, time)?;
        let (ended, others): (Vec<_>, Vec<_>) = waited.iter().partition(|waited| waited.has_ended);
        tell(&others.iter().map(|waited| waited.drained.clone()).collect::<Vec<_>>())?;
        for Waited { drained, .. } in ended.iter().filter(|ended| ended.is_empty()) {
            writeln!(
                io::stdout().lock(),
                "{} {}: has ended; nothing waited for it",
                drained.id,
                printable(&drained.address)
            )?;
        }
        let faults: Vec<String> = waited.iter().filter_map(|waited| waited.fault(time)).collect();
        for fault in &faults {
            writeln!(io::stderr().lock(), "broker drain: {fault}")?;
        }
        Ok(if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    })
}

/// The whole command.
pub(crate) fn undrain(arguments: &UndrainArguments) -> ExitCode {
    ask::change("undrain", || {
        tell(&arguments.broker.connect()?.undrain(&holder(&arguments.holder))?)?;
        Ok(ExitCode::SUCCESS)
    })
}

fn holder(text: &str) -> Holder {
    text.parse().map_or_else(|_| Holder::Address(text.to_owned()), Holder::Id)
}

/// Until nothing waits for any of them, nor can be waited for.
fn wait(broker: &mut ControlConnection, drained: Vec<Drained>, time: Duration) -> Result<Vec<Waited>> {
    let end = Instant::now().checked_add(time);
    let mut waited: Vec<Waited> = drained.into_iter().map(Waited::new).collect();
    loop {
        for waited in waited.iter_mut().filter(|waited| !waited.is_over()) {
            waited.look(broker)?;
        }
        let left = end.map_or(LOOK_AGAIN, |end| end.saturating_duration_since(Instant::now()));
        if left.is_zero() || waited.iter().all(Waited::is_over) {
            return Ok(waited);
        }
        thread::sleep(left.min(LOOK_AGAIN));
    }
}

/// A holder, as it was seen last.
struct Waited {
    drained: Drained,
    /// Of those that wait: in the broker.
    held: u64,
    has_ended: bool,
}

impl Waited {
    fn new(drained: Drained) -> Self {
        Self { drained, held: 0, has_ended: false }
    }

    fn look(&mut self, broker: &mut ControlConnection) -> Result<()> {
        match broker.list_of(List::holder(self.drained.id))?.pop() {
            Some(now) => {
                (self.drained.waiting, self.drained.relaying) = (now.waiting(), now.relaying);
                (self.held, self.drained.draining) = (now.held, now.state == State::Draining);
            }
            None => self.has_ended = true,
        }
        Ok(())
    }

    fn is_empty(&self) -> bool {
        self.drained.waiting == 0 && self.drained.relaying == 0
    }

    fn is_over(&self) -> bool {
        self.has_ended || !self.drained.draining || self.is_empty()
    }

    /// Why it is not as it should be.
    fn fault(&self, time: Duration) -> Option<String> {
        let Drained { address, draining, waiting, relaying, .. } = &self.drained;
        let (address, held) = (printable(address), self.held.min(*waiting));
        let parts = [(waiting - held, "in its queue"), (held, "held in the broker"), (*relaying, "relayed")];
        let parts =
            parts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}"));
        let parts = parts.collect::<Vec<_>>().join(", ");
        match (self.has_ended, self.is_empty(), draining) {
            (true, false, _) => Some(format!(
                "{address} has ended with {parts}: what was not taken went to another registration of the address, or was refused"
            )),
            (false, _, false) => {
                Some(format!("{address} takes connections again: somebody has undrained it meanwhile"))
            }
            (false, false, true) => Some(format!("{address} still has {parts} after {} s", time.as_secs())),
            (_, true, _) => None,
        }
    }
}

fn tell(drained: &[Drained]) -> io::Result<()> {
    let mut output = io::stdout().lock();
    for Drained { id, address, draining, waiting, relaying, .. } in drained {
        let what = if *draining { "drains" } else { "takes connections" };
        writeln!(
            output,
            "{id} {}: {what}; {waiting} wait for it, {relaying} are relayed",
            printable(address)
        )?;
    }
    output.flush()
}
