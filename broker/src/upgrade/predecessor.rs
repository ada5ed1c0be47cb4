//! The broker that has started this one, to pass everything on to it.

use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use rustix::net::{SocketType, sockopt};
use rustix::time::{ClockId, clock_gettime};

use crate::error::StartError;
use crate::passed::descriptors::Taken;
use crate::passed::manifest::{Manifest, VERSION};
use crate::passed::pair::{Message, Pair};

/// Says that standard input is the pair, and which process has its other end.
pub(super) const VARIABLE: &str = "NET_TCP_PORT_SHARING_UPGRADE";

/// How long the other one may take for its next word. If it has ended it is known at once.
const PATIENCE: Duration = Duration::from_secs(60);

/// See the module.
#[derive(Debug)]
pub(crate) struct Predecessor {
    pair: Pair,
}

/// Everything that it has passed on, which is its own until [`Passed::ready`].
#[derive(Debug)]
pub(crate) struct Passed {
    manifest: Manifest,
    taken: Taken,
    pair: Arc<Pair>,
    frozen_at: u64,
}

impl Predecessor {
    /// Whether there is one. Standard input is nothing after that.
    ///
    /// # Errors
    /// Those of taking it.
    pub(crate) fn found() -> io::Result<Option<Self>> {
        if std::env::var_os(VARIABLE).is_none() {
            return Ok(None);
        }
        let stdin = io::stdin();
        // The variable alone says nothing: a program that a broker started may start one itself.
        if sockopt::socket_type(stdin.as_fd()).ok() != Some(SocketType::SEQPACKET) {
            return Ok(None);
        }
        let pair = stdin.as_fd().try_clone_to_owned()?;
        let nothing =
            rustix::fs::open(Path::new("/dev/null"), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        rustix::stdio::dup2_stdin(nothing)?;
        Ok(Some(Self { pair: Pair::from_socket(pair) }))
    }

    /// It is told that this one cannot begin.
    pub(crate) fn failed(&self, why: &str) {
        failed(&self.pair, why);
    }

    /// Says that the configuration is read, and takes what there is. Returns when the other one has paused.
    ///
    /// # Errors
    /// It has given it up, or what comes makes no sense.
    pub(crate) fn take(self) -> Result<Passed, StartError> {
        let Self { pair } = self;
        let (version, pid) = (env!("CARGO_PKG_VERSION").to_owned(), std::process::id());
        let hello = Message::Hello { manifest: VERSION, version, pid };
        let taken = pair.send(&hello, None, soon()).and_then(|()| pair.receive_manifest(soon())).inspect_err(
            |error| {
                failed(&pair, &error.to_string());
            },
        );
        let (manifest, taken) = taken.map_err(StartError::passed)?;
        let frozen_at = manifest.frozen_at;
        Ok(Passed { manifest, taken, pair: Arc::new(pair), frozen_at })
    }
}

impl Passed {
    /// Says that everything is there, and waits until it is ours.
    ///
    /// # Errors
    /// It stays the other one's.
    pub(crate) fn ready(self) -> Result<Taking, StartError> {
        let Self { pair, frozen_at, .. } = self;
        pair.send(&Message::Ready, None, soon()).map_err(StartError::passed)?;
        match pair.receive(soon()) {
            Ok((Message::Go, _)) => Ok(Taking { pair, frozen_at }),
            Ok((other, _)) => Err(StartError::passed(format!("{other:?} in place of the last word"))),
            Err(error) => Err(StartError::passed(error)),
        }
    }

    /// What there is, once.
    pub(crate) fn take(&mut self) -> (Manifest, Taken) {
        (std::mem::take(&mut self.manifest), std::mem::take(&mut self.taken))
    }

    pub(crate) fn pair(&self) -> Arc<Pair> {
        Arc::clone(&self.pair)
    }
}

/// It is ours.
#[derive(Debug)]
pub(crate) struct Taking {
    pair: Arc<Pair>,
    frozen_at: u64,
}

impl Taking {
    /// Says that connections are accepted again; the other end of the pair may still tell of relays.
    pub(crate) fn serving(self) -> Arc<Pair> {
        let pause = Duration::from_nanos(nanoseconds().saturating_sub(self.frozen_at));
        tracing::info!(
            "took over from the broker before; accepting paused for {:.1} ms",
            pause.as_secs_f64() * 1e3
        );
        let pause_microseconds = u64::try_from(pause.as_micros()).unwrap_or(u64::MAX);
        // Whoever is told no more does not wait for it.
        let _ = self.pair.send(&Message::Serving { pause_microseconds }, None, Instant::now());
        self.pair
    }
}

/// The machine's monotonic clock, which is the same in each process.
pub(super) fn nanoseconds() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let nanoseconds = i128::from(now.tv_sec) * 1_000_000_000 + i128::from(now.tv_nsec);
    u64::try_from(nanoseconds).unwrap_or_default()
}

/// The other one is told that this one cannot begin.
pub(crate) fn failed(pair: &Pair, why: &str) {
    let why = why.chars().take(2000).collect();
    let _ = pair.send(&Message::Failed { why }, None, Instant::now());
}

fn soon() -> Instant {
    Instant::now() + PATIENCE
}
