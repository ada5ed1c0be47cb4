//! What becomes of what happens. Nothing here is clever, or quick. Long, so that all of it stands in one place.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use proptest::prelude::*;
use proptest_state_machine::ReferenceStateMachine;

use super::step::{ADDRESSES, ASKED, Grace, Step, is_possible, steps};
use crate::outcome::Outcome;

/// Its number, by which everybody is known here.
pub(super) type Client = usize;

/// How it is with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Its preamble is not complete.
    Hesitates,
    /// Waits for a worker.
    Waits,
    /// A worker has it, or had it when it died.
    Served,
    /// A static route has it.
    Relayed,
    Ended(Outcome),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Here,
    /// Its process is gone, which the broker has not seen.
    Dead,
    /// It is waited for.
    Absent,
}

/// A registration or a static route.
#[derive(Clone, Debug)]
pub(super) struct Holder {
    pub(super) is_worker: bool,
    pub(super) addresses: Vec<usize>,
    share: bool,
    grace: Grace,
    pub(super) draining: bool,
    pub(super) state: State,
    pub(super) per_message: usize,
    /// In its accept socket.
    pub(super) queued: VecDeque<Client>,
    /// Behind those, in the broker.
    pub(super) held: VecDeque<Client>,
    /// What its worker has.
    pub(super) taken: VecDeque<Client>,
    /// When it was last chosen.
    turn: usize,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Model {
    pub(super) bound: usize,
    pub(super) routes: BTreeSet<usize>,
    pub(super) holders: BTreeMap<u64, Holder>,
    /// Who has each address, in the order in which they came.
    table: [Vec<u64>; ADDRESSES.len()],
    /// What each has asked for, and how it is with it.
    pub(super) clients: Vec<(usize, Standing)>,
    last_id: u64,
    turns: usize,
    pub(super) taken_back: u64,
    pub(super) returned: u64,
    pub(super) handed_over: u64,
    /// Whether the last step was refused.
    pub(super) is_refused: bool,
    /// Whether somebody was too busy although others share the address. Which of several that are all full it is, and so whose turn
    /// is next, depends on how many came in one turn of the loop: nobody is promised anything about it.
    is_vague: bool,
}

/// Who makes way for whom.
#[derive(Default)]
struct Way {
    past: BTreeSet<u64>,
    taken: Vec<(u64, Vec<usize>)>,
}

/// Who asks for addresses.
struct Asking {
    is_worker: bool,
    share: bool,
    own: Option<u64>,
}

impl Default for Holder {
    fn default() -> Self {
        Self {
            is_worker: true,
            addresses: Vec::new(),
            share: false,
            grace: Grace::None,
            draining: false,
            state: State::Here,
            per_message: 1,
            queued: VecDeque::new(),
            held: VecDeque::new(),
            taken: VecDeque::new(),
            turn: 0,
        }
    }
}

impl Model {
    /// Nobody is there.
    pub(super) fn begin() -> Self {
        Self { bound: 2, ..Self::default() }
    }

    /// Whether anybody has an address of this port.
    pub(super) fn is_open(&self, port: usize) -> bool {
        (0..ADDRESSES.len()).any(|address| ADDRESSES[address].0 == port && !self.table[address].is_empty())
    }

    fn come(&mut self, asked: usize, standing: Standing) -> Client {
        self.clients.push((asked, standing));
        self.clients.len() - 1
    }

    fn end(&mut self, client: Client, outcome: Outcome) {
        self.clients[client].1 = Standing::Ended(outcome);
    }

