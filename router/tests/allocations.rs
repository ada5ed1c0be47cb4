//! What lookups and registrations allocate.

use std::hint::black_box;
use std::net::SocketAddr;

use allocation_counter::measure;
use router::{HostNameComparison, Prefix, RouteTable, Via};

fn address(number: usize) -> String {
    format!(
        "net.tcp://localhost:9000/Tenant{}/Service{}/Endpoint{}",
        number / 10_000,
        number / 100 % 100,
        number % 100
    )
}

fn table(len: usize) -> RouteTable<usize> {
    let mut table = RouteTable::new();
    for number in 0..len {
        let prefix =
            Prefix::parse(&address(number), HostNameComparison::StrongWildcard).expect("a valid address");
        table.register(prefix, number).expect("no address comes twice");
    }
    let exact =
        Prefix::parse("net.tcp://bücher.example:9000/i", HostNameComparison::Exact).expect("a valid address");
    table.register(exact, len).expect("no address comes twice");
    table
}

#[test]
fn a_lookup_of_a_canonical_via_allocates_nothing() {
    let table = table(1000);
    let local: SocketAddr = ([192, 0, 2, 5], 9000).into();
    let long = format!("net.tcp://srv1:9000/{}", "segment/".repeat(250));
    for via in [
        "net.tcp://localhost:9000/Tenant0/Service1/Endpoint2",
        "net.tcp://srv1.example/TENANT0/Service1/Endpoint2/Add/",
        "net.tcp://192.0.2.5:9000/Tenant0/Service1",
        "net.tcp://[2001:db8::5]:9000/Tenant0//Service1//",
        "net.tcp://[::1]/a%20b/caf%C3%A9/~u/%3F",
        "net.tcp://bücher.example:9000/i/j",
        "net.tcp://localhost:9000",
        &long,
    ] {
        let allocated = measure(|| {
            let via = Via::parse(black_box(via)).expect("a valid Via");
            let _ = black_box(table.lookup(&via, local));
        });
        assert_eq!(allocated.count_total, 0, "{via}");
    }
}

#[test]
fn an_edit_copies_the_way_to_one_address_and_a_clone_copies_nothing() {
    let table = table(20_000);
    assert_eq!(measure(|| drop(black_box(table.clone()))).count_total, 0);
    let prefix =
        Prefix::parse("net.tcp://h:9000/Tenant1/Service1/Another", HostNameComparison::StrongWildcard);
    let prefix = prefix.expect("a valid address");
    let mut copy = table.clone();
    let registered = measure(|| copy.register(prefix.clone(), 0).expect("it is new"));
    let unregistered = measure(|| assert_eq!(copy.unregister(&prefix), Some(0)));
    for edit in [registered, unregistered] {
        assert!(edit.count_total < 60 && edit.bytes_total < 64_000, "{edit:?}");
    }
}

#[test]
fn memory_per_registration() {
    let len = 20_000;
    let mut kept = None;
    let allocated = measure(|| kept = Some(table(len)));
    let octets = allocated.bytes_current / i64::try_from(len).expect("it fits");
    println!("{octets} octets a registration, {} of them the address", address(0).len());
    assert!(octets < 450, "{octets}");
}
