//! Registering again when the broker is back.
//!
//! While a broker is there no thread of ours is. The process whose `accept` finds the broker gone starts one, which ends when
//! a new registration stands behind the listener.

use core::ffi::c_int;
use core::mem::{self, MaybeUninit};
use core::sync::atomic::Ordering;
use std::os::fd::{AsFd, AsRawFd};
use std::thread;
use std::time::Duration;

use handoff::{ControlConnection, HandoffError};
use rustix::io::Errno;

use crate::listener::{Listener, Outage, Registration};
use crate::register::{
    FIRST_PAUSE, LONGEST_PAUSE, ask, connect, errno_of, explain, is_about_others, is_refused,
};
use crate::settings::settings;
use crate::shared::Behind;
use crate::{say, table};

/// When there is a broker that refuses: someone else has the address now, say.
const LONGEST_PAUSE_REFUSED: Duration = Duration::from_secs(30);

/// Registers the listener again as soon as a broker is there, on a thread of its own.
pub(crate) fn start(listener: &'static Listener, outage: Outage) {
    if outage.is_over(listener) {
        return listener.over.post();
    }
    let (me, holder) = (key(outage), listener.reconnecting.load(Ordering::Acquire));
    // a holder of another process: this is its child, which has not inherited the thread
    if holder == me
        || listener.reconnecting.compare_exchange(holder, me, Ordering::AcqRel, Ordering::Relaxed).is_err()
    {
        return;
    }
    listener.over.clear();
    say_gone(listener);
    let spawned = without_signals(|| {
        thread::Builder::new().name("port sharing".into()).stack_size(128 * 1024).spawn(move || {
            run(listener, outage);
            listener.over.post();
        })
    });
    if spawned.is_err() {
        // no room for a thread now: the program is woken to find the end again, but not at full speed
        let _ = listener.reconnecting.compare_exchange(me, 0, Ordering::AcqRel, Ordering::Relaxed);
        thread::sleep(FIRST_PAUSE);
        listener.wake();
    }
}

/// Once for all the processes with the listener.
fn say_gone(listener: &Listener) {
    let generation = listener.generation();
    if listener.shared().told.swap(generation, Ordering::AcqRel) != generation {
        let local = listener.shared().local();
        say::news(format_args!(
            "the broker is gone, or has ended the registration of {local}: waits to register again"
        ));
    }
}

/// What a listener is to the broker, and which addresses of its port are none of it.
pub(crate) fn say_registered(listener: &Listener, how: &str) {
    let shared = listener.shared();
    let (local, id) = (shared.local(), shared.registration.load(Ordering::Relaxed));
    let Some(settings) = settings() else { return };
    let addresses = settings.addresses_of(local).join(", ");
    let others = settings.others_of_port(local).join(", ");
    let (but, others) =
        if others.is_empty() { ("", "") } else { ("; not of this IP address: ", others.as_str()) };
    let only = match shared.only.get() {
        only if only.is_empty() => only,
        only => format!(", on {only} only, where the broker is configured to listen"),
    };
    say::news(format_args!("{local} is shared: {addresses} is {how} (registration {id}){only}{but}{others}"));
}

/// The program's signals are for its own threads.
fn without_signals<T>(with: impl FnOnce() -> T) -> T {
    let mut all = MaybeUninit::uninit();
    let mut former = MaybeUninit::uninit();
    // SAFETY: both sets outlive the calls, the first is filled before it is used.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), former.as_mut_ptr());
    }
    let result = with();
    // SAFETY: `former` was filled by the call above, which cannot fail with these arguments.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, former.as_ptr(), core::ptr::null_mut()) };
    result
}

/// Until the outage is over.
fn run(listener: &'static Listener, mut outage: Outage) {
    let mut pauses = Pauses::new();
    let mut refusing = None;
    let mut said = false;
    while !outage.is_over(listener) {
        if wait(listener, outage, refusing.take(), pauses.next()) == Woken::AnotherBroker {
            (pauses, said) = (Pauses::new(), false);
        }
        if !become_registrar(listener) {
            continue;
        }
        if !outage.is_over(listener) {
            match attempt(listener) {
                Ok(registration) if !outage.is_over(listener) => {
                    if let Err(errno) = renew(listener, registration, &mut outage)
                        && !mem::replace(&mut said, true)
                    {
                        let local = listener.shared().local();
                        say::line(format_args!("{local} cannot be registered again: {errno}; tries again"));
                    }
                }
                Ok(_) => {}
                Err((error, control)) => {
                    refusing = control.filter(|_| is_about_others(&error));
                    if is_refused(&error) {
                        pauses.longest = LONGEST_PAUSE_REFUSED;
                    }
                    if (is_refused(&error) || errno_of(&error) == Errno::MFILE)
                        && !mem::replace(&mut said, true)
                    {
                        let seconds = pauses.longest.as_secs();
                        explain(&error, &format!("; tries again, at the latest every {seconds} s"));
                    }
                }
            }
        }
        listener.shared().registrar.store(0, Ordering::Release);
    }
}

