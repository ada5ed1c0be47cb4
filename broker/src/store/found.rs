//! What a service manager has kept of the broker before this one, as a manifest. That one may have been killed between any two steps:
//! what is not whole is nobody's, and so is what another version has left there, or another program.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::io::{FdFlags, fcntl_setfd, ioctl_fionbio, ioctl_fionread};
use rustix::net::{SocketType, getsockname, sockopt};

use super::entry::{Entry, What, end};
use super::mark::Mark;
use super::name::Name;
use crate::passed::descriptors::{Number, Taken};
use crate::passed::manifest::{self, Control, Http, Left, Listening, Manifest, Registration, Route};

/// A worker whose control connection could not be kept registers again at once: until then its addresses stay, and what waits for
/// it waits.
const AGAIN: Duration = Duration::from_secs(5);

/// What the service manager has given back, by names.
#[derive(Debug, Default)]
pub(crate) struct Found(BTreeMap<String, Vec<OwnedFd>>);

/// The same, when it is known what it is.
#[derive(Debug, Default)]
pub(crate) struct Known {
    pub(crate) manifest: Manifest,
    pub(crate) taken: Taken,
    /// Names of what is nobody's, and closed.
    pub(crate) strays: Vec<String>,
}

impl Found {
    /// Takes it; `None`: there is nothing. Once in a process, before others are started.
    pub(crate) fn take() -> Option<Self> {
        let mut found: BTreeMap<String, Vec<OwnedFd>> = BTreeMap::new();
        // A variable that is no number is the same as none.
        for (name, descriptor) in sd_listen_fds::get().unwrap_or_default() {
            let descriptor = descriptor.into_std();
            if fcntl_setfd(&descriptor, FdFlags::CLOEXEC).is_ok() {
                found.entry(name.unwrap_or_default()).or_default().push(descriptor);
            }
        }
        (!found.is_empty()).then_some(Self(found))
    }

    /// Finds out what it is.
    pub(crate) fn known(self) -> Known {
        let mut reading = Reading::default();
        for (text, descriptors) in self.0 {
            let (count, known) = (descriptors.len(), text.parse::<Name>());
            let copies: Vec<_> = descriptors.iter().map(OwnedFd::try_clone).collect();
            if known.is_ok_and(|name| reading.read(name, descriptors).is_some()) {
                reading.kept.insert(text, count);
            } else {
                copies.iter().flatten().for_each(|descriptor| end(descriptor.as_fd()));
                reading.strays.push(text);
            }
        }
        reading.known()
    }
}

#[derive(Debug, Default)]
struct Reading {
    descriptors: Vec<OwnedFd>,
    manifest: Manifest,
    /// With what stands on their sockets.
    workers: BTreeMap<u32, (OwnedFd, Mark)>,
    /// With the inodes of their control connections.
    registrations: Vec<(Registration, Option<u32>)>,
    draining: BTreeMap<u64, Option<Route>>,
    strays: Vec<String>,
    kept: BTreeMap<String, usize>,
}

impl Reading {
    fn number(&mut self, descriptor: OwnedFd) -> Number {
        self.descriptors.push(descriptor);
        Number::try_from(self.descriptors.len() - 1).unwrap_or(Number::MAX)
    }

