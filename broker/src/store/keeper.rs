//! Gives descriptors to the service manager, and takes them back. By a thread of its own: the service manager may be slow, and nobody
//! waits for it but who wants to.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::entry::{What, sealed};
use super::name::Name;
use crate::lock::lock;
use crate::notify;
use crate::passed::descriptors::Given;

/// Says how many descriptors the service manager keeps. systemd sets it from version 254 on; before that the unit does.
const VARIABLE: &str = "FDSTORE";

/// The longest name, in octets.
pub(super) const LONGEST_NAME: usize = 9;

/// At most so many are kept, whatever the service manager would: the names of all of them, with something between them, are one
/// string of the next broker's environment, and the kernel starts no program with one of 128 KiB.
const MOST: usize = 100 * 1024 / (LONGEST_NAME + 1);

/// So many may wait for a service manager that does not read.
const BACKLOG: usize = 1024;

/// How long a worker waits for its registration to be kept before it is told of it.
const PATIENCE: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug)]
pub(crate) struct Store {
    most: usize,
    kept: Mutex<Kept>,
    /// How many are about to be given.
    backlog: Arc<AtomicUsize>,
}

#[derive(Debug)]
struct Kept {
    /// How many descriptors have which name, and whether that is known to be this broker's.
    names: BTreeMap<Name, (usize, bool)>,
    /// `None`: what is kept now is the next broker's.
    messages: Option<Sender<Message>>,
    /// That there is no room is said once.
    complained: bool,
}

#[derive(Debug)]
enum Message {
    Keep(Name, Vec<OwnedFd>),
    Forget(String),
    Sent(oneshot::Sender<()>),
}

impl Store {
    /// `None`: no service manager says that it keeps anything.
    ///
    /// # Errors
    /// There is no thread for it.
    pub(crate) fn of_the_service_manager() -> io::Result<Option<Self>> {
        let most = std::env::var(VARIABLE).ok().and_then(|most| most.parse().ok()).unwrap_or(0);
        if most == 0 || std::env::var_os("NOTIFY_SOCKET").is_none() {
            return Ok(None);
        }
        let (messages, to_send) = channel();
        let backlog = Arc::<AtomicUsize>::default();
        let left = Arc::clone(&backlog);
        // It ends with the store; one that waits for the service manager is not waited for.
        thread::Builder::new().name("store".to_owned()).spawn(move || send_all(&to_send, &left))?;
        let kept = Kept { names: BTreeMap::new(), messages: Some(messages), complained: false };
        Ok(Some(Self { most: MOST.min(most), kept: Mutex::new(kept), backlog }))
    }

    /// Has these kept by that name, if there is room and they are not yet.
    pub(crate) fn keep(&self, name: Option<Name>, descriptors: &[BorrowedFd<'_>]) {
        let Some(name) = name else { return };
        let mut kept = lock(&self.kept);
        if let Some((_, ours)) = kept.names.get_mut(&name) {
            *ours = true;
            return;
        }
        let Some(messages) = &kept.messages else { return };
        let in_all: usize = kept.names.values().map(|(count, _)| count).sum::<usize>() + descriptors.len();
        if in_all > self.most || self.backlog.load(Ordering::Relaxed) > BACKLOG {
            if !std::mem::replace(&mut kept.complained, true) {
                tracing::warn!(
                    "the service manager keeps {} descriptors for the next broker (FileDescriptorStoreMax=) and no more: if this one is \
                     killed, workers whose registrations are not among them have to register again",
                    self.most
                );
            }
            return;
        }
        let copies: io::Result<Vec<OwnedFd>> =
            descriptors.iter().map(BorrowedFd::try_clone_to_owned).collect();
        // Without a descriptor for that it is not kept.
        let Ok(copies) = copies else { return };
        if messages.send(Message::Keep(name, copies)).is_ok() {
            self.backlog.fetch_add(1, Ordering::Relaxed);
            kept.names.insert(name, (descriptors.len(), true));
        }
    }

    /// The same with an entry beside them, which says what they are.
    pub(crate) fn keep_with(&self, name: Option<Name>, what: What, given: &Given<'_>) {
        if self.keeps(name) {
            self.keep(name, &[]);
        } else if let Ok(entry) = sealed(what, given) {
            self.keep(name, &[given.all(), &[entry.as_fd()]].concat());
        }
    }

    /// Whether anything is kept by that name.
    pub(crate) fn keeps(&self, name: Option<Name>) -> bool {
        name.is_some_and(|name| lock(&self.kept).names.contains_key(&name))
    }

    /// Has everything of that name kept no longer; true if it was.
    pub(crate) fn forget(&self, name: Option<Name>) -> bool {
        let mut kept = lock(&self.kept);
        let Some(name) = name.filter(|_| kept.messages.is_some()) else { return false };
        let known = kept.names.remove(&name).is_some();
        if known {
            kept.tell(Message::Forget(name.to_string()));
        }
        known
    }

    /// The same for what was found there and is nothing of ours.
    pub(crate) fn forget_strays(&self, names: &[String]) {
        let kept = lock(&self.kept);
        names.iter().for_each(|name| kept.tell(Message::Forget(name.clone())));
    }

    /// The broker before this one has had these kept, by their names.
    pub(crate) fn again(&self, names: &BTreeMap<String, usize>) {
        let mut kept = lock(&self.kept);
        kept.names
            .extend(names.iter().filter_map(|(name, count)| Some((name.parse().ok()?, (*count, false)))));
    }

    /// Has what that one had, and this one has not, kept no longer.
    pub(crate) fn forget_others(&self) {
        let mut kept = lock(&self.kept);
        let others = kept.names.iter().filter(|(_, (_, ours))| !ours);
        let others: Vec<String> = others.map(|(name, _)| name.to_string()).collect();
        kept.names.retain(|_, (_, ours)| *ours);
        others.into_iter().for_each(|name| kept.tell(Message::Forget(name)));
    }

    /// What is kept, by its name.
    pub(crate) fn names(&self) -> BTreeMap<String, usize> {
        lock(&self.kept).names.iter().map(|(name, (count, _))| (name.to_string(), *count)).collect()
    }

    /// Waits until all that was said is with the service manager, but not long.
    pub(crate) async fn sent(&self) {
        let (tell, told) = oneshot::channel();
        lock(&self.kept).tell(Message::Sent(tell));
        let _ = timeout(PATIENCE, told).await;
    }

    /// What is kept now is the next broker's.
    pub(crate) fn end(&self) {
        lock(&self.kept).messages = None;
    }
}

impl Kept {
    fn tell(&self, message: Message) {
        let _ = self.messages.as_ref().map(|messages| messages.send(message));
    }
}

fn send_all(messages: &Receiver<Message>, backlog: &AtomicUsize) {
    for message in messages {
        match message {
            Message::Keep(name, descriptors) => {
                let name = name.to_string();
                let descriptors: Vec<BorrowedFd<'_>> = descriptors.iter().map(AsFd::as_fd).collect();
                // Whether the other end is still there is seen by the broker that gets it back.
                let state =
                    [NotifyState::FdStore, NotifyState::Custom("FDPOLL=0"), NotifyState::FdName(&name)];
                notify::said(sd_notify::notify_with_fds(&state, &descriptors));
                backlog.fetch_sub(1, Ordering::Relaxed);
            }
            Message::Forget(name) => {
                notify::said(sd_notify::notify(&[NotifyState::FdStoreRemove, NotifyState::FdName(&name)]));
            }
            // Who has waited in vain is gone.
            Message::Sent(tell) => drop(tell.send(())),
        }
    }
}
