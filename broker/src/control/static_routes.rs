//! The static routes: those of the configuration when the broker starts, and what a reload changes of them. All of that, or
//! nothing.

use handoff::{Refused, RefusedReason};
use std::sync::Arc;
use std::time::Duration;

use super::conflicts::{Asking, conflicts};
use super::denied::Denied;
use super::registration::{Owner, Registration};
use super::registry::{Known, Registry};
use crate::config::{Change, Config, Place, Route};
use crate::error::StartError;
use crate::relay::circle::circles;
use crate::routes::holder::{Holder, StaticRoute};
use crate::routes::table::{Bound, Table, Target};

/// Which route is to blame that nothing has changed, and why.
#[derive(Debug)]
pub(crate) struct RouteDenied {
    /// Where it stands in the configuration.
    place: Place,
    address: String,
    why: Box<Denied>,
}

impl RouteDenied {
    fn new(route: &Route, why: Denied) -> Self {
        Self { place: route.place, address: route.prefix.address().to_owned(), why: Box::new(why) }
    }
}

/// Looks another program up: that may take long.
impl From<RouteDenied> for StartError {
    fn from(RouteDenied { place, address, why }: RouteDenied) -> Self {
        Self::Route { place, address, message: why.told().message }
    }
}

/// Who gets what, if there are only the routes of this configuration.
pub(crate) fn table_of(config: &Config) -> Table {
    let mut table = Table::default();
    for (id, route) in (1..).zip(&config.routes) {
        let holder = Holder::Route(Arc::new(StaticRoute::new(id, route.relay.clone())));
        table.insert(Target::new(route.prefix.clone(), holder, &Bound::default()));
    }
    table
}

/// What a change comes to, before anything is done.
#[derive(Debug, Default)]
struct Plan<'c> {
    table: Table,
    /// With the routes that they are made of.
    new: Vec<(Registration, &'c Route)>,
    /// What these become: they keep their numbers, counts and ports.
    changed: Vec<(Arc<StaticRoute>, &'c Route)>,
    /// The numbers of those that end, and why.
    ending: Vec<(u64, &'static str)>,
}

impl Registry {
    /// Makes these changes, after which the routes are those of `config`. A relay that is established goes on: it keeps the back-end
    /// that it was made for. An address that stays keeps its number and its counts. Nobody finds half of the changes.
    ///
    /// # Errors
    /// The first route that cannot be had; nothing has changed.
    pub(crate) fn change_routes(&mut self, changes: &[Change], config: &Config) -> Result<(), RouteDenied> {
        let mut plan = self.plan(changes)?;
        if let Some((route, message)) = circles(config, &plan.table).next() {
            let address = Some(route.prefix.address());
            let circle = Refused::new(RefusedReason::InvalidArgument, address, message);
            return Err(RouteDenied::new(route, circle.into()));
        }
        self.open_ports(&mut plan)?;

        let Plan { mut table, new, changed, ending } = plan;
        let forget = |(id, reason)| Some((self.forget(id, &mut table)?, reason));
        let ended: Vec<_> = ending.into_iter().filter_map(forget).collect();
        let say = |route: &Route| {
            let (address, mode) = (route.prefix.address(), route.prefix.mode());
            tracing::info!("static route {address} ({mode}): relayed to {}", route.relay);
        };
        for (registration, route) in new {
            say(route);
            self.registrations.insert(registration.holder.id(), registration);
        }
        for (holder, route) in changed {
            say(route);
            if let Some(registration) = self.registrations.get_mut(&holder.id) {
                registration.holder = Holder::Route(holder);
                registration.prefixes = vec![route.prefix.clone()];
            }
        }
        self.publish(table);
        // Only now: their ports may be others' as well.
        for (registration, reason) in ended {
            self.end(registration, reason);
        }
        Ok(())
    }

    fn plan<'c>(&mut self, changes: &'c [Change]) -> Result<Plan<'c>, RouteDenied> {
        let table = Table::clone(&self.shared.table.load());
        let mut plan = Plan { table, ..Plan::default() };
        for change in changes {
            match change {
                Change::Key { .. } => {}
                Change::RouteRemoved(route) => {
                    if let Some((id, _)) = self.registration_of(route) {
                        plan.table.remove(&route.prefix, id);
                        plan.ending.push((id, "it is no longer in the configuration"));
                    }
                }
                Change::RouteChanged { from, to } => self.change(&mut plan, from, to),
                Change::RouteAdded(route) => {
                    let (prefix, asking) = (std::slice::from_ref(&route.prefix), Asking::configuration());
                    let way = conflicts(&self.registrations, &plan.table, prefix, &Bound::default(), asking);
                    let way = way.map_err(|why| RouteDenied::new(route, why))?;
                    plan.ending.extend(way.past.into_iter().map(|id| (id, "its worker has left")));
                    self.put_in(&mut plan, route);
                }
            }
        }
        Ok(plan)
    }

    fn registration_of(&self, route: &Route) -> Option<(u64, &Registration)> {
        let is_it = |registration: &Registration| {
            !registration.holder.is_worker() && registration.prefixes.iter().any(|prefix| route.is_at(prefix))
        };
        let found = self.registrations.iter().find(|(_, registration)| is_it(registration));
        found.map(|(id, registration)| (*id, registration))
    }

    fn change<'c>(&self, plan: &mut Plan<'c>, from: &Route, to: &'c Route) {
        let Some((id, registration)) = self.registration_of(from) else { return };
        let Holder::Route(route) = &registration.holder else { return };
        let changed = Arc::new(route.changed(to.relay.clone()));
        let holder = Holder::Route(Arc::clone(&changed));
        let target = Target::new(to.prefix.clone(), holder, &registration.bound);
        plan.table.remove(&from.prefix, id);
        plan.table.insert(target.draining(registration.draining));
        plan.changed.push((changed, to));
    }

    fn put_in<'c>(&mut self, plan: &mut Plan<'c>, route: &'c Route) {
        let (prefix, bound) = (route.prefix.clone(), Bound::default());
        let known = self.known_routes.extract_if(.., |known| route.is_at(&known.prefix)).next();
        let draining = known.as_ref().is_some_and(|known| known.draining);
        let new = match known {
            Some(Known { id, figures, .. }) => {
                StaticRoute { figures: Arc::new(figures), ..StaticRoute::new(id, route.relay.clone()) }
            }
            None => StaticRoute::new(self.next_id(), route.relay.clone()),
        };
        let holder = Holder::Route(Arc::new(new));
        plan.table.insert(Target::new(prefix.clone(), holder.clone(), &bound).draining(draining));
        let registration = Registration {
            holder,
            prefixes: vec![prefix],
            open: Vec::new(),
            bound,
            owner: Owner::Configuration,
            draining,
            share: false,
            grace: Duration::ZERO,
        };
        plan.new.push((registration, route));
    }

    /// What comes waits in the kernel until the table is published.
    fn open_ports(&mut self, plan: &mut Plan<'_>) -> Result<(), RouteDenied> {
        for at in 0..plan.new.len() {
            let (registration, route) = &mut plan.new[at];
            match self.listen(&registration.prefixes, &registration.bound) {
                Ok(open) => registration.open = open,
                Err(why) => {
                    let denied = RouteDenied::new(route, why);
                    plan.new.iter().for_each(|(registration, _)| self.ports.release(&registration.open));
                    return Err(denied);
                }
            }
        }
        Ok(())
    }
}
