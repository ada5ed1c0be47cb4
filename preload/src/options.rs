//! Socket options: kept on the original TCP socket, and set on every accepted one.
//!
//! An accepted socket has its listener's options. The broker's listener is another one, so what the program's socket had when
//! it was bound and is not a fresh socket's, and what is set on the listener afterwards, is set again on what is accepted.

use core::ffi::{c_int, c_void};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use libc::{IPPROTO_IP, IPPROTO_IPV6, IPPROTO_TCP, SOL_SOCKET, socklen_t};

use crate::{address, next};

/// The options that accepted sockets have from their listener: level, name, octets.
const INHERITED: [(c_int, c_int, u32); 28] = [
    (SOL_SOCKET, libc::SO_KEEPALIVE, 4),
    (SOL_SOCKET, libc::SO_LINGER, 8),
    (SOL_SOCKET, libc::SO_SNDBUF, 4),
    (SOL_SOCKET, libc::SO_RCVBUF, 4),
    (SOL_SOCKET, libc::SO_OOBINLINE, 4),
    (SOL_SOCKET, libc::SO_RCVTIMEO, 16),
    (SOL_SOCKET, libc::SO_SNDTIMEO, 16),
    (SOL_SOCKET, libc::SO_RCVLOWAT, 4),
    (SOL_SOCKET, libc::SO_PRIORITY, 4),
    (SOL_SOCKET, libc::SO_MARK, 4),
    (SOL_SOCKET, libc::SO_DONTROUTE, 4),
    (IPPROTO_TCP, libc::TCP_NODELAY, 4),
    (IPPROTO_TCP, libc::TCP_MAXSEG, 4),
    (IPPROTO_TCP, libc::TCP_CORK, 4),
    (IPPROTO_TCP, libc::TCP_KEEPIDLE, 4),
    (IPPROTO_TCP, libc::TCP_KEEPINTVL, 4),
    (IPPROTO_TCP, libc::TCP_KEEPCNT, 4),
    (IPPROTO_TCP, libc::TCP_LINGER2, 4),
    (IPPROTO_TCP, libc::TCP_WINDOW_CLAMP, 4),
    (IPPROTO_TCP, libc::TCP_CONGESTION, 16),
    (IPPROTO_TCP, libc::TCP_USER_TIMEOUT, 4),
    (IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT, 4),
    (IPPROTO_TCP, libc::TCP_THIN_LINEAR_TIMEOUTS, 4),
    (IPPROTO_IP, libc::IP_TOS, 4),
    (IPPROTO_IP, libc::IP_TTL, 4),
    (IPPROTO_IP, libc::IP_MTU_DISCOVER, 4),
    (IPPROTO_IPV6, libc::IPV6_TCLASS, 4),
    (IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS, 4),
];

const LARGEST: usize = 16;

/// Options of a listener that decide which connections, or which octets of them, come at all. The broker's listener has none
/// of them, and what is accepted has already got its first octets: they are refused.
const UNSUITABLE: [(c_int, c_int, &str); 13] = [
    (SOL_SOCKET, libc::SO_BINDTODEVICE, "SO_BINDTODEVICE"),
    (SOL_SOCKET, SO_BINDTOIFINDEX, "SO_BINDTOIFINDEX"),
    (SOL_SOCKET, libc::SO_ATTACH_FILTER, "SO_ATTACH_FILTER"),
    (SOL_SOCKET, libc::SO_ATTACH_BPF, "SO_ATTACH_BPF"),
    (SOL_SOCKET, libc::SO_ATTACH_REUSEPORT_CBPF, "SO_ATTACH_REUSEPORT_CBPF"),
    (SOL_SOCKET, libc::SO_ATTACH_REUSEPORT_EBPF, "SO_ATTACH_REUSEPORT_EBPF"),
    (IPPROTO_IP, libc::IP_MINTTL, "IP_MINTTL"),
    (IPPROTO_IP, libc::IP_OPTIONS, "IP_OPTIONS"),
    (IPPROTO_IPV6, IPV6_MINHOPCOUNT, "IPV6_MINHOPCOUNT"),
    (IPPROTO_TCP, libc::TCP_MD5SIG, "TCP_MD5SIG"),
    (IPPROTO_TCP, TCP_MD5SIG_EXT, "TCP_MD5SIG_EXT"),
    (IPPROTO_TCP, TCP_AO_ADD_KEY, "TCP_AO_ADD_KEY"),
    (IPPROTO_TCP, libc::TCP_ULP, "TCP_ULP"),
];

