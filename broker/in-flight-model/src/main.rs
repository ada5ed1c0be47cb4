//! Tries `broker/src/routes/in_flight.rs` in every order in which its steps may come between those of other threads, and with every
//! value that the memory orderings let a thread see. Ends with success, or with the order that breaks it.

use loom::model::Builder;
use loom::sync::{Arc, Mutex};
use loom::thread;

mod atomic {
    pub(crate) use loom::sync::atomic::{AtomicUsize, Ordering};
}
#[path = "../../src/routes/in_flight.rs"]
mod in_flight;

use in_flight::InFlight;

/// The bound of the queue.
const MAY: usize = 2;

/// A queue's places, and its accept socket, of which the kernel has the lock: how many connections wait there.
#[derive(Default)]
struct Queue {
    places: InFlight,
    socket: Mutex<usize>,
    /// What those who counted were told is taken, each place once.
    taken: Mutex<usize>,
}

impl Queue {
    fn waiting(&self) -> usize {
        *self.socket.lock().unwrap()
    }

    fn count(&self) -> usize {
        let before = self.places.taken();
        let (waiting, more) = self.places.count(|| self.waiting());
        assert!(self.places.taken() >= before, "what is taken is there again");
        *self.taken.lock().unwrap() += more;
        waiting
    }

    /// As the broker sends: it asks the kernel only when there seems to be no place.
    fn send(&self, wanted: usize) -> usize {
        let mut begun = self.places.begin(wanted, MAY);
        if begun < wanted {
            self.count();
            begun += self.places.begin(wanted - begun, MAY);
        }
        if begun > 0 {
            let mut waiting = self.socket.lock().unwrap();
            *waiting += begun;
            assert!(*waiting <= MAY, "{} in the accept socket", *waiting);
            drop(waiting);
            self.places.sent(begun);
        }
        begun
    }

    /// One that the kernel has no memory for.
    fn send_in_vain(&self) {
        let begun = self.places.begin(1, MAY);
        self.places.not_sent(begun);
    }

    /// As a worker does.
    fn take(&self) -> usize {
        std::mem::take(&mut *self.socket.lock().unwrap())
    }
}

/// Runs these beside each other on a queue with one connection in it; when all are done, no place is lost and none is there twice.
fn model<const N: usize>(threads: [fn(&Queue); N]) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(move || {
        let queue = Arc::new(Queue::default());
        assert_eq!(queue.send(1), 1);
        let started = threads.map(|run| {
            let queue = Arc::clone(&queue);
            thread::spawn(move || run(&queue))
        });
        started.into_iter().for_each(|thread| thread.join().unwrap());
        let left = queue.waiting();
        assert_eq!((queue.count(), queue.places.at_most()), (left, left));
        assert_eq!(*queue.taken.lock().unwrap(), queue.places.taken());
        queue.take();
        queue.count();
        assert_eq!(queue.places.sent_in_all(), queue.places.taken());
        assert_eq!((queue.places.at_most(), queue.places.begin(MAY + 1, MAY)), (0, MAY));
    });
}

fn main() {
    // Two loops send, a worker takes.
    model([
        |queue| {
            queue.send(2);
        },
        |queue| {
            queue.send(1);
        },
        |queue| {
            queue.take();
        },
    ]);
    // One sends, another looks how many wait, a worker takes twice.
    model([
        |queue| {
            queue.send(2);
            queue.send(1);
        },
        |queue| {
            queue.count();
        },
        |queue| {
            queue.take();
            queue.take();
        },
    ]);
    // Two find that the worker has taken, at once.
    model([
        |queue| {
            queue.take();
            queue.count();
        },
        |queue| {
            queue.count();
        },
    ]);
    // One looks while all that it has to do with is over.
    model([
        |queue| {
            queue.count();
        },
        |queue| {
            queue.send(1);
            queue.take();
            queue.count();
        },
    ]);
    // A send fails beside one that does not.
    model([
        Queue::send_in_vain,
        |queue| {
            queue.send(1);
        },
        Queue::send_in_vain,
    ]);
    println!("in-flight-model: no order breaks it");
}