/// Each twice as long as the one before.
struct Pauses {
    next: Duration,
    longest: Duration,
}

impl Pauses {
    fn new() -> Self {
        Self { next: FIRST_PAUSE, longest: LONGEST_PAUSE }
    }

    fn next(&mut self) -> Duration {
        let next = self.next.saturating_mul(2).min(self.longest);
        mem::replace(&mut self.next, next)
    }
}

#[derive(PartialEq)]
enum Woken {
    /// Time for the next attempt, or the listener is shut down.
    No,
    /// The broker that has refused is gone.
    AnotherBroker,
}

/// A pause, which ends with the broker that has refused, or with a `shutdown` of the listener in whichever process: that one
/// makes the epoll instance readable.
fn wait(listener: &Listener, outage: Outage, refusing: Option<ControlConnection>, pause: Duration) -> Woken {
    let readable = |descriptor| libc::pollfd { fd: descriptor, events: libc::POLLIN, revents: 0 };
    let control = refusing.as_ref().map_or(-1, |control| control.as_fd().as_raw_fd());
    let mut descriptors = [readable(control), readable(listener.descriptor(Behind::Epoll))];
    let timeout = c_int::try_from(pause.as_millis()).unwrap_or(c_int::MAX);
    // SAFETY: two pollfds, which outlive the call.
    unsafe { libc::poll(descriptors.as_mut_ptr(), 2, timeout) };
    let [control, epoll] = descriptors;
    if control.revents != 0 {
        return Woken::AnotherBroker;
    }
    if epoll.revents != 0 && !outage.is_over(listener) {
        // the program is about to find the end once more
        thread::sleep(pause);
    }
    Woken::No
}

/// On failure the outage goes on, even if its last step alone has failed.
fn renew(listener: &'static Listener, registration: Registration, outage: &mut Outage) -> Result<(), Errno> {
    let renewed = listener.renew(registration, outage.epoch);
    if renewed.is_ok() && listener.epoch() == outage.epoch {
        say_registered(listener, "registered again");
    }
    renewed.inspect_err(|_| {
        let next = Outage { generation: listener.generation(), ..*outage };
        let holder = &listener.reconnecting;
        if holder.compare_exchange(key(*outage), key(next), Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            *outage = next;
        }
    })
}

/// A thread of this process, and what it is for.
fn key(outage: Outage) -> u64 {
    (table::pid() as u64) << 32 | u64::from(outage.generation)
}

/// One of the processes with the listener registers; another takes its place should it die.
fn become_registrar(listener: &Listener) -> bool {
    let registrar = &listener.shared().registrar;
    let holder = registrar.load(Ordering::Acquire);
    (holder == 0 || holder == table::pid() || is_dead(holder))
        && registrar.compare_exchange(holder, table::pid(), Ordering::AcqRel, Ordering::Relaxed).is_ok()
}

fn is_dead(process: c_int) -> bool {
    rustix::process::Pid::from_raw(process)
        .is_none_or(|process| rustix::process::test_kill_process(process) == Err(Errno::SRCH))
}

/// Registers again what was registered before.
///
/// # Errors
/// Those of [`ask`].
pub(crate) fn again(listener: &Listener) -> Result<Registration, HandoffError> {
    attempt(listener).map_err(|(error, _)| error)
}

fn attempt(listener: &Listener) -> Result<Registration, (HandoffError, Option<ControlConnection>)> {
    let shared = listener.shared();
    let settings = settings().ok_or((HandoffError::NoControlPath, None))?;
    let control = connect(settings).map_err(|error| (error, None))?;
    let asked = ask(control, settings, settings.addresses_of(shared.local()), shared.bound());
    asked.map_err(|(error, control)| (error, Some(control)))
}
