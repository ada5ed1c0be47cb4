//! Registering: at `bind`, and again when the broker is back.
//!
//! While a broker is there no thread of ours is. The process whose `accept` finds the broker gone starts one, which ends when
//! a new registration stands behind the listener.

use core::ffi::c_int;
use core::mem::MaybeUninit;
use core::sync::atomic::Ordering;
use std::net::IpAddr;
use std::thread;
use std::time::{Duration, Instant};

use handoff::{ControlConnection, HandoffError, RefusedReason, Register};
use rustix::io::Errno;

use crate::listener::{Listener, Outage, Registration};
use crate::settings::{Settings, settings};
use crate::{say, table};

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// When there is a broker that refuses: someone else has the address now, say.
const LONGEST_PAUSE_REFUSED: Duration = Duration::from_secs(30);

/// A broker that accepts the control connection answers within this time.
const ANSWER: Duration = Duration::from_secs(10);

/// Registers these addresses for a listener that would have been bound to `bound`.
///
/// # Errors
/// Those of [`ControlConnection`].
pub(crate) fn register(
    settings: &Settings,
    addresses: Vec<String>,
    bound: Vec<IpAddr>,
) -> Result<Registration, HandoffError> {
    let mut control = ControlConnection::connect(&settings.control)?;
    control.set_timeout(Some(ANSWER))?;
    let mut register = Register::new(addresses);
    register.host_name_comparison.clone_from(&settings.host_name_comparison);
    register.bound = Some(bound);
    // what is left over from a message is invisible to epoll: a program that accepts once per wake-up would never see it
    register.sockets_per_message = Some(1);
    let (id, accept) = control.register(&register)?;
    Ok(Registration { id, control, accept })
}

/// The first registration, at `bind`. Waits a while for a broker that is not there yet, if the program began at boot, say.
///
/// # Errors
/// Those of [`register`].
pub(crate) fn first(
    settings: &Settings,
    addresses: &[String],
    bound: &[IpAddr],
) -> Result<Registration, HandoffError> {
    let until = Instant::now().checked_add(settings.wait);
    let mut pause = FIRST_PAUSE;
    loop {
        let error = match register(settings, addresses.to_vec(), bound.to_vec()) {
            Err(error @ HandoffError::NoBroker { .. }) => error,
            other => return other,
        };
        if until.is_none_or(|until| Instant::now() >= until) {
            return Err(error);
        }
        if pause == FIRST_PAUSE {
            let (path, seconds) = (settings.control.display(), settings.wait.as_secs());
            say::news(format_args!("no broker runs at {path} yet: waits for it, at most {seconds} s"));
        }
        thread::sleep(pause);
        pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
    }
}

/// What `bind` says, with a line on standard error for whoever looks there.
pub(crate) fn tell(error: &HandoffError) -> Errno {
    match error {
        HandoffError::Io(io) if Errno::from_io_error(io) == Some(Errno::AFNOSUPPORT) => {
            say::line(format_args!(
                "this program may make no Unix sockets, which lead to the broker: add AF_UNIX to RestrictAddressFamilies= of its unit"
            ))
        }
        error => say::line(format_args!("{error}")),
    }
    match error {
        HandoffError::Refused(refused) => match refused.reason {
            RefusedReason::ConflictingRegistration | RefusedReason::FailedToListen => Errno::ADDRINUSE,
            RefusedReason::AccessDenied | RefusedReason::PortNotPermitted => Errno::ACCESS,
            _ => Errno::ADDRNOTAVAIL,
        },
        HandoffError::AccessDenied { .. } => Errno::ACCESS,
        HandoffError::Io(error) => match Errno::from_io_error(error) {
            Some(errno @ (Errno::MFILE | Errno::NFILE | Errno::NOMEM)) => errno,
            _ => Errno::ADDRNOTAVAIL,
        },
        HandoffError::ControlTruncated => Errno::MFILE,
        _ => Errno::ADDRNOTAVAIL,
    }
}

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

/// What a listener is to the broker.
pub(crate) fn say_registered(listener: &Listener, how: &str) {
    let shared = listener.shared();
    let (local, id) = (shared.local(), shared.registration.load(Ordering::Relaxed));
    let addresses = settings().map(|settings| settings.addresses_of(local).join(", ")).unwrap_or_default();
    say::news(format_args!("{local} is shared: {addresses} is {how} (registration {id})"));
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
    let (mut pause, mut longest) = (FIRST_PAUSE, LONGEST_PAUSE);
    while !outage.is_over(listener) {
        thread::sleep(pause);
        pause = pause.saturating_mul(2).min(longest);
        if !become_registrar(listener) {
            continue;
        }
        if !outage.is_over(listener) {
            match again(listener) {
                Ok(registration) if !outage.is_over(listener) => renew(listener, registration, &mut outage),
                Err(error @ HandoffError::Refused(_)) if longest == LONGEST_PAUSE => {
                    tell(&error);
                    longest = LONGEST_PAUSE_REFUSED;
                }
                Ok(_) | Err(_) => {}
            }
        }
        listener.shared().registrar.store(0, Ordering::Release);
    }
}

fn renew(listener: &'static Listener, registration: Registration, outage: &mut Outage) {
    match listener.renew(registration, outage.epoch) {
        Ok(()) if listener.epoch() == outage.epoch => say_registered(listener, "registered again"),
        Ok(()) => {}
        Err(_) => {
            // no descriptor was free, say: the outage goes on, even if its last step alone has failed
            listener.end_registration();
            let next = Outage { generation: listener.generation(), ..*outage };
            let holder = &listener.reconnecting;
            if holder.compare_exchange(key(*outage), key(next), Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                *outage = next;
            }
        }
    }
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

/// One attempt.
///
/// # Errors
/// Those of [`register`].
pub(crate) fn again(listener: &Listener) -> Result<Registration, HandoffError> {
    let shared = listener.shared();
    let settings = settings().ok_or(HandoffError::NoControlPath)?;
    register(settings, settings.addresses_of(shared.local()), shared.bound())
}
