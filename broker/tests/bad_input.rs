//! Bad input: what each gets, that nobody else is disturbed, and that no descriptor is left behind.

mod common;

use std::ffi::OsStr;
use std::io::Write;
use std::net::TcpStream;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use common::{
    Broker, Told, Worker, address, answer, ask, connect, eventually, fault, finish, free_port, preamble,
    serve, tell, told,
};

/// The table of docs/original.md §11, as far as it is about octets: what arrives, what is answered, whether the original resets.
fn table(port: u16) -> Vec<(&'static str, Vec<u8>, Told)> {
    let via = |text: &[u8]| {
        let mut octets = b"\0\x01\0\x01\x02\x02".to_vec();
        octets.push(u8::try_from(text.len()).unwrap());
        octets.extend(text);
        octets.extend(b"\x03\x08");
        octets
    };
    let mut long_content_type = via(address(port, "x").as_bytes());
    long_content_type.truncate(long_content_type.len() - 2);
    long_content_type.extend(b"\x04\x81\x02");
    vec![
        ("HTTP", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(), Told::End),
        ("TLS", b"\x16\x03\x01\x02\0\x01".to_vec(), Told::End),
        ("unknown record", b"\0\x01\0\x77".to_vec(), fault("InvalidRecordSequence")),
        ("record out of order", b"\0\x01\0\x01\x02\x03\x08".to_vec(), fault("InvalidRecordSequence")),
        (
            "size over 31 bits",
            b"\0\x01\0\x01\x02\x02\xff\xff\xff\xff\x0f".to_vec(),
            fault("InvalidRecordSequence"),
        ),
        (
            "size of six octets",
            b"\0\x01\0\x01\x02\x02\x80\x80\x80\x80\x80\x01".to_vec(),
            fault("InvalidRecordSequence"),
        ),
        ("version 2", b"\0\x02\0".to_vec(), fault("UnsupportedVersion")),
        ("mode 3", b"\0\x01\0\x01\x03".to_vec(), fault("UnsupportedMode")),
        ("mode 9", b"\0\x01\0\x01\x09".to_vec(), fault("UnsupportedMode")),
        ("Via of 2049 octets", b"\0\x01\0\x01\x02\x02\x81\x10".to_vec(), fault("ViaTooLong")),
        ("content type of 257 octets", long_content_type, fault("ContentTypeTooLong")),
        ("empty Via", via(b""), fault("EndpointNotFound")),
        ("Via that is not UTF-8", via(b"net.tcp://x/\xff"), fault("EndpointNotFound")),
        ("Via that is no URI", via(b"nowhere"), fault("EndpointNotFound")),
        ("half a preamble and FIN", b"\0\x01\0\x01\x02".to_vec(), Told::End),
        ("nothing and FIN", Vec::new(), Told::End),
    ]
}

#[test]
fn each_gets_its_answer() {
    let broker = Broker::start(&[]);
    let port = free_port();
    let mut worker = Worker::register(&broker, &[address(port, "x")]);
    let before = broker.steady_descriptors();
    for (what, octets, expected) in table(port) {
        // With more behind it that nobody will read: the answer must survive that.
        let more = if expected == Told::End { 0 } else { 60_000 };
        let mut client = connect(port);
        client.write_all(&octets).unwrap();
        client.write_all(&vec![0x55; more]).unwrap();
        if what.ends_with("FIN") {
            finish(&client);
        }
        assert_eq!(told(&mut client), expected, "{what}");
    }
    assert!(worker.nothing_waits());
    let mut client = ask(port, "x");
    serve(worker.accept(), &preamble(&address(port, "x")), b'!');
    assert_eq!(answer(&mut client), b'!');
    broker.settles_at(before);
}

#[test]
fn the_original_resets() {
    let broker = Broker::configured("compatibility = 'smsvchost'\nreceive_timeout_seconds = 1", &[]);
    let port = free_port();
    let _worker = Worker::register(&broker, &[address(port, "x")]);
    let before = broker.steady_descriptors();
    for (what, octets, _) in table(port) {
        let mut client = connect(port);
        client.write_all(&octets).unwrap();
        if what.ends_with("FIN") {
            finish(&client);
        }
        let expected = match what {
            "nothing and FIN" => Told::End,
            "Via that is not UTF-8" => fault("EndpointNotFound"),
            _ => Told::Reset,
        };
        assert_eq!(told(&mut client), expected, "{what}");
    }
    assert_eq!(tell(port, b"\0\x01"), Told::Reset, "the deadline");
    assert_eq!(told(&mut ask(port, "y")), fault("EndpointNotFound"));
    broker.settles_at(before);
}

