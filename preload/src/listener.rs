//! A listener: the program's descriptor, and what stands behind it.
//!
//! The descriptor is an epoll instance that holds the registration's accept socket. Seven more descriptors belong to it; their
//! numbers, and what else the processes that inherited the listener must agree on, are in [`Shared`], a page of a memfd.

use core::cell::UnsafeCell;
use core::ffi::{c_int, c_void};
use core::ptr;
use core::sync::atomic::{AtomicI32, AtomicPtr, AtomicU16, AtomicU32, AtomicU64, Ordering};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use handoff::accept_socket::{Sockets, peek};
use handoff::{AcceptSender, AcceptSocket, ControlConnection};
use rustix::event::epoll;
use rustix::fs::MemfdFlags;
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags};

use crate::descriptor::{borrow, is_close_on_exec, move_up, replace, set_close_on_exec};
use crate::options::Options;
use crate::table::{self, Entry};
use crate::{address, descriptor, next, watchers};

/// How many listeners a process may have at a time.
pub(crate) const LISTENERS: usize = 64;

/// The memfd's name: an exec'd child finds inherited listeners by it.
pub(crate) const MEMFD_NAME: &str = "net-tcp-port-sharing-listener";

const PAGE: usize = 4096;

/// The descriptors behind the program's.
#[derive(Clone, Copy)]
#[repr(usize)]
pub(crate) enum Behind {
    /// The accept socket: connections come out of it.
    Accept,
    /// The control connection: the registration ends with it.
    Control,
    /// The program's TCP socket, never bound: it answers for options.
    Original,
    /// A second descriptor of the epoll instance.
    Epoll,
    /// The page.
    #[expect(dead_code, reason = "found by its name, not by its number")]
    State,
    /// After a reconnection, a copy of the new accept socket waits at this end for the other processes to peek at.
    MailboxOut,
    /// The other end.
    MailboxIn,
}

const BEHIND: usize = 7;

/// What all processes with the listener share. Zero octets are a valid value.
#[repr(C)]
pub(crate) struct Shared {
    pub(crate) descriptors: [AtomicI32; BEHIND],
    /// Counts the accept sockets there have been.
    pub(crate) generation: AtomicU32,
    pub(crate) listening: AtomicU32,
    pub(crate) shut: AtomicU32,
    /// The process that is registering again.
    pub(crate) registrar: AtomicI32,
    /// The address the program bound to: the IPv4 one mapped.
    ip: [AtomicU64; 2],
    scope: AtomicU32,
    flow: AtomicU32,
    port: AtomicU16,
    v4: AtomicU16,
    /// Whether IPv4 connections are shown as `::ffff:`.
    pub(crate) dual_stack: AtomicU32,
    pub(crate) options: Options,
}

const _: () = assert!(size_of::<Shared>() <= PAGE);

impl Shared {
    const fn new() -> Self {
        Self {
            descriptors: [const { AtomicI32::new(-1) }; BEHIND],
            generation: AtomicU32::new(0),
            listening: AtomicU32::new(0),
            shut: AtomicU32::new(0),
            registrar: AtomicI32::new(0),
            ip: [const { AtomicU64::new(0) }; 2],
            scope: AtomicU32::new(0),
            flow: AtomicU32::new(0),
            port: AtomicU16::new(0),
            v4: AtomicU16::new(0),
            dual_stack: AtomicU32::new(0),
            options: Options::new(),
        }
    }

    pub(crate) fn descriptor(&self, which: Behind) -> c_int {
        self.descriptors.get(which as usize).map_or(-1, |number| number.load(Ordering::Acquire))
    }

