//! What a receiver sends: each command writes into the caller's slice and moves the machine on, or does neither.

use super::{Receiver, State};
use crate::session::{Inbound, Outbound, Role, nothing_left};
use crate::{ApiMisuse, Fault, Mode, Record};

impl Receiver {
    /// Writes an Upgrade Response Record, 1 octet. It is the last octet in the clear: whoever carries out the upgrade gets
    /// all that was received and not consumed, then all that comes. [`step`](Self::step) looks at nothing until
    /// [`upgraded`](Self::upgraded).
    ///
    /// # Errors
    /// [`ApiMisuse::OutOfTurn`] unless the last event was [`Event::UpgradeRequest`](super::Event::UpgradeRequest); [`ApiMisuse::Encode`].
    ///
    /// ```
    /// # use framing_core::{ApiMisuse, Fault, Limits, Mode, Receiver, StreamEnd, receiver::Event};
    /// # let mut receiver = Receiver::new(Limits::DEFAULT);
    /// # let mut octets = &b"\x00\x01\x00\x01\x02\x02\x0Dnet.tcp://h/a\x03\x08\x09\x03tls"[..];
    /// # while !octets.is_empty() {
    /// #     octets = &octets[receiver.step(octets).unwrap().consumed..];
    /// # }
    /// let mut out = [0; 128];
    /// assert_eq!(receiver.accept_upgrade(&mut out), Ok(1));
    /// assert_eq!(out[0], 0x0A);
    /// ```
    pub fn accept_upgrade(&mut self, out: &mut [u8]) -> Result<usize, ApiMisuse> {
        if self.state != State::AwaitingUpgrade {
            return Err(ApiMisuse::OutOfTurn);
        }
        let written = Record::UpgradeResponse.encode(out)?;
        self.state = State::Upgrading;
        Ok(written)
    }

    /// Says that the upgrade is done: from here on octets come from inside it, and what commands write goes there. `left`
    /// is what is still in the buffer that [`step`](Self::step) is given: octets received in the clear. There must be
    /// none, or anybody on the way could put records into the protected stream before it begins. A second upgrade lies
    /// inside the first, and octets from inside the first are its.
    ///
    /// # Errors
    /// [`ApiMisuse::OctetsLeft`]: they belong to the upgrade, or to nobody; [`ApiMisuse::OutOfTurn`] unless the last command
    /// was [`accept_upgrade`](Self::accept_upgrade).
    ///
    /// ```
    /// # use framing_core::{ApiMisuse, Fault, Limits, Mode, Receiver, StreamEnd, receiver::Event};
    /// # let mut receiver = Receiver::new(Limits::DEFAULT);
    /// // Behind the Upgrade Request comes, still in the clear, what would be a Preamble End.
    /// let mut buffer = b"\x00\x01\x00\x01\x02\x02\x0Dnet.tcp://h/a\x03\x08\x09\x03tls\x0C".to_vec();
    /// # let mut used = 0;
    /// # while used + 1 < buffer.len() {
    /// #     used += receiver.step(&buffer[used..]).unwrap().consumed;
    /// # }
    /// # buffer.drain(..used);
    /// receiver.accept_upgrade(&mut [0; 1])?;
    /// assert_eq!(receiver.step(&buffer).unwrap().event, Event::AwaitingCommand);
    /// assert!(matches!(receiver.upgraded(&buffer), Err(ApiMisuse::OctetsLeft(_))));
    /// let for_the_handshake = std::mem::take(&mut buffer);
    /// // … which fails with these octets; with a peer's own it goes through, and then:
    /// receiver.upgraded(&buffer)?;
    /// # Ok::<(), ApiMisuse>(())
    /// ```
    pub fn upgraded(&mut self, left: &[u8]) -> Result<(), ApiMisuse> {
        if self.state != State::Upgrading {
            return Err(ApiMisuse::OutOfTurn);
        }
        nothing_left(left)?;
        self.state = State::Records;
        self.upgraded = true;
        Ok(())
    }