const SO_BINDTOIFINDEX: c_int = 62;
const IPV6_MINHOPCOUNT: c_int = 73;
const TCP_MD5SIG_EXT: c_int = 32;
const TCP_AO_ADD_KEY: c_int = 38;

/// What whoever needs one of them can do.
pub(crate) const INSTEAD: &str =
    "restrict the broker (`broker run --listen`, a firewall), or run without `broker exec`";

/// The name of an option that a listener cannot have.
pub(crate) fn name_of_unsuitable(level: c_int, name: c_int) -> Option<&'static str> {
    UNSUITABLE.iter().find(|(l, n, _)| (*l, *n) == (level, name)).map(|(_, _, text)| *text)
}

/// Of these, one that `socket` has.
pub(crate) fn unsuitable(socket: c_int) -> Option<&'static str> {
    if address::option(socket, IPPROTO_IP, libc::IP_MULTICAST_LOOP) == Some(0) {
        return Some("a key (TCP_MD5SIG, TCP_AO) or a BPF program");
    }
    let asked = UNSUITABLE.iter().filter(|(level, name, _)| {
        // of a device the name cannot be asked for by an int: its index can
        !is_untold(*level, *name) && *name != libc::SO_BINDTODEVICE
    });
    asked.into_iter().find(|(level, name, _)| has(socket, *level, *name)).map(|(_, _, name)| *name)
}

/// Whether it is one of those that the kernel sets and does not tell.
fn is_untold(level: c_int, name: c_int) -> bool {
    const BPF: [c_int; 3] =
        [libc::SO_ATTACH_BPF, libc::SO_ATTACH_REUSEPORT_CBPF, libc::SO_ATTACH_REUSEPORT_EBPF];
    match level {
        IPPROTO_TCP => name_of_unsuitable(level, name).is_some(),
        SOL_SOCKET => BPF.contains(&name),
        _ => false,
    }
}

/// The program has set an option of a socket that may be bound later. Of what the kernel would not tell then, the socket
/// itself keeps a mark, through dup, fork and exec: IP_MULTICAST_LOOP off, which means nothing to TCP.
pub(crate) fn note_untold(socket: c_int, level: c_int, name: c_int) {
    if is_untold(level, name) {
        address::set_int(socket, IPPROTO_IP, libc::IP_MULTICAST_LOOP, 0);
    }
}

fn has(socket: c_int, level: c_int, name: c_int) -> bool {
    let mut value: c_int = 0;
    let is_filter = (level, name) == (SOL_SOCKET, libc::SO_ATTACH_FILTER);
    // of a filter, how many instructions there are is told to who has no room for them
    let mut length: socklen_t = if is_filter { 0 } else { 4 };
    // SAFETY: both outlive the call, and at most `length` octets are written.
    let result =
        unsafe { next::getsockopt.get()(socket, level, name, (&raw mut value).cast(), &raw mut length) };
    result == 0 && if is_filter { length != 0 } else { length != 0 && value != 0 }
}

/// The options to set on accepted sockets; in the memory that all processes with the listener share.
#[repr(C)]
pub(crate) struct Options {
    /// By place in [`INHERITED`]: how many octets the value has; 0: not set.
    lengths: [AtomicU32; INHERITED.len()],
    values: [[AtomicU64; LARGEST / 8]; INHERITED.len()],
}

impl Options {
    pub(crate) const fn new() -> Self {
        Self {
            lengths: [const { AtomicU32::new(0) }; INHERITED.len()],
            values: [const { [const { AtomicU64::new(0) }; LARGEST / 8] }; INHERITED.len()],
        }
    }

