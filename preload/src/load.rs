//! When the library is loaded: before the program's first line, or, where the constructor of another library comes before ours,
//! at that one's first call.

use core::ffi::c_int;
use core::sync::atomic::{AtomicU64, Ordering};
use std::{fs, thread};

use crate::settings::{self, settings};
use crate::shared::{Behind, Shared};
use crate::watchers::open_descriptors;
use crate::{create, next, say, start, table, unshared};

#[used]
#[unsafe(link_section = ".init_array")]
static LOADED: extern "C" fn() = loaded;

/// Process << 32 | thread that loads now; 0: nobody has.
static LOADING: AtomicU64 = AtomicU64::new(0);

const DONE: u64 = u64::MAX;

extern "C" fn loaded() {
    ensure();
}

/// Loads, if that has not been done.
#[inline]
pub(crate) fn ensure() {
    if LOADING.load(Ordering::Acquire) != DONE {
        load_or_wait();
    }
}

/// Whoever loads calls none of the replaced functions that come here, but a signal's handler may: for that one, nothing is
/// shared yet. A fork meanwhile leaves the child a holder that is not there.
#[cold]
fn load_or_wait() {
    // SAFETY: nobody writes it here. A program's `.preinit_array` is earlier.
    if unsafe { next::environ }.is_null() {
        return;
    }
    let me = table::this_thread();
    loop {
        let holder = LOADING.load(Ordering::Acquire);
        if holder == DONE || holder == me {
            return;
        }
        let free = holder == 0 || holder >> 32 != me >> 32;
        if free && LOADING.compare_exchange(holder, me, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            break;
        }
        thread::yield_now();
    }
    load();
    LOADING.store(DONE, Ordering::Release);
}

/// What later must neither allocate nor take the loader's lock.
fn load() {
    next::find_all();
    table::own();
    say::load();
    settings::load();
    if settings().is_none() {
        return;
    }
    // SAFETY: `own` stays loaded as long as the process lives, and does nothing that a child of fork may not.
    unsafe { libc::pthread_atfork(None, None, Some(own)) };
    start::load();
    adopt_inherited();
}

unsafe extern "C" fn own() {
    table::own();
}

/// An exec'd program has inherited listeners if it has their pages.
fn adopt_inherited() {
    let descriptors = open_descriptors();
    unshared::say_inherited(&descriptors);
    for state in &descriptors {
        if create::is_page(*state) {
            create::adopt(*state, |shared| programs_of(shared, &descriptors));
        }
    }
}

/// The descriptors that are the listener's epoll instance, but for the one behind it.
fn programs_of(shared: &Shared, descriptors: &[c_int]) -> Vec<c_int> {
    let epoll = shared.descriptor(Behind::Epoll);
    descriptors.iter().copied().filter(|other| *other != epoll && is_same_file(epoll, *other)).collect()
}

fn is_same_file(one: c_int, other: c_int) -> bool {
    const KCMP_FILE: c_int = 0;
    let process = table::pid();
    // SAFETY: compares two descriptors of this process; no memory is involved.
    match unsafe { libc::syscall(libc::SYS_kcmp, process, process, KCMP_FILE, one, other) } {
        0 => true,
        -1 if next::errno() != libc::EBADF => {
            // not allowed here: an epoll instance with the same content is the same
            let content = |number| fs::read_to_string(format!("/proc/self/fdinfo/{number}")).ok();
            content(one).is_some_and(|content| content.contains("tfd:")) && content(one) == content(other)
        }
        _ => false,
    }
}
