//! What an initiator sends: each command writes into the caller's slice and moves the machine on, or does neither.

use super::{Initiator, State};
use crate::session::{Outbound, Role, nothing_left};
use crate::{ApiMisuse, Mode, Preamble, Record};

impl Initiator {
    /// Writes the preamble: Version, Mode, Via and encoding record, [`Preamble::encoded_len`] octets. A session without
    /// upgrade goes on with [`preamble_end`](Self::preamble_end), in the same write as WCF does it.
    ///
    /// # Errors
    /// [`ApiMisuse::OutOfTurn`] inside a session; [`ApiMisuse::UndefinedMode`]; [`ApiMisuse::Encode`].
    ///
    /// ```
    /// # use framing_core::{ApiMisuse, Encoding, Initiator, KnownEncoding, Limits, Mode, Preamble};
    /// # use framing_core::{Fault, StreamEnd, initiator::Event};
    /// let mut initiator = Initiator::new(Limits::DEFAULT);
    /// let mut out = [0; 128];
    /// let encoding = Encoding::Known(KnownEncoding::BINARY_SESSION);
    /// let preamble = Preamble { mode: Mode::DUPLEX, via: "net.tcp://localhost/calc", encoding };
    /// assert_eq!(initiator.preamble(&preamble, &mut out), Ok(preamble.encoded_len()));
    /// # Ok::<(), ApiMisuse>(())
    /// ```
    pub fn preamble(&mut self, preamble: &Preamble<'_>, out: &mut [u8]) -> Result<usize, ApiMisuse> {
        if self.state != State::Start {
            return Err(ApiMisuse::OutOfTurn);
        }
        if !preamble.mode.is_defined() {
            return Err(ApiMisuse::UndefinedMode(preamble.mode));
        }
        let written = preamble.encode(out)?;
        self.mode = preamble.mode;
        self.state = State::Preamble;
        if self.mode == Mode::SINGLETON_SIZED {
            self.state = State::OneWay;
            self.output = Outbound::Open;
        }
        Ok(written)
    }

    /// Writes an Upgrade Request Record; the answer is [`Event::UpgradeResponse`](super::Event::UpgradeResponse) or [`Event::Fault`](super::Event::Fault).
    ///
    /// # Errors
    /// [`ApiMisuse::OutOfTurn`] unless the preamble or an upgrade has just been done, or in a mode without a way back;
    /// [`ApiMisuse::Encode`].
    ///
    /// ```
    /// # use framing_core::{ApiMisuse, Encoding, Initiator, KnownEncoding, Limits, Mode, Preamble};
    /// # use framing_core::{Fault, StreamEnd, initiator::Event};
    /// let mut initiator = Initiator::new(Limits::DEFAULT);
    /// let mut out = [0; 128];
    /// # let encoding = Encoding::Known(KnownEncoding::BINARY);
    /// # let preamble = Preamble { mode: Mode::DUPLEX, via: "net.tcp://h/a", encoding };
    /// # initiator.preamble(&preamble, &mut out)?;
    /// let written = initiator.upgrade_request("application/ssl-tls", &mut out)?;
    /// assert_eq!(out[..written], *b"\x09\x13application/ssl-tls");
    /// # Ok::<(), ApiMisuse>(())
    /// ```
    pub fn upgrade_request(&mut self, name: &str, out: &mut [u8]) -> Result<usize, ApiMisuse> {
        if self.state != State::Preamble || !self.mode.has_back_channel() {
            return Err(ApiMisuse::OutOfTurn);
        }
        let written = Record::UpgradeRequest(name).encode(out)?;
        self.state = State::AwaitingUpgrade;
        Ok(written)
    }

