//! A semaphore of the C library, for whoever waits as in `accept`: a signal interrupts it, or restarts it if its handler has
//! SA_RESTART, and the thread can be cancelled, which unwinds its stack.

use core::cell::UnsafeCell;
use core::ffi::c_int;
use core::mem::MaybeUninit;

use libc::sem_t;
use rustix::io::Errno;

use crate::next;

pub(crate) struct Semaphore(UnsafeCell<sem_t>);

// SAFETY: only the C library's functions use it, from any thread.
unsafe impl Sync for Semaphore {}

unsafe extern "C-unwind" {
    fn sem_wait(semaphore: *mut sem_t) -> c_int;
}

impl Semaphore {
    /// One of this process; nothing is posted.
    pub(crate) const fn new() -> Self {
        // SAFETY: all zeros is what the GNU C library's `sem_init` makes of these arguments (the test below).
        Self(UnsafeCell::new(unsafe { MaybeUninit::zeroed().assume_init() }))
    }

    /// Lets one waiter go on.
    pub(crate) fn post(&self) {
        // SAFETY: it is valid from `new` on.
        unsafe { libc::sem_post(self.0.get()) };
    }

    /// Takes back what was posted.
    pub(crate) fn clear(&self) {
        // SAFETY: as above.
        while unsafe { libc::sem_trywait(self.0.get()) } == 0 {}
    }

    /// # Errors
    /// `EINTR`.
    pub(crate) fn wait(&self) -> Result<(), Errno> {
        // SAFETY: as above.
        match unsafe { sem_wait(self.0.get()) } {
            0 => Ok(()),
            _ => Err(Errno::from_raw_os_error(next::errno())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_one_is_what_the_c_library_makes() {
        let octets = |semaphore: &Semaphore| {
            // SAFETY: so many octets, all of them initialised.
            unsafe { core::slice::from_raw_parts(semaphore.0.get().cast::<u8>(), size_of::<sem_t>()) }
                .to_vec()
        };
        let (new, initialised) = (Semaphore::new(), Semaphore::new());
        // SAFETY: nobody uses it yet.
        assert_eq!(unsafe { libc::sem_init(initialised.0.get(), 0, 0) }, 0);
        assert_eq!(octets(&new), octets(&initialised));
    }
}
