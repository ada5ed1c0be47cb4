//! Who may listen on a port: the broker for its workers, and a worker on a port of its own.

/// The ports below the number in it need a capability: ip(7).
const FIRST_UNPRIVILEGED: &str = "/proc/sys/net/ipv4/ip_unprivileged_port_start";

/// Why bind(2) or listen(2) is not permitted (EACCES, EPERM) for a port, and what helps: a sentence for an operator. No part of the
/// protocol; for a broker, and for a worker that may also listen on a port of its own.
///
/// ```
/// let why = handoff::why_not_permitted(65_535);
/// assert!(why.contains("security module"), "{why}");
/// ```
#[must_use]
pub fn why_not_permitted(port: u16) -> String {
    let first = std::fs::read_to_string(FIRST_UNPRIVILEGED).ok();
    // 1024 is what it is where nobody has set it.
    explained(port, first.and_then(|first| first.trim().parse().ok()).unwrap_or(1024))
}

fn explained(port: u16, first_unprivileged: u32) -> String {
    if u32::from(port) < first_unprivileged {
        format!(
            "ports below {first_unprivileged} need CAP_NET_BIND_SERVICE, which root has, or a lower \
             net.ipv4.ip_unprivileged_port_start"
        )
    } else {
        format!(
            "port {port} needs no privilege here, so a security module (SELinux, AppArmor, Landlock) or a filter (seccomp, BPF) \
             forbids it: its log or policy says why"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_port_below_the_first_unprivileged_one_is_said_to_need_a_privilege() {
        for (port, first, below) in [
            (808, 1024, true),
            (1023, 1024, true),
            (1024, 1024, false),
            (9000, 1024, false),
            (808, 0, false),
            (80, 81, true),
            (65_535, 65_536, true),
        ] {
            let why = explained(port, first);
            assert_eq!(
                why.starts_with(&format!("ports below {first} need CAP_NET_BIND_SERVICE")),
                below,
                "{why}"
            );
            assert_eq!(why.contains("security module"), !below, "{why}");
        }
        let first = std::fs::read_to_string(FIRST_UNPRIVILEGED).unwrap().trim().parse().unwrap();
        assert_eq!(why_not_permitted(1), explained(1, first));
    }
}
