//! What stands on a control connection that is kept: whether a request is under way, and how many registrations its worker has. As it
//! stands on the socket itself, it is there with it, and always as new as what the worker was told: the option means nothing to a
//! Unix socket that keeps messages apart.

use std::os::fd::AsFd;

use nix::libc;
use nix::sys::socket::sockopt::{GetStruct, SetStruct};
use nix::sys::socket::{getsockopt, setsockopt};

#[derive(Clone, Copy, Debug)]
struct LowMark;
nix::setsockopt_impl!(LowMark, libc::SOL_SOCKET, libc::SO_RCVLOWAT, i32, SetStruct<'_, i32>);
nix::getsockopt_impl!(LowMark, libc::SOL_SOCKET, libc::SO_RCVLOWAT, i32, GetStruct<i32>);

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark(i32);

impl Mark {
    /// A request is under way: nobody knows whether its worker was answered.
    pub(crate) const BUSY: Self = Self(i32::MAX);

    /// Between requests, with so many registrations. That of a new socket is that of none.
    pub(crate) fn at_rest(registrations: usize) -> Self {
        Self(i32::try_from(registrations).map_or(i32::MAX, |count| count.saturating_add(1)))
    }

    pub(super) fn of(socket: impl AsFd) -> Option<Self> {
        getsockopt(&socket, LowMark).ok().map(Self)
    }

    pub(crate) fn set(self, socket: impl AsFd) {
        // One that is not set is not found again: the worker has to come again.
        let _ = setsockopt(&socket, LowMark, &self.0);
    }
}
