//! The socket between two brokers, and what they say to each other by it.
//!
//! The new one says [`Message::Hello`] when it has read its configuration. The old one pauses and gives the manifest; the new one
//! says that it is [`Message::Ready`], and with [`Message::Go`] everything is its own. Until then nothing has happened to the old
//! one. After that the old one tells what becomes of the relays that it has kept.

use std::collections::BTreeMap;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use serde::{Deserialize, Serialize};
use tokio::net::UnixStream;

use super::descriptors::{Given, Taken};
use super::manifest::{Connection, Manifest};

/// As many descriptors go into one message (`SCM_MAX_FD` of Linux).
const MOST_DESCRIPTORS: usize = 253;

/// So many octets of a manifest go into one message: less than what the kernel lets a socket buffer.
const PART: usize = 65_536;

/// How soon it is tried again what the kernel has no room for.
const AGAIN: Duration = Duration::from_millis(1);

/// What two brokers say to each other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Message {
    /// The new one has read its configuration.
    Hello {
        /// The form of manifest that it reads.
        manifest: u32,
        /// Its version.
        version: String,
        pid: u32,
    },
    /// The new one cannot begin.
    Failed { why: String },
    /// The manifest follows in messages of its own: so many octets and descriptors.
    Manifest { octets: usize, descriptors: usize },
    /// The new one has everything, and does nothing with it yet.
    Ready,
    /// It is the new one's now.
    Go,
    /// The new one accepts; that had paused for so long.
    Serving { pause_microseconds: u64 },
    /// What has become of connections that the old one had kept, since it was said last.
    Ended(Ended),
    /// One of them could not be relayed, and comes with this message. Nothing was read from it.
    NotRelayed {
        holder: u64,
        /// The back-end of a static route.
        #[serde(default)]
        relay: Option<String>,
        why: String,
        connection: Connection,
    },
    /// Files of logs may have been given other names.
    Reopen,
    /// Ends what is still relayed.
    Stop,
    /// What a newer broker says.
    #[serde(skip)]
    Unknown,
}

/// See [`Message::Ended`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Ended {
    /// By the names of their outcomes.
    pub(crate) outcomes: BTreeMap<String, u64>,
    pub(crate) holders: BTreeMap<u64, OfHolder>,
    /// Connections to this broker itself that are over.
    pub(crate) bridges: Vec<std::net::SocketAddr>,
}

/// What has become of those of one holder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct OfHolder {
    /// So many are relayed no longer.
    pub(crate) over: u64,
    pub(crate) relayed: u64,
    pub(crate) refused: u64,
    pub(crate) octets_in: u64,
    pub(crate) octets_out: u64,
}

/// Why there is no message.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PairError {
    /// The other process has ended, or let go of the pair.
    #[error("it has ended")]
    Closed,
    /// The time is over.
    #[error("it did not answer in time")]
    TimedOut,
    /// It does not keep to what both know.
    #[error("it says what nobody understands: {0}")]
    Malformed(String),
    /// The kernel refuses.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl From<Errno> for PairError {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::PIPE | Errno::CONNRESET => Self::Closed,
            errno => Self::Io(errno.into()),
        }
    }
}

/// One end.
#[derive(Debug)]
pub(crate) struct Pair(OwnedFd);

impl Pair {
    /// Our end, and the other.
    ///
    /// # Errors
    /// There are no descriptors.
    pub(crate) fn new() -> io::Result<(Self, OwnedFd)> {
        let flags = SocketFlags::CLOEXEC;
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        Ok((Self(ours), theirs))
    }

    /// An end that came from elsewhere.
    pub(crate) fn from_socket(socket: OwnedFd) -> Self {
        Self(socket)
    }

    /// For waiting until it is readable: tokio has no `SOCK_SEQPACKET` type, and needs none for that.
    ///
    /// # Errors
    /// There is no descriptor, or the runtime refuses.
    pub(crate) fn stream(&self) -> io::Result<UnixStream> {
        let stream = std::os::unix::net::UnixStream::from(self.0.try_clone()?);
        stream.set_nonblocking(true)?;
        UnixStream::from_std(stream)
    }

    /// Says something, with a descriptor if there is one.
    ///
    /// # Errors
    /// [`PairError`].
    pub(crate) fn send(
        &self,
        message: &Message,
        descriptor: Option<BorrowedFd<'_>>,
        until: Instant,
    ) -> Result<(), PairError> {
        let json = serde_json::to_vec(message).map_err(io::Error::other)?;
        self.send_part(&json, descriptor.as_slice(), until)
    }

    /// What the other one says next, and the descriptors that came with it.
    ///
    /// # Errors
    /// [`PairError`].
    pub(crate) fn receive(&self, until: Instant) -> Result<(Message, Vec<OwnedFd>), PairError> {
        let mut octets = Vec::new();
        let descriptors = self.receive_part(&mut octets, until)?;
        Ok((parse(&octets), descriptors))
    }