#[test]
fn the_original_reads_replacement_characters_where_a_via_is_not_utf8() {
    let broker = Broker::configured("compatibility = 'smsvchost'", &[]);
    let port = free_port();
    let mut worker = Worker::register(&broker, &[address(port, "\u{FFFD}/x")]);
    let via = [format!("net.tcp://h:{port}/").as_bytes(), b"\xFF/x"].concat();
    let mut octets = b"\0\x01\0\x01\x02\x02".to_vec();
    octets.push(u8::try_from(via.len()).unwrap());
    octets.extend(via);
    let mut client = connect(port);
    client.write_all(&octets).unwrap();
    // Without its encoding the preamble is not complete.
    assert_eq!(told(&mut ask(port, "y")), fault("EndpointNotFound"));
    assert!(worker.nothing_waits());
    client.write_all(&[3, 8]).unwrap();
    octets.extend([3, 8]);
    serve(worker.accept(), &octets, b'!');
    assert_eq!(answer(&mut client), b'!');
    // The log has what came, and `broker route` says what becomes of it.
    let log = broker.whole_log();
    assert!(log.contains(&format!("local=127.0.0.1:{port} via=\"net.tcp://h:{port}/\\xff/x\" ")), "{log}");
    let mut route = std::process::Command::new(env!("CARGO_BIN_EXE_broker"));
    route.arg("route").arg("--control").arg(broker.control());
    let via = OsStr::from_bytes(&octets[7..octets.len() - 2]);
    let output =
        route.args(["--local".as_ref(), OsStr::new(&format!("127.0.0.1:{port}")), via]).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.starts_with(&address(port, "\u{FFFD}/x")) && output.status.success(), "{said}");
}

#[test]
fn a_refused_initiator_that_never_closes_is_not_kept() {
    let broker = Broker::start(&[]);
    let port = free_port();
    let _worker = Worker::register(&broker, &[address(port, "x")]);
    let before = broker.steady_descriptors();
    let [_silent, mut talks] = [(); 2].map(|()| {
        let mut client = ask(port, "y");
        assert_eq!(told(&mut client), fault("EndpointNotFound"));
        client
    });
    broker.settles_at(before + 2);
    eventually(|| talks.write_all(&[0x55; 4096]).is_err(), || broker.log());
    broker.settles_at(before);
}

/// Who writes a whole message before it reads would otherwise find its connection reset, and the answer gone with that.
#[test]
fn a_refused_initiator_that_sends_a_lot_before_it_reads_gets_its_answer() {
    let broker = Broker::start(&[]);
    let port = free_port();
    let mut worker = Worker::register(&broker, &[address(port, "x")]);
    let before = broker.steady_descriptors();
    let mut clients: Vec<TcpStream> = (0..4).map(|_| ask(port, "nowhere")).collect();
    let envelopes = vec![6; 1 << 20];
    for _ in 0..8 {
        for client in &mut clients {
            client.write_all(&envelopes).unwrap();
        }
    }
    // Nobody else waits meanwhile.
    let mut other = ask(port, "x");
    serve(worker.accept(), &preamble(&address(port, "x")), b'!');
    assert_eq!(answer(&mut other), b'!');
    for client in &mut clients {
        assert_eq!(told(client), fault("EndpointNotFound"));
        finish(client);
    }
    drop(other);
    broker.settles_at(before);
}

#[test]
fn one_deadline_covers_the_whole_preamble() {
    let broker = Broker::start(&["--receive-timeout-seconds", "1"]);
    let port = free_port();
    let _worker = Worker::register(&broker, &[address(port, "x")]);
    let before = broker.steady_descriptors();
    let mut silent = connect(port);
    // An octet from time to time does not move the deadline: it ends long before the Via does.
    let mut slow = connect(port);
    let octets = preamble(&format!("{}{}", address(port, "x/"), "y".repeat(1900)));
    let sent = octets.iter().take_while(|octet| {
        std::thread::sleep(Duration::from_millis(10));
        slow.write_all(&[**octet]).is_ok()
    });
    assert!(sent.count() < octets.len());
    assert_eq!(told(&mut silent), Told::End);
    broker.settles_at(before);
    assert_eq!(broker.whole_log().matches("outcome=deadline_passed").count(), 2, "{}", broker.log());
}

#[test]
fn a_fin_behind_half_a_preamble_is_noticed_at_once_and_nothing_spins() {
    let broker = Broker::start(&["--receive-timeout-seconds", "3600"]);
    let port = free_port();
    let _worker = Worker::register(&broker, &[address(port, "x")]);
    let before = broker.steady_descriptors();
    let mut client = connect(port);
    client.write_all(b"\0\x01\0").unwrap();
    broker.settles_at(before + 1);
    let wake_ups = broker.wake_ups("accept");
    finish(&client);
    // The deadline is an hour away; patience is less.
    assert_eq!(told(&mut client), Told::End);
    broker.settles_at(before);
    assert!(broker.wake_ups("accept") - wake_ups < 10);
    // Connect and close, with and without a reset.
    for _ in 0..100 {
        drop(connect(port));
        let client = connect(port);
        rustix::net::sockopt::set_socket_linger(&client, Some(Duration::ZERO)).unwrap();
    }
    broker.settles_at(before);
}

