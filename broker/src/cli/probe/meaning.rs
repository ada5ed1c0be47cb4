//! What an answer says of the service, of the broker and of the way to them, and what to do about it.

use std::io::ErrorKind;

use framing_core::Fault;

use super::session::{Found, Probed};

/// How many octets are shown of what is no net.tcp.
const SHOWN: usize = 40;

/// What happened, in a line.
pub(super) fn summary(probed: &Probed) -> String {
    let milliseconds = format!("{:.1} ms", probed.took.as_secs_f64() * 1000.0);
    let by = |peer: &str| format!("{peer}{}", probed.peer.map_or_else(String::new, |peer| peer.to_string()));
    match &probed.found {
        Found::NoName(why) => format!("not reached: {why}"),
        Found::NotConnected(error) => format!("not reached: {error}"),
        Found::Silent => format!("no answer{} within {milliseconds}", by(" from ")),
        Found::Closed => format!("closed{} after {milliseconds}", by(" by ")),
        Found::Broken(error) if error.kind() == ErrorKind::ConnectionReset => {
            format!("reset{} after {milliseconds}", by(" by "))
        }
        Found::Broken(error) => format!("broken off after {milliseconds}: {error}"),
        Found::NotFraming(error, octets) => {
            let shown = octets.get(..SHOWN).unwrap_or(octets).escape_ascii();
            format!("{} is no net.tcp service: {error}; it sent \"{shown}\"", by(""))
        }
        Found::Fault(uri) => format!("fault {}{} after {milliseconds}", Fault::new(uri), by(" from ")),
        Found::WithoutUpgrade(protocol) => {
            format!("acknowledged without {protocol}{} after {milliseconds}", by(" by "))
        }
        Found::Upgrades(protocol) => format!("{protocol} accepted{} in {milliseconds}", by(" by ")),
        Found::Acknowledged { ended } => {
            let end = if *ended { "" } else { "; its End did not come" };
            format!("acknowledged{} in {milliseconds}{end}", by(" by "))
        }
    }
}

/// Whose fault it is and what to do; `None` if it is as it should be.
pub(super) fn meaning(probed: &Probed, via: &str) -> Option<String> {
    let via = via.escape_debug();
    Some(match &probed.found {
        Found::Acknowledged { .. } | Found::Upgrades(_) => return None,
        Found::NoName(_) => {
            "This machine finds no address for the host: look at its spelling, at DNS and at /etc/hosts.".to_owned()
        }
        Found::NotConnected(_) => not_connected(probed.found.kind()).to_owned(),
        Found::Silent => {
            "The port is open, and whoever has it says nothing: a service that does not accept (its queue in the broker \
             fills: WAIT in `broker ls`), one that is stuck, or no net.tcp service at all."
                .to_owned()
        }
        Found::Closed | Found::Broken(_) => {
            "Whoever has the port took the connection and gave no reason: a service that wants an upgrade (security; ask with \
             --upgrade ssl-tls or --upgrade negotiate), that has just ended, or a broker with compatibility = \"smsvchost\"."
                .to_owned()
        }
        Found::NotFraming(..) => {
            "Another program has this port, or the address names the wrong one (`ss -ltnp` there says which); or, behind a broker, the \
             worker that registered the address speaks no net.tcp (`broker route` there says who)."
                .to_owned()
        }
        Found::WithoutUpgrade(_) => {
            "The service is there and has no security: it does not wait for an upgrade. Clients of it need a binding with \
             SecurityMode.None, and `broker probe` no --upgrade; or else the service one with SecurityMode.Transport."
                .to_owned()
        }
        Found::Fault(uri) => fault(Fault::new(uri), &via.to_string()),
    })
}

fn not_connected(kind: Option<ErrorKind>) -> &'static str {
    match kind {
        Some(ErrorKind::ConnectionRefused) => {
            "The machine is there, and nobody listens on that port: no service has registered an address with it (the broker opens \
             a port for the first one), or the broker does not run; `broker ls` there shows what is registered."
        }
        Some(ErrorKind::TimedOut) => {
            "Nothing came back: the machine is off, the address is wrong, or a firewall on the way drops it silently."
        }
        Some(ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable | ErrorKind::NetworkDown) => {
            "There is no way to that machine: it is off, or this one's routes or a firewall forbid it."
        }
        Some(ErrorKind::PermissionDenied) => "A firewall or a policy of this machine forbids the connection.",
        _ => "This machine could not make the connection.",
    }
}

fn fault(fault: Fault<'_>, via: &str) -> String {
    match fault {
        Fault::ENDPOINT_NOT_FOUND => format!(
            "No service has this address: it does not run, has registered another one, or not for this host or local address.\n\
             On that machine `broker route {via}` says why, and `broker ls` which addresses there are."
        ),
        Fault::ENDPOINT_UNAVAILABLE => {
            "The address is known and takes nobody: an administrator lets it drain (`broker ls` says \
            drain; `broker undrain` ends it), or its service has stopped to accept."
                .to_owned()
        }
        Fault::SERVER_TOO_BUSY => {
            "The service does not keep up: its queue in the broker is full (WAIT in `broker ls`). It is \
            stuck, or too slow for what comes; max_pending_connections is how many may wait."
                .to_owned()
        }
        Fault::CONNECTION_DISPATCH_FAILED => {
            "The broker has the address, and could not give the connection away: the back-end of \
            a static route does not answer, or handing over failed. The broker's log says which."
                .to_owned()
        }
        Fault::UPGRADE_INVALID => {
            "The service is there and does not have the upgrade that was asked for: its binding has other \
            security, or none."
                .to_owned()
        }
        Fault::CONTENT_TYPE_INVALID => {
            "The service is there and speaks another encoding than NetTcpBinding's binary (a custom \
            binding)."
                .to_owned()
        }
        Fault::UNSUPPORTED_MODE => {
            "The service is there and takes no duplex session: its binding is streamed.".to_owned()
        }
        Fault::SERVICE_ACTIVATION_FAILED => {
            "The service's host could not start it: its own log says why.".to_owned()
        }
        Fault::ENDPOINT_ACCESS_DENIED => "The service is there and does not let this machine in.".to_owned(),
        Fault::ENDPOINT_PAUSED => "The service is there and is paused.".to_owned(),
        _ => "The service, or whoever stands before it, refuses a session as NetTcpBinding opens it."
            .to_owned(),
    }
}
