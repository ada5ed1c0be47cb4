//! The table of registered addresses.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;

use crate::{Conflict, HostNameComparison, Miss, Prefix, Via};

/// Registered addresses with a value each.
///
/// A clone is a snapshot that costs nothing: edit one, hand it to readers, and nobody waits.
///
/// ```
/// use router::{HostNameComparison, Miss, Prefix, RouteTable, Via};
///
/// let mut table = RouteTable::new();
/// let calc = Prefix::parse("net.tcp://localhost:9000/calc", HostNameComparison::StrongWildcard)?;
/// table.register(calc, "calculator").expect("the table was empty");
///
/// let local = "192.0.2.5:9000".parse()?;
/// let found = table.lookup(&Via::parse("net.tcp://srv1:9000/Calc/add")?, local)?;
/// assert_eq!(*found.value, "calculator");
/// assert_eq!(table.lookup(&Via::parse("net.tcp://srv1:9000/calculator")?, local), Err(Miss::NoRegistration));
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct RouteTable<T> {
    entries: Arc<BTreeMap<Key, (Prefix, T)>>,
}

/// Mode, port, host (exact only), lower-case segments.
type Key = (HostNameComparison, u16, String, Vec<String>);

/// The registration a Via belongs to, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Match<'t, T> {
    /// The registered address.
    pub prefix: &'t Prefix,
    /// Its value.
    pub value: &'t T,
    /// The mode whose lookup found it.
    pub mode: HostNameComparison,
    /// How many segments of the Via's path it matched.
    pub segments: usize,
}

impl<T> Default for RouteTable<T> {
    fn default() -> Self {
        Self { entries: Arc::default() }
    }
}

impl<T> RouteTable<T> {
    /// A table without registrations.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many addresses are registered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no address is registered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entry of exactly this address: same mode, port and segments, in exact mode the same host.
    #[must_use]
    pub fn get(&self, prefix: &Prefix) -> Option<(&Prefix, &T)> {
        self.entries.get(&key_of(prefix)).map(|(prefix, value)| (prefix, value))
    }

    /// Finds the registration that a connection with this Via, accepted on this local address, belongs to.
    ///
    /// # Errors
    ///
    /// [`Miss`] says why there is none.
    pub fn lookup(&self, via: &Via<'_>, local: SocketAddr) -> Result<Match<'_, T>, Miss> {
        if !via.is_net_tcp() {
            return Err(Miss::OtherScheme);
        }
        let mut miss = Miss::NoRegistration;
        for mode in HostNameComparison::ALL {
            let (host, port, path) = match mode {
                HostNameComparison::Exact => (via.host(), via.port(), via.path()),
                _ => ("", local.port(), via.wildcard_path()),
            };
            let Some(found) = self.longest(mode, host, port, path) else { continue };
            if found.prefix.admits(local.ip()) {
                return Ok(found);
            }
            if miss == Miss::NoRegistration {
                miss = Miss::AddressCheckFailed { prefix: found.prefix.clone(), local: local.ip() };
            }
        }
        Err(miss)
    }

    fn longest(&self, mode: HostNameComparison, host: &str, port: u16, path: &str) -> Option<Match<'_, T>> {
        let mut key = (mode, port, host.into(), segments_of(path));
        loop {
            if let Some((prefix, value)) = self.entries.get(&key) {
                return Some(Match { prefix, value, mode, segments: key.3.len() });
            }
            key.3.pop()?;
        }
    }
}

impl<T: Clone> RouteTable<T> {
    /// Registers an address.
    ///
    /// # Errors
    ///
    /// [`Conflict`] holds the registration that has the address already; the table is unchanged.
    pub fn register(&mut self, prefix: Prefix, value: T) -> Result<(), Conflict<T>> {
        if let Some((prefix, value)) = self.get(&prefix) {
            return Err(Conflict { prefix: prefix.clone(), value: value.clone() });
        }
        Arc::make_mut(&mut self.entries).insert(key_of(&prefix), (prefix, value));
        Ok(())
    }

    /// Gives an address that is registered another value, and returns the old one.
    ///
    /// Does nothing and returns `None` if the address is not registered.
    pub fn replace(&mut self, prefix: &Prefix, value: T) -> Option<T> {
        let (_, old) = Arc::make_mut(&mut self.entries).get_mut(&key_of(prefix))?;
        Some(core::mem::replace(old, value))
    }

    /// Takes an address out of the table and returns its value, `None` if it is not registered.
    pub fn unregister(&mut self, prefix: &Prefix) -> Option<T> {
        Arc::make_mut(&mut self.entries).remove(&key_of(prefix)).map(|(_, value)| value)
    }
}

fn key_of(prefix: &Prefix) -> Key {
    let host = if prefix.mode() == HostNameComparison::Exact { prefix.host_text() } else { "" };
    (prefix.mode(), prefix.port(), host.into(), segments_of(prefix.path()))
}

fn segments_of(path: &str) -> Vec<String> {
    path.split('/').filter(|segment| !segment.is_empty()).map(str::to_ascii_lowercase).collect()
}
