//! A listener begins: at `bind`, or in an exec'd program that inherited one.

use core::ffi::{c_int, c_uint};
use core::sync::atomic::Ordering;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, IntoRawFd, OwnedFd};

use rustix::event::epoll;
use rustix::fs::MemfdFlags;
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with, socketpair};

use crate::descriptor::{borrow, duplicate, is_close_on_exec, move_up, replace, set_close_on_exec};
use crate::listener::{Listener, Registration, at, claim};
use crate::shared::{BEHIND, Behind, MEMFD_NAME, PAGE, Shared};
use crate::table::{self, Entry, LISTENERS};
use crate::{register, say, watchers};

/// Makes the program's TCP socket a listener.
///
/// # Errors
/// Those of the system calls, such as `EMFILE`; the socket is as it was.
pub(crate) fn create(socket: c_int, wanted: &Wanted, registration: Registration) -> Result<(), Errno> {
    let Some((number, listener)) = claim() else {
        let local = wanted.local;
        say::line(format_args!(
            "{local} cannot be shared: a program has at most {LISTENERS} shared listeners"
        ));
        return Err(Errno::MFILE);
    };
    let created = page(listener).inspect_err(|_| listener.free()).and_then(|state| {
        create_at(number, listener, state, socket, wanted, registration)
            .inspect_err(|_| listener.close_behind())
    });
    created.inspect_err(|errno| {
        if *errno == Errno::MFILE {
            register::say_no_descriptor("");
        }
    })
}

/// Until its own page is mapped, a listener's numbers are those of the former one at its place.
fn page(listener: &Listener) -> Result<OwnedFd, Errno> {
    let state = rustix::fs::memfd_create(MEMFD_NAME, MemfdFlags::CLOEXEC)?;
    rustix::fs::ftruncate(&state, PAGE as u64)?;
    listener.map(state.as_raw_fd())?;
    Ok(state)
}

/// What the program asked for.
pub(crate) struct Wanted {
    pub(crate) local: SocketAddr,
    pub(crate) dual_stack: bool,
}

impl Wanted {
    pub(crate) fn write(&self, shared: &Shared) {
        shared.set_local(self.local);
        shared.dual_stack.store(self.dual_stack.into(), Ordering::Relaxed);
    }

    pub(crate) fn bound(&self) -> Vec<IpAddr> {
        let shared = Shared::new();
        self.write(&shared);
        shared.bound()
    }
}

fn create_at(
    number: usize,
    listener: &'static Listener,
    state: OwnedFd,
    socket: c_int,
    wanted: &Wanted,
    registration: Registration,
) -> Result<(), Errno> {
    let shared = listener.shared();
    shared.descriptors.iter().for_each(|cell| cell.store(-1, Ordering::Relaxed));
    wanted.write(shared);
    shared.registration.store(registration.id, Ordering::Relaxed);
    shared.only.set(&registration.only);

    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let original = duplicate(socket)?;
    let fresh = fresh_socket(wanted.local)?;
    shared.options.note_differences(socket, fresh.as_raw_fd());
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let (mailbox_in, mailbox_out) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;

    let close_on_exec = is_close_on_exec(socket);
    let status = rustix::fs::fcntl_getfl(borrow(socket))?;
    rustix::fs::fcntl_setfl(&epoll, status & rustix::fs::OFlags::NONBLOCK)?;

    // in the order of `Behind`
    let behind = [
        registration.accept.into(),
        registration.control.into(),
        original,
        epoll,
        state,
        mailbox_out,
        mailbox_in,
    ];
    for (cell, descriptor) in shared.descriptors.iter().zip(behind) {
        let moved = move_up(descriptor);
        set_close_on_exec(moved, close_on_exec);
        table::set(moved, Entry::Internal(number));
        cell.store(moved, Ordering::Release);
    }
    shared.generation.store(1, Ordering::Release);
    listener.set_generation(1);
    listener.watch_accept_socket()?;

    // they are read from files: there must be room for one
    drop(fresh);
    let watchers = watchers::remove(socket);
    let replaced = replace(socket, borrow(shared.descriptor(Behind::Epoll)), close_on_exec);
    watchers::restore(socket, watchers);
    replaced?;
    table::set(socket, Entry::Listener(number));
    Ok(())
}

