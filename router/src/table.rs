//! The table of registered addresses.

use core::fmt;
use core::net::SocketAddr;

use alloc::sync::Arc;

use crate::tree::Tree;
use crate::{Conflict, HostNameComparison, Miss, Prefix, Via};

/// Registered addresses with a value each.
///
/// A clone costs a few reference counts and shares everything with its original: the broker edits a clone and
/// swaps it in, while lookups go on in the table they have. An edit copies the way to one address, not the table.
///
/// A lookup reads each octet of a Via once per mode, whatever the table holds, and allocates nothing.
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
pub struct RouteTable<T> {
    strong_wildcards: Tree<Entry<T>>,
    exact: Tree<Entry<T>>,
    weak_wildcards: Tree<Entry<T>>,
    len: usize,
}

struct Entry<T> {
    prefix: Prefix,
    value: T,
    // What an answer says, here so that a lookup does not read the prefix.
    segments: u16,
    mode: HostNameComparison,
    /// Whether a connection to any local address may match.
    admits_all: bool,
}

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
    /// How many segments of the Via's path it matched: all that the registered address has.
    pub segments: usize,
}

/// Whether a registration that matches takes a connection: [`RouteTable::lookup_where`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission<'t, A> {
    /// It does: this of its value, or all of it.
    Admit(&'t A),
    /// It does not; a shorter one may.
    PassOver,
    /// It does not, and no shorter one of its mode does.
    EmptyMode,
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
        self.len
    }

    /// Whether no address is registered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The entry of exactly this address: same mode, port and segments, in exact mode the same host.
    #[must_use]
    pub fn get(&self, prefix: &Prefix) -> Option<(&Prefix, &T)> {
        self.tree(prefix.mode()).get(&prefix.key()).map(|entry| (&entry.prefix, &entry.value))
    }

    /// Finds the registration that a connection with this Via, accepted on this local address, belongs to.
    ///
    /// The modes are asked in order (docs/original.md §6.1), each for its longest registered prefix by whole segments.
    /// A winner whose host is an IP literal other than the local address (and other than `0.0.0.0` and `[::]`)
    /// empties its mode; shorter prefixes of that mode are not tried.
    ///
    /// # Errors
    ///
    /// [`Miss`] says why there is none.
    pub fn lookup<'t>(&'t self, via: &Via<'_>, local: SocketAddr) -> Result<Match<'t, T>, Miss> {
        if !via.is_net_tcp() {
            return Err(Miss::OtherScheme);
        }
        // Wildcards go by the port of the connection and take the query for a part of the path.
        let wildcard = |tree: &'t Tree<Entry<T>>| tree.longest(local.port(), None, via.wildcard_path());
        let mut failed = None;
        let mut admitted = |entry: &&'t Entry<T>| {
            let admits = entry.admits_all || entry.prefix.admits(local.ip());
            if !admits && failed.is_none() {
                failed = Some(*entry);
            }
            admits
        };
        let found = wildcard(&self.strong_wildcards)
            .filter(&mut admitted)
            .or_else(|| self.exact.longest(via.port(), Some(via.host()), via.path()).filter(&mut admitted))
            .or_else(|| wildcard(&self.weak_wildcards).filter(&mut admitted));
        answer(found.map(|entry| (entry, &entry.value)), failed, local)
    }

    /// Finds the registration that a connection belongs to, where the caller says which take it: for values that are more than
    /// one registration, of which the match has the one that was [admitted](Admission::Admit), or registrations that listen on
    /// some local addresses only.
    ///
    /// The modes are asked in order, each for its longest registered prefix that is not passed over. `admit` may be asked about
    /// shorter ones, too, in any order. [`RouteTable::lookup`] is this with [`Admission::EmptyMode`] for an IP literal other
    /// than the local address.
    ///
    /// ```
    /// use router::{Admission, HostNameComparison, Prefix, RouteTable, Via};
    ///
    /// let mut table = RouteTable::new();
    /// for (address, closed) in [("net.tcp://h:9000/a", false), ("net.tcp://h:9000/a/b", true)] {
    ///     table.register(Prefix::parse(address, HostNameComparison::default())?, closed).expect("another address");
    /// }
    /// let via = Via::parse("net.tcp://h:9000/a/b/c")?;
    /// let found = table.lookup_where(&via, "192.0.2.5:9000".parse()?, |_, closed| match closed {
    ///     true => Admission::PassOver,
    ///     false => Admission::Admit(closed),
    /// })?;
    /// assert_eq!(found.prefix.address(), "net.tcp://h:9000/a");
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Miss`] says why there is none; the address check is the caller's.
    #[inline]
    pub fn lookup_where<'t, A>(
        &'t self,
        via: &Via<'_>,
        local: SocketAddr,
        mut admit: impl FnMut(&'t Prefix, &'t T) -> Admission<'t, A>,
    ) -> Result<Match<'t, A>, Miss> {
        if !via.is_net_tcp() {
            return Err(Miss::OtherScheme);
        }
        let mut failed: Option<&'t Entry<T>> = None;
        let mut found = |tree: &'t Tree<Entry<T>>, port, host, path| {
            let mut refused = None;
            let found = tree.longest_where(port, host, path, |shorter, entry| {
                match admit(&entry.prefix, &entry.value) {
                    Admission::Admit(admitted) => Some((entry, admitted)),
                    Admission::PassOver => {
                        refused = Some(entry);
                        shorter
                    }
                    Admission::EmptyMode => {
                        refused = Some(entry);
                        None
                    }
                }
            });
            failed = failed.or(refused);
            found
        };
        let found = found(&self.strong_wildcards, local.port(), None, via.wildcard_path())
            .or_else(|| found(&self.exact, via.port(), Some(via.host()), via.path()))
            .or_else(|| found(&self.weak_wildcards, local.port(), None, via.wildcard_path()));
        answer(found, failed, local)
    }

    fn tree(&self, mode: HostNameComparison) -> &Tree<Entry<T>> {
        match mode {
            HostNameComparison::StrongWildcard => &self.strong_wildcards,
            HostNameComparison::Exact => &self.exact,
            HostNameComparison::WeakWildcard => &self.weak_wildcards,
        }
    }

    fn tree_mut(&mut self, mode: HostNameComparison) -> &mut Tree<Entry<T>> {
        match mode {
            HostNameComparison::StrongWildcard => &mut self.strong_wildcards,
            HostNameComparison::Exact => &mut self.exact,
            HostNameComparison::WeakWildcard => &mut self.weak_wildcards,
        }
    }
}

/// What a look-up says that found an entry and what was admitted of it, or that found one whose address check failed.
#[inline]
fn answer<'t, T, A>(
    found: Option<(&'t Entry<T>, &'t A)>,
    failed: Option<&'t Entry<T>>,
    local: SocketAddr,
) -> Result<Match<'t, A>, Miss> {
    match (found, failed) {
        (Some((&Entry { ref prefix, mode, segments, .. }, value)), _) => {
            Ok(Match { prefix, value, mode, segments: segments.into() })
        }
        (None, Some(failed)) => {
            Err(Miss::AddressCheckFailed { prefix: failed.prefix.clone(), local: local.ip() })
        }
        (None, None) => Err(Miss::NoRegistration),
    }
}

impl<T: Clone> RouteTable<T> {
    /// Registers an address.
    ///
    /// # Errors
    ///
    /// [`Conflict`] holds the registration that has the address already; the table is unchanged.
    pub fn register(&mut self, prefix: Prefix, value: T) -> Result<(), Conflict<T>> {
        let key = prefix.key();
        let tree = self.tree_mut(prefix.mode());
        if let Some(Entry { prefix, value, .. }) = tree.get(&key) {
            return Err(Conflict { prefix: prefix.clone(), value: value.clone() });
        }
        tree.set(&key, Entry::new(prefix, value));
        self.len += 1;
        Ok(())
    }

    /// Gives an address that is registered another value, and returns the old one.
    ///
    /// Does nothing and returns `None` if the address is not registered.
    pub fn replace(&mut self, prefix: &Prefix, value: T) -> Option<T> {
        let key = prefix.key();
        let tree = self.tree_mut(prefix.mode());
        let (prefix, old) = tree.get(&key).map(|entry| (entry.prefix.clone(), entry.value.clone()))?;
        tree.set(&key, Entry::new(prefix, value));
        Some(old)
    }

    /// Takes an address out of the table and returns its value, `None` if it is not registered.
    pub fn unregister(&mut self, prefix: &Prefix) -> Option<T> {
        let entry = self.tree_mut(prefix.mode()).remove(&prefix.key())?;
        self.len -= 1;
        Some(Arc::try_unwrap(entry).map_or_else(|entry| entry.value.clone(), |entry| entry.value))
    }
}

impl<T> Entry<T> {
    fn new(prefix: Prefix, value: T) -> Self {
        let (mode, admits_all) = (prefix.mode(), prefix.admits_all());
        let segments = u16::try_from(prefix.segments()).unwrap_or(u16::MAX);
        Self { prefix, value, segments, mode, admits_all }
    }
}

impl<T> Default for RouteTable<T> {
    fn default() -> Self {
        Self {
            strong_wildcards: Tree::default(),
            exact: Tree::default(),
            weak_wildcards: Tree::default(),
            len: 0,
        }
    }
}

impl<T> Clone for RouteTable<T> {
    fn clone(&self) -> Self {
        Self {
            strong_wildcards: self.strong_wildcards.clone(),
            exact: self.exact.clone(),
            weak_wildcards: self.weak_wildcards.clone(),
            len: self.len,
        }
    }
}

impl<T> fmt::Debug for RouteTable<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouteTable").field("len", &self.len).finish_non_exhaustive()
    }
}
