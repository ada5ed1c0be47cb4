//! Who has which address, for an administrator: in pages, so that no list keeps others waiting, however long it is.

use handoff::administration::{Drained, Holder as Listed, State, Which};
use handoff::{Refused, RefusedReason};
use router::{HostNameComparison, Prefix};

use super::conflicts::{Asking, Way, conflicts};
use super::denied::{Denied, refused};
use super::registration::Registration;
use super::registry::{Registry, seen};
use crate::routes::holder::Holder;
use crate::routes::table::Table;

/// How long the text of a page may become, in octets and about: half of a message.
const PAGE: usize = 32_768;

/// What an entry takes besides its addresses, about.
const ENTRY: usize = 512;

/// Most local addresses that are listed of one registration.
const BOUND: usize = 64;

/// Where the next page begins: at this holder, and at this one of its addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cursor {
    id: u64,
    address: usize,
}

impl Cursor {
    /// At this holder.
    pub(crate) fn at(id: u64) -> Self {
        Self { id, address: 0 }
    }
}

impl Registry {
    /// The next page up to the holder with this number, and where the one behind it begins, if there is one. Who the workers are is left to whoever asks.
    pub(crate) fn list(&self, from: Cursor, last: u64) -> (Vec<Listed>, Option<Cursor>) {
        let (mut page, mut octets) = (Vec::new(), 0);
        for (&id, registration) in self.registrations.range(from.id..=last) {
            let mut address = if id == from.id { from.address } else { 0 };
            let mut listed = self.listed(id, registration);
            listed.continued = address > 0;
            octets += ENTRY;
            while let Some(prefix) = registration.prefixes.get(address) {
                if octets >= PAGE {
                    if !listed.addresses.is_empty() {
                        page.push(listed);
                    }
                    return (page, Some(Cursor { id, address }));
                }
                octets += prefix.address().len();
                listed.addresses.push(prefix.address().to_owned());
                address += 1;
            }
            page.push(listed);
        }
        (page, None)
    }

    fn listed(&self, id: u64, registration: &Registration) -> Listed {
        let Registration { holder, prefixes, bound, owner, draining, share, .. } = registration;
        let mut listed = Listed::default();
        listed.id = id;
        listed.host_name_comparison =
            prefixes.first().map(|prefix| prefix.mode().to_string()).unwrap_or_default();
        listed.bound = bound.0.as_ref().map(|bound| bound.iter().copied().take(BOUND).collect());
        let credentials = owner.credentials();
        listed.pid = credentials.and_then(|peer| seen(peer.pid));
        listed.uid = credentials.map(|peer| peer.uid);
        let figures = holder.figures();
        let counted = figures.now();
        (listed.relaying, listed.relayed, listed.refused) =
            (counted.relaying, counted.relayed, counted.refused);
        (listed.octets_in, listed.octets_out) = (counted.copied.octets_in, counted.copied.octets_out);
        listed.age_seconds = figures.since.elapsed().as_secs();
        let mut states: Vec<State> = draining.then_some(State::Draining).into_iter().collect();
        let is_absent = owner.until().is_some();
        states.extend(is_absent.then_some(State::Absent));
        match holder {
            Holder::Worker(queue) => {
                let most = self.shared.bounds.per_queue();
                let queued = queue.refresh(&self.shared.bounds);
                (listed.queued, listed.held) = (wide(queued), wide(queue.held()));
                (listed.max_pending, listed.max_held) = (Some(wide(most)), Some(wide(most)));
                (listed.handed_over, listed.taken_back) = (queue.handed_over(), counted.taken_back);
                states.extend((queue.is_stuck() && !is_absent).then_some(State::Stuck));
                states.extend((queued >= most).then_some(State::Full));
            }
            Holder::Route(route) => listed.relay = Some(route.to.to_string()),
        }
        listed.share = *share;
        listed.grace_left_seconds = owner.seconds_left();
        if states.is_empty() {
            states.push(State::Up);
        }
        (listed.state, listed.states) = (states[0], states);
        listed
    }

    /// Lets holders drain, or take connections again; says what waits for them.
    pub(crate) fn drain(&mut self, which: &Which, draining: bool) -> Result<Vec<Drained>, Denied> {
        let ids = self.holders_of(which)?;
        let mut table = Table::clone(&self.shared.table.load());
        let (mut changed, mut way) = (false, Way::default());
        for id in &ids {
            let Some(registration) = self.registrations.get(id).filter(|other| other.draining != draining)
            else {
                continue;
            };
            let Registration { prefixes, bound, .. } = registration;
            if !draining {
                way.join(conflicts(
                    &self.registrations,
                    &table,
                    prefixes,
                    bound,
                    Asking::again(*id, registration),
                )?);
            }
            for prefix in prefixes {
                table.set_draining(prefix, *id, draining);
            }
            changed = true;
        }
        let handed = self.prepare(way.taken).map_err(Denied::NoDescriptor)?;
        if changed {
            for id in &ids {
                if let Some(registration) = self.registrations.get_mut(id) {
                    registration.draining = draining;
                }
                self.keep_draining(*id);
            }
            let mut ended = self.forget_past(way.past, &mut table);
            ended.extend(self.make_way(handed, &mut table));
            self.publish(table);
            self.end_all(ended);
        }
        Ok(ids.into_iter().filter_map(|id| self.drained(id)).collect())
    }

    fn drained(&self, id: u64) -> Option<Drained> {
        let registration = self.registrations.get(&id)?;
        let listed = self.listed(id, registration);
        let address = registration.prefixes.first().map(Prefix::address).unwrap_or_default();
        let mut drained = Drained::new(id, address, registration.draining);
        (drained.waiting, drained.relaying) = (listed.waiting(), listed.relaying);
        Some(drained)
    }

    fn holders_of(&self, which: &Which) -> Result<Vec<u64>, Refused> {
        let ids: Vec<u64> = match which {
            Which::Id(id) => self.registrations.contains_key(id).then_some(*id).into_iter().collect(),
            Which::Address(address) => {
                // Not for each registration anew: there may be many, and it may be long.
                let asked = HostNameComparison::ALL.map(|mode| Prefix::parse(address, mode).ok());
                let has = |registration: &Registration| {
                    registration
                        .prefixes
                        .iter()
                        .any(|prefix| asked.iter().flatten().any(|asked| asked == prefix))
                };
                let all = self.registrations.iter();
                all.filter(|(_, registration)| has(registration)).map(|(id, _)| *id).collect()
            }
            _ => Vec::new(),
        };
        if ids.is_empty() {
            let (address, what) = match which {
                Which::Address(address) => (Some(address.as_str()), format!("{address:?}")),
                Which::Id(id) => (None, format!("the number {id}")),
                _ => (None, "this".to_owned()),
            };
            let message = format!("nobody has {what}; `broker ls` shows who has what");
            return Err(refused(RefusedReason::InvalidArgument, address, message));
        }
        Ok(ids)
    }
}

fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
