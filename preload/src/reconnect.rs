//! Registering: at `bind`, and again when the broker is back.
//!
//! While a broker is there no thread of ours is. The process whose `accept` finds the broker gone starts one, which ends when
//! a new registration stands behind the listener.

use core::ffi::c_int;
use core::mem::MaybeUninit;
use core::sync::atomic::Ordering;
use std::io::Write;
use std::net::IpAddr;
use std::thread;
use std::time::Duration;

use handoff::{ControlConnection, HandoffError, RefusedReason, Register};
use rustix::io::Errno;

use crate::listener::{Listener, Registration};
use crate::settings::{Settings, settings};
use crate::table;

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
    let (_, accept) = control.register(&register)?;
    Ok(Registration { control, accept })
}

/// What `bind` says, with a line on standard error for whoever looks there.
pub(crate) fn tell(error: &HandoffError) -> Errno {
    let _ = std::io::stderr().write_all(format!("net.tcp port sharing: {error}\n").as_bytes());
    match error {
        HandoffError::Refused(refused) => match refused.reason {
            RefusedReason::ConflictingRegistration | RefusedReason::FailedToListen => Errno::ADDRINUSE,
            RefusedReason::AccessDenied => Errno::ACCESS,
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
pub(crate) fn start(listener: &'static Listener, epoch: u32) {
    let (process, holder) = (table::pid(), listener.reconnecting.load(Ordering::Acquire));
    // a holder of another process: this is its child, which has not inherited the thread
    if holder == process
        || listener
            .reconnecting
            .compare_exchange(holder, process, Ordering::AcqRel, Ordering::Relaxed)
            .is_err()
    {
        return;
    }
    let spawned = without_signals(|| {
        thread::Builder::new()
            .name("port sharing".into())
            .stack_size(128 * 1024)
            .spawn(move || run(listener, epoch))
    });
    if spawned.is_err() {
        listener.reconnecting.store(0, Ordering::Release);
    }
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

fn run(listener: &'static Listener, epoch: u32) {
    let (mut pause, mut longest) = (FIRST_PAUSE, LONGEST_PAUSE);
    loop {
        thread::sleep(pause);
        pause = pause.saturating_mul(2).min(longest);
        if listener.epoch() != epoch || listener.is_renewed() {
            break;
        }
        if !become_registrar(listener) {
            continue;
        }
        let registration = again(listener);
        let registered = registration.is_ok();
        match registration {
            Ok(registration) => {
                // before the new registration can end: the `accept` that sees it end starts the next thread
                listener.reconnecting.store(0, Ordering::Release);
                let _ = listener.renew(registration, epoch);
            }
            Err(error @ HandoffError::Refused(_)) if longest == LONGEST_PAUSE => {
                tell(&error);
                longest = LONGEST_PAUSE_REFUSED;
            }
            Err(_) => {}
        }
        listener.shared().registrar.store(0, Ordering::Release);
        if registered {
            return;
        }
    }
    listener.reconnecting.store(0, Ordering::Release);
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
