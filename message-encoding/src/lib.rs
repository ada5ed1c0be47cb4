//! .NET Binary XML as WCF sends it over net.tcp, and the SOAP envelopes in it. What a binding that says nothing speaks
//! (known encoding 8 of [MC-NMF], 7 when streamed), exact to .NET's reader, and to its writer but for
//! the places where its buffer splits a text. No I/O and no clock.
//!
//! # The format on one page
//!
//! A document is a row of records ([MC-NBFX]); the first octet says which:
//!
//! ```text
//! 01                        end of the innermost element
//! 02 text                   comment
//! 03 element 01 type n …    array: an empty element, the type and number of its items, the items; an element for each
//! 04 name  … 3F             attribute, its value follows as a text;    08 … 0B  namespace declaration
//! 40 name  … 77             element, its attributes follow, then its content
//! 80 … BD                   text, by type: 80 zero, 82 one, 84 false, 86 true, 88/8A/8C/8E integers of 1/2/4/8 octets,
//!                           90 float, 92 double, 94 decimal, 96 date and time, 98/9A/9C UTF-8 with a length of 1/2/4
//!                           octets, 9E/A0/A2 octets, A4 … A6 list, A8 empty, AA dictionary string, AC unique id,
//!                           AE time span, B0 GUID, B2 unsigned, B4 boolean, B6/B8/BA UTF-16, BC qualified name;
//!                           odd: the same, and the end of the element
//! ```
//!
//! Numbers are little-endian; lengths of names and ids are [`Int31`]s: 1 to 5 octets of 7 bits. A name is written out, or is the id
//! of a dictionary string: even ids are the [static dictionary](dictionary) ([MC-NBFS]), odd ids strings that the sender has
//! announced. A prefix of one letter is part of the record type. So `<s:Body><n1>42</n1></s:Body>` is
//!
//! ```text
//! 56 0E   40 02 n 1   89 2A   01          56 = prefix s, name by id; 0E = id 14, Body; 89 = Int8 and end
//! ```
//!
//! In a session ([MC-NBFSE]) each envelope has a table of new strings before its document: the table's size in octets, then
//! each string with its length. String number n of the session has the id 2n + 1, for as long as the session lasts.
//!
//! # Three layers
//!
//! - [`record`]: the records, lossless. What was read is written back octet for octet.
//! - [`event`]: XML events with names in full and values typed; readers for a whole document and for one that comes in
//!   pieces, and a writer that chooses records as .NET's does.
//! - [`envelope`]: an encoder and a decoder that live as long as a session, SOAP 1.1 and 1.2, WS-Addressing 1.0, faults;
//!   text encodings behind the same interface.
//!
//! # Where to look
//!
//! | you want to | use |
//! |---|---|
//! | be a service | [`envelope::Decoder`] for requests, [`envelope::answer`] for replies |
//! | be a client | [`envelope::Encoder`] for requests, [`envelope::Decoder`] for replies |
//! | read or write documents without SOAP | [`event::Reader`], [`event::StreamReader`], [`event::Writer`] |
//! | look into octets, or write them back | [`record::Records`] |
//! | see a document as XML | [`to_xml`], [`text::XmlPrinter`] |
//! | see what .NET's reader would report | `cargo run -p message-encoding --example nbfx-events < lines.jsonl` |
//!
//! # Decode a captured envelope
//!
//! ```
//! use message_encoding::Quotas;
//! use message_encoding::envelope::{Decoder, MessageEncoding};
//!
//! // One decoder for each direction of a session: an envelope may use strings that came with an earlier one.
//! let mut decoder = Decoder::new(MessageEncoding::BinarySession, Quotas::default());
//! let envelope = b"\x04\x03Add\x56\x02\x0B\x01s\x04\x56\x0E\x42\x01\x89\x2A\x01\x01";
//! let body = decoder.decode(envelope)?.body()?.unwrap();
//! assert_eq!((body.name(), body.value().to_i64()?), ("Add", 42));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Write a request
//!
//! ```
//! use message_encoding::Quotas;
//! use message_encoding::envelope::{Element, Encoder, MessageEncoding, MessageId, Outgoing};
//! use message_encoding::value::Uuid;
//!
//! let mut encoder = Encoder::new(MessageEncoding::BinarySession, Quotas::default());
//! let id = MessageId::Uuid(Uuid::from_random([7; 16]));
//! let body = Element::new("urn:calculator", "Add").child("n1", 100).child("n2", 15.99);
//! let request = Outgoing::request("urn:calculator/Add", "net.tcp://localhost/calculator", id, body);
//! let mut envelope = Vec::new();
//! encoder.encode(&request, &mut envelope)?;
//! assert_eq!(envelope[1..20], *b"\x12urn:calculator/Add");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The same as programs: `examples/decode_envelope.rs`, `examples/write_request.rs`. With sessions around it, a whole service of a
//! .NET contract and its client: `echo_service` and `echo_client` in `samples/examples`.
//!
//! # Bounds
//!
//! Nothing here panics on any input or recurses with the depth of a document. [`Quotas`] are WCF's and are checked before anything is
//! allocated. For each octet of the document a reader takes at most 31 octets of memory, and 1 KiB; a tree 155, and 48 KiB; headers of the application
//! 171, and 48 KiB: so much take the worst of some hundred documents made to cost memory (`tests/memory.rs`). Time is
//! linear in the document but for a logarithm where prefixes have several letters or an element has many attributes. Three
//! things cost time in proportion to `max_bytes_per_read` for each octet, at worst: a start tag that reaches a
//! [`event::StreamReader`] in small pieces, its elements in a long namespace, and attributes with one local name in several long
//! namespaces. Strings, octets
//! and names borrow from the input.
//!
//! # Features
//!
//! `text`, on by default: text envelopes, by way of quick-xml, which needs std. Without it the crate is no_std + alloc.
//!
//! [MC-NMF]: https://learn.microsoft.com/openspecs/windows_protocols/mc-nmf/
//! [MC-NBFX]: https://learn.microsoft.com/openspecs/windows_protocols/mc-nbfx/
//! [MC-NBFS]: https://learn.microsoft.com/openspecs/windows_protocols/mc-nbfs/
//! [MC-NBFSE]: https://learn.microsoft.com/openspecs/windows_protocols/mc-nbfse/

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod dictionary;
pub mod envelope;
pub mod event;
mod int31;
mod quotas;
pub mod record;
pub mod text;
pub mod value;

pub use event::ReadError;
pub use int31::Int31;
pub use quotas::Quotas;
pub use record::RecordError;
pub use text::to_xml;
pub use value::{Value, ValueError};

/// The examples of the README, as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
