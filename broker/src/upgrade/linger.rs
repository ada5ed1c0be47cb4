//! The old broker after everything was passed on: it relays what it has, and tells the next one what becomes of that.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::Interest;
use tokio::time::sleep_until;

use super::give::{Kept, counted};
use crate::command::Command;
use crate::dispatch::passing::pass_connection;
use crate::passed::descriptors::Given;
use crate::passed::pair::{Ended, Message, OfHolder, Pair, PairError};
use crate::routes::figures::Counted;
use crate::routes::holder::Holder;
use crate::shared::Shared;

/// How long the next broker may take to read what it is told.
const PATIENCE: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug)]
pub(crate) struct Linger {
    shared: Arc<Shared>,
    pair: Arc<Pair>,
    kept: Kept,
    /// Nobody reads what is told any more.
    alone: bool,
}

impl Linger {
    pub(crate) fn new(shared: Arc<Shared>, pair: Arc<Pair>, kept: Kept) -> Self {
        Self { shared, pair, kept, alone: false }
    }

    /// How many connections are still relayed, or about to be.
    pub(crate) fn connections(&self) -> u64 {
        self.shared.counters.here().saturating_sub(self.kept.not_ours)
    }

    /// Returns when nothing is relayed any more, after that time, or when the next broker says so. Without it the relays go on.
    ///
    /// # Errors
    /// The runtime's.
    pub(crate) async fn run(&mut self, time: Duration) -> io::Result<()> {
        let end = tokio::time::Instant::now() + time;
        let (pair, stream) = (Arc::clone(&self.pair), self.pair.stream()?);
        let shared = Arc::clone(&self.shared);
        loop {
            let over = shared.relays.over.notified();
            self.forward();
            self.tell();
            if self.connections() == 0 {
                return Ok(());
            }
            tokio::select! {
                () = over => {}
                said = stream.async_io(Interest::READABLE, || pair.next()), if !self.alone => {
                    match said?.map(|(message, _)| message) {
                        Ok(Message::Stop) => return Ok(()),
                        Ok(Message::Reopen) => {
                            shared.telling.access.iter().for_each(|access| access.reopen());
                        }
                        Ok(_) => {}
                        Err(_) => self.alone = true,
                    }
                }
                () = sleep_until(end) => {
                    tracing::info!("upgrade: {} relays have lasted too long, they are ended", self.connections());
                    return Ok(());
                }
            }
        }
    }

    /// What comes when all relays have been ended.
    pub(crate) fn last_words(&mut self) {
        self.forward();
        self.tell();
    }

    /// What could not be relayed is the next broker's to refuse: nothing was read from it.
    fn forward(&mut self) {
        for command in self.shared.commands.receive() {
            let Command::NotRelayed(connection, holder, why) = command else { continue };
            let (shared, mut given) = (&*self.shared, Given::default());
            let passed = pass_connection(&connection, shared, &mut given);
            let relay = match &holder {
                Holder::Route(route) => Some(route.to.to_string()),
                Holder::Worker(_) => None,
            };
            let message = Message::NotRelayed { holder: holder.id(), relay, why, connection: passed };
            let sent = self.pair.send(&message, given.all().first().copied(), Instant::now() + PATIENCE);
            drop(given);
            match sent {
                Ok(()) => {
                    connection.pass_on();
                    self.kept.not_ours += 1;
                }
                Err(_) => crate::dispatch::refuse::shut_down(&self.shared, connection),
            }
        }
    }

    /// What has become of connections since it was told last.
    fn tell(&mut self) {
        let now = counted(&self.shared.counters);
        let before = &self.kept.counted.outcomes;
        let since = |(name, count): (&String, &u64)| {
            let more = count - before.get(name).copied().unwrap_or_default();
            (more > 0).then(|| (name.clone(), more))
        };
        let mut ended =
            Ended { outcomes: now.outcomes.iter().filter_map(since).collect(), ..Ended::default() };
        for (holder, before) in &mut self.kept.holders {
            let now = holder.figures().now();
            let of = of_holder(before, &now);
            if of != OfHolder::default() {
                ended.holders.insert(holder.id(), of);
            }
            *before = now;
        }
        let bridges: BTreeMap<SocketAddr, u64> = self.shared.bridges.all().into_iter().collect();
        ended.bridges = self.kept.bridges.extract_if(.., |from| !bridges.contains_key(from)).collect();
        self.kept.counted = now;
        if ended == Ended::default() || self.alone {
            return;
        }
        match self.pair.send(&Message::Ended(ended), None, Instant::now() + PATIENCE) {
            Ok(()) => {}
            Err(PairError::Closed) => self.alone = true,
            Err(error) => {
                tracing::error!(
                    "upgrade: the broker that goes on is not told what has become of relays: {error}"
                );
                self.alone = true;
            }
        }
    }
}

fn of_holder(before: &Counted, now: &Counted) -> OfHolder {
    OfHolder {
        over: before.relaying.saturating_sub(now.relaying),
        relayed: now.relayed - before.relayed,
        refused: now.refused - before.refused,
        octets_in: now.copied.octets_in - before.copied.octets_in,
        octets_out: now.copied.octets_out - before.copied.octets_out,
    }
}
