//! Whose request was refused, and why: one line in the log for the same again and again, and the last registrations for whoever
//! asks.

use std::hash::{DefaultHasher, Hash, Hasher};

use handoff::tokio::AsyncControlPeer;
use handoff::{PeerCredentials, Refused, Request};
use tracing::Level;

use crate::recent::{NotRegistered, cleaned};
use crate::shared::Shared;
use crate::tally::{Kind, Tally};

pub(super) const REFUSED: Kind = Kind { level: Level::WARN, what: "refused" };

/// Which address was to be registered, if any was; `None`: it was another request.
pub(super) fn to_be_registered<E>(request: &Result<Request, E>) -> Option<Option<String>> {
    match request {
        Ok(Request::Register(register)) => Some(register.addresses.first().cloned()),
        _ => None,
    }
}

pub(super) fn log_refusal(tally: &Tally, peer: &AsyncControlPeer, refused: &Refused) {
    let PeerCredentials { uid, pid, .. } = peer.credentials();
    // A user has processes as it likes.
    let mut subject = DefaultHasher::new();
    (uid, refused.reason, &refused.address).hash(&mut subject);
    tally.count(REFUSED, subject.finish(), || {
        let address =
            refused.address.as_ref().map(|address| format!(" address={address:?}")).unwrap_or_default();
        let pid = if pid == 0 { String::new() } else { format!("pid={pid} ") };
        format!("{pid}uid={uid} reason={}{address} message={:?}", refused.reason, refused.message)
    });
}

/// A registration was refused; `asked` is its first address.
pub(super) fn note_refusal(
    shared: &Shared,
    peer: &AsyncControlPeer,
    refused: &Refused,
    asked: Option<String>,
) {
    let PeerCredentials { uid, pid, .. } = peer.credentials();
    let reason = refused.reason;
    let address = refused.address.as_ref().or(asked.as_ref()).map(|address| cleaned(address.as_bytes()));
    shared.not_registered.note_of(
        |other| other.uid,
        |other| (other.uid, other.reason, &other.address) == (uid, reason, &address),
        |other| other.pid = pid,
        || NotRegistered {
            address: address.clone(),
            pid,
            uid,
            reason,
            message: cleaned(refused.message.as_bytes()),
        },
    );
}