    /// The same without waiting, for tokio.
    ///
    /// # Errors
    /// `WouldBlock`: it has said nothing more.
    pub(crate) fn next(&self) -> io::Result<Result<(Message, Vec<OwnedFd>), PairError>> {
        match self.receive(Instant::now()) {
            Err(PairError::TimedOut) => Err(io::ErrorKind::WouldBlock.into()),
            received => Ok(received),
        }
    }

    /// Gives a manifest.
    ///
    /// # Errors
    /// [`PairError`].
    pub(crate) fn send_manifest(
        &self,
        manifest: &Manifest,
        given: &Given<'_>,
        until: Instant,
    ) -> Result<(), PairError> {
        let json = serde_json::to_vec(manifest).map_err(io::Error::other)?;
        let descriptors = given.all();
        self.send(&Message::Manifest { octets: json.len(), descriptors: descriptors.len() }, None, until)?;
        // Each message has an octet at least: a number in the text takes more than one.
        let messages = json.len().div_ceil(PART).max(descriptors.len().div_ceil(MOST_DESCRIPTORS));
        let parts = json.chunks(json.len().div_ceil(messages));
        let mut descriptors = descriptors.chunks(MOST_DESCRIPTORS);
        for part in parts {
            self.send_part(part, descriptors.next().unwrap_or_default(), until)?;
        }
        Ok(())
    }

    /// Takes a manifest.
    ///
    /// # Errors
    /// [`PairError`].
    pub(crate) fn receive_manifest(&self, until: Instant) -> Result<(Manifest, Taken), PairError> {
        let (octets, descriptors) = match self.receive(until)?.0 {
            Message::Manifest { octets, descriptors } => (octets, descriptors),
            Message::Failed { why } => return Err(PairError::Malformed(why)),
            other => return Err(PairError::Malformed(format!("{other:?} in place of a manifest"))),
        };
        let (mut json, mut taken) = (Vec::new(), Vec::new());
        while json.len() < octets {
            taken.extend(self.receive_part(&mut json, until)?);
        }
        if json.len() != octets || taken.len() != descriptors {
            let (octets_came, came) = (json.len(), taken.len());
            return Err(PairError::Malformed(format!(
                "{octets} octets with {descriptors} descriptors were said, {octets_came} with {came} came"
            )));
        }
        let manifest =
            serde_json::from_slice(&json).map_err(|error| PairError::Malformed(error.to_string()))?;
        Ok((manifest, Taken::new(taken)))
    }

    fn send_part(
        &self,
        octets: &[u8],
        descriptors: &[BorrowedFd<'_>],
        until: Instant,
    ) -> Result<(), PairError> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() {
            control.push(SendAncillaryMessage::ScmRights(descriptors));
        }
        loop {
            let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
            match sendmsg(&self.0, &[IoSlice::new(octets)], &mut control, flags) {
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => self.wait_for(PollFlags::OUT, until)?,
                // As many are under way to workers as may be: until the other one, or a worker, takes some.
                Err(Errno::TOOMANYREFS | Errno::NOBUFS | Errno::NOMEM) => {
                    if Instant::now() >= until {
                        return Err(PairError::TimedOut);
                    }
                    sleep(AGAIN);
                }
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// Puts what came behind `octets`.
    fn receive_part(&self, octets: &mut Vec<u8>, until: Instant) -> Result<Vec<OwnedFd>, PairError> {
        let before = octets.len();
        octets.resize(before + PART, 0);
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = loop {
            let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
            let room = octets.get_mut(before..).unwrap_or_default();
            match recvmsg(&self.0, &mut [IoSliceMut::new(room)], &mut control, flags) {
                Ok(received) => break received,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => self.wait_for(PollFlags::IN, until)?,
                Err(errno) => return Err(errno.into()),
            }
        };
        octets.truncate(before + received.bytes);
        let descriptors = control.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
            _ => None,
        });
        let descriptors: Vec<OwnedFd> = descriptors.flatten().collect();
        if received.flags.contains(ReturnFlags::CTRUNC) {
            return Err(PairError::Io(Errno::MFILE.into()));
        }
        if received.bytes == 0 && descriptors.is_empty() {
            return Err(PairError::Closed);
        }
        Ok(descriptors)
    }

    fn wait_for(&self, what: PollFlags, until: Instant) -> Result<(), PairError> {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(PairError::TimedOut);
        }
        // Longer than there is a number for: for ever.
        let left = Timespec::try_from(left).ok();
        match poll(&mut [PollFd::new(&self.0, what)], left.as_ref()) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }
}

fn parse(octets: &[u8]) -> Message {
    serde_json::from_slice(octets).unwrap_or(Message::Unknown)
}

impl AsFd for Pair {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests;
