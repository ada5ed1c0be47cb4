//! Calls of the broker that fail.

use super::{Broker, Strace, eventually};

/// The system calls that may be behind `epoll_wait`.
pub const WAITS: &str = "epoll_wait,epoll_pwait,epoll_pwait2";

/// Makes calls of one thread of a broker fail until it is dropped: `what` as for `strace --inject`; `traced` are written down.
pub fn inject(broker: &Broker, thread: &str, what: &str, traced: &str) -> Strace {
    let (what, traced) = (format!("inject={what}"), format!("trace={traced}"));
    Strace::attach(broker.thread(thread), &["-e", &traced, "-e", &what])
}

/// Waits until so many calls have failed.
pub fn failed(inject: &Strace, calls: usize) {
    eventually(|| inject.injected() >= calls, || inject.output());
}