    /// The longest address that anybody has decides.
    fn route(&mut self, client: Client) {
        let (port, path) = ASKED[self.clients[client].0];
        let matches = |&address: &usize| {
            let (of, prefix) = ADDRESSES[address];
            of == port && path.starts_with(&format!("{prefix}/")) && !self.table[address].is_empty()
        };
        let longest = (0..ADDRESSES.len()).filter(matches).max_by_key(|&address| ADDRESSES[address].1.len());
        let Some(address) = longest else { return self.end(client, Outcome::EndpointNotFound) };
        let id = self.choose(address);
        let bound = self.bound;
        let Some(holder) = self.holders.get_mut(&id) else {
            panic!("{address} is of {id}, who is not there")
        };
        if holder.draining {
            return self.end(client, Outcome::Draining);
        }
        if !holder.is_worker {
            self.clients[client].1 = Standing::Relayed;
            return;
        }
        self.turns += 1;
        holder.turn = self.turns;
        if holder.held.is_empty() && holder.queued.len() < bound {
            holder.queued.push_back(client);
            self.handed_over += 1;
        } else if holder.held.len() < bound {
            holder.held.push_back(client);
        } else {
            self.is_vague |= self.table[address].len() > 1;
            return self.end(client, Outcome::ServerTooBusy);
        }
        self.clients[client].1 = Standing::Waits;
    }

    /// Of several: the least busy of those who are there; else whoever is waited for; else one that drains.
    fn choose(&self, address: usize) -> u64 {
        let all = || self.table[address].iter().map(|id| (*id, &self.holders[id]));
        let takes = || all().filter(|(_, holder)| !holder.draining);
        let here = takes().filter(|(_, holder)| holder.state != State::Absent);
        let load = |holder: &Holder| (holder.queued.len() + holder.held.len(), holder.turn);
        let least = here.min_by_key(|(_, holder)| load(holder));
        least.or_else(|| takes().next()).or_else(|| all().next()).unwrap().0
    }

    /// What is held goes where there is room.
    fn flush(&mut self, id: u64) {
        let bound = self.bound;
        let Some(holder) = self.holders.get_mut(&id) else { return };
        while holder.queued.len() < bound
            && let Some(client) = holder.held.pop_front()
        {
            holder.queued.push_back(client);
            self.handed_over += 1;
        }
    }

    /// Out of the books.
    fn forget(&mut self, id: u64) -> Option<Holder> {
        let holder = self.holders.remove(&id)?;
        self.table.iter_mut().for_each(|ids| ids.retain(|other| *other != id));
        Some(holder)
    }

    fn put(&mut self, id: u64, holder: Holder) {
        holder.addresses.iter().for_each(|address| self.table[*address].push(id));
        self.holders.insert(id, holder);
    }

    /// What waits for it, first those in its queue, then those behind them.
    fn left_by(&mut self, holder: &mut Holder) -> Vec<Client> {
        self.taken_back += holder.queued.len() as u64;
        holder.queued.drain(..).chain(holder.held.drain(..)).collect()
    }

    /// What waits for it finds another way.
    fn dispatch_again(&mut self, mut holder: Holder) {
        for client in self.left_by(&mut holder) {
            self.route(client);
        }
    }

    fn give_up(&mut self, mut holder: Holder) {
        for client in self.left_by(&mut holder) {
            self.end(client, Outcome::EndpointUnavailable);
        }
    }

    fn conflicts(&self, addresses: &[usize], asking: &Asking) -> Option<Way> {
        let mut way = Way::default();
        for address in addresses {
            for id in &self.table[*address] {
                let other = &self.holders[id];
                let is_gone = other.is_worker && other.state != State::Here;
                if asking.own == Some(*id) {
                } else if is_gone && other.grace == Grace::None {
                    way.past.insert(*id);
                } else if is_gone && asking.is_worker {
                    match way.taken.iter_mut().find(|(taken, _)| taken == id) {
                        Some((_, taken)) => taken.push(*address),
                        None => way.taken.push((*id, vec![*address])),
                    }
                } else if !(other.draining || (other.share && asking.share)) {
                    return None;
                }
            }
        }
        Some(way)
    }