    fn set_local(&self, local: SocketAddr) {
        let ip = match local.ip() {
            IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            IpAddr::V6(v6) => v6,
        };
        let octets = u128::from(ip);
        let [high, low] = &self.ip;
        high.store((octets >> 64) as u64, Ordering::Relaxed);
        low.store(octets as u64, Ordering::Relaxed);
        self.port.store(local.port(), Ordering::Relaxed);
        self.v4.store(local.is_ipv4().into(), Ordering::Relaxed);
        if let SocketAddr::V6(v6) = local {
            self.scope.store(v6.scope_id(), Ordering::Relaxed);
            self.flow.store(v6.flowinfo(), Ordering::Relaxed);
        }
    }

    /// What the program bound to.
    pub(crate) fn local(&self) -> SocketAddr {
        let [high, low] = &self.ip;
        let ip = u128::from(high.load(Ordering::Relaxed)) << 64 | u128::from(low.load(Ordering::Relaxed));
        let ip = Ipv6Addr::from(ip);
        let port = self.port.load(Ordering::Relaxed);
        match (self.v4.load(Ordering::Relaxed), ip.to_ipv4_mapped()) {
            (1, Some(v4)) => SocketAddr::new(v4.into(), port),
            _ => {
                let (flow, scope) = (self.flow.load(Ordering::Relaxed), self.scope.load(Ordering::Relaxed));
                SocketAddrV6::new(ip, port, flow, scope).into()
            }
        }
    }

    /// The local addresses the program's own listener would have had (`bound` of the registration).
    pub(crate) fn bound(&self) -> Vec<IpAddr> {
        let ip = self.local().ip();
        if ip.is_unspecified() && self.dual_stack.load(Ordering::Relaxed) == 1 {
            return vec![Ipv6Addr::UNSPECIFIED.into(), core::net::Ipv4Addr::UNSPECIFIED.into()];
        }
        vec![ip.to_canonical()]
    }
}

/// A listener of this process.
pub(crate) struct Listener {
    /// How many of the program's descriptors are it; 0: free.
    references: AtomicU32,
    /// Counts the listeners there have been at this place.
    epoch: AtomicU32,
    shared: AtomicPtr<Shared>,
    /// Which accept socket this process has at [`Behind::Accept`].
    generation: AtomicU32,
    /// Process << 32 | thread that receives now.
    receiving: AtomicU64,
    /// The process whose thread registers again.
    pub(crate) reconnecting: AtomicI32,
    /// The process whose thread puts a new registration behind it at this moment.
    renewing: AtomicI32,
    /// Closed by the program, and what stands behind it not yet.
    closed: AtomicU32,
}

/// What `shared` points to before the first listener has this place.
struct Nothing(UnsafeCell<Shared>);

// SAFETY: only its atomics are ever used.
unsafe impl Sync for Nothing {}

static NOTHING: Nothing = Nothing(UnsafeCell::new(Shared::new()));

static ALL: [Listener; LISTENERS] = [const {
    Listener {
        references: AtomicU32::new(0),
        epoch: AtomicU32::new(0),
        shared: AtomicPtr::new(ptr::null_mut()),
        generation: AtomicU32::new(0),
        receiving: AtomicU64::new(0),
        reconnecting: AtomicI32::new(0),
        renewing: AtomicI32::new(0),
        closed: AtomicU32::new(0),
    }
}; LISTENERS];

/// What a registration gave.
pub(crate) struct Registration {
    pub(crate) control: ControlConnection,
    pub(crate) accept: AcceptSocket,
}

/// The listener with this number.
pub(crate) fn at(number: usize) -> &'static Listener {
    ALL.get(number).unwrap_or(&ALL[0])
}

