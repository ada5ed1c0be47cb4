//! A listener cannot be passed to another process over a Unix socket: what stands behind it stays here, and the other process
//! would have an epoll instance that it cannot accept from. Who tries is told so.

use core::ffi::{c_int, c_uint};
use core::ptr;

use libc::{mmsghdr, msghdr};

use crate::listener::listener_of;
use crate::next::{self, fail};
use crate::say;

/// Says so, if one of the descriptors that a message carries is a listener.
///
/// # Safety
/// `message` is null, or points to a message for `sendmsg`.
unsafe fn carries_a_listener(message: *const msghdr) -> bool {
    // SAFETY: the program's own; without control data, as almost always, nothing more is looked at.
    let message = unsafe { message.as_ref() };
    let Some(message) = message else { return false };
    if message.msg_control.is_null() || message.msg_controllen == 0 {
        return false;
    }
    // SAFETY: the control data are as long as the message says; the macros stay in there.
    unsafe {
        let mut header = libc::CMSG_FIRSTHDR(message);
        while let Some(control) = header.as_ref() {
            if (control.cmsg_level, control.cmsg_type) == (libc::SOL_SOCKET, libc::SCM_RIGHTS) {
                let data = libc::CMSG_DATA(header).cast::<c_int>();
                let octets = control.cmsg_len.saturating_sub(libc::CMSG_LEN(0) as usize);
                let mut descriptors =
                    (0..octets / size_of::<c_int>()).map(|index| ptr::read_unaligned(data.add(index)));
                if let Some(listener) = descriptors.find_map(listener_of) {
                    let local = listener.shared().local();
                    say::line(format_args!(
                        "the listener on {local} is shared, and cannot be sent to another process: that one must inherit \
                         it, or bind the address itself"
                    ));
                    return true;
                }
            }
            header = libc::CMSG_NXTHDR(message, header);
        }
    }
    false
}

/// # Safety
/// `sendmsg(2)`.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn sendmsg(socket: c_int, message: *const msghdr, flags: c_int) -> isize {
    // SAFETY: the program's own arguments.
    unsafe {
        if carries_a_listener(message) {
            return fail(libc::EOPNOTSUPP) as isize;
        }
        next::sendmsg.get()(socket, message, flags)
    }
}

/// # Safety
/// `sendmmsg(2)`.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn sendmmsg(
    socket: c_int,
    messages: *mut mmsghdr,
    count: c_uint,
    flags: c_int,
) -> c_int {
    // SAFETY: the program's own arguments; there are so many messages, of which the kernel sends at most 1024.
    unsafe {
        let mut each = (0..count.min(1024) as usize).map(|index| &raw const (*messages.add(index)).msg_hdr);
        if !messages.is_null() && each.any(|message| carries_a_listener(message)) {
            return fail(libc::EOPNOTSUPP);
        }
        next::sendmmsg.get()(socket, messages, count, flags)
    }
}
