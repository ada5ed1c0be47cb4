//! Another accept socket behind a listener, in all processes that have it.

use core::sync::atomic::Ordering;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use handoff::accept_socket::{Sockets, peek};
use handoff::{AcceptSender, AcceptSocket};
use rustix::event::epoll;
use rustix::io::Errno;

use super::{Listener, Registration, end};
use crate::descriptor::{self, borrow, duplicate, is_close_on_exec, move_up, replace};
use crate::shared::Behind;
use crate::table::{self, Entry};

impl Listener {
    /// Gets the accept socket that another process has put into the mailbox, if it has; inside [`Listener::exclusively`].
    pub(crate) fn refresh(&self) {
        let shared = self.shared();
        let current = shared.generation.load(Ordering::Acquire);
        if current == self.generation.load(Ordering::Acquire) {
            return;
        }
        let mut copies = Sockets::default();
        let _ = peek(borrow(shared.descriptor(Behind::MailboxOut)), &mut copies);
        let mut copies = copies.drain();
        if let (Some(accept), Some(control)) = (copies.next(), copies.next()) {
            let replaced = self.replace_behind(Behind::Accept, &accept);
            if replaced.and_then(|()| self.replace_behind(Behind::Control, &control)).is_ok() {
                self.generation.store(current, Ordering::Release);
            }
        }
    }

    /// The accept socket has come to its end: the listener is not readable any more; inside [`Listener::exclusively`].
    pub(crate) fn quiet(&self) {
        let _ =
            epoll::delete(borrow(self.descriptor(Behind::Epoll)), borrow(self.descriptor(Behind::Accept)));
    }

    /// Puts a new registration behind the listener, in all processes; not if it is no longer the one of `epoch`.
    ///
    /// # Errors
    /// Those of the system calls; the registration has ended then, or its addresses would be taken at the next attempt.
    pub(crate) fn renew(&self, registration: Registration, epoch: u32) -> Result<(), Errno> {
        self.renewing.store(table::pid(), Ordering::SeqCst);
        let mut result = Ok(());
        if self.epoch() == epoch {
            result = self.exclusively(|| self.renew_accept_socket(registration));
        }
        self.renewing.store(0, Ordering::SeqCst);
        if self.epoch() != epoch && self.closed.swap(0, Ordering::SeqCst) == 1 {
            self.close_behind();
        }
        result
    }

    fn renew_accept_socket(&self, registration: Registration) -> Result<(), Errno> {
        self.quiet();
        self.shared().registration.store(registration.id, Ordering::Relaxed);
        self.shared().only.set(&registration.only);
        let (accept, control) = (OwnedFd::from(registration.accept), OwnedFd::from(registration.control));
        // the mailbox may keep a copy
        self.put_behind(&accept, &control).inspect_err(|_| end(control.as_raw_fd()))
    }

    fn put_behind(&self, accept: &OwnedFd, control: &OwnedFd) -> Result<(), Errno> {
        let shared = self.shared();
        let former = duplicate(shared.descriptor(Behind::MailboxOut))?;
        let _ = AcceptSocket::from(former).drain(drop);
        let mailbox = AcceptSender::from(duplicate(shared.descriptor(Behind::MailboxIn))?);
        // with the control connection, or the registration would end with this process
        mailbox.send(&[accept.as_fd(), control.as_fd()]).map_err(|_| Errno::NOBUFS)?;
        self.replace_behind(Behind::Accept, accept)?;
        self.replace_behind(Behind::Control, control)?;
        let generation = shared.generation.fetch_add(1, Ordering::AcqRel).wrapping_add(1);
        self.generation.store(generation, Ordering::Release);
        self.watch_accept_socket()
    }

    fn replace_behind(&self, which: Behind, file: &OwnedFd) -> Result<(), Errno> {
        let number = self.descriptor(which);
        let close_on_exec = is_close_on_exec(number);
        match replace(number, file.as_fd(), close_on_exec) {
            // the limit has been lowered below it since
            Err(Errno::BADF) => self.move_behind(which, duplicate(file.as_raw_fd())?),
            result => result,
        }
    }

    /// Takes another number in this process. The one that the page tells stays taken, by what has ended: an exec'd program looks
    /// there, and gets from the mailbox what it finds ended.
    fn move_behind(&self, which: Behind, file: OwnedFd) -> Result<(), Errno> {
        let place = self.moved.get(which as usize).ok_or(Errno::BADF)?;
        let former = self.descriptor(which);
        end(former);
        let number = move_up(file);
        table::set(number, table::entry(former));
        if place.swap(number, Ordering::AcqRel) == former {
            table::set(former, Entry::Other);
            descriptor::close(former);
        }
        Ok(())
    }

    /// Puts the accept socket into the epoll instance.
    ///
    /// Waiting is left to the kernel: a blocking receive on the accept socket, with the listener's timeout, is interrupted and
    /// restarted by signals just as `accept` is. (The broker never relies on the flag.)
    pub(crate) fn watch_accept_socket(&self) -> Result<(), Errno> {
        let accept = borrow(self.descriptor(Behind::Accept));
        rustix::fs::fcntl_setfl(accept, rustix::fs::OFlags::empty())?;
        self.set_receive_timeout()?;
        let epoll = borrow(self.descriptor(Behind::Epoll));
        epoll::add(epoll, accept, epoll::EventData::new_u64(0), epoll::EventFlags::IN)
    }

    /// The accept socket's SO_RCVTIMEO is the listener's.
    pub(crate) fn set_receive_timeout(&self) -> Result<(), Errno> {
        use rustix::net::sockopt::{Timeout, set_socket_timeout, socket_timeout};
        let timeout = socket_timeout(borrow(self.descriptor(Behind::Original)), Timeout::Recv)?;
        set_socket_timeout(borrow(self.descriptor(Behind::Accept)), Timeout::Recv, timeout)
    }
}