#[test]
fn thousands_that_send_nothing_disturb_nobody() {
    let broker = Broker::start(&["--receive-timeout-seconds", "3600", "--max-connections-per-source", "0"]);
    let port = free_port();
    let mut worker = Worker::register(&broker, &[address(port, "x")]);
    let before = broker.steady_descriptors();
    let mut wake_ups_for_fifty = || {
        let before = broker.wake_ups("accept");
        for _ in 0..50 {
            let mut client = ask(port, "x");
            serve(worker.accept(), &preamble(&address(port, "x")), b'!');
            assert_eq!(answer(&mut client), b'!');
        }
        broker.wake_ups("accept") - before
    };
    let alone = wake_ups_for_fifty();
    // This process has a limit, too.
    let mut limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limit.current = limit.maximum;
    rustix::process::setrlimit(rustix::process::Resource::Nofile, limit).unwrap();
    let count = 5000;
    let half: Vec<TcpStream> = (0..count / 2)
        .map(|_| {
            let mut client = connect(port);
            client.write_all(b"\0\x01\0\x01\x02\x02\x50net.tcp://").unwrap();
            client
        })
        .collect();
    let silent: Vec<TcpStream> = (0..count / 2).map(|_| connect(port)).collect();
    // The kernel keeps a silent one to itself for a while.
    eventually(|| broker.descriptors() >= before + count, || broker.log());
    // Those that wait cost nothing: what is done is for the fifty, and to look after their worker's queue.
    let beside = wake_ups_for_fifty();
    println!("{alone} wake-ups for 50, {beside} beside {count} that wait");
    assert!(beside <= 2 * alone + 20, "{beside} for 50 beside {count} that wait, {alone} without");
    drop((half, silent));
    broker.settles_at(before);
}

#[test]
fn logs_are_escaped_and_quiet() {
    let broker = Broker::start(&[]);
    let port = free_port();
    let _worker = Worker::register(&broker, &[address(port, "x")]);
    let via = "net.tcp://\x1b[31m\r\nINFO forged:\u{7f}";
    assert_eq!(tell(port, &preamble(via)), fault("EndpointNotFound"));
    eventually(|| broker.log().contains("outcome=invalid_via"), || broker.log());
    let not_utf8 = [&b"\0\x01\0\x01\x02\x02\x0d"[..], b"net.tcp://x/\xff", b"\x03\x08"].concat();
    assert_eq!(tell(port, &not_utf8), fault("EndpointNotFound"));
    eventually(|| broker.log().contains(r#" via="net.tcp://x/\xff" "#), || broker.log());
    assert!(
        !broker.whole_log().contains('\x1b') && !broker.log().contains("\nINFO forged"),
        "{}",
        broker.log()
    );
}

/// What is needed to find out why a client is not served is in one line.
#[test]
fn the_line_of_an_end_says_who_came_where_for_what_and_to_whom() {
    let back_end = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free_port();
    let to = back_end.local_addr().unwrap();
    let route = format!("[[route]]\naddress = '{}'\nrelay = '{to}'\n", address(port, "relayed"));
    let mut broker = Broker::configured(&route, &[]);
    let mut worker = Worker::register(&broker, &[address(port, "x")]);
    let id = worker.id;
    let mut lines = Vec::new();
    let mut expect = |outcome: &str, client: &TcpStream, path: &str, more: &str| {
        let (peer, via) = (client.local_addr().unwrap(), address(port, path));
        lines.push(format!("outcome={outcome} peer={peer} local=127.0.0.1:{port} via=\"{via}\"{more}"));
    };

    let long = "nowhere/".to_owned() + &"y".repeat(500);
    for path in ["nowhere", &long] {
        let mut client = ask(port, path);
        assert_eq!(told(&mut client), fault("EndpointNotFound"));
        let shown: String = address(port, path).chars().take(256).collect();
        let shown = shown.rsplit_once(&format!(":{port}/")).unwrap().1.to_owned();
        let cut = if path == "nowhere" { "" } else { "…" };
        expect("endpoint_not_found", &client, &format!("{shown}{cut}"), " detail=\"");
    }
    let client = ask(port, "x/1");
    drop(worker.accept());
    expect("handed_over", &client, "x/1", &format!(" registration={id} "));
    let mut client = ask(port, "relayed");
    drop(Write::write_all(&mut back_end.accept().unwrap().0, b"!"));
    answer(&mut client);
    expect("relay_broken", &client, "relayed", &format!(" relay={to}"));
    drop(client);
    assert!(broker.terminate());
    let log = broker.log().replace("outcome=relayed ", "outcome=relay_broken ");
    for line in lines {
        assert!(log.contains(line.trim_end()), "{line}\n{log}");
    }
}
