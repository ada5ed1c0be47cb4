//! Registering: what the broker is asked, and what its refusals mean to the program.

use std::net::IpAddr;
use std::thread;
use std::time::{Duration, Instant};

use handoff::{ControlConnection, HandoffError, Refused, RefusedReason, Register, Registered};
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

use crate::listener::Registration;
use crate::say;
use crate::settings::Settings;

/// The pauses between attempts, as long as no broker is there.
pub(crate) const FIRST_PAUSE: Duration = Duration::from_millis(50);
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A broker that accepts the control connection answers within this time.
const ANSWER: Duration = Duration::from_secs(10);

/// # Errors
/// Those of [`ControlConnection`].
pub(crate) fn connect(settings: &Settings) -> Result<ControlConnection, HandoffError> {
    let mut control = ControlConnection::connect(&settings.control)?;
    control.set_timeout(Some(ANSWER))?;
    Ok(control)
}

/// Registers these addresses for a listener that would have been bound to `bound`.
///
/// # Errors
/// Those of [`ControlConnection`], which comes back with them.
pub(crate) fn ask(
    mut control: ControlConnection,
    settings: &Settings,
    addresses: Vec<String>,
    bound: Vec<IpAddr>,
) -> Result<Registration, (HandoffError, ControlConnection)> {
    let mut register = Register::new(addresses).with_grace(settings.grace).with_share(settings.share);
    register.host_name_comparison.clone_from(&settings.host_name_comparison);
    register.bound = Some(bound.clone());
    // what is left over from a message is invisible to epoll: a program that accepts once per wake-up would never see it
    register.sockets_per_message = Some(1);
    match control.register(&register) {
        Ok((registered, accept)) => {
            Ok(Registration { id: registered.id, only: only(&registered, &bound), control, accept })
        }
        Err(error) => Err((error, control)),
    }
}

/// Where the broker listens, if one of these addresses is not among them: it has been told what "all" means.
fn only(registered: &Registered, bound: &[IpAddr]) -> String {
    /// More are not spelled out.
    const SHOWN: usize = 4;
    let listening = registered.listening.as_deref().unwrap_or_default();
    let is_open = |ip: &IpAddr| listening.iter().any(|address| address.ip() == *ip);
    if listening.is_empty() || bound.iter().all(is_open) {
        return String::new();
    }
    let shown: Vec<_> = listening.iter().take(SHOWN).map(ToString::to_string).collect();
    let more = listening.len().saturating_sub(SHOWN);
    shown.join(", ") + &if more > 0 { format!(" and {more} more") } else { String::new() }
}

/// The first registration, at `bind`. Waits a while for a broker that is not there yet, if the program began at boot, say.
///
/// # Errors
/// Those of [`ask`].
pub(crate) fn first(
    settings: &Settings,
    addresses: &[String],
    bound: &[IpAddr],
) -> Result<Registration, HandoffError> {
    let until = Instant::now().checked_add(settings.wait);
    let mut pause = FIRST_PAUSE;
    loop {
        let error = match connect(settings) {
            Err(error @ HandoffError::NoBroker { .. }) => error,
            control => {
                let asked = ask(control?, settings, addresses.to_vec(), bound.to_vec());
                return asked.map_err(|(error, _)| error);
            }
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
    explain(error, "");
    errno_of(error)
}

pub(crate) fn explain(error: &HandoffError, then: &str) {
    match error {
        HandoffError::Io(io) if Errno::from_io_error(io) == Some(Errno::AFNOSUPPORT) => {
            say::line(format_args!(
                "this program may make no Unix sockets, which lead to the broker: add AF_UNIX to RestrictAddressFamilies= of its unit"
            ))
        }
        error if errno_of(error) == Errno::MFILE => say_no_descriptor(then),
        HandoffError::Refused(Refused { address: Some(address), message, .. })
            if !message.contains(address.as_str()) =>
        {
            say::line(format_args!("{address}: {message}{then}"))
        }
        error => say::line(format_args!("{error}{then}")),
    }
}

/// The limit is the program's own.
pub(crate) fn say_no_descriptor(then: &str) {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    say::line(format_args!(
        "no descriptor is free{then}: a shared listener takes eight, and this program may have {limit} \
         (`ulimit -n`, LimitNOFILE= of a unit)"
    ));
}

pub(crate) fn errno_of(error: &HandoffError) -> Errno {
    match error {
        HandoffError::Refused(refused) => match refused.reason {
            RefusedReason::ConflictingRegistration | RefusedReason::FailedToListen => Errno::ADDRINUSE,
            // `AddressNotAvailable` and the rest are what Linux says of an address that is not this machine's.
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

pub(crate) fn is_refused(error: &HandoffError) -> bool {
    matches!(error, HandoffError::Refused(_))
}

/// Whether what the broker refuses may be granted when others have gone; it keeps the control connection meanwhile.
pub(crate) fn is_about_others(error: &HandoffError) -> bool {
    use RefusedReason::{AddressNotAvailable, ConflictingRegistration, FailedToListen, PortNotPermitted};
    matches!(error, HandoffError::Refused(refused)
    if matches!(
        refused.reason,
        AddressNotAvailable | ConflictingRegistration | FailedToListen | PortNotPermitted
    ))
}
