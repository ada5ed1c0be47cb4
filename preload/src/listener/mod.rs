//! A listener: the program's descriptor, and what stands behind it.
//!
//! The descriptor is an epoll instance that holds the registration's accept socket. Seven more descriptors belong to it; their
//! numbers, and what else the processes that inherited the listener must agree on, are in [`Shared`], a page of a memfd.

mod renew;

use core::cell::UnsafeCell;
use core::ffi::{c_int, c_void};
use core::ptr;
use core::sync::atomic::{AtomicI32, AtomicPtr, AtomicU32, AtomicU64, Ordering};
use handoff::{AcceptSocket, ControlConnection};
use rustix::event::epoll;
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags};

use crate::descriptor::{borrow, set_close_on_exec};
use crate::semaphore::Semaphore;
use crate::shared::{BEHIND, Behind, PAGE, Shared};
use crate::table::{self, Entry, LISTENERS, entry};
use crate::{descriptor, next};

/// A listener of this process.
pub(crate) struct Listener {
    /// How many of the program's descriptors are it; 0: free.
    references: AtomicU32,
    /// Counts the listeners there have been at this place.
    epoch: AtomicU32,
    shared: AtomicPtr<Shared>,
    /// The numbers that the accept socket and the control connection have in this process only; -1: those of the page.
    moved: [AtomicI32; 2],
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
        moved: [const { AtomicI32::new(-1) }; 2],
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
    /// Where the broker listens for it, if that is less than was asked for.
    pub(crate) only: String,
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
        match self.moved.get(which as usize).map(|moved| moved.load(Ordering::Acquire)) {
            Some(moved) if moved >= 0 => moved,
            _ => self.shared().descriptor(which),
        }
    }

    /// What stands behind it, in the order of [`Behind`].
    pub(crate) fn all_behind(&self) -> [c_int; BEHIND] {
        Behind::ALL.map(|which| self.descriptor(which))
    }

    /// All that stands behind it in this process, or did.
    fn behind(&self) -> impl Iterator<Item = c_int> {
        let cells = self.shared().descriptors.iter().chain(&self.moved);
        cells.map(|cell| cell.load(Ordering::Acquire)).filter(|number| *number >= 0)
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
        self.behind().for_each(descriptor::close);
    }

    pub(crate) fn close_behind(&self) {
        for number in self.behind() {
            if matches!(table::set(number, Entry::Other), Entry::Internal(_)) {
                descriptor::close(number);
            }
        }
        self.free();
    }

    /// The place is free for the next listener.
    pub(crate) fn free(&self) {
        self.moved.iter().for_each(|moved| moved.store(-1, Ordering::Release));
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

    /// `shutdown` of a listener: who waits is woken, and the registration ends.
    pub(crate) fn shut(&self) {
        let shared = self.shared();
        shared.shut.store(1, Ordering::Release);
        shared.listening.store(0, Ordering::Release);
        // SAFETY: no memory is involved.
        unsafe { next::shutdown.get()(shared.descriptor(Behind::Accept), libc::SHUT_RDWR) };
        end(self.descriptor(Behind::Control));
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

/// The registration ends with its control connection, whoever has copies of it.
fn end(control: c_int) {
    // SAFETY: no memory is involved.
    unsafe { next::shutdown.get()(control, libc::SHUT_RDWR) };
}
