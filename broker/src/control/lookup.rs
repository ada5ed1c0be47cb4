//! The answer to `{"route": …}`, and to `broker route` from a file: which registration a Via belongs to, and why.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;

use framing_core::{DecodeError, Fault, Field, Limits};
use handoff::{Route, Routed};
use router::{HostNameComparison, Via};

use crate::config::Compatibility;
use crate::outcome::{Answer, Outcome};
use crate::routes::holder::Holder;
use crate::routes::table::{Bound, Choice, Found, Table, Target};

/// A line that is longer than this is no Via, whatever is in it.
pub(crate) const LONGEST_VIA: usize = Limits::DEFAULT.via;

/// The answer of a broker with this table.
pub(crate) fn lookup(
    table: &Table,
    compatibility: Compatibility,
    route: &Route,
    listens_on: impl Fn(SocketAddr) -> bool,
) -> Routed {
    let asked = Asked { text: Cow::Borrowed(&route.via), not_utf8: route.not_utf8 };
    match asked.parse_by(compatibility) {
        Ok(via) => lookup_via(table, &via, route.local, listens_on),
        Err((outcome, message)) => no_via(outcome, compatibility, message),
    }
}

/// Which of a worker's registrations would be handed a connection with this Via, or has the address together with the one that would.
pub(crate) fn own(table: &Table, via: &str, local: SocketAddr, registrations: &[u64]) -> Option<u64> {
    let asked = Asked { text: Cow::Borrowed(via), not_utf8: false };
    let Choice::Direct(found, _) = table.choose(&asked.parse().ok()?, local) else { return None };
    let there = Bound(Some(Arc::from([local.ip()])));
    let own = table.overlapping(&found.prefix, &there).filter(|target| !target.draining);
    own.map(|target| target.holder.id()).find(|id| registrations.contains(id))
}

/// Nobody has the address: another may have been meant.
pub(crate) fn is_unknown(routed: &Routed) -> bool {
    let drains = Fault::ENDPOINT_UNAVAILABLE.to_string();
    routed.address.is_none() && routed.fault.as_ref() != Some(&drains)
}

/// What a connection is answered whose Via is none.
fn no_via(outcome: Outcome, compatibility: Compatibility, message: String) -> Routed {
    match outcome.answer(compatibility) {
        Some(Answer::Fault(fault)) => Routed::fault(fault.to_string(), message),
        _ => Routed::reset(message),
    }
}

fn lookup_via(
    table: &Table,
    via: &Via<'_>,
    local: SocketAddr,
    listens_on: impl Fn(SocketAddr) -> bool,
) -> Routed {
    if !listens_on(local) {
        let message = format!("the broker does not listen on {local}: no registration asks for it");
        return Routed::not_listening(message);
    }
    match table.choose(via, local) {
        Choice::Direct(target, _) | Choice::Bridge(target, ..) if target.draining => {
            let fault = Outcome::Draining.answer(Compatibility::Default);
            let (address, id) = (target.prefix.address(), target.holder.id());
            let message = format!("{address} drains, by an administrator; `broker undrain {id}` ends it");
            match fault {
                Some(Answer::Fault(fault)) => Routed::fault(fault.to_string(), message),
                _ => Routed::nowhere(message),
            }
        }
        Choice::Direct(target, found) => to(target, because(found)),
        Choice::Bridge(target, at, found) => {
            let at = SocketAddr::new(at, local.port());
            to(target, format!("{}, over a connection that the broker makes to {at}", because(found)))
        }
        Choice::None(miss) => Routed::nowhere(miss.to_string()),
        Choice::Unknown => {
            let message = format!("it depends on the local address; {} stands for all", local.ip());
            Routed::nowhere(message)
        }
    }
}

fn to(target: &Target, message: String) -> Routed {
    let mut routed = Routed::to(target.prefix.address(), message);
    match &target.holder {
        Holder::Worker(queue) => routed.registration = Some(queue.id()),
        Holder::Route(route) => routed.relay = Some(route.to.to_string()),
    }
    routed
}

fn because(Found { mode, segments }: Found) -> String {
    let host = match mode {
        HostNameComparison::Exact => "host and port of the Via",
        _ => "the port of the connection",
    };
    let plural = if segments == 1 { "" } else { "s" };
    format!("{mode}: {host} and {segments} segment{plural} of the path match")
}

/// A Via as it comes off the wire.
pub(crate) struct Asked<'a> {
    /// With U+FFFD for what is not UTF-8.
    pub(crate) text: Cow<'a, str>,
    pub(crate) not_utf8: bool,
}

impl<'a> From<&'a [u8]> for Asked<'a> {
    fn from(octets: &'a [u8]) -> Self {
        let text = String::from_utf8_lossy(octets);
        // One that is too long is that first.
        let not_utf8 = matches!(text, Cow::Owned(_)) && octets.len() <= LONGEST_VIA;
        Self { not_utf8, text }
    }
}

impl Asked<'_> {
    /// As the original reads it.
    pub(crate) fn parse(&self) -> Result<Via<'_>, (Outcome, String)> {
        if self.text.len() > LONGEST_VIA {
            let [octets, limit] =
                [self.text.len(), LONGEST_VIA].map(|octets| u64::try_from(octets).unwrap_or(u64::MAX));
            let too_long = DecodeError::TooLong { field: Field::Via, octets, limit };
            return Err((too_long.into(), format!("the Via has more than {LONGEST_VIA} octets")));
        }
        Via::parse(&self.text).map_err(|error| (Outcome::InvalidVia, error.to_string()))
    }

    /// As a broker of this compatibility does.
    fn parse_by(&self, compatibility: Compatibility) -> Result<Via<'_>, (Outcome, String)> {
        if self.not_utf8 && compatibility == Compatibility::Default {
            return Err((Outcome::InvalidVia, "the Via is not UTF-8".to_owned()));
        }
        self.parse()
    }
}
