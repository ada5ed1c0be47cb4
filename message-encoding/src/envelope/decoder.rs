//! The receiving side of a session.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use super::element::Element;
use super::error::DecodeError;
use super::fault::MessageFault;
use super::header::Header;
use super::headers::Headers;
use super::service::Identity;
use super::{MessageEncoding, SoapVersion};
use crate::dictionary::{ReaderSession, Strings};
use crate::event::{Event, Name, Reader, ReaderState};
use crate::{Int31, Quotas};

/// Decodes the envelopes of one direction of a session, in order.
///
/// ```
/// use message_encoding::Quotas;
/// use message_encoding::envelope::{Decoder, MessageEncoding};
///
/// let mut decoder = Decoder::new(MessageEncoding::Soap12Utf8, Quotas::default());
/// let text = br#"<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"><s:Body><n>1</n></s:Body></s:Envelope>"#;
/// let mut incoming = decoder.decode(text)?;
/// let body = incoming.body()?.unwrap();
/// assert_eq!((body.name(), body.value().to_i64()?), ("n", 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Decoder {
    encoding: MessageEncoding,
    quotas: Quotas,
    strings: ReaderSession,
    table_left: usize,
    broken: bool,
    /// Whether answers find their requests by `RelatesTo` alone.
    duplex: bool,
    state: ReaderState,
    /// A text envelope as records.
    records: Vec<u8>,
}

impl Decoder {
    /// A decoder for a new session.
    pub fn new(encoding: MessageEncoding, quotas: Quotas) -> Self {
        // Room for the strings of an ordinary session.
        let strings = if encoding == MessageEncoding::BinarySession { 64 } else { 0 };
        Self {
            encoding,
            quotas,
            strings: ReaderSession::with_capacity(strings),
            table_left: quotas.max_table_octets,
            broken: false,
            duplex: encoding == MessageEncoding::BinarySession,
            state: ReaderState::new(),
            records: Vec::new(),
        }
    }

    /// The decoder for a session in duplex mode, whatever the encoding is. [`MessageEncoding::BinarySession`] has no other mode in which
    /// there are answers. It matters to [`answer`](super::answer) alone: an answer finds its request by `RelatesTo`, not by the order in
    /// which they come.
    #[must_use]
    pub fn in_duplex(self) -> Self {
        Self { duplex: true, ..self }
    }

    /// Whether the session is in duplex mode.
    pub const fn is_duplex(&self) -> bool {
        self.duplex
    }

    /// The encoding of the session.
    pub const fn encoding(&self) -> MessageEncoding {
        self.encoding
    }

    /// The in-band strings so far.
    pub const fn strings(&self) -> &ReaderSession {
        &self.strings
    }

    /// Decodes an envelope as far as the start of its body. What it gives borrows from `octets`.
    ///
    /// # Errors
    ///
    /// [`DecodeError`]. After [`DecodeError::StringTable`] and [`DecodeError::StringTableTooLong`] every later envelope is
    /// refused too, for it may need the strings.
    pub fn decode<'a>(&'a mut self, octets: &'a [u8]) -> Result<Incoming<'a>, DecodeError> {
        let soap = self.encoding.soap();
        let reader = self.document(octets)?;
        let mut incoming = Incoming { headers: Headers::none(soap), reader };
        incoming.headers.read(&mut incoming.reader)?;
        if incoming.headers.soap == soap { Ok(incoming) } else { Err(DecodeError::SoapVersion) }
    }

    /// Whether every later envelope is refused too: [`DecodeError::SessionBroken`].
    pub const fn is_broken(&self) -> bool {
        self.broken
    }

