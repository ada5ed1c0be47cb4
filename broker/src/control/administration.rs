//! What an administrator asks, and is answered: long answers in several messages, made one at a time.

use std::collections::HashMap;
use std::io;
use std::time::Duration;

use handoff::administration::{Holder as Listed, List, LogLevel, Page, Reloaded};
use handoff::tokio::AsyncControlPeer;
use handoff::{PeerCredentials, Refused, RefusedReason, Reply, Request};
use nix::unistd::{Uid, User};
use tracing::level_filters::LevelFilter;

use super::configuration::Configuration;
use super::denied::{Denied, refused};
use super::listing::Cursor;
use super::registrar::Registrar;
use super::status;
use crate::command::Command;
use crate::here::{self, Asked, Here};
use crate::listening::owner::{process, program_of};
use crate::log::level;
use crate::shared::Shared;
use crate::wanted;

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asking {
    /// The control connection's number.
    pub(super) number: u64,
    /// Whether it may say which program the next broker is.
    pub(super) may_name_a_program: bool,
}

/// Sends the answer to such a request.
///
/// # Errors
/// The peer is gone.
pub(super) async fn answer(
    request: &Request,
    peer: &AsyncControlPeer,
    asking: Asking,
    registrar: &Registrar,
    shared: &Shared,
    configuration: &Configuration,
) -> Result<io::Result<()>, Denied> {
    match request {
        Request::List(which) => Ok(list(peer, registrar, *which).await),
        Request::Connections => Ok(connections(peer, shared).await),
        Request::Status => Ok(peer.send(&status::reply(status::status(registrar, shared).await), None).await),
        Request::Reload => Ok(reload(peer, configuration).await),
        Request::Upgrade(upgrade) => {
            if upgrade.binary.is_some() && !asking.may_name_a_program {
                let message = "only root and the broker's own user may name the next broker's program: it would be that user's";
                return Err(refused(RefusedReason::AccessDenied, None, message.to_owned()).into());
            }
            let binary = upgrade.binary.clone();
            let upgrade = wanted::upgrade(shared.upgrades.get(), binary, Some(asking.number));
            let (upgraded, untold) = upgrade.await;
            let sent = peer.send(&Reply::Upgraded(upgraded), None).await;
            drop(untold);
            Ok(sent)
        }
        Request::Drain(which) | Request::Undrain(which) => {
            let (which, draining) = (which.clone(), matches!(request, Request::Drain(_)));
            let drained = registrar.ask(move |registry| registry.drain(&which, draining)).await?;
            Ok(peer.send(&Reply::Drained(drained), None).await)
        }
        Request::LogLevel(wanted) => {
            let set = set_log_level(wanted, peer.credentials())?;
            Ok(peer.send(&Reply::LogLevel(set), None).await)
        }
        _ => Err(refused(
            RefusedReason::NotSupported,
            None,
            "the broker does not know this request".to_owned(),
        )
        .into()),
    }
}

/// Sets it, and sees to it that its time ends.
fn set_log_level(wanted: &LogLevel, by: PeerCredentials) -> Result<LogLevel, Refused> {
    let invalid = |message: String| refused(RefusedReason::InvalidArgument, None, message);
    let level: LevelFilter = wanted.level.parse().map_err(|_| {
        let level = wanted.level.escape_debug().take(100).collect::<String>();
        invalid(format!("there is no log level {level:?}; it must be off, error, warn, info, debug or trace"))
    })?;
    let seconds = wanted.for_seconds;
    if seconds.is_some_and(|seconds| !(1..=LogLevel::LONGEST).contains(&seconds)) {
        return Err(invalid(format!("for_seconds must be from 1 to {}", LogLevel::LONGEST)));
    }
    let said = |set: level::Set| {
        let time = seconds.map(|seconds| format!(" for {seconds} s, then {}", set.afterwards));
        let (time, was, asked) = (time.unwrap_or_default(), set.was, process(by.pid));
        format!("the log level is {level}{time}, was {was}; asked by user {}, {asked}", by.uid)
    };
    let Some(set) = level::set(level, seconds.map(Duration::from_secs), said) else {
        let message = "the log of this process is not the broker's".to_owned();
        return Err(refused(RefusedReason::NotSupported, None, message));
    };
    if let Some(seconds) = seconds {
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            level::end(set.number);
        });
    }
    let mut answer = LogLevel::new(level.to_string());
    (answer.for_seconds, answer.was) = (seconds, Some(set.was.to_string()));
    Ok(answer)
}

