//! A listener that is sent to another process over a Unix socket arrives as one, with what stands behind it.
//!
//! In its place goes a *parcel*: an accept socket whose one message carries, instead of connections, what stands behind the
//! listener. Where it arrives it is looked for among the descriptors that a message brings, and becomes the listener. Only from
//! a process of the same user, or of root's: the page behind a listener is trusted.

use core::ffi::{c_int, c_uint, c_void};
use core::ptr;
use core::sync::atomic::{AtomicBool, Ordering};
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd};

use handoff::accept_socket::{SendError, Sockets, accept_pair, peek};
use libc::{mmsghdr, msghdr, timespec};
use rustix::io::Errno;

use crate::descriptor::{self, borrow};
use crate::listener::{Listener, listener_of};
use crate::next::{self, fail};
use crate::settings::settings;
use crate::shared::BEHIND;
use crate::{address, create, say};

/// Calls `each` with the place of every descriptor that the message carries.
///
/// # Safety
/// `message` points to a message for `sendmsg`, or to one that `recvmsg` has filled.
unsafe fn for_each_descriptor(message: *const msghdr, mut each: impl FnMut(*mut c_int)) {
    // SAFETY: the control data are as long as the message says; the macros stay in there.
    unsafe {
        // almost always there are none, and nothing more is looked at
        if (*message).msg_control.is_null() || (*message).msg_controllen == 0 {
            return;
        }
        let mut header = libc::CMSG_FIRSTHDR(message);
        while let Some(control) = header.as_ref() {
            if (control.cmsg_level, control.cmsg_type) == (libc::SOL_SOCKET, libc::SCM_RIGHTS) {
                let data = libc::CMSG_DATA(header).cast::<c_int>();
                let octets = control.cmsg_len.saturating_sub(libc::CMSG_LEN(0) as usize);
                (0..octets / size_of::<c_int>()).for_each(|index| each(data.add(index)));
            }
            header = libc::CMSG_NXTHDR(message, header);
        }
    }
}

/// # Safety
/// As [`for_each_descriptor`].
unsafe fn carries_a_listener(message: *const msghdr) -> bool {
    let mut carries = false;
    // SAFETY: passed on; each place is readable.
    unsafe {
        for_each_descriptor(message, |place| {
            carries |= listener_of(ptr::read_unaligned(place)).is_some();
        });
    }
    carries
}

/// As much control data as Linux lets a message have by far: 253 descriptors, and credentials.
#[repr(C, align(8))]
struct Control([u8; 2048]);

/// Sends a message with parcels in place of its listeners.
///
/// # Safety
/// `sendmsg(2)`.
unsafe fn send_parcels(socket: c_int, message: &msghdr, flags: c_int) -> Result<isize, Errno> {
    let mut control = Control([0; 2048]);
    let mut copy = *message;
    if copy.msg_controllen > control.0.len() {
        return Err(Errno::NOBUFS);
    }
    copy.msg_control = control.0.as_mut_ptr().cast::<c_void>();
    // SAFETY: the message's own, of that length, for which there is room; its places are read and written in the copy.
    unsafe {
        ptr::copy_nonoverlapping(message.msg_control, copy.msg_control, copy.msg_controllen);
        let mut packed = Ok(());
        for_each_descriptor(&raw const copy, |place| {
            let number = ptr::read_unaligned(place);
            if let Some(listener) = listener_of(number).filter(|_| packed.is_ok()) {
                match parcel(listener) {
                    Ok(parcel) => ptr::write_unaligned(place, parcel.into_raw_fd()),
                    Err(errno) => packed = Err(errno),
                }
            }
        });
        let sent = packed.map(|()| next::sendmsg.get()(socket, &raw const copy, flags));
        let errno = next::errno();
        for_each_descriptor(&raw const copy, |place| {
            // the parcels are those that the program's message does not have there
            let offset = place.cast::<u8>().offset_from(copy.msg_control.cast::<u8>());
            let original = message.msg_control.cast::<u8>().offset(offset).cast::<c_int>();
            let number = ptr::read_unaligned(place);
            if number != ptr::read_unaligned(original) {
                descriptor::close(number);
            }
        });
        fail(errno);
        sent
    }
}

fn parcel(listener: &Listener) -> Result<OwnedFd, Errno> {
    let errno_of = |error: &std::io::Error| Errno::from_io_error(error).unwrap_or(Errno::NOBUFS);
    let (sender, parcel) = accept_pair().map_err(|error| errno_of(&error))?;
    match sender.send(&listener.all_behind().map(borrow)) {
        Ok(()) => {
            say_sent(listener);
            Ok(parcel.into())
        }
        Err(SendError::InFlight) => Err(Errno::TOOMANYREFS),
        Err(SendError::Io(error)) => Err(errno_of(&error)),
        Err(_) => Err(Errno::NOBUFS),
    }
}