    /// Who is to be answered about an envelope that was refused, as far as that can still be read: its identity, and where an
    /// answer should go.
    pub(super) fn identity(&mut self, octets: &[u8]) -> Identity {
        // What is too deep or too long elsewhere is only read over.
        let quotas =
            Quotas { max_string_content_length: self.quotas.max_string_content_length, ..Quotas::MAX };
        let mut strings;
        let (octets, strings) = match self.encoding {
            MessageEncoding::Binary => (octets, Strings::STATIC),
            MessageEncoding::BinarySession => {
                let Some((mut table, document)) = split_sized(octets) else { return Identity::default() };
                if self.broken {
                    // The table of this envelope was not kept, but here its strings are.
                    strings = self.strings.clone();
                    while let Some((string, rest)) = split_sized(table) {
                        strings.push(&String::from_utf8_lossy(string));
                        table = rest;
                    }
                    (document, Strings::with_session(&strings))
                } else {
                    (document, Strings::with_session(&self.strings))
                }
            }
            encoding => {
                // As far as there is text, and XML.
                let utf8 = matches!(encoding, MessageEncoding::Soap11Utf8 | MessageEncoding::Soap12Utf8);
                let text = octets
                    .utf8_chunks()
                    .next()
                    .filter(|_| utf8)
                    .map_or(octets, |chunk| chunk.valid().as_bytes());
                self.records.clear();
                let _ = text_to_records(encoding, text, &mut self.records);
                (self.records.as_slice(), Strings::STATIC)
            }
        };
        let mut reader = Reader::new(&mut self.state, octets, strings, quotas);
        let mut headers = Headers::none(self.encoding.soap());
        let _ = headers.read_identity(&mut reader);
        Identity::of(headers)
    }

    /// Decodes an envelope as any document, whatever it says.
    ///
    /// # Errors
    ///
    /// As [`Decoder::decode`], but for what is wrong with the document itself.
    #[inline]
    pub fn document<'a>(&'a mut self, octets: &'a [u8]) -> Result<Reader<'a, 'a>, DecodeError> {
        let (octets, strings) = match self.encoding {
            MessageEncoding::Binary => (octets, Strings::STATIC),
            MessageEncoding::BinarySession => {
                let document = match octets {
                    // Nearly every envelope but the first one brings no strings.
                    [0, document @ ..] if !self.broken => document,
                    _ => self.take_table(octets)?,
                };
                (document, Strings::with_session(&self.strings))
            }
            _ => {
                self.records.clear();
                text_to_records(self.encoding, octets, &mut self.records)?;
                (self.records.as_slice(), Strings::STATIC)
            }
        };
        Ok(Reader::new(&mut self.state, octets, strings, self.quotas))
    }

    /// Reads the string table in front of a document ([MC-NBFSE] section 2.1) and gives the rest.
    fn take_table<'a>(&mut self, octets: &'a [u8]) -> Result<&'a [u8], DecodeError> {
        if self.broken {
            return Err(DecodeError::SessionBroken);
        }
        self.broken = true;
        let (mut table, document) = split_sized(octets).ok_or(DecodeError::StringTable)?;
        self.table_left = self
            .table_left
            .checked_sub(table.len())
            .ok_or(DecodeError::StringTableTooLong(self.quotas.max_table_octets))?;
        while !table.is_empty() {
            let (string, rest) = split_sized(table).ok_or(DecodeError::StringTable)?;
            // What is no UTF-8 becomes U+FFFD here, as in WCF, and here only.
            self.strings.push(&String::from_utf8_lossy(string));
            table = rest;
        }
        self.broken = false;
        Ok(document)
    }
}

/// Octets with their length before them, and the rest.
fn split_sized(octets: &[u8]) -> Option<(&[u8], &[u8])> {
    let size = Int31::decode(octets).ok()?;
    octets.get(size.octets()..)?.split_at_checked(size.size())
}

#[cfg(feature = "text")]
fn text_to_records(encoding: MessageEncoding, octets: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
    let text = crate::text::decode(encoding, octets)?;
    crate::text::to_records(&text, out)
}

#[cfg(not(feature = "text"))]
fn text_to_records(_: MessageEncoding, _: &[u8], _: &mut Vec<u8>) -> Result<(), DecodeError> {
    Err(DecodeError::NoTextSupport)
}

/// An envelope whose headers have been read.
#[derive(Debug)]
pub struct Incoming<'a> {
    headers: Headers<'a>,
    reader: Reader<'a, 'a>,
}

