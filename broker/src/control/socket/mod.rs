//! The control socket: one task per worker, one answer per request. [`access`]: who may do what; [`opened`]: its file.

pub(super) mod access;
mod opened;

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use handoff::administration::Which;
use handoff::tokio::AsyncControlPeer;
use handoff::{AcceptSocket, Refused, RefusedReason, Reply, Request};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tracing::Level;

use self::access::Access;
pub(crate) use self::access::{Passed, open};
pub(crate) use self::opened::{ControlSocket, control};
use super::administration::{self, Asking};
use super::configuration::Configuration;
use super::denied::{Denied, refused};
use super::folder_watch::FolderWatch;
use super::given_back::{self, GivenBack};
use super::lookup::is_unknown;
use super::passing::Returned;
use super::quota::{Connected, Quotas};
use super::refusals::{REFUSED, log_refusal, note_refusal, to_be_registered};
use super::registrar::Registrar;
use super::status::nearest;
use super::turns::Present;
use crate::command::Command;
use crate::listening::owner::{process, program_of};
use crate::shared::Shared;
use crate::store::mark::Mark;
use crate::store::name::Name;
use crate::tally::Kind;

/// How many workers that may not register are listened to at a time. They are told so; they cannot use up descriptors.
const STRANGERS: usize = 16;

/// A conflict is looked at again before it is refused. A process that starts another has, for the moment between the two
/// steps of that, a copy of its descriptors in the other: so a control connection may live a little longer than its worker.
/// Where descriptors are out, connections that only wait make room meanwhile.
const LOOKS: usize = 5;
const LOOK_AGAIN: Duration = Duration::from_millis(10);

const DENIED: Kind = Kind { level: Level::WARN, what: "access denied" };
const NOT_ACCEPTED: Kind = Kind { level: Level::ERROR, what: "no worker can be accepted for a moment" };

