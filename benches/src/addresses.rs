//! The addresses that the route measures register, and the Vias they ask for.

use router::{HostNameComparison, Prefix, RouteTable};

/// Most addresses of a table.
pub const MOST: usize = 1_000_000;

/// One of a million addresses of three segments: a hundred tenants with a hundred services of a hundred endpoints each.
pub fn address(number: usize) -> String {
    format!("net.tcp://localhost:9000{}", path(number))
}

/// A Via that a client of the address sends: another host, and capitals.
pub fn via(number: usize) -> String {
    format!("net.tcp://srv1.example:9000{}", path(number))
}

fn path(number: usize) -> String {
    let [tenant, service, endpoint] = [number / 10_000, number / 100 % 100, number % 100];
    format!("/Tenant{tenant:02}/Service{service:02}/Endpoint{endpoint:02}")
}

/// The numbers of the addresses in a table of `len`, evenly spread over the million.
pub fn numbers(len: usize) -> impl Iterator<Item = usize> {
    (0..len).map(move |at| at * (MOST / len))
}

/// A registered address.
///
/// # Panics
///
/// If the address is none.
pub fn prefix(address: &str) -> Prefix {
    Prefix::parse(address, HostNameComparison::StrongWildcard).expect("a valid address")
}

/// A table of `len` addresses, each with its number.
///
/// # Panics
///
/// If `len` is 0 or over [`MOST`].
pub fn table(len: usize) -> RouteTable<usize> {
    let mut table = RouteTable::new();
    for number in numbers(len) {
        table.register(prefix(&address(number)), number).expect("no address comes twice");
    }
    table
}