    /// Notes what `socket` has and a fresh one of its family has not.
    pub(crate) fn note_differences(&self, socket: c_int, fresh: c_int) {
        for (index, (level, name, _)) in INHERITED.iter().enumerate() {
            let (Some(mut value), Some(default)) = (get(socket, *level, *name), get(fresh, *level, *name))
            else {
                continue;
            };
            if value == default {
                continue;
            }
            if *level == SOL_SOCKET && (*name == libc::SO_SNDBUF || *name == libc::SO_RCVBUF) {
                // the kernel doubles what is set
                value = Value::of_int(value.to_int() / 2);
            }
            self.store(index, value);
        }
    }

    /// Notes what the program has set on the listener.
    ///
    /// # Safety
    /// `value` points to `length` octets, or is null.
    pub(crate) unsafe fn note(&self, level: c_int, name: c_int, value: *const c_void, length: socklen_t) {
        let name = match (level, name) {
            (SOL_SOCKET, libc::SO_SNDBUFFORCE) => libc::SO_SNDBUF,
            (SOL_SOCKET, libc::SO_RCVBUFFORCE) => libc::SO_RCVBUF,
            (_, name) => name,
        };
        let Some(index) = INHERITED.iter().position(|(l, n, _)| (*l, *n) == (level, name)) else { return };
        let length = (length as usize).min(LARGEST);
        if value.is_null() {
            return;
        }
        let mut octets = [0; LARGEST];
        // SAFETY: `length` octets are readable, and there is room for them.
        unsafe { core::ptr::copy_nonoverlapping(value.cast::<u8>(), octets.as_mut_ptr(), length) };
        self.store(index, Value { octets, length: length as u32 });
    }

    fn store(&self, index: usize, value: Value) {
        let (Some(cells), Some(length)) = (self.values.get(index), self.lengths.get(index)) else { return };
        for (cell, octets) in cells.iter().zip(value.octets.chunks_exact(8)) {
            cell.store(u64::from_ne_bytes(octets.try_into().unwrap_or_default()), Ordering::Relaxed);
        }
        length.store(value.length, Ordering::Release);
    }

    /// Sets them on an accepted socket. What does not fit it (an IPv6 option and an IPv4 connection) is left out.
    pub(crate) fn apply(&self, socket: c_int) {
        for (index, (level, name, _)) in INHERITED.iter().enumerate() {
            let (Some(cells), Some(length)) = (self.values.get(index), self.lengths.get(index)) else {
                continue;
            };
            let length = length.load(Ordering::Acquire);
            if length == 0 {
                continue;
            }
            let mut octets = [0; LARGEST];
            for (cell, octets) in cells.iter().zip(octets.chunks_exact_mut(8)) {
                octets.copy_from_slice(&cell.load(Ordering::Relaxed).to_ne_bytes());
            }
            // SAFETY: `length` is at most what `octets` has.
            unsafe { next::setsockopt.get()(socket, *level, *name, octets.as_ptr().cast(), length) };
        }
    }
}

#[derive(PartialEq)]
struct Value {
    octets: [u8; LARGEST],
    length: u32,
}

impl Value {
    fn of_int(value: c_int) -> Self {
        let mut octets = [0; LARGEST];
        for (to, from) in octets.iter_mut().zip(value.to_ne_bytes()) {
            *to = from;
        }
        Self { octets, length: 4 }
    }

    fn to_int(&self) -> c_int {
        let mut octets = [0; 4];
        octets.iter_mut().zip(self.octets).for_each(|(to, from)| *to = from);
        c_int::from_ne_bytes(octets)
    }
}

fn get(socket: c_int, level: c_int, name: c_int) -> Option<Value> {
    let (_, _, length) = INHERITED.iter().find(|(l, n, _)| (*l, *n) == (level, name))?;
    let mut octets = [0; LARGEST];
    let mut length: socklen_t = *length;
    // SAFETY: `octets` has at least `length` octets, and both outlive the call.
    let result =
        unsafe { next::getsockopt.get()(socket, level, name, octets.as_mut_ptr().cast(), &raw mut length) };
    (result == 0).then_some(Value { octets, length })
}
