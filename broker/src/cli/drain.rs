//! `broker drain` and `broker undrain`: whoever has an address gets no new connections, or gets them again.

use std::io::{self, Write};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;
use handoff::administration::{Drained, Which as Holder};
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

Exit status: 0; 1 if connections still wait after that time; 2 if there is no answer, or no such address.")]
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
        let mut drained = broker.drain(&holder)?;
        if let Some(seconds) = arguments.wait {
            drained = wait(&mut broker, drained, Duration::from_secs(seconds))?;
        }
        tell(&drained)?;
        let empty = drained.iter().all(is_empty);
        Ok(if arguments.wait.is_none() || empty { ExitCode::SUCCESS } else { ExitCode::FAILURE })
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

/// Until nothing waits. One that has ended meanwhile has nothing.
fn wait(broker: &mut ControlConnection, mut drained: Vec<Drained>, time: Duration) -> Result<Vec<Drained>> {
    let end = Instant::now() + time;
    while !drained.iter().all(is_empty) && Instant::now() < end {
        thread::sleep(LOOK_AGAIN);
        let still = broker.list()?;
        for drained in &mut drained {
            let now = still.iter().find(|holder| holder.id == drained.id);
            (drained.waiting, drained.relaying) = now.map_or((0, 0), |now| (now.waiting(), now.relaying));
        }
    }
    Ok(drained)
}

fn is_empty(drained: &Drained) -> bool {
    drained.waiting == 0 && drained.relaying == 0
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