impl<'a> Incoming<'a> {
    /// What the headers say.
    pub const fn headers(&self) -> &Headers<'a> {
        &self.headers
    }

    /// The action, empty if there is none.
    pub fn action(&self) -> &str {
        self.headers.action.as_deref().unwrap_or("")
    }

    /// The reader, which stands behind the start of the body: for bodies that are not to be kept as a whole.
    pub fn reader(&mut self) -> &mut Reader<'a, 'a> {
        &mut self.reader
    }

    /// The headers and the reader, behind the start of the body.
    pub fn into_parts(self) -> (Headers<'a>, Reader<'a, 'a>) {
        (self.headers, self.reader)
    }

    /// Reads what the body contains, if anything, and the rest of the envelope. Only its first element is kept.
    ///
    /// # Errors
    ///
    /// What is wrong with the document there.
    pub fn body(&mut self) -> Result<Option<Element>, DecodeError> {
        let content = self.reader.next_child()?;
        self.rest(content)
    }

    /// Reads the element of the body that has started, and the rest of the envelope.
    fn rest(&mut self, content: Option<Name<'_>>) -> Result<Option<Element>, DecodeError> {
        let element = match content {
            Some(name) => {
                let element = Element::read(&mut self.reader, name)?;
                while self.reader.next_child()?.is_some() {
                    self.reader.skip()?;
                }
                Some(element)
            }
            None => None,
        };
        self.finish()?;
        Ok(element)
    }

    /// Reads what the body contains, and the rest of the envelope: `Err` inside if that is a fault. No header of the application
    /// is understood; [`Incoming::reply_with`] is for clients that know some.
    ///
    /// # Errors
    ///
    /// As [`Incoming::reply_with`].
    pub fn reply(&mut self) -> Result<Result<Option<Element>, MessageFault>, DecodeError> {
        self.reply_with(|_, _| false)
    }

    /// As [`Incoming::reply`], for a client that does what some headers say: `understands` tells by namespace and name.
    ///
    /// ```
    /// use message_encoding::Quotas;
    /// use message_encoding::envelope::{DecodeError, Decoder, MessageEncoding};
    ///
    /// let octets = br#"<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"><s:Header>
    ///     <Lease xmlns="urn:shop" s:mustUnderstand="1">PT5M</Lease></s:Header><s:Body><n>1</n></s:Body></s:Envelope>"#;
    /// let mut decoder = Decoder::new(MessageEncoding::Soap12Utf8, Quotas::default());
    /// assert!(matches!(decoder.decode(octets)?.reply(), Err(DecodeError::NotUnderstood(_))));
    /// let reply = decoder.decode(octets)?.reply_with(|namespace, name| (namespace, name) == ("urn:shop", "Lease"))?;
    /// assert_eq!(reply?.unwrap().value().to_i64()?, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// What is wrong with the document there; [`DecodeError::NotUnderstood`] for a header that must be understood and is not, unless
    /// the body is a fault, which is given as it is.
    pub fn reply_with(
        &mut self,
        understands: impl Fn(&str, &str) -> bool,
    ) -> Result<Result<Option<Element>, MessageFault>, DecodeError> {
        let soap = self.headers.soap;
        let content = self.reader.next_child()?;
        if content.is_some_and(|name| name.is(soap.namespace(), "Fault")) {
            return self.fault(soap).map(Err);
        }
        if let Some(Header { element, .. }) = self.headers.not_understood(understands) {
            let name = (element.namespace().into(), element.name().into());
            return Err(DecodeError::NotUnderstood(Box::new(name)));
        }
        self.rest(content).map(Ok)
    }

    fn fault(&mut self, soap: SoapVersion) -> Result<MessageFault, DecodeError> {
        let mut fault = MessageFault::read(&mut self.reader, soap)?;
        let action = self.headers.action.as_deref().filter(|action| !action.is_empty());
        fault.action = action.filter(|action| *action != fault.usual_action()).map(Into::into);
        while self.reader.next_child()?.is_some() {
            self.reader.skip()?;
        }
        self.finish()?;
        Ok(fault)
    }

    /// Reads the end of the envelope and what is behind the end of the body.
    fn finish(&mut self) -> Result<(), DecodeError> {
        while let Some(event) = self.reader.next()? {
            if let Event::Start(_) = event {
                self.reader.skip()?;
            }
        }
        Ok(())
    }
}