    /// Says that an upgraded session is over and the stream the raw one again: both Ends are through, and ours is written
    /// inside the upgrade. `left` is what is still in the buffer that [`step`](Self::step) is given: octets from inside
    /// the upgrade, behind the initiator's End. There must be none. What the upgrade has read from the connection and not
    /// decrypted is the beginning of what comes next.
    ///
    /// # Errors
    /// [`ApiMisuse::OctetsLeft`]: no correct peer sends them, close the connection; [`ApiMisuse::OutOfTurn`] unless both
    /// Ends of an upgraded session are through.
    ///
    /// ```
    /// # use framing_core::{ApiMisuse, Fault, Limits, Mode, Receiver, StreamEnd, receiver::Event};
    /// # let mut receiver = Receiver::new(Limits::DEFAULT);
    /// # let mut octets = &b"\x00\x01\x00\x01\x02\x02\x0Dnet.tcp://h/a\x03\x08\x09\x03tls"[..];
    /// # while !octets.is_empty() {
    /// #     octets = &octets[receiver.step(octets).unwrap().consumed..];
    /// # }
    /// let mut out = [0; 128];
    /// # receiver.accept_upgrade(&mut out)?;
    /// # receiver.upgraded(&[])?;
    /// # receiver.step(&[0x0C]).unwrap();
    /// # receiver.acknowledge(&mut out)?;
    /// assert_eq!(receiver.step(&[0x07]).unwrap().event, Event::End);
    /// receiver.end(&mut out)?;
    /// assert!(receiver.is_upgraded()); // the End goes inside the upgrade too
    /// receiver.downgraded(&[])?;
    /// assert!(!receiver.is_upgraded());
    /// # Ok::<(), ApiMisuse>(())
    /// ```
    pub fn downgraded(&mut self, left: &[u8]) -> Result<(), ApiMisuse> {
        if self.state != State::Downgrading {
            return Err(ApiMisuse::OutOfTurn);
        }
        nothing_left(left)?;
        self.next_session();
        Ok(())
    }

    /// Writes a Preamble Ack Record, 1 octet. From here on envelopes may go both ways.
    ///
    /// # Errors
    /// [`ApiMisuse::OutOfTurn`] unless the last event was [`Event::PreambleEnd`](super::Event::PreambleEnd) of a session with a way back;
    /// [`ApiMisuse::Encode`].
    ///
    /// ```
    /// # use framing_core::{ApiMisuse, Fault, Limits, Mode, Receiver, StreamEnd, receiver::Event};
    /// # let mut receiver = Receiver::new(Limits::DEFAULT);
    /// # let mut octets = &b"\x00\x01\x00\x01\x02\x02\x0Dnet.tcp://h/a\x03\x08\x0C"[..];
    /// # while !octets.is_empty() {
    /// #     octets = &octets[receiver.step(octets).unwrap().consumed..];
    /// # }
    /// let mut out = [0; 128];
    /// assert_eq!(receiver.acknowledge(&mut out), Ok(1));
    /// assert_eq!(out[0], 0x0B);
    /// ```
    pub fn acknowledge(&mut self, out: &mut [u8]) -> Result<usize, ApiMisuse> {
        let (State::AwaitingAcknowledge, Some(mode)) = (self.state, self.mode) else {
            return Err(ApiMisuse::OutOfTurn);
        };
        let written = Record::PreambleAck.encode(out)?;
        self.state = State::Session(Inbound::new(Role::Receiver, mode));
        self.output = Outbound::Open;
        Ok(written)
    }