/// How much of an answer goes into one message, in octets and about: JSON may make six of one.
const PART: usize = handoff::MAX_MESSAGE / 8;

async fn reload(peer: &AsyncControlPeer, configuration: &Configuration) -> io::Result<()> {
    let Reloaded { error, changes, needs_restart, warnings, .. } = configuration.reload().await;
    let (mut part, mut octets) = (Reloaded::default(), 0);
    part.error = error.as_deref().map(cut_lines);
    let kind = |kind, said: &[String]| said.iter().map(|said| (kind, cut(said))).collect::<Vec<_>>();
    let all = [kind(0, &changes), kind(1, &needs_restart), kind(2, &warnings)].concat();
    for (kind, said) in all {
        octets += said.len();
        if octets > PART && octets > said.len() {
            part.more = true;
            peer.send(&Reply::Reloaded(std::mem::take(&mut part)), None).await?;
            octets = said.len();
        }
        match kind {
            0 => part.changes.push(said),
            1 => part.needs_restart.push(said),
            _ => part.warnings.push(said),
        }
    }
    peer.send(&Reply::Reloaded(part), None).await
}

/// As many lines as fit a message, and how many do not.
fn cut_lines(text: &str) -> String {
    let (mut shown, mut lines) = (String::new(), text.lines());
    while let Some(line) = lines.next() {
        if !shown.is_empty() && shown.len() + line.len() > PART {
            let more = lines.count() + 1;
            return format!("{shown}\nand {more} more; `broker check` says all of them");
        }
        shown += if shown.is_empty() { "" } else { "\n" };
        shown += &cut(line);
    }
    shown
}

/// What fits a message, of a text that may repeat what stands in a file.
fn cut(text: &str) -> String {
    text.chars().take(PART / 4).collect()
}

async fn list(peer: &AsyncControlPeer, registrar: &Registrar, which: List) -> io::Result<()> {
    let first = which.id.map_or_else(Cursor::default, Cursor::at);
    let last = which.id.unwrap_or(u64::MAX);
    let (mut names, mut next) = (Names::default(), Some(first));
    let (mut left, mut is_full) = (which.most.unwrap_or(u64::MAX), false);
    while let Some(from) = next {
        let mut page;
        (page, next) = named_page(registrar, &mut names, from, last).await?;
        page.retain(|listed| {
            if !listed.continued {
                is_full = left == 0;
                left = left.saturating_sub(1);
            }
            !is_full
        });
        next = next.filter(|_| !is_full);
        peer.send(&Reply::Listed(Page::new(page, next.is_some())), None).await?;
    }
    Ok(())
}

/// So many pages are made for whoever wants no more than the first holders.
const PAGES: usize = 64;

/// The first holders, no more than so many, and no more of them than fits [`PAGES`].
pub(crate) async fn some_holders(registrar: &Registrar, most: usize) -> Vec<Listed> {
    let (mut names, mut next) = (Names::default(), Some(Cursor::default()));
    let mut holders: Vec<Listed> = Vec::new();
    for _ in 0..PAGES {
        let Some(from) = next.filter(|_| holders.len() <= most) else { break };
        let Ok((page, more)) = named_page(registrar, &mut names, from, u64::MAX).await else { break };
        next = more;
        Listed::join_page(&mut holders, page);
    }
    holders.truncate(most);
    holders
}

/// A page of holders up to this number, with who they are.
async fn named_page(
    registrar: &Registrar,
    names: &mut Names,
    from: Cursor,
    last: u64,
) -> io::Result<(Vec<Listed>, Option<Cursor>)> {
    let (mut page, more) = registrar.ask(move |registry| registry.list(from, last)).await;
    let mut known = std::mem::take(names);
    // Names may be far away, and processes are many.
    let named = tokio::task::spawn_blocking(move || {
        page.iter_mut().for_each(|listed| known.fill_in(listed));
        (page, known)
    });
    let page;
    (page, *names) = named.await.map_err(io::Error::other)?;
    Ok((page, more))
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
