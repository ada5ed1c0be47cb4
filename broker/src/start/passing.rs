//! What a broker begins with that another one has passed on.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::control::socket;
use crate::error::StartError;
use crate::log::level;
use crate::passed::descriptors::Taken;
use crate::passed::manifest::{self, Lingering, Manifest};
use crate::passed::pair::Pair;
use crate::recent::{NoMatch, NotRegistered, Recent, Seen};
use crate::relay::bridge::Expected;
use crate::routes::queue::Queue;
use crate::shared::Shared;

impl Shared {
    /// Goes on with what another process has counted.
    pub(super) fn again(&mut self, manifest: &mut Manifest) {
        let Manifest { process, counted, .. } = manifest;
        if process.started > 0 {
            let uptime = Duration::from_millis(process.uptime_milliseconds);
            self.about.again(process.started, uptime, process.last_reload.take());
        }
        self.counters.again(counted.accepted, counted.taken_back, counted.returned);
        for (name, count) in &counted.outcomes {
            self.counters.add(name, *count);
        }
        let last = |milliseconds| {
            SystemTime::now()
                .checked_sub(Duration::from_millis(milliseconds))
                .unwrap_or(SystemTime::UNIX_EPOCH)
        };
        self.unmatched = Recent::again(manifest.unmatched.drain(..).map(|passed| Seen {
            count: passed.count,
            last: last(passed.last_milliseconds),
            what: NoMatch {
                via: passed.via.into(),
                local: passed.local,
                peer: passed.peer,
                reason: passed.reason,
            },
        }));
        self.not_registered = Recent::again(manifest.not_registered.drain(..).map(|passed| Seen {
            count: passed.count,
            last: last(passed.last_milliseconds),
            what: NotRegistered {
                address: passed.address,
                pid: passed.pid,
                uid: passed.uid,
                reason: passed.reason,
                message: passed.message,
            },
        }));
    }
}

pub(super) fn http_sockets(
    manifest: &mut Manifest,
    taken: &mut Taken,
) -> Result<Vec<(SocketAddr, OwnedFd)>, StartError> {
    let sockets = manifest.http.drain(..).map(|http| Ok((http.address, taken.take(http.socket)?)));
    sockets.collect()
}

pub(super) fn control_sockets(
    manifest: &mut Manifest,
    taken: &mut Taken,
) -> Result<socket::Passed, StartError> {
    let mut take = |control: Option<manifest::Control>| match control {
        Some(control) => {
            let socket = taken.take(control.socket)?;
            Ok(Some((control, socket)))
        }
        None => Ok::<_, StartError>(None),
    };
    Ok([take(manifest.control.take())?, take(manifest.administrators.take())?])
}

/// Those that are expected.
pub(super) fn bridges(
    manifest: &Manifest,
    queues: &HashMap<u64, Arc<Queue>>,
    shared: &Shared,
) -> HashMap<SocketAddr, Expected> {
    let expected = manifest.bridges.iter().filter_map(|bridge| {
        let queue = Arc::clone(queues.get(&bridge.queue)?);
        Some((bridge.from, shared.bridges.expect(bridge.from, queue)))
    });
    expected.collect()
}

/// Those that may still tell something, each with our end of its pair.
pub(super) fn lingering(
    passed: Vec<Lingering>,
    mut taken: Taken,
    mut pair: Option<Arc<Pair>>,
) -> Vec<(Lingering, Arc<Pair>)> {
    let with_pair = passed.into_iter().filter_map(|passed| {
        let pair = match passed.pair {
            Some(number) => Arc::new(Pair::from_socket(taken.take(number).ok()?)),
            None => pair.take()?,
        };
        Some((passed, pair))
    });
    with_pair.collect()
}

/// As it was set for a time.
pub(super) fn restore_level(passed: Option<&manifest::LogLevel>) {
    let Some(passed) = passed else { return };
    let Ok(now) = passed.now.parse() else { return };
    let afterwards = passed.afterwards.as_ref().and_then(|afterwards| afterwards.parse().ok());
    let rest = Duration::from_millis(passed.rest_milliseconds);
    let number = level::again(now, afterwards.map(|afterwards| (afterwards, rest)));
    if let Some(number) = number.filter(|_| afterwards.is_some()) {
        tokio::spawn(async move {
            tokio::time::sleep(rest).await;
            level::end(number);
        });
    }
}