/// Whether it arrives cannot be seen from here.
fn say_sent(listener: &Listener) {
    static SAID: AtomicBool = AtomicBool::new(false);
    if !SAID.swap(true, Ordering::Relaxed) {
        let local = listener.shared().local();
        say::news(format_args!(
            "the listener on {local} is sent to another process, which can use it if it, too, was started under `broker exec`"
        ));
    }
}

/// Makes listeners of the parcels that a message has brought. `errno` stays.
///
/// # Safety
/// `message` was filled by `recvmsg` on `socket`.
unsafe fn unpack(socket: c_int, message: *const msghdr) {
    // SAFETY: passed on; each place is readable.
    unsafe {
        for_each_descriptor(message, |place| {
            let number = ptr::read_unaligned(place);
            let errno = next::errno();
            if let Some(behind) = contents(socket, number)
                && let Err(errno) = create::take_over(number, behind)
            {
                say::line(format_args!(
                    "a listener that another process has sent cannot be used here: its descriptors have no room ({errno})"
                ));
            }
            fail(errno);
        });
    }
}

/// What stands behind the listener, if the descriptor is a parcel. It stays in there, for whoever has only looked (MSG_PEEK).
fn contents(socket: c_int, number: c_int) -> Option<[OwnedFd; BEHIND]> {
    let option = |name| address::option(number, libc::SOL_SOCKET, name);
    if settings().is_none()
        || option(libc::SO_DOMAIN) != Some(libc::AF_UNIX)
        || option(libc::SO_TYPE) != Some(libc::SOCK_SEQPACKET)
        || !is_of_this_user(socket)
    {
        return None;
    }
    let mut files = Sockets::default();
    let _ = peek(borrow(number), &mut files);
    let behind: [OwnedFd; BEHIND] = files.drain().collect::<Vec<_>>().try_into().ok()?;
    create::is_page(behind.get(crate::shared::Behind::State as usize)?.as_raw_fd()).then_some(behind)
}

/// Whether the other end of a Unix socket was.
fn is_of_this_user(socket: c_int) -> bool {
    let peer = rustix::net::sockopt::socket_peercred(borrow(socket));
    peer.is_ok_and(|peer| peer.uid.is_root() || peer.uid == rustix::process::geteuid())
}

/// # Safety
/// `sendmsg(2)`.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn sendmsg(socket: c_int, message: *const msghdr, flags: c_int) -> isize {
    // SAFETY: the program's own arguments.
    unsafe {
        if message.is_null() || !carries_a_listener(message) {
            return next::sendmsg.get()(socket, message, flags);
        }
        send_parcels(socket, &*message, flags).unwrap_or_else(|errno| fail(errno.raw_os_error()) as isize)
    }
}

/// # Safety
/// `sendmmsg(2)`: a message with listeners goes alone, as the kernel, too, may send fewer than asked for.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn sendmmsg(
    socket: c_int,
    messages: *mut mmsghdr,
    count: c_uint,
    flags: c_int,
) -> c_int {
    // SAFETY: the program's own arguments; there are so many messages, of which the kernel sends at most 1024.
    unsafe {
        let mut each = (0..count.min(1024)).map(|index| &raw const (*messages.add(index as usize)).msg_hdr);
        let first =
            if messages.is_null() { None } else { each.position(|message| carries_a_listener(message)) };
        match first {
            Some(0) => match send_parcels(socket, &(*messages).msg_hdr, flags) {
                Ok(sent) if sent >= 0 => {
                    (*messages).msg_len = sent as c_uint;
                    1
                }
                Ok(_) => -1,
                Err(errno) => fail(errno.raw_os_error()),
            },
            Some(others) => next::sendmmsg.get()(socket, messages, others as c_uint, flags),
            None => next::sendmmsg.get()(socket, messages, count, flags),
        }
    }
}

/// # Safety
/// `recvmsg(2)`.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn recvmsg(socket: c_int, message: *mut msghdr, flags: c_int) -> isize {
    // SAFETY: the program's own arguments, which the kernel has found good where it has succeeded.
    unsafe {
        let received = next::recvmsg.get()(socket, message, flags);
        if received >= 0 {
            unpack(socket, message);
        }
        received
    }
}

/// # Safety
/// `recvmmsg(2)`.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn recvmmsg(
    socket: c_int,
    messages: *mut mmsghdr,
    count: c_uint,
    flags: c_int,
    timeout: *mut timespec,
) -> c_int {
    // SAFETY: as `recvmsg`.
    unsafe {
        let received = next::recvmmsg.get()(socket, messages, count, flags, timeout);
        let each = (0..usize::try_from(received).unwrap_or(0)).map(|index| messages.add(index));
        each.for_each(|message| unpack(socket, &raw const (*message).msg_hdr));
        received
    }
}
