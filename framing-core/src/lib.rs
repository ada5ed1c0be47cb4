//! .NET Message Framing, complete: what WCF and CoreWCF speak on `net.tcp` and `net.pipe`, Active Directory Web Services
//! on port 9389, and anything else that follows [MC-NMF]. Records, the preamble as a router sees it, and both roles as
//! state machines. no_std, no allocation, no I/O, no clock, no unsafe code; nothing here panics on any input.
//!
//! # The protocol on one screen
//!
//! A stream carries records; each begins with a type octet ([`RecordType`]). Sizes are [1 to 5 octets](size), 7 bits each,
//! low bits first. The *initiator* opens a *session* with a preamble, the *receiver* answers, envelopes follow:
//!
//! ```text
//! initiator                                                   receiver
//!   00 01 00              Version 1.0
//!   01 02                 Mode: 1 singleton-unsized, 2 duplex (3 simplex, 4 singleton-sized: no way back)
//!   02 1D net.tcp://…     Via: size, URI of the endpoint
//!   03 08                 KnownEncoding: code (or 04 size text: ExtensibleEncoding, a content type)
//!  [09 13 application/…   UpgradeRequest: size, protocol ]--->
//!                                                      <---[ 0A   UpgradeResponse; from here on inside TLS or Negotiate ]
//!   0C                    PreambleEnd                     --->
//!                                                         <---    0B   PreambleAck   or   08 size URI   Fault: it is over
//!   06 03 AA BB CC        SizedEnvelope: size, payload   <--->    any number each way in a duplex session
//!   05 02 AA BB 01 CC 00  UnsizedEnvelope: chunks, each  <--->    one each way in a singleton session
//!                         size and octets; 0 ends them
//!   07                    End                            <--->    07   End
//! ```
//!
//! A session that is not upgraded sends preamble and PreambleEnd at once; no envelope leaves before the Ack. After End in
//! both directions the next session may begin on the same connection, in the clear even if this one was upgraded.
//!
//! # Upgrades
//!
//! TLS and Negotiate are the caller's. From the Upgrade Response on a machine looks at nothing: whoever carries the upgrade
//! out gets what was received and not consumed, then what comes, and says `upgraded(left)`. Behind both Ends it again looks at
//! nothing until `downgraded(left)`, when our End has gone out inside. Neither lets an octet pass that was received on the
//! other side: in between lies all the protection there is, and somebody on the way writes what he likes before it.
//!
//! # The run loop
//!
//! The machines own no buffer. Give [`Receiver::step`] all octets received and not consumed; it says how many to discard
//! and what happened, in terms that borrow from them. Call it until it says `NeedMore`, only then read more: the same
//! octets give the same events however they come. Commands write what is to be sent into your slice. A command out of
//! turn is an [`ApiMisuse`], octets no correct peer sends are a [`DecodeError`], and [`Receiver::answer`] says what to
//! answer, if anything. Payloads are handed out where they lie and never copied; memory does not depend on a peer's sizes, and
//! [`Limits`] are enforced before the octets beyond them are awaited.
//!
//! ```
//! use framing_core::receiver::Event;
//! use framing_core::{DecodeError, Limits, Receiver};
//! use std::io::{self, Read, Write};
//!
//! /// Serves the sessions of a connection: hands each envelope to `envelope` and sends no reply.
//! fn serve(stream: &mut (impl Read + Write), mut envelope: impl FnMut(&[u8])) -> io::Result<()> {
//!     let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, error);
//!     let mut receiver = Receiver::new(Limits::DEFAULT);
//!     // Larger than a preamble may be, or it might fill up. Of it start..end are received and not consumed.
//!     let mut buffer = [0; 8192];
//!     let (mut start, mut end) = (0, 0);
//!     let mut payload = Vec::new();
//!     let mut out = [0; 128];
//!     loop {
//!         let step = match receiver.step(&buffer[start..end]) {
//!             Ok(step) => step,
//!             Err(error) => {
//!                 if let Some(fault) = receiver.answer() {
//!                     let written = receiver.fault(fault, &mut out).map_err(io::Error::other)?;
//!                     stream.write_all(&out[..written])?;
//!                 }
//!                 return Err(invalid(error));
//!             }
//!         };
//!         let answer = match step.event {
//!             Event::NeedMore(_) => {
//!                 // Octets move once a read, not once an event: many records may lie in one read.
//!                 buffer.copy_within(start..end, 0);
//!                 (start, end) = (0, end - start);
//!                 match stream.read(&mut buffer[end..])? {
//!                     0 => return receiver.end_of_stream(&buffer[..end]).map(drop).map_err(invalid),
//!                     octets => end += octets,
//!                 }
//!                 continue;
//!             }
//!             Event::PreambleEnd => receiver.acknowledge(&mut out),
//!             Event::UpgradeRequest(_) => receiver.fault(framing_core::Fault::UPGRADE_INVALID, &mut out),
//!             Event::Payload(octets) => {
//!                 payload.extend_from_slice(octets);
//!                 Ok(0)
//!             }
//!             Event::EnvelopeEnd => {
//!                 envelope(&payload);
//!                 payload.clear();
//!                 Ok(0)
//!             }
//!             Event::End => receiver.end(&mut out),
//!             Event::Preamble(_) | Event::EnvelopeStart { .. } => Ok(0),
//!             // After a fault: the caller ends its half, reads on for a while, and closes.
//!             Event::AwaitingCommand | Event::Closed => return Ok(()),
//!         };
//!         start += step.consumed;
//!         stream.write_all(&out[..answer.map_err(io::Error::other)?])?;
//!     }
//! }
//! # struct Pipe<'a>(&'a [u8], Vec<u8>);
//! # impl Read for Pipe<'_> { fn read(&mut self, out: &mut [u8]) -> io::Result<usize> { self.0.read(out) } }
//! # impl Write for Pipe<'_> {
//! #     fn write(&mut self, octets: &[u8]) -> io::Result<usize> { self.1.write(octets) }
//! #     fn flush(&mut self) -> io::Result<()> { Ok(()) }
//! # }
//! # let octets = b"\x00\x01\x00\x01\x02\x02\x0Dnet.tcp://h/a\x03\x08\x0C\x06\x02hi\x07";
//! # let mut pipe = Pipe(octets, Vec::new());
//! # let mut seen = Vec::new();
//! # serve(&mut pipe, |envelope| seen.push(envelope.to_vec())).unwrap();
//! # assert_eq!((seen, pipe.1), (vec![b"hi".to_vec()], vec![0x0B, 0x07]));
//! # let mut pipe = Pipe(&octets[..20], Vec::new());
//! # assert!(serve(&mut pipe, |_| ()).is_err());
//! ```
//!
//! # Where to look
//!
//! | you want to | use |
//! |---|---|
//! | be a service | [`Receiver`] |
//! | be a client | [`Initiator`] |
//! | route or filter connections | [`preamble::view`]; keep what it saw in an [`OwnedPreamble`] |
//! | read or write single records | [`Record`], [`size`] |
//! | know what to answer to bad octets | [`Receiver::answer`], [`DecodeError::fault`], [`DecodeError::compatible_fault`] |
//! | look at a capture | [`dump`]; `cargo run -p framing-core --example nmf-dump -- FILE` |
//!
//! # What it is made of
//!
//! The records are [nom](https://docs.rs/nom) parsers, put together with its `map`, `preceded`, `success` and tuples. The four they are
//! made of (an octet, a size, so many octets, a checked value) are this crate's own implementations of nom's `Parser`: nom's `u8`,
//! `take`, `length_data` and `map_res` do the same, but are not inlined into one another and double the instructions of a
//! preamble. Two things are no parsers: the preamble that nearly every peer sends is tried as one pattern first, and the
//! machines choose by the type octet before they let a record be parsed, because they judge it before the rest is there.
//! [heapless](https://docs.rs/heapless) has little to do in a crate that owns no buffer: it holds the two texts of an
//! [`OwnedPreamble`], which as an array and a length would be checked for UTF-8 at every look, and the few octets that a
//! [dump](dump::Dumper) must remember from piece to piece. None of their types is public.
//!
//! # Leniency
//!
//! Where the specification and all implementations differ, this crate does as they do: minor versions are ignored, sizes
//! may be longer than necessary, an unsized envelope may have no chunk, an envelope may be empty, reserved encodings and
//! empty content types are for the endpoint to refuse, and a simplex session may lack its Preamble End. Stricter than they
//! are: an empty Via and a text that is not UTF-8 are errors here (WCF puts in U+FFFD and fails later).
//!
//! # Features
//!
//! None is on by default; all are additive.
//!
//! | feature | what |
//! |---|---|
//! | `arbitrary` | `Arbitrary` for the values of the wire, for fuzzing; needs std |
//! | `defmt` | `defmt::Format` for everything but the machines, the dumps and [`OwnedPreamble`] |
//!
//! [MC-NMF]: https://learn.microsoft.com/openspecs/windows_protocols/mc-nmf/

#![no_std]
#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![deny(
    clippy::alloc_instead_of_core,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::std_instead_of_core,
    clippy::unreachable,
    clippy::unwrap_used
)]

// `arbitrary` is a std crate, and its derive names std: a feature for test programs only.
#[cfg(any(test, feature = "arbitrary"))]
extern crate std;

mod codes;
pub mod dump;
mod encoding;
mod error;
mod fault;
pub mod initiator;
mod limits;
mod parse;
pub mod preamble;
pub mod receiver;
mod record;
mod session;
pub mod size;

pub use codes::{KnownEncoding, Mode, RecordType};
pub use encoding::Encoding;
pub use error::{ApiMisuse, DecodeError, EncodeError, Expected, Field, Implementation};
pub use fault::Fault;
pub use initiator::Initiator;
pub use limits::Limits;
pub use preamble::{CapacityExceeded, OwnedPreamble, Preamble, PreambleView};
pub use receiver::Receiver;
pub use record::{Decoded, Record};
pub use session::{Step, StreamEnd};

/// The examples of the README, as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
