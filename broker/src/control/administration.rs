//! What an administrator asks, and is answered: long answers in several messages, made one at a time.

use std::collections::HashMap;
use std::io;

use handoff::administration::{Holder as Listed, Page};
use handoff::tokio::AsyncControlPeer;
use handoff::{RefusedReason, Reply, Request};
use nix::unistd::{Uid, User};

use super::denied::{Denied, refused};
use super::listing::Cursor;
use super::registrar::Registrar;
use super::status;
use crate::command::Command;
use crate::here::{self, Asked, Here};
use crate::listening::owner::program_of;
use crate::shared::Shared;

/// Sends the answer to such a request.
///
/// # Errors
/// The peer is gone.
pub(super) async fn answer(
    request: &Request,
    peer: &AsyncControlPeer,
    registrar: &Registrar,
    shared: &Shared,
) -> Result<io::Result<()>, Denied> {
    match request {
        Request::List => Ok(list(peer, registrar).await),
        Request::Connections => Ok(connections(peer, shared).await),
        Request::Status => Ok(peer.send(&status::reply(status::status(registrar, shared).await), None).await),
        Request::Drain(which) | Request::Undrain(which) => {
            let (which, draining) = (which.clone(), matches!(request, Request::Drain(_)));
            let drained = registrar.ask(move |registry| registry.drain(&which, draining)).await?;
            Ok(peer.send(&Reply::Drained(drained), None).await)
        }
        _ => Err(refused(
            RefusedReason::NotSupported,
            None,
            "the broker does not know this request".to_owned(),
        )
        .into()),
    }
}

async fn list(peer: &AsyncControlPeer, registrar: &Registrar) -> io::Result<()> {
    let (mut names, mut next) = (Names::default(), Some(Cursor::default()));
    while let Some(from) = next {
        let (mut page, more) = registrar.ask(move |registry| registry.list(from)).await;
        next = more;
        // Names may be far away, and processes are many.
        let named = tokio::task::spawn_blocking(move || {
            page.iter_mut().for_each(|listed| names.fill_in(listed));
            (page, names)
        });
        let (page, kept) = named.await.map_err(io::Error::other)?;
        names = kept;
        peer.send(&Reply::Listed(Page::new(page, next.is_some())), None).await?;
    }
    Ok(())
}

/// Who workers are; each is looked up once for a list.
#[derive(Debug, Default)]
struct Names {
    programs: HashMap<u32, String>,
    users: HashMap<u32, Option<String>>,
}

impl Names {
    fn fill_in(&mut self, listed: &mut Listed) {
        let name = |uid: u32| User::from_uid(Uid::from_raw(uid)).ok().flatten().map(|user| user.name);
        listed.program =
            listed.pid.map(|pid| self.programs.entry(pid).or_insert_with(|| program_of(pid)).clone());
        listed.user = listed.uid.and_then(|uid| self.users.entry(uid).or_insert_with(|| name(uid)).clone());
    }
}

/// First what waits in the accept loop, then what the relay loop has.
async fn connections(peer: &AsyncControlPeer, shared: &Shared) -> io::Result<()> {
    let mut next = Some(Here::default());
    while let Some(from) = next {
        let (entries, more) =
            ask_loop(from, |asked| shared.commands.send(Command::ListConnections(asked))).await;
        next = more;
        peer.send(&Reply::Connections(Page::new(entries, true)), None).await?;
    }
    let mut next = Some(Here::default());
    while let Some(from) = next {
        let (entries, more) = ask_loop(from, |asked| shared.relays.list(asked)).await;
        next = more;
        peer.send(&Reply::Connections(Page::new(entries, next.is_some())), None).await?;
    }
    Ok(())
}

/// One page of a loop. If it has ended, so does the broker.
async fn ask_loop(from: Here, send: impl FnOnce(Asked)) -> here::Page {
    let (asked, answer) = Asked::new(from);
    send(asked);
    match answer.await {
        Ok(page) => page,
        Err(_) => std::future::pending().await,
    }
}
