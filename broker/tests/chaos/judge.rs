//! What may become of an honest connection: service, or a proper fault, within the deadline. What else it was has to have its reason
//! in what was done meanwhile.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Instant;

use crate::clients::{Ended, Service};

/// See the module.
pub(crate) struct Judge {
    pub(crate) seed: u64,
    begun: Instant,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// What was done.
    log: Vec<(Instant, String)>,
    /// What is done to a service, or to all, and until when: then what was lost had a reason.
    done: Vec<Done>,
    counts: BTreeMap<String, u64>,
    /// What has no reason.
    wrong: Vec<String>,
}

struct Done {
    what: What,
    begun: Instant,
    ended: Option<Instant>,
}

/// What explains that a connection was lost, or refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// The broker was killed, and its workers are not back yet.
    BrokerKilled,
    /// A worker of this service was killed: what it had in its hands is lost.
    WorkerKilled(char),
    /// A worker of this service has left, and serves who it has to the end: it cannot give them back any more.
    Left(char),
    /// A worker has left without anybody after it: nobody has the address, and maybe nobody the port.
    Gone(char),
}

impl Judge {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, begun: Instant::now(), state: Mutex::default() }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(crate) fn log(&self, what: impl Into<String>) {
        self.state().log.push((Instant::now(), what.into()));
    }

    /// From now on until [`Judge::ends`].
    pub(crate) fn begins(&self, what: What) {
        self.log(format!("{what:?} begins"));
        self.state().done.push(Done { what, begun: Instant::now(), ended: None });
    }

    pub(crate) fn ends(&self, what: What) {
        self.log(format!("{what:?} ends"));
        let now = Instant::now();
        let mut state = self.state();
        let open = state.done.iter_mut().filter(|done| done.what == what && done.ended.is_none());
        open.for_each(|done| done.ended = Some(now));
    }

    pub(crate) fn count(&self, what: &str) {
        *self.state().counts.entry(what.to_owned()).or_default() += 1;
    }

    pub(crate) fn tells(&self, service: &Service, begun: Instant, ended: &Ended, how: &str) {
        self.judge(&[*service], service, begun, ended, how);
    }

    /// The next session on a connection: the worker of the one before still has it.
    pub(crate) fn tells_of_both(&self, last: &Service, next: &Service, begun: Instant, ended: &Ended) {
        self.judge(&[*last, *next], next, begun, ended, "again");
    }

    fn judge(&self, of: &[Service], asked: &Service, begun: Instant, ended: &Ended, how: &str) {
        let now = Instant::now();
        let mut state = self.state();
        let was = |what: What| {
            let overlaps = |done: &&Done| done.begun <= now && done.ended.is_none_or(|ended| ended >= begun);
            state.done.iter().filter(overlaps).any(|done| done.what == what)
        };
        let any = |what: fn(char) -> What| of.iter().any(|service| was(what(service.name)));
        let broker = was(What::BrokerKilled);
        let (reason, is_right) = match ended {
            Ended::Served(by) => ("", *by == asked.name),
            Ended::Fault(name) => {
                let is_known = ["EndpointNotFound", "EndpointUnavailable", "ServerTooBusy"];
                let nobody_there = broker || was(What::Gone(asked.name));
                (
                    if broker { " while the broker begins again" } else { "" },
                    nobody_there && is_known.contains(&&**name),
                )
            }
            Ended::Refused => ("", broker || was(What::Gone(asked.name))),
            Ended::Closed | Ended::Reset if broker => (" by the broker's death", true),
            Ended::Closed | Ended::Reset => {
                (" by a worker's end", any(What::WorkerKilled) || any(What::Gone) || any(What::Left))
            }
            Ended::TooLate | Ended::Other(_) => ("", false),
        };
        let name = match ended {
            Ended::Served(_) => "served".to_owned(),
            Ended::Fault(name) => name.clone(),
            other => format!("{other:?}"),
        };
        *state.counts.entry(format!("{name}{reason}")).or_default() += 1;
        if !is_right {
            let times = (begun - self.begun, now - self.begun);
            state.wrong.push(format!("{} {how}: {ended:?}, {times:?}", asked.path));
        }
        // What has ended before whoever still waits began.
        if state.done.len() > 2000 {
            let old = now - crate::clients::DEADLINE * 2;
            state.done.retain(|done| done.ended.is_none_or(|ended| ended > old));
        }
    }

    /// Fails if anything was wrong, with all that was done.
    pub(crate) fn fails_if_wrong(&self) {
        let wrong = self.state().wrong.iter().take(20).cloned().collect::<Vec<_>>();
        assert!(wrong.is_empty(), "{}", self.story(&format!("wrong: {wrong:#?}")));
    }

    /// The seed, what was done and what came of it.
    pub(crate) fn story(&self, end: &str) -> String {
        let state = self.state();
        let last = state.log.len().saturating_sub(400);
        let log = state.log[last..].iter().map(|(at, what)| format!("{:>10.4?} {what}\n", *at - self.begun));
        let log: String = log.collect();
        format!("CHAOS_SEED={}\n{log}{:#?}\n{end}", self.seed, state.counts)
    }

    pub(crate) fn counts(&self) -> String {
        format!("CHAOS_SEED={} {:#?}", self.seed, self.state().counts)
    }

    pub(crate) fn of(&self, what: &str) -> u64 {
        self.state().counts.get(what).copied().unwrap_or_default()
    }
}