fn fresh_socket(local: SocketAddr) -> Result<OwnedFd, Errno> {
    let family = if local.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)
}

/// Whether a descriptor is a listener's page.
pub(crate) fn is_page(number: c_int) -> bool {
    let target = std::fs::read_link(format!("/proc/self/fd/{number}"));
    target.is_ok_and(|target| target.to_string_lossy().starts_with(&format!("/memfd:{MEMFD_NAME} ")))
}

/// Takes over the listeners that an exec'd program inherited: those with a page among its descriptors.
pub(crate) fn adopt(state: c_int, programs: impl Fn(&Shared) -> Vec<c_int>) {
    let Some((number, listener)) = claim() else { return };
    if listener.map(state).is_err() {
        return listener.free();
    }
    let shared = listener.shared();
    let programs = programs(shared);
    if programs.is_empty() {
        // whoever started this program closed the listener past the library (`posix_spawn` does): the registration is not ours
        listener.close_behind_here();
        return listener.free();
    }
    begin(number, listener, &programs);
}

/// These descriptors of the program are the listener, which another process has made.
fn begin(number: usize, listener: &Listener, programs: &[c_int]) {
    listener.set_references(programs.len() as u32);
    // whatever accept socket came may be an older one than the shared generation's
    listener.set_generation(1);
    for which in &listener.shared().descriptors {
        table::set(which.load(Ordering::Acquire), Entry::Internal(number));
    }
    for program in programs {
        table::set(*program, Entry::Listener(number));
    }
}

/// Makes a descriptor that another process has sent the listener that this stands behind, in the order of [`Behind`].
///
/// # Errors
/// `EBUSY` if something else has the numbers here that the page tells; else those of the system calls. The descriptor is what it
/// was.
pub(crate) fn take_over(program: c_int, behind: [OwnedFd; BEHIND]) -> Result<(), Errno> {
    let [_, _, _, epoll, state, _, _] = &behind;
    let close_on_exec = is_close_on_exec(program);
    if let Some(number) = having(state) {
        replace(program, epoll.as_fd(), close_on_exec)?;
        at(number).refer();
        table::set(program, Entry::Listener(number));
        if !close_on_exec {
            at(number).set_close_on_exec(false);
        }
        return Ok(());
    }
    let (number, listener) = claim().ok_or(Errno::MFILE)?;
    let placed = listener.map(state.as_raw_fd()).and_then(|()| place(listener.shared(), &behind));
    placed.inspect_err(|_| listener.free())?;
    listener.set_close_on_exec(close_on_exec);
    if let Err(errno) = replace(program, epoll.as_fd(), close_on_exec) {
        listener.close_behind_here();
        listener.free();
        return Err(errno);
    }
    begin(number, listener, &[program]);
    Ok(())
}

/// Which listener has this page already.
fn having(page: &OwnedFd) -> Option<usize> {
    let file = |status: rustix::fs::Stat| (status.st_dev, status.st_ino);
    let page = file(rustix::fs::fstat(page).ok()?);
    let mut having = None;
    table::for_each_in(0, c_uint::MAX, |_, entry| {
        if let Entry::Listener(number) = entry
            && rustix::fs::fstat(borrow(at(number).descriptor(Behind::State))).map(file) == Ok(page)
        {
            having = Some(number);
        }
    });
    having
}

/// Each at the number that it has in the processes before.
fn place(shared: &Shared, behind: &[OwnedFd; BEHIND]) -> Result<(), Errno> {
    let mut placed = Vec::with_capacity(BEHIND);
    for (cell, file) in shared.descriptors.iter().zip(behind) {
        let number = cell.load(Ordering::Acquire);
        let there = fcntl_dupfd_cloexec(file, number)?;
        if there.as_raw_fd() != number {
            return Err(Errno::BUSY);
        }
        placed.push(there);
    }
    placed.into_iter().for_each(|file| {
        let _ = file.into_raw_fd();
    });
    Ok(())
}
