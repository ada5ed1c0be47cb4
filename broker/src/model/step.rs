//! What may happen, and what of it may happen now.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use proptest::strategy::Union;

use super::reference::{Client, Model, Standing, State};

/// What is registered: of two ports, one address below another.
pub(super) const ADDRESSES: [(usize, &str); 3] = [(0, "a"), (0, "a/b"), (1, "c")];

/// What initiators ask for. The last is nobody's.
pub(super) const ASKED: [(usize, &str); 4] = [(0, "a/x"), (0, "a/b/x"), (1, "c/x"), (0, "z")];

/// How long a worker is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Grace {
    None,
    Short,
    Long,
}

#[derive(Clone, Debug)]
pub(super) enum Step {
    Register {
        addresses: Vec<usize>,
        share: bool,
        grace: Grace,
        per_message: usize,
    },
    Unregister(u64),
    /// Its process is gone; the broker has not seen it.
    Die(u64),
    /// The broker sees it.
    Leave(u64),
    /// Of those whose workers have left: the short ones, or all.
    GracesEnd(Grace),
    Drain(u64, bool),
    Reload {
        routes: BTreeSet<usize>,
        bound: usize,
    },
    /// So many, one after the other, before the loop looks.
    Come {
        asked: usize,
        count: usize,
    },
    /// Half a preamble.
    Hesitate(usize),
    GoOn(Client),
    GiveUp(Client),
    /// A worker takes so many from its accept socket, or all where several are in a message.
    Take(u64, usize),
    /// A worker gives back what it has taken first of what it has.
    Return(u64),
    /// So long that whatever may not take for ever has ended.
    TimePasses,
}

/// The greatest bound.
const MOST: usize = 4;

pub(super) fn steps(model: &Model) -> BoxedStrategy<Step> {
    let ids = |may: &dyn Fn(&Step) -> bool, step: &dyn Fn(u64) -> Step| -> Vec<Step> {
        model.holders.keys().map(|id| step(*id)).filter(|step| may(step)).collect()
    };
    let may = |step: &Step| is_possible(model, step);
    let clients = |step: fn(Client) -> Step| -> Vec<Step> {
        (0..model.clients.len()).map(step).filter(|step| is_possible(model, step)).collect()
    };
    let asked = (0..ASKED.len()).filter(|asked| model.is_open(ASKED[*asked].0)).collect::<Vec<_>>();
    let grace = select(&[Grace::None, Grace::Short, Grace::Long]);
    let per_message = select(&[1, 32]);
    let addresses = subsequence((0..ADDRESSES.len()).collect::<Vec<_>>(), 1..=ADDRESSES.len()).prop_shuffle();
    let register =
        (addresses, any::<bool>(), grace, per_message).prop_map(|(addresses, share, grace, per_message)| {
            Step::Register { addresses, share, grace, per_message }
        });
    let reload = (subsequence((0..ADDRESSES.len()).collect::<Vec<_>>(), 0..=1), 1..=MOST)
        .prop_map(|(routes, bound)| Step::Reload { routes: routes.into_iter().collect(), bound });
    let mut all: Vec<(u32, BoxedStrategy<Step>)> = vec![
        (6, register.boxed()),
        (1, reload.boxed()),
        (1, select(&[Grace::Short, Grace::Long]).prop_map(Step::GracesEnd).boxed()),
        (1, Just(Step::TimePasses).boxed()),
    ];
    if !asked.is_empty() {
        let come = (select(asked.clone()), 1..=6_usize);
        all.push((10, come.prop_map(|(asked, count)| Step::Come { asked, count }).boxed()));
        all.push((1, select(asked).prop_map(Step::Hesitate).boxed()));
    }
    let mut one_of = |weight, steps: Vec<Step>| {
        if !steps.is_empty() {
            all.push((weight, select(steps).boxed()));
        }
    };
    one_of(1, ids(&may, &Step::Unregister));
    one_of(3, ids(&may, &Step::Die));
    one_of(3, ids(&may, &Step::Leave));
    one_of(2, ids(&may, &|id| Step::Drain(id, true)));
    one_of(2, ids(&may, &|id| Step::Drain(id, false)));
    one_of(2, ids(&may, &|id| Step::Take(id, 1)));
    one_of(2, ids(&may, &|id| Step::Take(id, MOST)));
    one_of(2, ids(&may, &Step::Return));
    one_of(1, clients(Step::GoOn));
    one_of(1, clients(Step::GiveUp));
    Union::new_weighted(all).boxed()
}

/// Whether it may happen now: a sequence may have been cut since it was made.
pub(super) fn is_possible(model: &Model, step: &Step) -> bool {
    let holder = |id: &u64| model.holders.get(id);
    let is = |id: &u64, state| holder(id).is_some_and(|holder| holder.state == state && holder.is_worker);
    match step {
        Step::Register { .. } | Step::GracesEnd(_) | Step::Reload { .. } | Step::TimePasses => true,
        Step::Unregister(id) | Step::Die(id) => is(id, State::Here),
        Step::Leave(id) => is(id, State::Dead),
        Step::Drain(id, draining) => holder(id).is_some_and(|holder| holder.draining != *draining),
        Step::Come { asked, .. } | Step::Hesitate(asked) => model.is_open(ASKED[*asked].0),
        Step::GoOn(client) | Step::GiveUp(client) => {
            model.clients.get(*client).is_some_and(|client| client.1 == Standing::Hesitates)
        }
        Step::Take(id, _) => {
            is(id, State::Here) && holder(id).is_some_and(|holder| !holder.queued.is_empty())
        }
        Step::Return(id) => is(id, State::Here) && holder(id).is_some_and(|holder| !holder.taken.is_empty()),
    }
}
