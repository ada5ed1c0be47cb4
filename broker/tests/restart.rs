//! A service that ends and begins again. Alone in its program: a process that another test starts has, until it is another
//! program, copies of all descriptors of this one, the control connection of the past among them.

mod common;

use common::{Broker, Worker, address, answer, ask, eventually, fault, free_port, preamble, serve, told};

#[test]
fn a_restarted_service_never_collides_with_its_past() {
    let broker = Broker::start(&[]);
    let port = free_port();
    let mut past = Worker::register(&broker, &[address(port, "x")]);
    let mut served = 0;
    for round in 0..100 {
        let mut client = ask(port, "x");
        eventually(|| past.receiver.waiting().unwrap() == 1, || broker.log());
        drop(past);
        // At once: the broker may not have seen yet that the past is over.
        past = Worker::register(&broker, &[address(port, "x")]);
        eventually(
            || {
                past.receiver.waiting().unwrap() == 1
                    || client.set_nonblocking(true).is_ok_and(|()| client.peek(&mut [0]).is_ok())
            },
            || format!("the connection is lost in round {round}: {}", broker.log()),
        );
        client.set_nonblocking(false).unwrap();
        // What the past left behind is served by its successor, unless it ended before there was one.
        if past.receiver.waiting().unwrap() == 1 {
            serve(past.accept(), &preamble(&address(port, "x")), b'!');
            assert_eq!(answer(&mut client), b'!');
            served += 1;
        } else {
            assert_eq!(told(&mut client), fault("EndpointNotFound"));
        }
    }
    println!("{served} of 100 were served by the successor");
}
