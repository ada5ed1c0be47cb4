//! Makes an unmodified program's listener a registration of the port sharing broker (`LD_PRELOAD`, set by `broker exec`).
//!
//! A `bind` to a port of one of the addresses registers them, and the descriptor becomes a *listener* of ours:
//!
//! - [`listener`]: what stands behind one. The program's descriptor is an epoll instance that holds the accept socket, so its
//!   readiness is the accept socket's, and stays the program's while the accept socket changes: when the broker dies the
//!   accept socket is taken out (the listener is quiet), when it is back the new one is put in. All processes that inherited
//!   the listener share the epoll instance, and its state, in a memfd.
//!   [`create`] makes one, [`shared`] is what the processes agree on.
//! - [`table`]: which descriptors are listeners. One load tells for any other socket that it is none.
//! - [`accept`]: `accept` is one message of the accept socket.
//! - [`register`]: what the broker is asked at `bind`; [`reconnect`]: asks again when the broker is back, on a thread that
//!   lives only meanwhile.
//! - [`options`]: the original TCP socket, never bound, answers for options; what differs from a fresh socket is set on each
//!   accepted one.
//! - [`address`]: what a dual-stack listener shows of IPv4 connections.
//! - [`watchers`]: the epoll instances that a socket is in when it is bound.
//! - [`interpose`], [`interpose_descriptors`] and [`interpose_exec`]: the functions of the C library that are replaced;
//!   [`next`]: the originals.
//! - [`passing`]: a listener that is sent to another process.
//! - [`semaphore`]: what a blocking `accept` waits for meanwhile.
//! - [`settings`], [`unit`]: what the program was started with.
//! - [`say`]: lines on standard error; [`unshared`]: why a listener is not shared; [`start`]: why a program
//!   that this one starts shares none.
//! - [`load`]: what happens before the program's first line.
//!
//! No lock is taken and nothing is allocated in `close`, `dup`, `fork` or `fcntl`; a child of `vfork` changes no state.

mod accept;
mod address;
mod create;
mod descriptor;
mod interpose;
mod interpose_descriptors;
mod interpose_exec;
mod listener;
mod load;
mod next;
mod options;
mod passing;
mod reconnect;
mod register;
mod say;
mod semaphore;
mod settings;
mod shared;
mod start;
mod table;
mod unit;
mod unshared;
mod watchers;
