//! The program's epoll instances that a socket is in before it is bound.
//!
//! The descriptor becomes another file then. An epoll instance knows files: the socket has to be taken out before, and what has
//! taken its place put in.

use core::ffi::c_int;
use std::fs;

use libc::epoll_event;

use crate::next;

/// Where a descriptor is, and as what.
pub(crate) struct Watcher {
    epoll: c_int,
    event: epoll_event,
}

/// Takes the descriptor out of every epoll instance of this process.
pub(crate) fn remove(descriptor: c_int) -> Vec<Watcher> {
    let mut watchers = Vec::new();
    for epoll in open_descriptors() {
        let Ok(content) = fs::read_to_string(format!("/proc/self/fdinfo/{epoll}")) else { continue };
        let entries = content.lines().filter_map(|line| entry_of(line, descriptor));
        watchers.extend(entries.map(|event| Watcher { epoll, event }));
    }
    for watcher in &mut watchers {
        watcher.control(libc::EPOLL_CTL_DEL, descriptor);
    }
    watchers
}

/// Puts what the descriptor is now where it was.
pub(crate) fn restore(descriptor: c_int, watchers: Vec<Watcher>) {
    for mut watcher in watchers {
        watcher.control(libc::EPOLL_CTL_ADD, descriptor);
    }
}

impl Watcher {
    fn control(&mut self, operation: c_int, descriptor: c_int) {
        // SAFETY: the event outlives the call; the descriptors are the program's, and still its own.
        unsafe { next::epoll_ctl.get()(self.epoll, operation, descriptor, &raw mut self.event) };
    }
}

/// The numbers of this process's descriptors.
pub(crate) fn open_descriptors() -> Vec<c_int> {
    let Ok(descriptors) = fs::read_dir("/proc/self/fd") else { return Vec::new() };
    descriptors.filter_map(|file| file.ok()?.file_name().to_str()?.parse().ok()).collect()
}

/// `tfd:        5 events:       19 data:                5 …`, the last two hexadecimal.
fn entry_of(line: &str, descriptor: c_int) -> Option<epoll_event> {
    let mut words = line.split_ascii_whitespace();
    let mut after = |name| words.find(|word| *word == name).and_then(|_| words.next());
    if after("tfd:")?.parse() != Ok(descriptor) {
        return None;
    }
    let events = u32::from_str_radix(after("events:")?, 16).ok()?;
    let data = u64::from_str_radix(after("data:")?, 16).ok()?;
    // an epoll instance cannot be waited for exclusively
    Some(epoll_event { events: events & !(libc::EPOLLEXCLUSIVE as u32), u64: data })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_lines_are_read() {
        let line = "tfd:       12 events: 80000019 data:     abcdef012345  pos:0 ino:4f sdev:8";
        let event = entry_of(line, 12).unwrap();
        assert_eq!(({ event.events }, { event.u64 }), (0x8000_0019, 0xABCD_EF01_2345));
        assert!(
            entry_of(line, 1).is_none() && entry_of("pos:\t0", 0).is_none() && entry_of("tfd:", 0).is_none()
        );
    }
}
