//! A listener: the program's descriptor, and what stands behind it.
//!
//! The descriptor is an epoll instance that holds the registration's accept socket. Seven more descriptors belong to it; their
//! numbers, and what else the processes that inherited the listener must agree on, are in [`Shared`], a page of a memfd.

use core::cell::UnsafeCell;
use core::ffi::{c_int, c_void};
use core::ptr;
use core::sync::atomic::{AtomicI32, AtomicPtr, AtomicU32, AtomicU64, Ordering};
use std::os::fd::{AsFd, OwnedFd};

use handoff::accept_socket::{Sockets, peek};
use handoff::{AcceptSender, AcceptSocket, ControlConnection};
use rustix::event::epoll;
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags};

use crate::descriptor::{borrow, duplicate, is_close_on_exec, replace, set_close_on_exec};
use crate::semaphore::Semaphore;
use crate::shared::{Behind, PAGE, Shared};
use crate::table::{self, Entry, LISTENERS, entry};
use crate::{descriptor, next};

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
    /// Process << 32 | generation: whose thread registers again, and what for.
    pub(crate) reconnecting: AtomicU64,
    /// Posted when an outage is over.
    pub(crate) over: Semaphore,
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
        reconnecting: AtomicU64::new(0),
        over: Semaphore::new(),
        renewing: AtomicI32::new(0),
        closed: AtomicU32::new(0),
    }
}; LISTENERS];

/// The listener that a descriptor is.
pub(crate) fn listener_of(descriptor: c_int) -> Option<&'static Listener> {
    match entry(descriptor) {
        Entry::Listener(number) => Some(at(number)),
        _ => None,
    }
}

/// The time from an accept socket's end to the next one.
#[derive(Clone, Copy)]
pub(crate) struct Outage {
    pub(crate) epoch: u32,
    pub(crate) generation: u32,
}

impl Outage {
    /// Also when the program has closed the listener, or shut it down.
    pub(crate) fn is_over(self, listener: &Listener) -> bool {
        let shared = listener.shared();
        listener.epoch() != self.epoch
            || shared.generation.load(Ordering::Acquire) != self.generation
            || shared.shut.load(Ordering::Acquire) == 1
    }
}

/// What a registration gave.
pub(crate) struct Registration {
    /// Its number at the broker.
    pub(crate) id: u64,
    pub(crate) control: ControlConnection,
    pub(crate) accept: AcceptSocket,
}

/// The listener with this number.
pub(crate) fn at(number: usize) -> &'static Listener {
    ALL.get(number).unwrap_or(&ALL[0])
}

