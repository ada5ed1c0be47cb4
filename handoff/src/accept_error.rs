//! What an error of accept(2) is about. No part of the protocol: it is here because both of its sides, the broker and a worker
//! that may also listen on a port of its own (as `transport` does), go by one list.

use std::io;

use rustix::io::Errno;

/// Whether an error of `accept` is that of the one connection that would have been accepted, or of nothing: it was gone before
/// anybody came, the network had something to say about it (accept(2), "Error handling"), or a signal came. The next connection
/// may be accepted at once.
///
/// Whatever else there is, known or not, would be there at the next attempt, too: no descriptor or no memory, a security module
/// that refuses, a socket that does not listen. Whoever accepts in a loop must pause then, or it takes a whole processor.
///
/// ```
/// use handoff::accept_error::concerns_one_connection;
/// use std::io;
///
/// assert!(concerns_one_connection(&io::Error::from(rustix::io::Errno::CONNABORTED)));
/// // as a security module answers
/// assert!(!concerns_one_connection(&io::Error::from(rustix::io::Errno::PERM)));
/// ```
pub fn concerns_one_connection(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(
            Errno::CONNABORTED
                | Errno::INTR
                | Errno::NETDOWN
                | Errno::PROTO
                | Errno::NOPROTOOPT
                | Errno::HOSTDOWN
                | Errno::NONET
                | Errno::HOSTUNREACH
                | Errno::OPNOTSUPP
                | Errno::NETUNREACH
        )
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// accept(2) names ten; the rest of what Linux has is there at the next attempt as well.
    #[test]
    fn ten_errors_concern_one_connection() {
        let concerning = [
            Errno::INTR,
            Errno::NONET,
            Errno::PROTO,
            Errno::NOPROTOOPT,
            Errno::OPNOTSUPP,
            Errno::NETDOWN,
            Errno::NETUNREACH,
            Errno::CONNABORTED,
            Errno::HOSTDOWN,
            Errno::HOSTUNREACH,
        ];
        let found: Vec<i32> =
            (1..134).filter(|errno| concerns_one_connection(&io::Error::from_raw_os_error(*errno))).collect();
        let mut expected = concerning.map(Errno::raw_os_error);
        expected.sort_unstable();
        assert_eq!(found, expected);
        assert!(!concerns_one_connection(&io::ErrorKind::TimedOut.into()), "not the system's");
    }
}