    /// Says that the upgrade is done: from here on octets come from inside it, and what commands write goes there. `left`
    /// is what is still in the buffer that [`step`](Self::step) is given: octets received in the clear. There must be
    /// none, or anybody on the way could put records into the protected stream before it begins. A second upgrade lies
    /// inside the first, and octets from inside the first are its.
    ///
    /// # Errors
    /// [`ApiMisuse::OctetsLeft`]: they belong to the upgrade, or to nobody; [`ApiMisuse::OutOfTurn`] unless the last event
    /// was [`UpgradeResponse`](super::Event::UpgradeResponse).
    ///
    /// ```
    /// # use framing_core::{ApiMisuse, Encoding, Initiator, KnownEncoding, Limits, Mode, Preamble};
    /// # use framing_core::{Fault, StreamEnd, initiator::Event};
    /// let mut initiator = Initiator::new(Limits::DEFAULT);
    /// let mut out = [0; 128];
    /// # let encoding = Encoding::Known(KnownEncoding::BINARY);
    /// # let preamble = Preamble { mode: Mode::DUPLEX, via: "net.tcp://h/a", encoding };
    /// # initiator.preamble(&preamble, &mut out)?;
    /// initiator.upgrade_request("application/ssl-tls", &mut out)?;
    /// let buffer = b"\x0A\x0B"; // a Preamble Ack in the clear, right behind the Upgrade Response
    /// let left = &buffer[initiator.step(buffer).unwrap().consumed..];
    /// assert_eq!(initiator.preamble_end(&mut out), Err(ApiMisuse::OutOfTurn)); // not before it is upgraded
    /// assert!(matches!(initiator.upgraded(left), Err(ApiMisuse::OctetsLeft(_))));
    /// initiator.upgraded(&[])?;
    /// assert_eq!(initiator.preamble_end(&mut out), Ok(1)); // inside the upgrade
    /// # Ok::<(), ApiMisuse>(())
    /// ```
    pub fn upgraded(&mut self, left: &[u8]) -> Result<(), ApiMisuse> {
        if self.state != State::Upgrading {
            return Err(ApiMisuse::OutOfTurn);
        }
        nothing_left(left)?;
        self.state = State::Preamble;
        self.upgraded = true;
        Ok(())
    }

    /// Says that an upgraded session is over and the stream the raw one again: both Ends are through, and ours is written
    /// inside the upgrade. `left` is what is still in the buffer that [`step`](Self::step) is given: octets from inside
    /// the upgrade, behind the receiver's End. There must be none.
    ///
    /// # Errors
    /// [`ApiMisuse::OctetsLeft`]: no correct peer sends them, close the connection; [`ApiMisuse::OutOfTurn`] unless both
    /// Ends of an upgraded session are through.
    ///
    /// ```
    /// # use framing_core::{ApiMisuse, Encoding, Initiator, KnownEncoding, Limits, Mode, Preamble};
    /// # use framing_core::{Fault, StreamEnd, initiator::Event};
    /// let mut initiator = Initiator::new(Limits::DEFAULT);
    /// let mut out = [0; 128];
    /// # let encoding = Encoding::Known(KnownEncoding::BINARY);
    /// # let preamble = Preamble { mode: Mode::DUPLEX, via: "net.tcp://h/a", encoding };
    /// # initiator.preamble(&preamble, &mut out)?;
    /// initiator.upgrade_request("application/ssl-tls", &mut out)?;
    /// # initiator.step(&[0x0A]).unwrap();
    /// # initiator.upgraded(&[])?;
    /// # initiator.preamble_end(&mut out)?;
    /// # initiator.step(&[0x0B]).unwrap();
    /// assert_eq!(initiator.step(&[0x07]).unwrap().event, Event::End);
    /// initiator.end(&mut out)?;
    /// assert!(initiator.is_upgraded()); // the End goes inside the upgrade too
    /// initiator.downgraded(&[])?;
    /// assert!(initiator.is_idle());
    /// # Ok::<(), ApiMisuse>(())
    /// ```
    pub fn downgraded(&mut self, left: &[u8]) -> Result<(), ApiMisuse> {
        if self.state != State::Downgrading {
            return Err(ApiMisuse::OutOfTurn);
        }
        nothing_left(left)?;
        *self = Self::new(self.limits);
        Ok(())
    }