/// Makes the program's TCP socket a listener.
///
/// # Errors
/// Those of the system calls, such as `EMFILE`; the socket is as it was.
pub(crate) fn create(socket: c_int, template: &Wanted, registration: Registration) -> Result<(), Errno> {
    let (number, listener) = claim().ok_or(Errno::MFILE)?;
    create_at(number, listener, socket, template, registration).inspect_err(|_| listener.abandon())
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
    socket: c_int,
    wanted: &Wanted,
    registration: Registration,
) -> Result<(), Errno> {
    let state = rustix::fs::memfd_create(MEMFD_NAME, MemfdFlags::CLOEXEC)?;
    rustix::fs::ftruncate(&state, PAGE as u64)?;
    listener.map(state.as_raw_fd())?;
    let shared = listener.shared();
    wanted.write(shared);

    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let original = duplicate(socket)?;
    let fresh = fresh_socket(wanted.local)?;
    shared.options.note_differences(socket, fresh.as_raw_fd());
    drop(fresh);
    let flags = rustix::net::SocketFlags::CLOEXEC | rustix::net::SocketFlags::NONBLOCK;
    let (family, kind) = (rustix::net::AddressFamily::UNIX, rustix::net::SocketType::SEQPACKET);
    let (mailbox_in, mailbox_out) = rustix::net::socketpair(family, kind, flags, None)?;

    let close_on_exec = is_close_on_exec(socket);
    let status = rustix::fs::fcntl_getfl(borrow(socket))?;
    rustix::fs::fcntl_setfl(&epoll, status & rustix::fs::OFlags::NONBLOCK)?;
    let watchers = watchers::remove(socket);
    let replaced = replace(socket, epoll.as_fd(), close_on_exec);
    watchers::restore(socket, watchers);
    replaced?;

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
    listener.generation.store(1, Ordering::Release);
    listener.watch_accept_socket()?;
    if wanted.dual_stack {
        address::expect_marked();
    }
    table::set(socket, Entry::Listener(number));
    Ok(())
}

fn fresh_socket(local: SocketAddr) -> Result<OwnedFd, Errno> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
    let family = if local.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)
}

fn duplicate(number: c_int) -> Result<OwnedFd, Errno> {
    rustix::io::fcntl_dupfd_cloexec(borrow(number), 0)
}

