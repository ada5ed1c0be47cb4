//! What the processes that inherited a listener must agree on: a page of a memfd.

use core::ffi::c_int;
use core::sync::atomic::{AtomicI32, AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};

use crate::options::Options;

/// The memfd's name: an exec'd child finds inherited listeners by it.
pub(crate) const MEMFD_NAME: &str = "net-tcp-port-sharing-listener";

/// Its size.
pub(crate) const PAGE: usize = 4096;

/// The descriptors behind the program's.
#[derive(Clone, Copy)]
#[repr(usize)]
pub(crate) enum Behind {
    /// The accept socket: connections come out of it.
    Accept,
    /// The control connection: the registration ends with it.
    Control,
    /// The program's TCP socket, never bound: it answers for options.
    Original,
    /// A second descriptor of the epoll instance.
    Epoll,
    /// The page.
    State,
    /// After a reconnection, a copy of the new accept socket waits at this end for the other processes to peek at.
    MailboxOut,
    /// The other end.
    MailboxIn,
}

pub(crate) const BEHIND: usize = 7;

impl Behind {
    pub(crate) const ALL: [Self; BEHIND] = [
        Self::Accept,
        Self::Control,
        Self::Original,
        Self::Epoll,
        Self::State,
        Self::MailboxOut,
        Self::MailboxIn,
    ];
}

/// What all processes with the listener share. Zero octets are a valid value.
#[repr(C)]
pub(crate) struct Shared {
    pub(crate) descriptors: [AtomicI32; BEHIND],
    /// Counts the accept sockets there have been.
    pub(crate) generation: AtomicU32,
    pub(crate) listening: AtomicU32,
    pub(crate) shut: AtomicU32,
    /// The registration's number at the broker.
    pub(crate) registration: AtomicU64,
    /// Where the broker listens for it, if that is less than the program asked for.
    pub(crate) only: Text,
    /// The accept socket, by its generation, whose end was said on standard error.
    pub(crate) told: AtomicU32,
    /// The process that is registering again.
    pub(crate) registrar: AtomicI32,
    /// The address the program bound to: the IPv4 one mapped.
    ip: [AtomicU64; 2],
    scope: AtomicU32,
    flow: AtomicU32,
    port: AtomicU16,
    v4: AtomicU16,
    /// Whether IPv4 connections are shown as `::ffff:`.
    pub(crate) dual_stack: AtomicU32,
    pub(crate) options: Options,
}

const _: () = assert!(size_of::<Shared>() <= PAGE);

/// A few words.
pub(crate) struct Text([AtomicU8; 256]);

impl Text {
    const fn new() -> Self {
        Self([const { AtomicU8::new(0) }; 256])
    }

    pub(crate) fn set(&self, text: &str) {
        let octets = text.bytes().chain(core::iter::repeat(0));
        self.0.iter().zip(octets).for_each(|(cell, octet)| cell.store(octet, Ordering::Relaxed));
    }

    pub(crate) fn get(&self) -> String {
        let octets = self.0.iter().map(|cell| cell.load(Ordering::Relaxed));
        let octets: Vec<u8> = octets.take_while(|octet| *octet != 0).collect();
        String::from_utf8_lossy(&octets).into_owned()
    }
}

impl Shared {
    pub(crate) const fn new() -> Self {
        Self {
            descriptors: [const { AtomicI32::new(-1) }; BEHIND],
            generation: AtomicU32::new(0),
            listening: AtomicU32::new(0),
            shut: AtomicU32::new(0),
            registration: AtomicU64::new(0),
            only: Text::new(),
            told: AtomicU32::new(0),
            registrar: AtomicI32::new(0),
            ip: [const { AtomicU64::new(0) }; 2],
            scope: AtomicU32::new(0),
            flow: AtomicU32::new(0),
            port: AtomicU16::new(0),
            v4: AtomicU16::new(0),
            dual_stack: AtomicU32::new(0),
            options: Options::new(),
        }
    }

    pub(crate) fn descriptor(&self, which: Behind) -> c_int {
        self.descriptors.get(which as usize).map_or(-1, |number| number.load(Ordering::Acquire))
    }

    pub(crate) fn set_local(&self, local: SocketAddr) {
        let ip = match local.ip() {
            IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            IpAddr::V6(v6) => v6,
        };
        let octets = u128::from(ip);
        let [high, low] = &self.ip;
        high.store((octets >> 64) as u64, Ordering::Relaxed);
        low.store(octets as u64, Ordering::Relaxed);
        self.port.store(local.port(), Ordering::Relaxed);
        self.v4.store(local.is_ipv4().into(), Ordering::Relaxed);
        if let SocketAddr::V6(v6) = local {
            self.scope.store(v6.scope_id(), Ordering::Relaxed);
            self.flow.store(v6.flowinfo(), Ordering::Relaxed);
        }
    }

    /// What the program bound to.
    pub(crate) fn local(&self) -> SocketAddr {
        let [high, low] = &self.ip;
        let ip = u128::from(high.load(Ordering::Relaxed)) << 64 | u128::from(low.load(Ordering::Relaxed));
        let ip = Ipv6Addr::from(ip);
        let port = self.port.load(Ordering::Relaxed);
        match (self.v4.load(Ordering::Relaxed), ip.to_ipv4_mapped()) {
            (1, Some(v4)) => SocketAddr::new(v4.into(), port),
            _ => {
                let (flow, scope) = (self.flow.load(Ordering::Relaxed), self.scope.load(Ordering::Relaxed));
                SocketAddrV6::new(ip, port, flow, scope).into()
            }
        }
    }

    /// The local addresses the program's own listener would have had (`bound` of the registration).
    pub(crate) fn bound(&self) -> Vec<IpAddr> {
        let ip = self.local().ip();
        if ip.is_unspecified() && self.dual_stack.load(Ordering::Relaxed) == 1 {
            return vec![Ipv6Addr::UNSPECIFIED.into(), core::net::Ipv4Addr::UNSPECIFIED.into()];
        }
        vec![ip.to_canonical()]
    }
}
