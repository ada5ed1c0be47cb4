//! One message of the control socket in or out, and what a reply means to the request.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

use crate::accept_socket::AcceptSocket;
use crate::administration::{Drained, LogLevel};
use crate::error::HandoffError;
use crate::message::{MAX_MESSAGE, Malformed};
use crate::reply::{Registered, Reply, Routed};
use crate::request::{Request, RequestWithConnection};

/// A reply, and the descriptor that came with it.
pub(crate) type ReplyWithDescriptor = (Reply, Option<OwnedFd>);

/// What a reply to `register` means.
pub(crate) fn accept_socket_of(
    (reply, descriptor): ReplyWithDescriptor,
) -> Result<(Registered, AcceptSocket), HandoffError> {
    match (reply, descriptor) {
        (Reply::Registered(registered), Some(descriptor)) => Ok((registered, descriptor.into())),
        (Reply::Registered(_), None) => Err(HandoffError::DescriptorMissing),
        (Reply::Refused(refused), _) => Err(refused.into()),
        _ => Err(Malformed::new("the reply answers another request").into()),
    }
}

/// What a reply to `unregister` means.
pub(crate) fn unregistered_of((reply, _): ReplyWithDescriptor, id: u64) -> Result<(), HandoffError> {
    match reply {
        Reply::Unregistered { id: answered } if answered == id => Ok(()),
        other => Err(not_the_answer(other)),
    }
}

/// What a reply to `route` means.
pub(crate) fn routed_of((reply, _): ReplyWithDescriptor) -> Result<Routed, HandoffError> {
    match reply {
        Reply::Routed(routed) => Ok(routed),
        other => Err(not_the_answer(other)),
    }
}

/// What a reply to `validate` means.
pub(crate) fn validated_of((reply, _): ReplyWithDescriptor) -> Result<Option<u64>, HandoffError> {
    match reply {
        Reply::Validated { id } => Ok(id),
        other => Err(not_the_answer(other)),
    }
}

/// What a reply to `return` means.
pub(crate) fn returned_of((reply, _): ReplyWithDescriptor) -> Result<(), HandoffError> {
    match reply {
        Reply::Returned => Ok(()),
        other => Err(not_the_answer(other)),
    }
}

/// What a reply to `drain` or `undrain` means.
pub(crate) fn drained_of((reply, _): ReplyWithDescriptor) -> Result<Vec<Drained>, HandoffError> {
    match reply {
        Reply::Drained(drained) => Ok(drained),
        other => Err(not_the_answer(other)),
    }
}

/// What a reply to `log_level` means.
pub(crate) fn log_level_of((reply, _): ReplyWithDescriptor) -> Result<LogLevel, HandoffError> {
    match reply {
        Reply::LogLevel(level) => Ok(level),
        other => Err(not_the_answer(other)),
    }
}

/// Refused, or about something else.
pub(crate) fn not_the_answer(reply: Reply) -> HandoffError {
    match reply {
        Reply::Refused(refused) => refused.into(),
        _ => Malformed::new("the reply answers another request").into(),
    }
}

pub(crate) fn closed_if_broken(error: io::Error) -> HandoffError {
    match error.kind() {
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => HandoffError::Closed,
        _ => error.into(),
    }
}

/// One message out, with at most one descriptor.
pub(crate) fn send_message(
    to: BorrowedFd<'_>,
    json: &str,
    descriptor: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = descriptor.as_slice();
    if !descriptors.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(descriptors));
    }
    loop {
        match sendmsg(to, &[IoSlice::new(json.as_bytes())], &mut control, SendFlags::NOSIGNAL) {
            Err(Errno::INTR) => {}
            other => return other.map(drop).map_err(Into::into),
        }
    }
}

pub(crate) fn receive_request(
    from: BorrowedFd<'_>,
) -> io::Result<Option<Result<RequestWithConnection, Malformed>>> {
    let mut octets = vec![0; MAX_MESSAGE];
    let received = receive_message(from, &mut octets)?;
    Ok(match received {
        Received { octets: [], descriptors: 0, .. } => None,
        Received { over_long: true, .. } => Some(Err(Malformed::new("over 65536 octets"))),
        received => Some(request_of(received)),
    })
}

/// One request carries a descriptor, and only one.
fn request_of(received: Received<'_>) -> Result<RequestWithConnection, Malformed> {
    let request = Request::parse(received.octets)?;
    let returns = matches!(request, Request::Return { .. });
    match (received.descriptors, received.descriptors_lost) {
        (1, false) if returns => Ok((request, received.first)),
        (0 | 1, true) if returns => Ok((request, None)),
        _ if returns => Err(Malformed::new("`return` carries one descriptor")),
        (0, false) => Ok((request, None)),
        _ => Err(Malformed::new("only `return` carries a descriptor")),
    }
}

/// For a side that takes nothing back.
pub(crate) fn request_alone(
    received: Result<RequestWithConnection, Malformed>,
) -> Result<Request, Malformed> {
    match received? {
        (Request::Return { .. }, _) => Err(Malformed::new("a request carries no descriptor")),
        (request, _) => Ok(request),
    }
}

pub(crate) fn receive_reply(from: BorrowedFd<'_>) -> Result<ReplyWithDescriptor, HandoffError> {
    let mut octets = vec![0; MAX_MESSAGE];
    let received = receive_message(from, &mut octets).map_err(closed_if_broken)?;
    match received {
        Received { octets: [], descriptors: 0, .. } => Err(HandoffError::Closed),
        Received { descriptors_lost: true, .. } => Err(HandoffError::ControlTruncated),
        Received { descriptors: 2.., .. } => Err(Malformed::new("more than one descriptor").into()),
        Received { octets, first, .. } => Ok((Reply::parse(octets)?, first)),
    }
}

struct Received<'a> {
    octets: &'a [u8],
    over_long: bool,
    first: Option<OwnedFd>,
    descriptors: usize,
    descriptors_lost: bool,
}

fn receive_message<'a>(from: BorrowedFd<'_>, octets: &'a mut [u8]) -> io::Result<Received<'a>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = loop {
        match recvmsg(from, &mut [IoSliceMut::new(octets)], &mut control, RecvFlags::CMSG_CLOEXEC) {
            Err(Errno::INTR) => {}
            other => break other?,
        }
    };
    let mut descriptors = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
        _ => None,
    });
    let mut descriptors = descriptors.by_ref().flatten();
    let first = descriptors.next();
    let count = usize::from(first.is_some()).saturating_add(descriptors.count());
    Ok(Received {
        octets: octets.get(..received.bytes).unwrap_or_default(),
        over_long: received.flags.contains(ReturnFlags::TRUNC),
        first,
        descriptors: count,
        descriptors_lost: received.flags.contains(ReturnFlags::CTRUNC),
    })
}