    /// The fault that tells the initiator why this machine failed: [`DecodeError::fault`](crate::DecodeError::fault) of its
    /// error, if [`fault`](Self::fault) may be given. `None` if the machine has not failed, if no fault helps (another
    /// protocol, the end of the stream), or if none can be sent: after our End, inside an unsized envelope of ours, in a
    /// mode without a way back.
    ///
    /// ```
    /// use framing_core::{Fault, Limits, Receiver};
    /// let mut receiver = Receiver::new(Limits::DEFAULT);
    /// assert!(receiver.step(&[0x00, 0x01, 0x00, 0x01, 0x03]).is_err());
    /// assert_eq!(receiver.answer(), Some(Fault::UNSUPPORTED_MODE));
    /// let mut queue = Receiver::any_mode(Limits::DEFAULT);
    /// assert!(queue.step(&[0x00, 0x01, 0x00, 0x01, 0x03, 0x47]).is_err());
    /// assert_eq!(queue.answer(), None); // simplex: there is nobody to tell
    /// ```
    #[must_use]
    pub fn answer(&self) -> Option<Fault<'static>> {
        match self.state {
            State::Failed(error) if self.may_fault() => error.fault(),
            _ => None,
        }
    }

    /// Writes a Fault Record; the session is over and whatever comes later is to be read and forgotten. Send it, close the sending
    /// half, read until the peer closes (bounded), close.
    ///
    /// # Errors
    /// [`ApiMisuse::OutOfTurn`] in a mode without a way back, inside an unsized envelope of ours, after our End or
    /// another fault, while an upgrade is carried out; [`ApiMisuse::Encode`].
    ///
    /// ```
    /// # use framing_core::{ApiMisuse, Fault, Limits, Mode, Receiver, StreamEnd, receiver::Event};
    /// # let mut receiver = Receiver::new(Limits::DEFAULT);
    /// # let mut octets = &b"\x00\x01\x00\x01\x02\x02\x0Dnet.tcp://h/a\x03\x08"[..];
    /// # while !octets.is_empty() {
    /// #     octets = &octets[receiver.step(octets).unwrap().consumed..];
    /// # }
    /// let mut out = [0; 128];
    /// let written = receiver.fault(Fault::ENDPOINT_NOT_FOUND, &mut out)?;
    /// assert_eq!(out[..2], [0x08, 0x47]);
    /// assert_eq!(receiver.step(b"whatever").unwrap().event, Event::Closed);
    /// # Ok::<(), ApiMisuse>(())
    /// ```
    pub fn fault(&mut self, fault: Fault<'_>, out: &mut [u8]) -> Result<usize, ApiMisuse> {
        if !self.may_fault() {
            return Err(ApiMisuse::OutOfTurn);
        }
        let written = Record::Fault(fault).encode(out)?;
        self.state = State::Closed;
        self.output = Outbound::Ended;
        Ok(written)
    }

    /// Writes what comes before the first `size` octets of an envelope. Duplex: a Sized Envelope Record header of 2 to
    /// 6 octets, and `size` is the whole envelope. Singleton-unsized: an Unsized Envelope Record and the size of the
    /// first data chunk, 2 to 6 octets; further chunks and the terminator follow with [`chunk`](Self::chunk) and
    /// [`envelope_end`](Self::envelope_end). The caller sends the payload itself, uncopied.
    ///
    /// # Errors
    /// [`ApiMisuse::OutOfTurn`] before the Ack, after End, inside an envelope, or for a second envelope of a singleton;
    /// [`ApiMisuse::Encode`] for a size of 0 or over [`size::MAX`](crate::size::MAX) or a short buffer.
    ///
    /// ```
    /// # use framing_core::{ApiMisuse, Fault, Limits, Mode, Receiver, StreamEnd, receiver::Event};
    /// # let mut receiver = Receiver::new(Limits::DEFAULT);
    /// # let mut octets = &b"\x00\x01\x00\x01\x02\x02\x0Dnet.tcp://h/a\x03\x08\x0C"[..];
    /// # while !octets.is_empty() {
    /// #     octets = &octets[receiver.step(octets).unwrap().consumed..];
    /// # }
    /// let mut out = [0; 128];
    /// # receiver.acknowledge(&mut out).unwrap();
    /// let header = receiver.envelope_header(300, &mut out)?; // then 300 octets of payload
    /// assert_eq!(out[..header], [0x06, 0xAC, 0x02]);
    /// # Ok::<(), ApiMisuse>(())
    /// ```
    pub fn envelope_header(&mut self, size: u32, out: &mut [u8]) -> Result<usize, ApiMisuse> {
        self.output_mode().and_then(|mode| self.output.envelope_header(mode, size, out))
    }

    /// Writes the size of a further data chunk of an unsized envelope, 1 to 5 octets.
    ///
    /// # Errors
    /// [`ApiMisuse::OutOfTurn`] outside an unsized envelope; [`ApiMisuse::Encode`] as for [`envelope_header`](Self::envelope_header).
    ///
    /// ```
    /// # use framing_core::{ApiMisuse, Fault, Limits, Mode, Receiver, StreamEnd, receiver::Event};
    /// # let mut receiver = Receiver::new(Limits::DEFAULT);
    /// # let mut octets = &b"\x00\x01\x00\x01\x01\x02\x0Dnet.tcp://h/a\x03\x07\x0C"[..];
    /// # while !octets.is_empty() {
    /// #     octets = &octets[receiver.step(octets).unwrap().consumed..];
    /// # }
    /// let mut out = [0; 128];
    /// # receiver.acknowledge(&mut out).unwrap();
    /// let header = receiver.envelope_header(5, &mut out)?; // then 5 octets
    /// assert_eq!(out[..header], [0x05, 0x05]);
    /// let header = receiver.chunk(2, &mut out)?; // then 2 octets
    /// assert_eq!(out[..header], [0x02]);
    /// # Ok::<(), ApiMisuse>(())
    /// ```
    pub fn chunk(&mut self, size: u32, out: &mut [u8]) -> Result<usize, ApiMisuse> {
        self.output_mode().and_then(|_| self.output.chunk(size, out))
    }

    /// Writes the terminator of an unsized envelope, 1 octet.
    ///
    /// # Errors
    /// [`ApiMisuse::OutOfTurn`] outside an unsized envelope; [`ApiMisuse::Encode`].
    ///
    /// ```
    /// # use framing_core::{ApiMisuse, Fault, Limits, Mode, Receiver, StreamEnd, receiver::Event};
    /// # let mut receiver = Receiver::new(Limits::DEFAULT);
    /// # let mut octets = &b"\x00\x01\x00\x01\x01\x02\x0Dnet.tcp://h/a\x03\x07\x0C"[..];
    /// # while !octets.is_empty() {
    /// #     octets = &octets[receiver.step(octets).unwrap().consumed..];
    /// # }
    /// let mut out = [0; 128];
    /// # receiver.acknowledge(&mut out).unwrap();
    /// receiver.envelope_header(5, &mut out)?; // then 5 octets
    /// assert_eq!(receiver.envelope_end(&mut out), Ok(1));
    /// assert_eq!(out[0], 0x00);
    /// # Ok::<(), ApiMisuse>(())
    /// ```
    pub fn envelope_end(&mut self, out: &mut [u8]) -> Result<usize, ApiMisuse> {
        self.output_mode().and_then(|_| self.output.envelope_end(out))
    }

    /// Writes an End Record, 1 octet: we send nothing more in this session. Either side may be first.
    ///
    /// # Errors
    /// [`ApiMisuse::OutOfTurn`] before the Ack, inside an envelope, or after End or a fault; [`ApiMisuse::Encode`].
    ///
    /// ```
    /// # use framing_core::{ApiMisuse, Fault, Limits, Mode, Receiver, StreamEnd, receiver::Event};
    /// # let mut receiver = Receiver::new(Limits::DEFAULT);
    /// # let mut octets = &b"\x00\x01\x00\x01\x02\x02\x0Dnet.tcp://h/a\x03\x08\x0C"[..];
    /// # while !octets.is_empty() {
    /// #     octets = &octets[receiver.step(octets).unwrap().consumed..];
    /// # }
    /// let mut out = [0; 128];
    /// # receiver.acknowledge(&mut out).unwrap();
    /// assert_eq!(receiver.end(&mut out), Ok(1));
    /// assert_eq!(out[0], 0x07);
    /// assert_eq!(receiver.envelope_header(5, &mut out), Err(ApiMisuse::OutOfTurn));
    /// ```
    pub fn end(&mut self, out: &mut [u8]) -> Result<usize, ApiMisuse> {
        let mode = self.output_mode()?;
        let written = self.output.end(Role::Receiver, mode, out)?;
        self.end_session();
        Ok(written)
    }

    fn may_fault(&self) -> bool {
        let busy = matches!(self.output, Outbound::Chunks | Outbound::Ended);
        let others = matches!(self.state, State::Upgrading | State::Closed);
        self.mode.is_none_or(Mode::has_back_channel) && !busy && !others
    }

    const fn output_mode(&self) -> Result<Mode, ApiMisuse> {
        match (self.mode, self.state) {
            (Some(mode), State::Session(_) | State::InputEnded) => Ok(mode),
            _ => Err(ApiMisuse::OutOfTurn),
        }
    }
}