    /// Who makes way keeps what is not asked of it, under another number. Returns who ends.
    fn make_way(&mut self, way: Way, numbers: Vec<u64>) -> Vec<Holder> {
        let mut ended: Vec<Holder> = way.past.into_iter().filter_map(|id| self.forget(id)).collect();
        let mut numbers = numbers.into_iter();
        for (id, addresses) in way.taken {
            let Some(holder) = self.forget(id) else { continue };
            let kept = holder.addresses.iter().copied().filter(|address| !addresses.contains(address));
            let kept: Vec<usize> = kept.collect();
            if !kept.is_empty() {
                let (share, grace, draining, per_message) =
                    (holder.share, holder.grace, holder.draining, holder.per_message);
                let (addresses, state) = (kept, State::Absent);
                let rest =
                    Holder { addresses, share, grace, draining, state, per_message, ..Holder::default() };
                self.put(numbers.next().unwrap(), rest);
            }
            ended.push(holder);
        }
        ended
    }

    /// Numbers for what those who make way keep.
    fn numbers(&mut self, way: &Way) -> Vec<u64> {
        let keeps = |(id, taken): &&(u64, Vec<usize>)| self.holders[id].addresses.len() > taken.len();
        let count = way.taken.iter().filter(keeps).count();
        (0..count).map(|_| self.number()).collect()
    }

    fn number(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    fn register(&mut self, new: Holder) {
        let asking = Asking { is_worker: true, share: new.share, own: None };
        let Some(way) = self.conflicts(&new.addresses, &asking) else { return self.is_refused = true };
        let numbers = self.numbers(&way);
        let id = self.number();
        let ended = self.make_way(way, numbers);
        self.put(id, new);
        ended.into_iter().for_each(|ended| self.dispatch_again(ended));
    }

    fn unregister(&mut self, id: u64) {
        if let Some(holder) = self.forget(id) {
            self.dispatch_again(holder);
        }
    }

    /// The broker sees that its worker is gone.
    fn leave(&mut self, id: u64) {
        let holder = &self.holders[&id];
        let is_served = |address: &&usize| {
            let others = self.table[**address].iter().filter(|other| **other != id);
            let mut others = others.map(|other| &self.holders[other]);
            others.any(|other| !other.draining && other.state != State::Absent)
        };
        let may_be = holder.share || holder.draining;
        let served: Vec<usize> =
            holder.addresses.iter().filter(|_| may_be).filter(is_served).copied().collect();
        if holder.grace == Grace::None || served.len() == holder.addresses.len() {
            return self.unregister(id);
        }
        self.holders.get_mut(&id).unwrap().state = State::Absent;
        if !served.is_empty() {
            let way = Way { taken: vec![(id, served)], ..Way::default() };
            let numbers = self.numbers(&way);
            let ended = self.make_way(way, numbers);
            ended.into_iter().for_each(|ended| self.dispatch_again(ended));
        }
    }

    fn drain(&mut self, id: u64, draining: bool) {
        let holder = &self.holders[&id];
        let mut way = Way::default();
        if !draining {
            let asking = Asking { is_worker: holder.is_worker, share: holder.share, own: Some(id) };
            match self.conflicts(&holder.addresses, &asking) {
                Some(found) => way = found,
                None => return self.is_refused = true,
            }
        }
        let numbers = self.numbers(&way);
        self.holders.get_mut(&id).unwrap().draining = draining;
        let ended = self.make_way(way, numbers);
        ended.into_iter().for_each(|ended| self.dispatch_again(ended));
    }

    fn reload(&mut self, routes: &BTreeSet<usize>, bound: usize) {
        let before = self.clone();
        let is_ended = |holder: &Holder| !holder.is_worker && !routes.contains(&holder.addresses[0]);
        let ending = self.holders.iter().filter(|(_, holder)| is_ended(holder)).map(|(id, _)| *id);
        let mut ended: Vec<u64> = ending.collect();
        for id in &ended {
            self.table.iter_mut().for_each(|ids| ids.retain(|other| other != id));
        }
        for address in routes.difference(&before.routes) {
            let asking = Asking { is_worker: false, share: false, own: None };
            let Some(way) = self.conflicts(&[*address], &asking) else {
                // Numbers that were given are not given again.
                let last_id = self.last_id;
                *self = Self { last_id, is_refused: true, ..before };
                return;
            };
            ended.extend(way.past);
            let id = self.number();
            self.put(id, Holder { is_worker: false, addresses: vec![*address], ..Holder::default() });
        }
        self.routes.clone_from(routes);
        let ended: Vec<Holder> = ended.into_iter().filter_map(|id| self.forget(id)).collect();
        ended.into_iter().for_each(|ended| self.dispatch_again(ended));
        self.bound = bound;
        let ids: Vec<u64> = self.holders.keys().copied().collect();
        ids.into_iter().for_each(|id| self.flush(id));
    }

    fn take(&mut self, id: u64, count: usize) {
        let holder = self.holders.get_mut(&id).unwrap();
        let all = if holder.per_message == 1 { count.min(holder.queued.len()) } else { usize::MAX };
        let mut taken = 0;
        while taken < all
            && let Some(client) = self.holders.get_mut(&id).unwrap().queued.pop_front()
        {
            self.holders.get_mut(&id).unwrap().taken.push_back(client);
            self.clients[client].1 = Standing::Served;
            taken += 1;
            self.flush(id);
        }
    }

    fn time_passes(&mut self) {
        for client in 0..self.clients.len() {
            if self.clients[client].1 == Standing::Hesitates {
                self.end(client, Outcome::DeadlinePassed);
            }
        }
        let ids: Vec<u64> = self.holders.keys().copied().collect();
        for id in ids {
            let holder = self.holders.get_mut(&id).unwrap();
            if holder.state != State::Absent {
                let stalled = holder.clone();
                (holder.queued, holder.held) = Default::default();
                self.give_up(stalled);
            }
        }
    }
}

impl ReferenceStateMachine for Model {
    type State = Self;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Self> {
        Just(Self::begin()).boxed()
    }

