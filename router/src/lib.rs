//! Which registered address a net.tcp Via belongs to, by the rules of the Net.TCP Port Sharing Service.
//!
//! Workers register addresses; each connection begins with a *Via*, the URI it wants to reach. A [`RouteTable`] says whose
//! the connection is, and why, or why it is nobody's. no_std + alloc, no unsafe code; the crate knows no framing and no
//! sockets.
//!
//! # Where to look
//!
//! | you want to | use |
//! |---|---|
//! | say what an address is | [`Prefix::parse`], in a [`HostNameComparison`]; [`PrefixError`] says what is wrong with one |
//! | register, replace, end | [`RouteTable::register`] ([`Conflict`] names who is there), [`replace`](RouteTable::replace), [`unregister`](RouteTable::unregister) |
//! | find whose a connection is | [`Via::parse`], then [`RouteTable::lookup`]; [`Miss`] says why it is nobody's |
//! | leave out whoever takes nothing now | [`RouteTable::lookup_where`], with an [`Admission`] for each |
//! | edit while others look up | a clone: [the structure](#the-structure) |
//! | compare with .NET's `System.Uri` | [the canonical form](#the-canonical-form), [`Via::path`], [`Via::wildcard_path`] |
//!
//! # The rules
//!
//! Addresses and Vias are compared in the canonical form of .NET's `System.Uri` (below), segment by segment, ASCII case
//! ignored. A registered address matches the Vias that begin with all its segments: `/calc` matches `/calc/add` and
//! `/Calc/`, not `/calculator`.
//!
//! Each address is registered in a mode ([`HostNameComparison`]), and modes come before lengths:
//!
//! | asked | mode | host | port |
//! |---|---|---|---|
//! | first | strong wildcard (the default) | any | the local port of the connection |
//! | second | exact | as written in the Via | as written in the Via, 808 if none is |
//! | third | weak wildcard | any | the local port of the connection |
//!
//! ```
//! use router::{HostNameComparison::*, Prefix, RouteTable, Via};
//!
//! let mut table = RouteTable::new();
//! for (mode, address) in [
//!     (StrongWildcard, "net.tcp://localhost:9000/a"),
//!     (Exact, "net.tcp://srv1:9000/a/b"),
//!     (Exact, "net.tcp://srv1:9000/x"),
//!     (WeakWildcard, "net.tcp://localhost:9000/x/y"),
//! ] {
//!     table.register(Prefix::parse(address, mode)?, address).expect("no conflict");
//! }
//! let local = "192.0.2.5:9000".parse()?;
//! let whose = |via| table.lookup(&Via::parse(via).ok()?, local).ok().map(|found| *found.value);
//!
//! // A strong wildcard beats a longer exact address, and that a longer weak wildcard.
//! assert_eq!(whose("net.tcp://srv1:9000/a/b"), Some("net.tcp://localhost:9000/a"));
//! assert_eq!(whose("net.tcp://srv1:9000/x/y/z"), Some("net.tcp://srv1:9000/x"));
//! assert_eq!(whose("net.tcp://srv2:9000/x/y/z"), Some("net.tcp://localhost:9000/x/y"));
//! // The port of the connection counts for wildcards, the port of the Via for exact addresses.
//! assert_eq!(whose("net.tcp://srv1/a"), Some("net.tcp://localhost:9000/a"));
//! assert_eq!(whose("net.tcp://srv1/x"), None);
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```
//!
//! An address whose host is an IP literal matches only connections to that local address (`0.0.0.0` and `[::]` match all). A
//! winner that fails this check empties its mode: the next mode is asked, not a shorter address of the same.
//!
//! ```
//! use router::{HostNameComparison::StrongWildcard, Miss, Prefix, RouteTable, Via};
//!
//! let mut table = RouteTable::new();
//! for address in ["net.tcp://127.0.0.1:9000/a/b", "net.tcp://localhost:9000/a"] {
//!     table.register(Prefix::parse(address, StrongWildcard)?, ()).expect("no conflict");
//! }
//! let via = Via::parse("net.tcp://h:9000/a/b")?;
//! assert!(table.lookup(&via, "127.0.0.1:9000".parse()?).is_ok());
//! let miss = table.lookup(&via, "192.0.2.5:9000".parse()?).unwrap_err();
//! assert!(matches!(miss, Miss::AddressCheckFailed { .. }));
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```
//!
//! A query is ignored by exact addresses; for wildcards it is part of the path, its `?` as `%3F`, as in the original, which
//! puts both into the path when it substitutes the port. A fragment is always ignored.
//!
//! Two registrations conflict when mode, port and segments are the same, and in exact mode the host
//! ([`RouteTable::register`] names the one that is there).
//!
//! # The canonical form
//!
//! | in a Via | becomes |
//! |---|---|
//! | capitals in scheme and host; `loopback` | small letters; `localhost` |
//! | no port, or an empty one | 808 |
//! | `127.1`, `0x7f.1`, `017700000001`, `2130706433` | `127.0.0.1` |
//! | `[0:0::1%eth0]` | `[::1]` |
//! | `\`, `%5C`, `%2F` | `/` |
//! | `/a/../b`, `/a/%2e%2e/b` | `/b` |
//! | `%41`, `%7E` | `A`, `~` |
//! | `é`, a space, `<`, a stray `%` | `%C3%A9`, `%20`, `%3C`, `%25` |
//!
//! Everything else about it, and what is no URI at all ([`ViaError`]: the original resets such a connection), is as System.Uri
//! of the .NET Framework has it, to its oddities: `router/tests/rules` compares both over a hundred thousand random Vias.
//! Not followed are Mono's tables of letters and compositions where they are those of an old Unicode, and what exactly is
//! lost at the end of a path with escapes or characters outside ASCII where the original miscounts: behind text between the
//! bracket of an IPv6 address and the first slash. Characters that no IRI has are in a path as their escapes are, as .NET 10 has
//! it (`router/tests/rules/dotnet.tsv`); the Framework brings replacement characters along. A Via that names a Unix file or a Windows share without a scheme is refused.
//!
//! No URI library is used: those for RFC 3986 and 3987 refuse what System.Uri takes (back-slashes, stray `%`, spaces, odd
//! IPv4 and scopes of IPv6) and keep what it changes, so ours would have to read each Via first and leave them nothing to
//! do. What is the same elsewhere is taken from there: composition and marks from `unicode-normalization`, address types
//! and their spelling as IPv4 from `core::net`.
//!
//! # The structure
//!
//! Each mode has a persistent tree over port, host (exact only) and path. Its letters are *chunks*: a segment of up to 15
//! octets in small letters, or 16 octets of a longer one. So a step down is a segment, not an octet:
//!
//! ```text
//! strong wildcards     9000                              *: an address ends here
//!                       ├── calc*
//!                       │     └── v2*
//!                       ├── orders*
//!                       └── ordinary mail*               chunks without a choice between them are one node
//! ```
//!
//! The nodes below a node lie side by side in an array, each a line of the cache, in the order of the hashes of their chunks
//! and near the place that the hash names: mostly there or in the next place, never further than the eighth. All that a
//! step down waits for is one load of a node, because the hash is that of the Via alone:
//!
//! ```text
//! Via       /calc     /v2       node:  chunk (16 octets) │ more chunks │ address │ array
//!             │ hash    │ hash                                                      │
//!             ▼         ▼                     ┌─────────────────────────────────────┘
//!           place     place            array ─┴ count │ node │ (empty) │ node │ node │ (empty) │ …
//! ```
//!
//! More than 128 nodes below one, or more than fit near their places, are split into up to 256 arrays by an octet of the
//! hash, those again by the next, and by the octets of the chunk itself when those of the hash are at their end. Two chunks
//! are the same or differ in one of these, so whoever makes hashes collide makes a lookup go 20 ways more for a chunk, and no
//! further: its cost is linear in the Via, whatever is registered and by whom.
//!
//! A lookup walks down once for each mode, remembers the last address on its way, and ends where nothing goes on. A clone
//! of the table shares all arrays, and an edit copies those on the way to one address (at most 28 KiB each), so that a
//! writer edits a clone and swaps it in (the broker does, with `arc-swap`) and a lookup never waits.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod chunk;
mod error;
mod mode;
mod prefix;
mod table;
mod tree;
mod uri;
mod via;

pub use error::{Conflict, Miss, PrefixError, ViaError};
pub use mode::{HostNameComparison, UnknownMode};
pub use prefix::{Host, Prefix};
pub use table::{Admission, Match, RouteTable};
pub use via::Via;

/// The examples of the README, as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
