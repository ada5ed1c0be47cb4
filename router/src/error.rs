//! Why a Via or an address is refused, and why a lookup finds nothing.

use core::fmt;
use core::net::IpAddr;

use crate::{HostNameComparison, Prefix};

/// Why a Via is no absolute URI. The original resets such a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ViaError {
    /// Nothing, or nothing but white space.
    Empty,
    /// More than 2048 octets.
    TooLong {
        /// How many.
        octets: usize,
    },
    /// No scheme followed by a colon, or one with characters a scheme cannot have.
    Scheme,
    /// The scheme is followed by something else than `//`, or the part before the path is malformed.
    Authority,
    /// Something before an `@`, which net.tcp does not have.
    UserInfo,
    /// The host is empty, or neither a name nor an IP address.
    Host,
    /// The host is `+` or `*`, as HTTP.sys, and WCF in its messages, write addresses in this mode.
    Wildcard(HostNameComparison),
    /// The port is no number up to 65535.
    Port,
    /// The scheme cannot carry a port, so the original's port substitution fails.
    NoPortAllowed,
}

impl fmt::Display for ViaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong { octets } => return write!(f, "the URI has {octets} octets, more than 2048"),
            Self::Wildcard(mode) => {
                let sign = sign(*mode);
                return write!(f, "{sign} stands for every host name: name the host that is called");
            }
            Self::Empty => "the URI is empty",
            Self::Scheme => "the URI has no valid scheme",
            Self::Authority => "the part of the URI behind the scheme is malformed",
            Self::UserInfo => "the URI has user information, which net.tcp does not allow",
            Self::Host => "the host is neither a name nor an IP address",
            Self::Port => "the port is not a number from 0 to 65535",
            Self::NoPortAllowed => "the scheme cannot carry a port",
        })
    }
}

impl core::error::Error for ViaError {}

/// The host that stands for all of them in a mode.
fn sign(mode: HostNameComparison) -> &'static str {
    if mode == HostNameComparison::WeakWildcard { "*" } else { "+" }
}

/// Why an address cannot be registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PrefixError {
    /// The address is no absolute URI (the original: `InvalidArgument`); says no more than its reason, which is no source
    /// beside it.
    Invalid(ViaError),
    /// The scheme is not net.tcp (the original: `ProtocolUnsupported`).
    Scheme,
    /// A registered address has no query (the original: `InvalidArgument`).
    Query,
    /// A registered address has no fragment (the original: `InvalidArgument`).
    Fragment,
    /// The canonical address is longer than 2048 octets (the original: `PathTooLong`).
    TooLong {
        /// Its length in octets.
        octets: usize,
    },
}

impl fmt::Display for PrefixError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(ViaError::Wildcard(mode)) => {
                let default = if *mode == HostNameComparison::default() { " (the default)" } else { "" };
                write!(
                    f,
                    "write localhost for {}, with the host name comparison {mode}{default}: \
                     any name stands for every host then",
                    sign(*mode)
                )
            }
            Self::Invalid(error) => error.fmt(f),
            Self::Scheme => f.write_str("the scheme is not net.tcp"),
            Self::Query => f.write_str("a registered address cannot have a query"),
            Self::Fragment => f.write_str("a registered address cannot have a fragment"),
            Self::TooLong { octets } => write!(f, "the address has {octets} octets, more than 2048"),
        }
    }
}

impl core::error::Error for PrefixError {}

/// The address is registered already: the registration that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Conflict<T> {
    /// The address already in the table.
    pub prefix: Prefix,
    /// Its value.
    pub value: T,
}

impl<T> fmt::Display for Conflict<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the address is already registered as {} ({})", self.prefix.address(), self.prefix.mode())
    }
}

impl<T: fmt::Debug> core::error::Error for Conflict<T> {}

/// Why a lookup found no registration.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Miss {
    /// The Via is a URI of another scheme than net.tcp.
    OtherScheme,
    /// No registered address is a prefix of the Via.
    NoRegistration,
    /// An address matched, but it is an IP literal other than the local address of the connection, and
    /// no later mode had a match.
    AddressCheckFailed {
        /// The registered address that matched first.
        prefix: Prefix,
        /// The local address of the connection.
        local: IpAddr,
    },
}

impl Miss {
    /// The mode whose match failed the address check, if that is why.
    #[must_use]
    pub fn mode(&self) -> Option<HostNameComparison> {
        match self {
            Self::AddressCheckFailed { prefix, .. } => Some(prefix.mode()),
            _ => None,
        }
    }
}

impl fmt::Display for Miss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherScheme => f.write_str("the scheme of the Via is not net.tcp"),
            Self::NoRegistration => f.write_str("no registered address is a prefix of the Via"),
            Self::AddressCheckFailed { prefix, local } => write!(
                f,
                "{} ({}) matches, but the connection came in on {local}",
                prefix.address(),
                prefix.mode()
            ),
        }
    }
}

impl core::error::Error for Miss {}