    fn transitions(model: &Self) -> BoxedStrategy<Step> {
        steps(model)
    }

    fn preconditions(model: &Self, step: &Step) -> bool {
        is_possible(model, step) && !Self::apply(model.clone(), step).is_vague
    }

    fn apply(mut model: Self, step: &Step) -> Self {
        (model.is_refused, model.is_vague) = (false, false);
        match step {
            Step::Register { addresses, share, grace, per_message } => {
                let (addresses, share, grace) = (addresses.clone(), *share, *grace);
                let new = Holder { addresses, share, grace, per_message: *per_message, ..Holder::default() };
                model.register(new);
            }
            Step::Unregister(id) => model.unregister(*id),
            Step::Die(id) => {
                let holder = model.holders.get_mut(id).unwrap();
                holder.state = State::Dead;
                holder.taken.clear();
            }
            Step::Leave(id) => model.leave(*id),
            Step::GracesEnd(longest) => {
                let ends = |holder: &Holder| holder.state == State::Absent && holder.grace <= *longest;
                let ids = model.holders.iter().filter(|(_, holder)| ends(holder)).map(|(id, _)| *id);
                for id in ids.collect::<Vec<_>>() {
                    let holder = model.forget(id).unwrap();
                    model.give_up(holder);
                }
            }
            Step::Drain(id, draining) => model.drain(*id, *draining),
            Step::Reload { routes, bound } => model.reload(routes, *bound),
            Step::Come { asked, count } => {
                for _ in 0..*count {
                    let client = model.come(*asked, Standing::Waits);
                    model.route(client);
                }
            }
            Step::Hesitate(asked) => {
                model.come(*asked, Standing::Hesitates);
            }
            Step::GoOn(client) => model.route(*client),
            Step::GiveUp(client) => model.end(*client, Outcome::ClosedEarly),
            Step::Take(id, count) => model.take(*id, *count),
            Step::Return(id) => {
                let client = model.holders.get_mut(id).unwrap().taken.pop_front().unwrap();
                model.returned += 1;
                model.route(client);
            }
            Step::TimePasses => model.time_passes(),
        }
        model
    }
}
