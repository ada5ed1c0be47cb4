//! An administrator's questions, asked over a control connection; what is answered is in [`administration`](crate::administration).

use crate::administration::{
    Drained, HeldConnection, Holder, List, LogLevel, Reloaded, Status, Upgrade, Upgraded, Which,
};
use crate::control::ControlConnection;
use crate::error::HandoffError;
use crate::reply::Reply;
use crate::request::Request;
use crate::wire::{drained_of, log_level_of, not_the_answer};

impl ControlConnection {
    /// Who has which address, in the order of their numbers. Addresses that did not fit one message are put together again.
    ///
    /// # Errors
    /// As [`ControlConnection::route`].
    pub fn list(&mut self) -> Result<Vec<Holder>, HandoffError> {
        self.list_of(List::default())
    }

    /// The same for some of them.
    ///
    /// # Errors
    /// As [`ControlConnection::route`].
    pub fn list_of(&mut self, which: List) -> Result<Vec<Holder>, HandoffError> {
        let mut holders: Vec<Holder> = Vec::new();
        self.ask_for_pages(&Request::List(which), |reply| match reply {
            Reply::Listed(page) => {
                Holder::join_page(&mut holders, page.entries);
                Ok(page.more)
            }
            other => Err(not_the_answer(other)),
        })?;
        which.retain(&mut holders);
        Ok(holders)
    }

    /// Which connections the broker still has.
    ///
    /// # Errors
    /// As [`ControlConnection::route`].
    pub fn connections(&mut self) -> Result<Vec<HeldConnection>, HandoffError> {
        let mut connections = Vec::new();
        self.ask_for_pages(&Request::Connections, |reply| match reply {
            Reply::Connections(page) => {
                connections.extend(page.entries);
                Ok(page.more)
            }
            other => Err(not_the_answer(other)),
        })?;
        Ok(connections)
    }

    /// Gives holders no new connections, and says which they are and what still waits for them. May be asked again to see how
    /// that goes on. A worker may ask this, too, of a registration of this control connection, by its number.
    ///
    /// # Errors
    /// As [`ControlConnection::route`]; [`InvalidArgument`](crate::RefusedReason::InvalidArgument) if there is no such holder.
    pub fn drain(&mut self, which: &Which) -> Result<Vec<Drained>, HandoffError> {
        drained_of(self.ask(&Request::Drain(which.clone()))?)
    }

    /// Gives them new connections again.
    ///
    /// # Errors
    /// As [`ControlConnection::drain`]; [`ConflictingRegistration`](crate::RefusedReason::ConflictingRegistration) if another has
    /// taken the address meanwhile.
    pub fn undrain(&mut self, which: &Which) -> Result<Vec<Drained>, HandoffError> {
        drained_of(self.ask(&Request::Undrain(which.clone()))?)
    }

    /// Has the broker read its configuration again, and do what it says now; says what that is, or what is wrong.
    ///
    /// # Errors
    /// As [`ControlConnection::route`].
    pub fn reload(&mut self) -> Result<Reloaded, HandoffError> {
        let mut all = Reloaded::default();
        self.ask_for_pages(&Request::Reload, |reply| match reply {
            Reply::Reloaded(part) => {
                all.error = all.error.take().or(part.error);
                all.changes.extend(part.changes);
                all.needs_restart.extend(part.needs_restart);
                all.warnings.extend(part.warnings);
                Ok(part.more)
            }
            other => Err(not_the_answer(other)),
        })?;
        Ok(all)
    }

    /// Has the broker start the next one, and pass everything on to it; says which that is, or why the broker goes on itself.
    ///
    /// # Errors
    /// As [`ControlConnection::route`].
    pub fn upgrade(&mut self, upgrade: &Upgrade) -> Result<Upgraded, HandoffError> {
        match self.ask(&Request::Upgrade(upgrade.clone()))?.0 {
            Reply::Upgraded(upgraded) => Ok(upgraded),
            other => Err(not_the_answer(other)),
        }
    }

    /// How the broker does.
    ///
    /// # Errors
    /// As [`ControlConnection::route`].
    pub fn status(&mut self) -> Result<Status, HandoffError> {
        match self.ask(&Request::Status)?.0 {
            Reply::Status(status) => Ok(*status),
            other => Err(not_the_answer(other)),
        }
    }

    /// Sets how much the broker logs; says what was set, and what it was.
    ///
    /// # Errors
    /// As [`ControlConnection::route`]; [`InvalidArgument`](crate::RefusedReason::InvalidArgument) if there is no such level, or it
    /// is asked for too long.
    pub fn log_level(&mut self, wanted: &LogLevel) -> Result<LogLevel, HandoffError> {
        log_level_of(self.ask(&Request::LogLevel(wanted.clone()))?)
    }

    /// Asks, and takes each part of the answer until one is the last.
    fn ask_for_pages(
        &mut self,
        request: &Request,
        mut take: impl FnMut(Reply) -> Result<bool, HandoffError>,
    ) -> Result<(), HandoffError> {
        self.send(request, None)?;
        while take(self.receive()?.0)? {}
        Ok(())
    }
}
