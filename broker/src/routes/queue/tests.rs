//! What another thread may do between two steps, done there.

use handoff::{SendError, accept_pair};
use rustix::io::Errno;

use super::*;

fn queue(per_queue: usize) -> (Queue, AcceptSocket, Bounds) {
    let (sender, worker) = accept_pair().unwrap();
    let queue = Queue::new(1, String::new(), sender, worker.try_clone().unwrap(), MAX_SOCKETS);
    (queue, worker, Bounds::new(per_queue, &Descriptors::raise()))
}

fn send(queue: &Queue, count: usize, bounds: &Bounds) -> Result<usize, Refusal> {
    let socket = rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC).unwrap();
    queue.send(std::iter::repeat_n(socket.as_fd(), count), bounds)
}

/// The accept loop asks how many wait while a helper sends.
#[test]
fn no_queue_grows_past_its_bound() {
    let (queue, worker, bounds) = queue(4);
    assert_eq!(send(&queue, 2, &bounds), Ok(2));
    worker.drain(drop).unwrap();
    let answer = queue.refresh_by(&bounds, || {
        let waiting = worker.waiting().unwrap();
        assert_eq!(send(&queue, 2, &bounds), Ok(2));
        waiting
    });
    assert_eq!(answer, 0);
    assert_eq!(send(&queue, 4, &bounds), Ok(2));
    assert_eq!((send(&queue, 1, &bounds), worker.waiting().unwrap()), (Err(Refusal::Full), 4));
    worker.drain(drop).unwrap();
    queue.refresh(&bounds);
    assert_eq!((queue.in_flight.at_most(), bounds.in_flight.load(Ordering::Relaxed)), (0, 0));
}

/// The accept loop finds a queue empty and stops watching it while a helper sends: exactly one of them watches it then.
#[test]
fn a_connection_is_never_in_a_queue_that_nobody_watches() {
    for late in [false, true] {
        let (queue, worker, bounds) = queue(4);
        assert!(queue.watch());
        let mut announced = false;
        let mut looks = 0;
        let stays = !queue.unwatch_if(|| {
            let mut helper = || {
                assert_eq!(send(&queue, 1, &bounds), Ok(1));
                announced |= queue.watch();
            };
            looks += 1;
            // Behind the first look, or before the second.
            if looks == 2 && late {
                helper();
            }
            let empty = worker.waiting().unwrap() == 0;
            if looks == 1 && !late {
                helper();
            }
            empty
        });
        assert!(stays != announced, "watched by both or by nobody; late: {late}");
        assert!(!queue.watch(), "nobody else is asked to");
    }
}

#[test]
fn a_failed_send_takes_no_place() {
    let (queue, worker, bounds) = queue(4);
    shutdown(&worker, Shutdown::Both).unwrap();
    for _ in 0..10 {
        assert_eq!(send(&queue, 3, &bounds), Err(Refusal::Gone));
    }
    assert_eq!((queue.in_flight.at_most(), bounds.in_flight.load(Ordering::Relaxed)), (0, 0));
}

#[test]
fn a_shortage_of_memory_is_no_fault_of_the_worker() {
    for (errno, refusal) in [
        (Errno::NOBUFS, Refusal::Crowded),
        (Errno::NOMEM, Refusal::Crowded),
        (Errno::PERM, Refusal::Failed(Errno::PERM)),
    ] {
        assert_eq!(Refusal::from(SendError::Io(errno.into())), refusal, "{errno}");
    }
}