fn claim() -> Option<(usize, &'static Listener)> {
    let free = |(_, listener): &(usize, &'static Listener)| {
        listener.references.compare_exchange(0, 1, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    };
    let claimed = ALL.iter().enumerate().find(free);
    claimed.inspect(|(_, listener)| {
        listener.epoch.fetch_add(1, Ordering::AcqRel);
    })
}

/// Takes over the listeners that an exec'd program inherited: those with a page among its descriptors.
pub(crate) fn adopt(state: c_int, programs: impl Fn(&Shared) -> Vec<c_int>) {
    let Some((number, listener)) = claim() else { return };
    if listener.map(state).is_err() {
        return listener.abandon();
    }
    let shared = listener.shared();
    let programs = programs(shared);
    if programs.is_empty() {
        return listener.abandon();
    }
    listener.references.store(programs.len() as u32, Ordering::Release);
    // whatever accept socket was inherited may be an older one than the shared generation's
    listener.generation.store(1, Ordering::Release);
    for which in &shared.descriptors {
        table::set(which.load(Ordering::Acquire), Entry::Internal(number));
    }
    for program in programs {
        table::set(program, Entry::Listener(number));
    }
    if shared.dual_stack.load(Ordering::Relaxed) == 1 {
        address::expect_marked();
    }
}

impl Listener {
    pub(crate) fn shared(&self) -> &'static Shared {
        let shared = self.shared.load(Ordering::Acquire);
        let shared = if shared.is_null() { NOTHING.0.get() } else { shared };
        // SAFETY: NOTHING, or a page that once mapped is never unmapped, only mapped over by the next listener's.
        unsafe { &*shared }
    }

    pub(crate) fn descriptor(&self, which: Behind) -> c_int {
        self.shared().descriptor(which)
    }

    /// Tells this listener from a later one at its place.
    pub(crate) fn epoch(&self) -> u32 {
        self.epoch.load(Ordering::Acquire)
    }

    fn map(&self, state: c_int) -> Result<(), Errno> {
        let former: *mut c_void = self.shared.load(Ordering::Acquire).cast();
        let flags = if former.is_null() { MapFlags::SHARED } else { MapFlags::SHARED | MapFlags::FIXED };
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping, or one over the former listener's page, which nothing but `shared` points to. Whoever still
        // reads there finds valid atomics.
        let page = unsafe { rustix::mm::mmap(former, PAGE, access, flags, borrow(state), 0) }?;
        self.shared.store(page.cast(), Ordering::Release);
        Ok(())
    }

    /// Another descriptor of the program is this listener.
    pub(crate) fn refer(&self) {
        self.references.fetch_add(1, Ordering::AcqRel);
    }

    /// One of the program's descriptors is closed; with the last one what stands behind it goes.
    pub(crate) fn release(&self) {
        if self.references.load(Ordering::Acquire) > 1 {
            self.references.fetch_sub(1, Ordering::AcqRel);
            return;
        }
        self.closed.store(1, Ordering::SeqCst);
        self.epoch.fetch_add(1, Ordering::SeqCst);
        // a thread that registers again at this moment sees the new epoch, and closes when it is done
        if self.renewing.load(Ordering::SeqCst) != table::pid() && self.closed.swap(0, Ordering::SeqCst) == 1
        {
            self.close_behind();
        }
    }

    /// Closes what stands behind it in this process, a child of vfork, and leaves the parent's state alone.
    pub(crate) fn close_behind_here(&self) {
        for cell in &self.shared().descriptors {
            descriptor::close(cell.load(Ordering::Acquire));
        }
    }

    fn close_behind(&self) {
        for cell in &self.shared().descriptors {
            let number = cell.load(Ordering::Acquire);
            if matches!(table::set(number, Entry::Other), Entry::Internal(_)) {
                descriptor::close(number);
            }
        }
        self.references.store(0, Ordering::Release);
    }

    /// Frees a place where no listener could be made.
    fn abandon(&self) {
        self.references.store(0, Ordering::Release);
    }

    /// Runs `with` while no other thread of this process receives or changes the accept socket.
    ///
    /// A fork in between, or a signal handler that accepts, finds a holder that cannot let go: its process is another one, or
    /// its thread is this one. Neither waits.
    pub(crate) fn exclusively<T>(&self, with: impl FnOnce() -> T) -> T {
        // SAFETY: cannot fail.
        let thread = unsafe { libc::syscall(libc::SYS_gettid) } as u32;
        let process = (table::pid() as u64) << 32;
        let me = process | u64::from(thread);
        loop {
            let holder = self.receiving.load(Ordering::Acquire);
            if holder == me {
                return with();
            }
            let free = holder == 0 || holder >> 32 != process >> 32;
            if free
                && self.receiving.compare_exchange(holder, me, Ordering::AcqRel, Ordering::Relaxed).is_ok()
            {
                break;
            }
            std::thread::yield_now();
        }
        let result = with();
        let _ = self.receiving.compare_exchange(me, 0, Ordering::AcqRel, Ordering::Relaxed);
        result
    }

    /// Which accept socket this process has.
    pub(crate) fn generation(&self) -> u32 {
        self.generation.load(Ordering::Acquire)
    }

    /// Whether another process has registered again.
    pub(crate) fn is_renewed(&self) -> bool {
        self.shared().generation.load(Ordering::Acquire) != self.generation()
    }

    /// Gets the accept socket that another process has put into the mailbox, if it has; inside [`Listener::exclusively`].
    pub(crate) fn refresh(&self) {
        let shared = self.shared();
        let current = shared.generation.load(Ordering::Acquire);
        if current == self.generation.load(Ordering::Acquire) {
            return;
        }
        let mut copies = Sockets::default();
        let _ = peek(borrow(shared.descriptor(Behind::MailboxOut)), &mut copies);
        if let Some(accept) = copies.drain().next() {
            let _ = self.replace_behind(Behind::Accept, &accept);
            self.generation.store(current, Ordering::Release);
        }
    }

    /// The accept socket has come to its end: the listener is not readable any more; inside [`Listener::exclusively`].
    pub(crate) fn quiet(&self) {
        let _ =
            epoll::delete(borrow(self.descriptor(Behind::Epoll)), borrow(self.descriptor(Behind::Accept)));
    }

    /// Puts a new registration behind the listener, in all processes; not if it is no longer the one of `epoch`.
    ///
    /// # Errors
    /// Those of the system calls.
    pub(crate) fn renew(&self, registration: Registration, epoch: u32) -> Result<(), Errno> {
        self.renewing.store(table::pid(), Ordering::SeqCst);
        let mut result = Ok(());
        if self.epoch() == epoch {
            result = self.exclusively(|| self.renew_accept_socket(registration));
        }
        self.renewing.store(0, Ordering::SeqCst);
        if self.epoch() != epoch && self.closed.swap(0, Ordering::SeqCst) == 1 {
            self.close_behind();
        }
        result
    }

    fn renew_accept_socket(&self, registration: Registration) -> Result<(), Errno> {
        let shared = self.shared();
        self.quiet();
        let accept = OwnedFd::from(registration.accept);
        let former = duplicate(shared.descriptor(Behind::MailboxOut))?;
        let _ = AcceptSocket::from(former).drain(drop);
        let _ = AcceptSender::from(duplicate(shared.descriptor(Behind::MailboxIn))?).send(&[accept.as_fd()]);
        self.replace_behind(Behind::Accept, &accept)?;
        self.replace_behind(Behind::Control, &OwnedFd::from(registration.control))?;
        let generation = shared.generation.fetch_add(1, Ordering::AcqRel).wrapping_add(1);
        self.generation.store(generation, Ordering::Release);
        self.watch_accept_socket()
    }

    fn replace_behind(&self, which: Behind, file: &OwnedFd) -> Result<(), Errno> {
        let number = self.descriptor(which);
        replace(number, file.as_fd(), is_close_on_exec(self.descriptor(Behind::Epoll)))
    }

    /// Puts the accept socket into the epoll instance.
    ///
    /// Waiting is left to the kernel: a blocking receive on the accept socket, with the listener's timeout, is interrupted and
    /// restarted by signals just as `accept` is. (The broker never relies on the flag.)
    fn watch_accept_socket(&self) -> Result<(), Errno> {
        let accept = borrow(self.descriptor(Behind::Accept));
        rustix::fs::fcntl_setfl(accept, rustix::fs::OFlags::empty())?;
        self.set_receive_timeout()?;
        epoll::add(
            borrow(self.descriptor(Behind::Epoll)),
            accept,
            epoll::EventData::new_u64(0),
            epoll::EventFlags::IN,
        )
    }

    /// The accept socket's SO_RCVTIMEO is the listener's.
    pub(crate) fn set_receive_timeout(&self) -> Result<(), Errno> {
        use rustix::net::sockopt::{Timeout, set_socket_timeout, socket_timeout};
        let timeout = socket_timeout(borrow(self.descriptor(Behind::Original)), Timeout::Recv)?;
        set_socket_timeout(borrow(self.descriptor(Behind::Accept)), Timeout::Recv, timeout)
    }

    /// `shutdown` of a listener: who waits is woken, and the registration ends.
    pub(crate) fn shut(&self) {
        let shared = self.shared();
        shared.shut.store(1, Ordering::Release);
        shared.listening.store(0, Ordering::Release);
        // SAFETY: no memory is involved.
        unsafe { next::shutdown.get()(shared.descriptor(Behind::Accept), libc::SHUT_RDWR) };
        // SAFETY: as above.
        unsafe { next::shutdown.get()(shared.descriptor(Behind::Control), libc::SHUT_RDWR) };
    }

    /// Follows the program's descriptor in what an exec'd program inherits.
    pub(crate) fn set_close_on_exec(&self, close_on_exec: bool) {
        for cell in &self.shared().descriptors {
            set_close_on_exec(cell.load(Ordering::Acquire), close_on_exec);
        }
    }
}