/// Accepts workers until it is cancelled.
pub(crate) async fn serve(
    listener: Arc<ControlSocket>,
    access: Access,
    registrar: Registrar,
    quotas: Arc<Quotas>,
    shared: Arc<Shared>,
    configuration: Arc<Configuration>,
    returned: Vec<Returned>,
) {
    let strangers = Arc::new(AtomicUsize::new(0));
    let mut workers = JoinSet::new();
    let begin = |peer: Arc<AsyncControlPeer>, connected, ids| {
        let present = shared.turns.enter(&peer, access.is_for_administrators());
        let (shared, configuration) = (Arc::clone(&shared), Arc::clone(&configuration));
        let kept_as = shared.store.as_ref().and_then(|_| Name::worker(&*peer));
        let (access, registrar) = (access.clone(), registrar.clone());
        let holding = Holding { access, registrar, _connected: connected, ids, kept_as };
        worker(peer, holding, present, shared, configuration)
    };
    for Returned { peer, ids, .. } in returned {
        let connected = quotas.connect_again(peer.credentials().uid);
        workers.spawn(begin(peer, connected, ids));
    }
    let (mut watch, mut told) = (FolderWatch::of(listener.path()), None);
    // What has happened since it was opened.
    listener.look_after(&mut watch, &mut told);
    loop {
        let _turn = shared.turns.accepting().await;
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shared.turns.are_wanted() => continue,
            () = watch.changed() => {
                listener.look_after(&mut watch, &mut told);
                continue;
            }
            Some(_) = workers.join_next() => continue,
        };
        let peer = match accepted {
            Ok(peer) => peer,
            Err(error) => {
                let about = error.raw_os_error().unwrap_or_default();
                shared.tally.count(NOT_ACCEPTED, about.unsigned_abs().into(), || error.to_string());
                shared.commands.send(Command::MakeRoom);
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let (uid, pid) = (peer.credentials().uid, peer.credentials().pid);
        let refused = if !access.admits(&peer) {
            let message = format!(
                "user {uid} may not use this broker; its administrator admits a group, with control_group to register, with [admin] group to \
                 administer"
            );
            shared.tally.count(DENIED, uid.into(), || format!("user {uid}, {}", process(pid)));
            refused(RefusedReason::AccessDenied, None, message)
        } else {
            match quotas.connect(uid) {
                Ok(connected) => {
                    workers.spawn(begin(Arc::new(peer), connected, Vec::new()));
                    continue;
                }
                Err(message) => {
                    shared.tally.count(REFUSED, uid.into(), || format!("{}: {message}", process(pid)));
                    refused(RefusedReason::RegistrationQuotaExceeded, None, message)
                }
            }
        };
        if strangers.load(Ordering::Relaxed) < STRANGERS {
            strangers.fetch_add(1, Ordering::Relaxed);
            let (strangers, shared) = (Arc::clone(&strangers), Arc::clone(&shared));
            workers.spawn(async move {
                turn_away(&peer, &refused, &shared).await;
                strangers.fetch_sub(1, Ordering::Relaxed);
            });
        }
    }
}

/// One worker until it leaves; its registrations leave with it.
async fn worker(
    peer: Arc<AsyncControlPeer>,
    mut holding: Holding,
    present: Present,
    shared: Arc<Shared>,
    configuration: Arc<Configuration>,
) {
    let access = holding.access.clone();
    loop {
        holding.mark(Mark::at_rest(holding.ids.len()), &peer);
        if peer.readable().await.is_err() {
            return;
        }
        let _turn = present.turn().await;
        holding.mark(Mark::BUSY, &peer);
        let received = tokio::select! {
            biased;
            received = peer.receive_with_connection() => received,
            // There was nothing.
            () = std::future::ready(()) => continue,
        };
        let Ok(Some(received)) = received else { return };
        let (request, mut connection) = match received {
            Ok((request, connection)) => (Ok(request), connection),
            Err(malformed) => (Err(malformed), None),
        };
        // Whoever asked has given up, maybe long ago, while this process was stopped: nobody expects it to happen any more. But what was
        // given back is an initiator's.
        if connection.is_none() && peer.is_gone() {
            return;
        }
        if let Ok(request) = &request
            && is_for_administrators(request)
        {
            let admitted = if holding.may_ask(request) { Ok(()) } else { access.admits_administrator(&peer) };
            let answered = match admitted {
                Ok(()) => {
                    let may_name_a_program = access.may_name_a_program(&peer);
                    let asking = Asking { number: present.number(), may_name_a_program };
                    let registrar = &holding.registrar;
                    administration::answer(request, &peer, asking, registrar, &shared, &configuration).await
                }
                Err(refused) => Err(refused.into()),
            };
            let sent = match answered {
                Ok(sent) => sent,
                Err(denied) => {
                    let refused = told(denied).await;
                    // Whoever asks is told; a mistake in a question is no news for others.
                    if refused.reason == RefusedReason::AccessDenied {
                        log_refusal(&shared.tally, &peer, &refused);
                    }
                    peer.send(&Reply::Refused(refused), None).await
                }
            };
            if sent.is_err() {
                return;
            }
            continue;
        }
        if let (Ok(Request::Return { .. }), None) = (&request, &connection) {
            // There was no descriptor for it. Whoever gives it back may try again.
            shared.commands.send(Command::MakeRoom);
        }
        let asked = to_be_registered(&request);
        let (reply, accept_socket, last) = match request {
            Ok(request) => {
                let mut answer = holding.answer(&request, &mut connection, &peer, &shared).await;
                for _ in 0..LOOKS {
                    match &answer {
                        Err(denied) if denied.reason() == RefusedReason::ConflictingRegistration => {}
                        // Registrations are worth more than connections without a preamble.
                        Err(denied) if denied.is_shortage() => shared.commands.send(Command::MakeRoom),
                        _ => break,
                    }
                    tokio::time::sleep(LOOK_AGAIN).await;
                    answer = holding.answer(&request, &mut connection, &peer, &shared).await;
                }
                match answer {
                    Ok((reply, socket)) => (reply, socket, false),
                    Err(denied) => (Reply::Refused(told(denied).await), None, false),
                }
            }
            Err(malformed) => (malformed.reply(), None, true),
        };
        if let Reply::Refused(refused) = &reply {
            log_refusal(&shared.tally, &peer, refused);
            if let Some(first) = asked {
                note_refusal(&shared, &peer, refused, first);
            }
        }
        let sent = peer.send(&reply, accept_socket.as_ref().map(AcceptSocket::as_fd)).await;
        if sent.is_err() || last {
            return;
        }
    }
}

/// What one control connection holds; ends with it, however it ends.
#[derive(Debug)]
struct Holding {
    access: Access,
    registrar: Registrar,
    _connected: Connected,
    ids: Vec<u64>,
    /// By which name it may be kept for the next broker; `None`: nothing is kept.
    kept_as: Option<Name>,
}

type Answer = Result<(Reply, Option<AcceptSocket>), Denied>;

impl Holding {
    /// Says on the control connection how it stands.
    fn mark(&self, mark: Mark, peer: &AsyncControlPeer) {
        if self.kept_as.is_some() {
            mark.set(peer);
        }
    }

    /// A worker lets its own registrations drain without being an administrator.
    fn may_ask(&self, request: &Request) -> bool {
        match request {
            Request::Drain(Which::Id(id)) | Request::Undrain(Which::Id(id)) => self.ids.contains(id),
            _ => false,
        }
    }

    async fn answer(
        &mut self,
        request: &Request,
        connection: &mut Option<OwnedFd>,
        peer: &Arc<AsyncControlPeer>,
        shared: &Shared,
    ) -> Answer {
        match request {
            Request::Register(register) => {
                self.access.admits_worker()?;
                let (register, holder) = (register.clone(), Arc::clone(peer));
                let registered =
                    self.registrar.ask(move |registry| registry.register(&register, &holder)).await;
                let (registered, accept_socket) = registered?;
                self.ids.push(registered.id);
                if let Some(store) = &shared.store {
                    store.sent().await;
                }
                Ok((Reply::Registered(registered), Some(accept_socket)))
            }
            &Request::Unregister { id } => {
                let place = self.place_of(id)?;
                self.ids.swap_remove(place);
                self.registrar.ask(move |registry| registry.unregister(id, "unregistered")).await;
                Ok((Reply::Unregistered { id }, None))
            }
            Request::Validate(validate) => {
                let (validate, ids) = (validate.clone(), self.ids.clone());
                let id = self.registrar.ask(move |registry| registry.validate(&validate, &ids)).await;
                Ok((Reply::Validated { id }, None))
            }
            &Request::Return { id } => {
                self.place_of(id)?;
                let given = GivenBack::new(connection.take().ok_or_else(given_back::not_received)?)?;
                self.registrar.ask(move |registry| registry.take_back(given)).await?;
                Ok((Reply::Returned, None))
            }
            Request::Route(route) => {
                self.access.admits_administrator(peer)?;
                let asked = route.clone();
                let mut routed = self.registrar.ask(move |registry| registry.route(&asked)).await;
                routed.program = routed.pid.map(program_of);
                if route.nearest && is_unknown(&routed) {
                    routed.nearest = nearest(&self.registrar, &route.via).await;
                }
                Ok((Reply::Routed(routed), None))
            }
            Request::NotSupported { name } => Err(not_supported(name).into()),
            _ => Err(not_supported("this").into()),
        }
    }
}

impl Holding {
    /// Where a registration of this control connection is among its numbers.
    fn place_of(&self, id: u64) -> Result<usize, Refused> {
        self.ids.iter().position(|held| *held == id).ok_or_else(|| {
            let message = format!("this control connection has no registration {id}");
            refused(RefusedReason::InvalidArgument, None, message)
        })
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        for id in std::mem::take(&mut self.ids) {
            self.registrar.tell(move |registry| registry.leave(id, "its worker has left"));
        }
        if let Some(kept_as) = self.kept_as {
            self.registrar.tell(move |registry| registry.keep_worker_no_longer(kept_as));
        }
    }
}

/// What a worker is told, on a thread where it may take long; one at a time, so that no user can take all of those.
async fn told(denied: Denied) -> Refused {
    static ONE: Semaphore = Semaphore::const_new(1);
    if let Denied::Known(refused) = denied {
        return refused;
    }
    let _turn = ONE.acquire().await;
    match tokio::task::spawn_blocking(move || denied.told()).await {
        Ok(refused) => refused,
        // The broker ends.
        Err(_) => std::future::pending().await,
    }
}

fn is_for_administrators(request: &Request) -> bool {
    !matches!(
        request,
        Request::Register(_)
            | Request::Unregister { .. }
            | Request::Validate(_)
            | Request::Return { .. }
            | Request::Route(_)
            | Request::NotSupported { .. }
    )
}

fn not_supported(name: &str) -> Refused {
    let name = name.escape_debug().take(100).collect::<String>();
    refused(RefusedReason::NotSupported, None, format!("the broker does not know the request {name:?}"))
}

/// Whoever may not register is told so, whatever is asked.
async fn turn_away(peer: &AsyncControlPeer, refused: &Refused, shared: &Shared) {
    while let Ok(Some(request)) = peer.receive().await {
        if let Some(first) = to_be_registered(&request) {
            note_refusal(shared, peer, refused, first);
        }
        let (reply, last) = match request {
            Ok(_) => (Reply::Refused(refused.clone()), false),
            Err(malformed) => (malformed.reply(), true),
        };
        if peer.send(&reply, None).await.is_err() || last {
            return;
        }
    }
}

#[cfg(test)]
mod tests;
