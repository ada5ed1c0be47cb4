use router::HostNameComparison;
use test_peers::free_port;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::*;

/// With a thread for the loop, which says in the end what it was told.
fn ports() -> (Ports, UnboundedReceiver<Job>, impl FnOnce() -> Vec<String>) {
    let commands = Arc::new(Commands::new().unwrap());
    let (jobs, received) = unbounded_channel();
    let ports = Ports::new(Arc::clone(&commands), jobs, Vec::new());
    let heard = std::thread::spawn({
        let commands = Arc::clone(&commands);
        move || {
            let mut heard = Vec::new();
            loop {
                rustix::event::poll(&mut [rustix::event::PollFd::new(&*commands, IN)], None).unwrap();
                for command in commands.receive() {
                    match command {
                        Command::Listen(new) => heard.push(format!("listen {}", new.address.ip())),
                        Command::Unlisten(old, done) => {
                            heard.push(format!("unlisten {}", old.address.ip()));
                            done.send(()).unwrap();
                        }
                        _ => return heard,
                    }
                }
            }
        }
    });
    (ports, received, move || {
        commands.send(Command::Stop);
        heard.join().unwrap()
    })
}

const IN: rustix::event::PollFlags = rustix::event::PollFlags::IN;
const ABSENT: &str = "203.0.113.7";

fn at(ip: &str, port: u16) -> SocketAddr {
    SocketAddr::new(ip.parse().unwrap(), port)
}

#[test]
fn of_all_what_is_here_is_opened() {
    let (mut ports, _jobs, _) = ports();
    let port = free_port();
    let mut acquire = |wanted: &[(&str, bool)]| {
        let wanted: Vec<Wanted> =
            wanted.iter().map(|&(ip, optional)| Wanted { address: at(ip, port), optional }).collect();
        let acquired = ports.acquire(&wanted).map_err(|error| error.is_absent());
        ports.release(acquired.as_deref().unwrap_or_default());
        assert!(ports.open.is_empty());
        acquired
    };
    let here = "127.0.0.1";
    assert_eq!(acquire(&[(ABSENT, true), (here, true)]), Ok(vec![at(here, port)]));
    assert_eq!(acquire(&[(here, true), (ABSENT, true)]), Ok(vec![at(here, port)]));
    assert_eq!(acquire(&[(here, true), (ABSENT, false)]), Err(true));
    assert_eq!(acquire(&[(ABSENT, true)]), Err(true));
    assert_eq!(acquire(&[]), Ok(vec![]));
}

#[test]
fn what_closes_before_the_loop_knows_of_it_it_never_hears_of() {
    let (mut ports, _jobs, heard) = ports();
    let port = free_port();
    let wanted = ["127.0.0.1", "127.0.0.2"].map(|ip| Wanted { address: at(ip, port), optional: false });
    let acquired = ports.acquire(&wanted).unwrap();
    ports.release(&acquired[..1]);
    ports.accept();
    assert_eq!(heard(), ["listen 127.0.0.2"]);
}

#[test]
fn a_socket_that_was_left_closes_when_it_is_said_to() {
    let (mut ports, mut jobs, heard) = ports();
    let mut left = Vec::new();
    for port in [free_port(), free_port()] {
        let wanted = |ip| Wanted { address: at(ip, port), optional: false };
        let all = ports.acquire(&[wanted("0.0.0.0")]).unwrap();
        ports.acquire(&[wanted("127.0.0.1")]).unwrap();
        ports.accept();
        ports.release(&all);
        let Ok(Job::CloseLater(socket)) = jobs.try_recv() else { panic!("it is not to be closed") };
        left.push(socket);
    }
    ports.close_left(&left[0]);
    let open: Vec<bool> = left.iter().map(|socket| socket.upgrade().is_some()).collect();
    assert_eq!(open, [false, true]);
    let heard = heard();
    assert_eq!(heard.iter().filter(|heard| *heard == "unlisten 0.0.0.0").count(), 1, "{heard:?}");
}

#[test]
fn what_addresses_ask_for() {
    for (listen, address, bound, expected) in [
        (&[][..], "net.tcp://localhost/x", None, &["0.0.0.0:808", "[::]:808"][..]),
        (&[], "net.tcp://127.0.0.1:9000/x", None, &["127.0.0.1:9000"]),
        (&[], "net.tcp://0.0.0.0:9000/x", None, &["0.0.0.0:9000"]),
        (&[], "net.tcp://[::]:9000/x", None, &["[::]:9000"]),
        (&[], "net.tcp://h:9000/x", Some(&["127.0.0.1", "::1"][..]), &["127.0.0.1:9000", "[::1]:9000"]),
        (&["192.0.2.1", "::1"], "net.tcp://h:9000/x", None, &["192.0.2.1:9000", "[::1]:9000"]),
        (&["192.0.2.1"], "net.tcp://127.0.0.1:9000/x", None, &["127.0.0.1:9000"]),
        (&["192.0.2.1"], "net.tcp://h:9000/x", Some(&["0.0.0.0", "::"]), &["192.0.2.1:9000"]),
    ] {
        let listen: Vec<IpAddr> = listen.iter().map(|ip| ip.parse().unwrap()).collect();
        let prefix = Prefix::parse(address, HostNameComparison::default()).unwrap();
        let bound = Bound(bound.map(|ips: &[&str]| ips.iter().map(|ip| ip.parse().unwrap()).collect()));
        let wanted: Vec<String> =
            wanted(&listen, &prefix, &bound).iter().map(|wanted| wanted.address.to_string()).collect();
        assert_eq!(wanted, expected, "{address}");
    }
}

/// What the configuration or the registration names has to be here; of "all" one family may not be.
#[test]
fn all_may_be_in_part() {
    for (listen, address, bound, optional) in [
        (&[][..], "net.tcp://localhost/x", None, true),
        (&[], "net.tcp://0.0.0.0/x", None, false),
        (&[], "net.tcp://[::1]/x", None, false),
        (&[], "net.tcp://localhost/x", Some("::"), false),
        (&["192.0.2.1"], "net.tcp://localhost/x", None, false),
    ] {
        let listen: Vec<IpAddr> = listen.iter().map(|ip: &&str| ip.parse().unwrap()).collect();
        let prefix = Prefix::parse(address, HostNameComparison::default()).unwrap();
        let bound = Bound(bound.map(|ip: &str| [ip.parse().unwrap()].into_iter().collect()));
        let wanted = wanted(&listen, &prefix, &bound);
        assert!(!wanted.is_empty() && wanted.iter().all(|one| one.optional == optional), "{wanted:?}");
    }
}