    /// `None`: it is not what it is called.
    fn read(&mut self, name: Name, descriptors: Vec<OwnedFd>) -> Option<()> {
        match name {
            Name::Control => self.manifest.control = Some(self.control(descriptors)?),
            Name::Administrators => self.manifest.administrators = Some(self.control(descriptors)?),
            Name::Http(inode) => {
                let (address, socket) = listening(descriptors, inode)?;
                let socket = self.number(socket);
                self.manifest.http.push(Http { address, socket });
            }
            Name::Listening(inode) => {
                let (address, socket) = listening(descriptors, inode)?;
                if self.manifest.listening.iter().any(|other| other.address == address) {
                    return None;
                }
                let socket = Some(self.number(socket));
                self.manifest.listening.push(Listening { address, since: now(), socket });
            }
            Name::Worker(inode) => {
                let [socket] = <[OwnedFd; 1]>::try_from(descriptors).ok()?;
                let is_one = sockopt::socket_domain(&socket).ok()? == rustix::net::AddressFamily::UNIX
                    && sockopt::socket_type(&socket).ok()? == SocketType::SEQPACKET
                    && super::name::inode(&socket) == Some(inode);
                let mark = Mark::of(&socket).filter(|_| is_one)?;
                self.workers.insert(inode, (socket, mark));
            }
            Name::Registration(id) => {
                let (Entry { what: What::Registration(mut registration, worker), .. }, sockets) =
                    Entry::find(descriptors)?
                else {
                    return None;
                };
                let [sender, receiver] = <[OwnedFd; 2]>::try_from(sockets).ok()?;
                let queue = &mut registration.queue;
                if (registration.id, queue.id, queue.sender, queue.receiver) != (id.into(), id.into(), 0, 1) {
                    return None;
                }
                // More than that was handed over, but that is all that matters.
                queue.handed_over = ioctl_fionread(&receiver).ok()?;
                (queue.sender, queue.receiver) = (self.number(sender), self.number(receiver));
                self.registrations.push((registration, worker));
            }
            Name::Draining(id) => {
                let (Entry { what: What::Draining(route), .. }, _) = Entry::find(descriptors)? else {
                    return None;
                };
                self.draining.insert(id.into(), route);
            }
        }
        Some(())
    }

    fn control(&mut self, descriptors: Vec<OwnedFd>) -> Option<Control> {
        let (Entry { what: What::Control(control), .. }, sockets) = Entry::find(descriptors)? else {
            return None;
        };
        let [socket] = <[OwnedFd; 1]>::try_from(sockets).ok()?;
        let listens = sockopt::socket_acceptconn(&socket).ok()?;
        // Somebody has removed its path: nobody finds it.
        let file = rustix::fs::stat(&control.path).ok().map(|stat| (stat.st_dev, stat.st_ino));
        if !listens || control.socket != 0 || file != Some(control.file) {
            return None;
        }
        Some(Control { socket: self.number(socket), ..control })
    }

    /// A control connection is whole if no request was under way and all its registrations are here. One that is not is closed, and
    /// its worker comes again.
    fn known(mut self) -> Known {
        let mut places = BTreeMap::new();
        for (inode, (socket, mark)) in std::mem::take(&mut self.workers) {
            let held = self.registrations.iter().filter(|(_, worker)| *worker == Some(inode)).count();
            if mark == Mark::at_rest(held) {
                let socket = self.number(socket);
                places.insert(inode, self.manifest.workers.len());
                self.manifest.workers.push(manifest::Worker { socket, administrator: false });
            } else {
                end(socket.as_fd());
                let name = Name::Worker(inode).to_string();
                self.kept.remove(&name);
                self.strays.push(name);
            }
        }
        let Self { descriptors, mut manifest, mut registrations, mut draining, strays, kept, .. } = self;
        registrations.sort_by_key(|(registration, _)| registration.id);
        for (mut registration, worker) in registrations {
            registration.worker = worker.and_then(|worker| places.get(&worker).copied());
            let rest = u64::try_from(AGAIN.as_millis()).unwrap_or(0).max(registration.grace_milliseconds);
            registration.left = registration.left.map(|left| Left { rest_milliseconds: rest, ..left });
            registration.draining = draining.remove(&registration.id).is_some();
            manifest.last_id = manifest.last_id.max(registration.id);
            manifest.registrations.push(registration);
        }
        for (id, route) in draining {
            manifest.last_id = manifest.last_id.max(id);
            // One of a registration that is gone is nothing: it is not kept on either.
            manifest.routes.extend(route);
        }
        manifest.kept = kept;
        Known { manifest, taken: Taken::new(descriptors), strays }
    }
}

/// The socket of this number, by its address. None that is made to wait when nobody is there: that would stop everything.
fn listening(descriptors: Vec<OwnedFd>, inode: u32) -> Option<(SocketAddr, OwnedFd)> {
    let [socket] = <[OwnedFd; 1]>::try_from(descriptors).ok()?;
    if super::name::inode(&socket) != Some(inode) {
        return None;
    }
    ioctl_fionbio(&socket, true).ok()?;
    let address = SocketAddr::try_from(getsockname(&socket).ok()?).ok()?;
    let listens = sockopt::socket_acceptconn(&socket).ok()?;
    listens.then_some((address, socket))
}

/// In milliseconds since 1970-01-01 UTC.
fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.ok().and_then(|since| u64::try_from(since.as_millis()).ok()).unwrap_or_default()
}