/// A free place.
pub(crate) fn claim() -> Option<(usize, &'static Listener)> {
    let free = |(_, listener): &(usize, &'static Listener)| {
        listener.references.compare_exchange(0, 1, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    };
    let claimed = ALL.iter().enumerate().find(free);
    claimed.inspect(|(_, listener)| {
        listener.epoch.fetch_add(1, Ordering::AcqRel);
    })
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

    pub(crate) fn map(&self, state: c_int) -> Result<(), Errno> {
        let former: *mut c_void = self.shared.load(Ordering::Acquire).cast();
        let flags = if former.is_null() { MapFlags::SHARED } else { MapFlags::SHARED | MapFlags::FIXED };
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping, or one over the former listener's page, which nothing but `shared` points to. Whoever still
        // reads there finds valid atomics.
        let page = unsafe { rustix::mm::mmap(former, PAGE, access, flags, borrow(state), 0) }?;
        self.shared.store(page.cast(), Ordering::Release);
        Ok(())
    }

    /// How many of the program's descriptors are an inherited listener.
    pub(crate) fn set_references(&self, references: u32) {
        self.references.store(references, Ordering::Release);
    }

    /// Wakes whoever waits for the listener, to accept and so to find its end once more.
    pub(crate) fn wake(&self) {
        self.over.post();
        let (epoll, accept) = (self.descriptor(Behind::Epoll), self.descriptor(Behind::Accept));
        let _ =
            epoll::add(borrow(epoll), borrow(accept), epoll::EventData::new_u64(0), epoll::EventFlags::IN);
    }

    /// Another descriptor of the program is this listener.
    pub(crate) fn refer(&self) {
        self.references.fetch_add(1, Ordering::AcqRel);
    }

    /// One of the program's descriptors is closed; with the last one what stands behind it goes.
    pub(crate) fn release(&self) {
        let but_for_the_last = |references: u32| (references > 1).then(|| references.saturating_sub(1));
        if self.references.fetch_update(Ordering::AcqRel, Ordering::Acquire, but_for_the_last).is_ok() {
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

    pub(crate) fn close_behind(&self) {
        for cell in &self.shared().descriptors {
            let number = cell.load(Ordering::Acquire);
            if matches!(table::set(number, Entry::Other), Entry::Internal(_)) {
                descriptor::close(number);
            }
        }
        self.free();
    }

    /// The place is free for the next listener.
    pub(crate) fn free(&self) {
        self.references.store(0, Ordering::Release);
    }

    /// Runs `with` while no other thread of this process receives or changes the accept socket.
    ///
    /// A fork in between, or a signal handler that accepts, finds a holder that cannot let go: its process is another one, or
    /// its thread is this one. Neither waits.
    pub(crate) fn exclusively<T>(&self, with: impl FnOnce() -> T) -> T {
        let me = table::this_thread();
        loop {
            let holder = self.receiving.load(Ordering::Acquire);
            if holder == me {
                return with();
            }
            let free = holder == 0 || holder >> 32 != me >> 32;
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

    pub(crate) fn set_generation(&self, generation: u32) {
        self.generation.store(generation, Ordering::Release);
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
        let mut copies = copies.drain();
        if let (Some(accept), Some(control)) = (copies.next(), copies.next()) {
            let _ = self.replace_behind(Behind::Accept, &accept);
            let _ = self.replace_behind(Behind::Control, &control);
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
        shared.registration.store(registration.id, Ordering::Relaxed);
        let (accept, control) = (OwnedFd::from(registration.accept), OwnedFd::from(registration.control));
        let former = duplicate(shared.descriptor(Behind::MailboxOut))?;
        let _ = AcceptSocket::from(former).drain(drop);
        let mailbox = AcceptSender::from(duplicate(shared.descriptor(Behind::MailboxIn))?);
        // with the control connection, or the registration would end with this process
        mailbox.send(&[accept.as_fd(), control.as_fd()]).map_err(|_| Errno::NOBUFS)?;
        self.replace_behind(Behind::Accept, &accept)?;
        self.replace_behind(Behind::Control, &control)?;
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
    pub(crate) fn watch_accept_socket(&self) -> Result<(), Errno> {
        let accept = borrow(self.descriptor(Behind::Accept));
        rustix::fs::fcntl_setfl(accept, rustix::fs::OFlags::empty())?;
        self.set_receive_timeout()?;
        let epoll = borrow(self.descriptor(Behind::Epoll));
        epoll::add(epoll, accept, epoll::EventData::new_u64(0), epoll::EventFlags::IN)
    }

    /// The accept socket's SO_RCVTIMEO is the listener's.
    pub(crate) fn set_receive_timeout(&self) -> Result<(), Errno> {
        use rustix::net::sockopt::{Timeout, set_socket_timeout, socket_timeout};
        let timeout = socket_timeout(borrow(self.descriptor(Behind::Original)), Timeout::Recv)?;
        set_socket_timeout(borrow(self.descriptor(Behind::Accept)), Timeout::Recv, timeout)
    }

    /// Ends a registration that could not be put behind it whole; else its addresses would be taken at the next attempt.
    pub(crate) fn end_registration(&self) {
        // SAFETY: no memory is involved.
        unsafe { next::shutdown.get()(self.descriptor(Behind::Control), libc::SHUT_RDWR) };
    }

    /// `shutdown` of a listener: who waits is woken, and the registration ends.
    pub(crate) fn shut(&self) {
        let shared = self.shared();
        shared.shut.store(1, Ordering::Release);
        shared.listening.store(0, Ordering::Release);
        // SAFETY: no memory is involved.
        unsafe { next::shutdown.get()(shared.descriptor(Behind::Accept), libc::SHUT_RDWR) };
        self.end_registration();
        // also while the broker is gone
        self.wake();
    }

    /// Follows the program's descriptor in what an exec'd program inherits.
    pub(crate) fn set_close_on_exec(&self, close_on_exec: bool) {
        for cell in &self.shared().descriptors {
            set_close_on_exec(cell.load(Ordering::Acquire), close_on_exec);
        }
    }
}
