//! What is passed on, as a manifest, and the moment at which it changes hands.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use handoff::tokio::AsyncControlPeer;

use super::lingering::AtRest as LingeringAtRest;
use super::predecessor::nanoseconds;
use super::successor::Successor;
use crate::about::unix_seconds;
use crate::control::registry::Registry;
use crate::control::socket::{ControlSocket, control};
use crate::dispatch::accept_thread::AcceptThread;
use crate::log::level;
use crate::outcome::Counters;
use crate::passed::descriptors::Given;
use crate::passed::manifest::{self, Http, Lingering, Manifest, Process};
use crate::recent::Seen;
use crate::routes::figures::Counted;
use crate::routes::holder::Holder;
use crate::shared::Shared;

/// What has a part in it.
#[derive(Debug)]
pub(crate) struct Everything {
    pub(crate) shared: Arc<Shared>,
    pub(crate) accept: Arc<AcceptThread>,
    pub(crate) control: Arc<ControlSocket>,
    pub(crate) administrators: Option<Arc<ControlSocket>>,
    pub(crate) http: Vec<(SocketAddr, OwnedFd)>,
}

/// What this process keeps, and what of that was passed on as its own: what becomes of it is told from here on.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(super) counted: manifest::Counted,
    pub(super) holders: Vec<(Holder, Counted)>,
    /// So many connections that are here are not its own any more.
    pub(super) not_ours: u64,
    pub(super) bridges: Vec<SocketAddr>,
}

impl Everything {
    /// Passes everything on, or nothing. On the registry's thread: nobody asks for anything meanwhile.
    ///
    /// # Errors
    /// Why not; then everything goes on as it was.
    pub(super) fn give(
        &self,
        registry: &mut Registry,
        workers: &[(Arc<AsyncControlPeer>, bool)],
        lingering: &LingeringAtRest,
        successor: &mut Successor,
        until: Instant,
        given_up: impl Fn() -> bool,
    ) -> Result<Kept, String> {
        let frozen_at = nanoseconds();
        let begun = self.accept.freeze().ok_or("this broker ends")?;
        let listeners = [Some(&self.control), self.administrators.as_ref()].map(|socket| socket?.listener());
        let mut given = Given::default();
        let mut manifest = Manifest { frozen_at, ..self.process() };
        [manifest.control, manifest.administrators] =
            listeners.each_ref().map(|listener| Some(control(listener.as_deref()?, &mut given)));
        for (address, socket) in &self.http {
            manifest.http.push(Http { address: *address, socket: given.give(socket) });
        }
        registry.pass(workers, &mut manifest, &mut given);
        let store = self.shared.store.as_ref();
        manifest.kept = store.map(|store| store.names()).unwrap_or_default();
        for queue in &begun.incomplete {
            registry.pass_left(queue, &mut manifest, &mut given);
        }
        let passed = begun.pass(&self.shared, &mut manifest, &mut given);
        let bridges = self.shared.bridges.all();
        for (from, queue) in &bridges {
            manifest.bridges.push(manifest::Bridge { from: *from, queue: *queue });
        }
        let elsewhere = lingering.pass(&mut manifest, &mut given);
        let holders = registry.all_holders();
        let here = self.shared.counters.here();
        let own = here.saturating_sub(passed).saturating_sub(elsewhere.connections);
        manifest.lingering.push(Lingering {
            pid: std::process::id(),
            pair: None,
            connections: own,
            relaying: own_relaying(&holders, &elsewhere.relaying),
        });
        let kept = Kept {
            counted: manifest.counted.clone(),
            holders,
            not_ours: here.saturating_sub(own),
            bridges: bridges.iter().map(|(from, _)| *from).collect(),
        };
        let done = successor
            .pair
            .send_manifest(&manifest, &given, until)
            .map_err(|error| successor.why(&error))
            .and_then(|()| successor.expect_ready(until))
            .and_then(|()| if given_up() { Err("this broker ends".to_owned()) } else { successor.go() });
        drop(given);
        match done {
            Ok(()) => {
                // Before anything of it ends: it is the other one's.
                self.shared.failures.may_end();
                begun.pass_on();
                store.iter().for_each(|store| store.end());
                registry.passed_on();
                self.control.is_passed_on();
                self.administrators.iter().for_each(|socket| socket.is_passed_on());
                Ok(kept)
            }
            Err(why) => {
                self.accept.thaw(begun);
                Err(why)
            }
        }
    }

    /// What is to be told of the process.
    fn process(&self) -> Manifest {
        let Shared { about, counters, unmatched, not_registered, .. } = &*self.shared;
        let unmatched = unmatched.all().into_iter().map(|Seen { what, count, last }| manifest::Unmatched {
            via: what.via.into(),
            local: what.local,
            peer: what.peer,
            reason: what.reason,
            count,
            last_milliseconds: ago(last),
        });
        let not_registered =
            not_registered.all().into_iter().map(|Seen { what, count, last }| manifest::NotRegistered {
                address: what.address,
                pid: what.pid,
                uid: what.uid,
                reason: what.reason,
                message: what.message,
                count,
                last_milliseconds: ago(last),
            });
        Manifest {
            process: Process {
                started: unix_seconds(about.started),
                uptime_milliseconds: milliseconds(about.since.elapsed()),
                last_reload: about.last_reload(),
            },
            counted: counted(counters),
            log_level: level::now().map(|(now, afterwards)| manifest::LogLevel {
                now: now.to_string(),
                rest_milliseconds: afterwards.map(|(_, rest)| milliseconds(rest)).unwrap_or_default(),
                afterwards: afterwards.map(|(level, _)| level.to_string()),
            }),
            unmatched: unmatched.collect(),
            not_registered: not_registered.collect(),
            ..Manifest::default()
        }
    }
}

/// What the counters say.
pub(super) fn counted(counters: &Counters) -> manifest::Counted {
    let outcomes = counters.outcomes().filter(|(_, count)| *count > 0);
    manifest::Counted {
        outcomes: outcomes.map(|(name, count)| (name.to_owned(), count)).collect(),
        accepted: counters.accepted(),
        taken_back: counters.taken_back(),
        returned: counters.returned(),
    }
}

/// How many are relayed for whom in this process.
fn own_relaying(holders: &[(Holder, Counted)], elsewhere: &BTreeMap<u64, u64>) -> BTreeMap<u64, u64> {
    let own = holders.iter().map(|(holder, counted)| {
        let elsewhere = elsewhere.get(&holder.id()).copied().unwrap_or_default();
        (holder.id(), counted.relaying.saturating_sub(elsewhere))
    });
    own.filter(|(_, relaying)| *relaying > 0).collect()
}

fn ago(last: SystemTime) -> u64 {
    last.elapsed().map(milliseconds).unwrap_or_default()
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
