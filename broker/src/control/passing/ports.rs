//! What is open, taken apart and put together again.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use crate::command::Job;
use crate::control::ports::{Leaving, Open, Ports};
use crate::error::StartError;
use crate::listening::Listening;
use crate::passed::descriptors::{Given, Taken};
use crate::passed::manifest::{self, Manifest};

impl Ports {
    pub(super) fn pass<'d>(&'d self, manifest: &mut Manifest, given: &mut Given<'d>) {
        for (&address, open) in &self.open {
            let since = open.since.duration_since(UNIX_EPOCH).map(|since| since.as_millis());
            manifest.listening.push(manifest::Listening {
                address,
                since: since.ok().and_then(|since| u64::try_from(since).ok()).unwrap_or_default(),
                socket: open.listening.as_ref().map(|listening| given.give(&*listening.socket)),
            });
        }
        for Leaving { listening, covered } in &self.leaving {
            manifest.leaving.push(manifest::Leaving {
                address: listening.address,
                socket: given.give(&*listening.socket),
                covered: covered.clone(),
            });
        }
    }

    pub(super) fn passed_on(&mut self) {
        self.open.clear();
        self.unheard.clear();
        self.leaving.clear();
    }

    /// Those that are open, for nobody yet.
    pub(super) fn restore(
        &mut self,
        manifest: &mut Manifest,
        taken: &mut Taken,
    ) -> Result<Vec<Listening>, StartError> {
        let mut all = Vec::new();
        for passed in manifest.listening.drain(..) {
            let listening = match passed.socket {
                Some(socket) => Some(Listening::new(passed.address, taken.take(socket)?)),
                None => None,
            };
            all.extend(listening.clone());
            let since = UNIX_EPOCH + Duration::from_millis(passed.since);
            self.open.insert(passed.address, Open { users: 0, since, listening });
        }
        for passed in manifest.leaving.drain(..) {
            let listening = Listening::new(passed.address, taken.take(passed.socket)?);
            all.push(listening.clone());
            let _ = self.jobs.send(Job::CloseLater(Arc::downgrade(&listening.socket)));
            self.leaving.push(Leaving { listening, covered: passed.covered });
        }
        self.foreign = !all.is_empty();
        Ok(all)
    }

    /// A registration keeps these open, which are.
    pub(super) fn again(&mut self, addresses: &[SocketAddr]) -> Result<(), String> {
        for address in addresses {
            let open = self.open.get_mut(address).ok_or_else(|| format!("{address} is not open"))?;
            open.users += 1;
        }
        Ok(())
    }

    /// The loop accepts: closes those that nobody uses.
    pub(super) fn close_all_unused(&mut self) {
        self.foreign = false;
        let unused: Vec<SocketAddr> =
            self.open.iter().filter(|(_, open)| open.users == 0).map(|(address, _)| *address).collect();
        for address in unused {
            // One may have gone with another.
            if self.open.get(&address).is_some_and(|open| open.users == 0) {
                self.close_unused(address);
            }
        }
    }
}