    /// Writes a Preamble End Record, 1 octet; the answer is [`Event::PreambleAck`](super::Event::PreambleAck) or [`Event::Fault`](super::Event::Fault). A simplex session
    /// goes on at once.
    ///
    /// # Errors
    /// [`ApiMisuse::OutOfTurn`] unless the preamble or an upgrade has just been done; [`ApiMisuse::Encode`].
    ///
    /// ```
    /// # use framing_core::{ApiMisuse, Encoding, Initiator, KnownEncoding, Limits, Mode, Preamble};
    /// # use framing_core::{Fault, StreamEnd, initiator::Event};
    /// let mut initiator = Initiator::new(Limits::DEFAULT);
    /// let mut out = [0; 128];
    /// # let encoding = Encoding::Known(KnownEncoding::BINARY);
    /// # let preamble = Preamble { mode: Mode::DUPLEX, via: "net.tcp://h/a", encoding };
    /// # initiator.preamble(&preamble, &mut out)?;
    /// assert_eq!(initiator.preamble_end(&mut out), Ok(1));
    /// assert_eq!(out[0], 0x0C);
    /// # Ok::<(), ApiMisuse>(())
    /// ```
    pub fn preamble_end(&mut self, out: &mut [u8]) -> Result<usize, ApiMisuse> {
        if self.state != State::Preamble {
            return Err(ApiMisuse::OutOfTurn);
        }
        let written = Record::PreambleEnd.encode(out)?;
        if self.mode.has_back_channel() {
            self.state = State::AwaitingAck;
        } else {
            self.state = State::OneWay;
            self.output = Outbound::Open;
        }
        Ok(written)
    }

    /// Writes what comes before the first `size` octets of an envelope. Duplex and simplex: a Sized Envelope Record
    /// header of 2 to 6 octets, and `size` is the whole envelope. Singleton-unsized: an Unsized Envelope Record and the
    /// size of the first data chunk, 2 to 6 octets; further chunks and the terminator follow with [`chunk`](Self::chunk)
    /// and [`envelope_end`](Self::envelope_end). Singleton-sized: nothing, 0 octets. The caller sends the payload
    /// itself, uncopied.
    ///
    /// # Errors
    /// [`ApiMisuse::OutOfTurn`] before the Ack, after End or a fault, inside an envelope, or for a second envelope of a
    /// singleton; [`ApiMisuse::Encode`] for a size of 0 or over [`size::MAX`](crate::size::MAX) or a short buffer.
    ///
    /// ```
    /// # use framing_core::{ApiMisuse, Encoding, Initiator, KnownEncoding, Limits, Mode, Preamble};
    /// # use framing_core::{Fault, StreamEnd, initiator::Event};
    /// let mut initiator = Initiator::new(Limits::DEFAULT);
    /// let mut out = [0; 128];
    /// # let encoding = Encoding::Known(KnownEncoding::BINARY);
    /// # let preamble = Preamble { mode: Mode::DUPLEX, via: "net.tcp://h/a", encoding };
    /// # initiator.preamble(&preamble, &mut out)?;
    /// # initiator.preamble_end(&mut out)?;
    /// # initiator.step(&[0x0B]).unwrap();
    /// let header = initiator.envelope_header(300, &mut out)?; // then 300 octets of payload
    /// assert_eq!(out[..header], [0x06, 0xAC, 0x02]);
    /// # Ok::<(), ApiMisuse>(())
    /// ```
    pub fn envelope_header(&mut self, size: u32, out: &mut [u8]) -> Result<usize, ApiMisuse> {
        self.session()?;
        self.output.envelope_header(self.mode, size, out)
    }

    /// Writes the size of a further data chunk of an unsized envelope, 1 to 5 octets.
    ///
    /// # Errors
    /// [`ApiMisuse::OutOfTurn`] outside an unsized envelope; [`ApiMisuse::Encode`] as for [`envelope_header`](Self::envelope_header).
    ///
    /// ```
    /// # use framing_core::{ApiMisuse, Encoding, Initiator, KnownEncoding, Limits, Mode, Preamble};
    /// # use framing_core::{Fault, StreamEnd, initiator::Event};
    /// let mut initiator = Initiator::new(Limits::DEFAULT);
    /// let mut out = [0; 128];
    /// # let encoding = Encoding::Known(KnownEncoding::BINARY);
    /// # let preamble = Preamble { mode: Mode::SINGLETON_UNSIZED, via: "net.tcp://h/a", encoding };
    /// # initiator.preamble(&preamble, &mut out)?;
    /// # initiator.preamble_end(&mut out)?;
    /// # initiator.step(&[0x0B]).unwrap();
    /// let header = initiator.envelope_header(5, &mut out)?; // then 5 octets
    /// assert_eq!(out[..header], [0x05, 0x05]);
    /// let header = initiator.chunk(2, &mut out)?; // then 2 octets
    /// assert_eq!(out[..header], [0x02]);
    /// # Ok::<(), ApiMisuse>(())
    /// ```
    pub fn chunk(&mut self, size: u32, out: &mut [u8]) -> Result<usize, ApiMisuse> {
        self.session()?;
        self.output.chunk(size, out)
    }

    /// Writes the terminator of an unsized envelope, 1 octet.
    ///
    /// # Errors
    /// [`ApiMisuse::OutOfTurn`] outside an unsized envelope; [`ApiMisuse::Encode`].
    ///
    /// ```
    /// # use framing_core::{ApiMisuse, Encoding, Initiator, KnownEncoding, Limits, Mode, Preamble};
    /// # use framing_core::{Fault, StreamEnd, initiator::Event};
    /// let mut initiator = Initiator::new(Limits::DEFAULT);
    /// let mut out = [0; 128];
    /// # let encoding = Encoding::Known(KnownEncoding::BINARY);
    /// # let preamble = Preamble { mode: Mode::SINGLETON_UNSIZED, via: "net.tcp://h/a", encoding };
    /// # initiator.preamble(&preamble, &mut out)?;
    /// # initiator.preamble_end(&mut out)?;
    /// # initiator.step(&[0x0B]).unwrap();
    /// initiator.envelope_header(5, &mut out)?; // then 5 octets
    /// assert_eq!(initiator.envelope_end(&mut out), Ok(1));
    /// assert_eq!(out[0], 0x00);
    /// # Ok::<(), ApiMisuse>(())
    /// ```
    pub fn envelope_end(&mut self, out: &mut [u8]) -> Result<usize, ApiMisuse> {
        self.session()?;
        self.output.envelope_end(out)
    }

    /// Writes an End Record, 1 octet: we send nothing more in this session. Either side may be first. After a fault in a
    /// duplex session WCF writes one too.
    ///
    /// # Errors
    /// [`ApiMisuse::OutOfTurn`] before the Ack, inside an envelope, before the envelope of a singleton, after End, or in
    /// a singleton-sized session, which has no End; [`ApiMisuse::Encode`].
    ///
    /// ```
    /// # use framing_core::{ApiMisuse, Encoding, Initiator, KnownEncoding, Limits, Mode, Preamble};
    /// # use framing_core::{Fault, StreamEnd, initiator::Event};
    /// let mut initiator = Initiator::new(Limits::DEFAULT);
    /// let mut out = [0; 128];
    /// # let encoding = Encoding::Known(KnownEncoding::BINARY);
    /// # let preamble = Preamble { mode: Mode::DUPLEX, via: "net.tcp://h/a", encoding };
    /// # initiator.preamble(&preamble, &mut out)?;
    /// # initiator.preamble_end(&mut out)?;
    /// # initiator.step(&[0x0B]).unwrap();
    /// assert_eq!(initiator.end(&mut out), Ok(1));
    /// assert_eq!(out[0], 0x07);
    /// # Ok::<(), ApiMisuse>(())
    /// ```
    pub fn end(&mut self, out: &mut [u8]) -> Result<usize, ApiMisuse> {
        if self.state != State::Closed {
            self.session()?;
        }
        let written = self.output.end(Role::Initiator, self.mode, out)?;
        self.end_session();
        Ok(written)
    }

    const fn session(&self) -> Result<(), ApiMisuse> {
        match self.state {
            State::Session(_) | State::InputEnded | State::OneWay => Ok(()),
            _ => Err(ApiMisuse::OutOfTurn),
        }
    }
}
