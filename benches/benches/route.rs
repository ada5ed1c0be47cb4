//! Via → registration: parse and lookup together, as the broker does for each connection, against a linear scan, a hash
//! table of whole paths and a published router.

use std::collections::HashMap;
use std::hint::black_box;
use std::net::SocketAddr;
use std::time::Duration;

use benches::addresses::{self, MOST};
use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use router::{RouteTable, Via};
use rustix::time::{ClockId, clock_gettime};

const LENGTHS: [usize; 4] = [1, 100, 10_000, MOST];

/// The processor's time of this thread, which other programs on the machine do not lengthen.
struct ProcessorTime;

impl Measurement for ProcessorTime {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).expect("the clock does not run backwards")
    }

    fn end(&self, start: Duration) -> Duration {
        self.start() - start
    }

    fn add(&self, a: &Duration, b: &Duration) -> Duration {
        *a + *b
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, time: &Duration) -> f64 {
        time.as_secs_f64() * 1e9
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}

fn local() -> SocketAddr {
    ([192, 0, 2, 5], 9000).into()
}

fn find(table: &RouteTable<usize>, via: &str) -> Option<usize> {
    let via = Via::parse(via).ok()?;
    table.lookup(&via, local()).ok().map(|found| *found.value)
}

/// What a lookup is without a structure: every registered path is compared, whole segments, case ignored.
struct Scan(Vec<(String, usize)>);

impl Scan {
    fn new(len: usize) -> Self {
        Self(
            addresses::numbers(len)
                .map(|number| (path(&addresses::address(number)).to_owned(), number))
                .collect(),
        )
    }

    fn find(&self, via: &str) -> Option<usize> {
        let path = path(via).as_bytes();
        let matches = |registered: &[u8]| {
            path.get(..registered.len()).is_some_and(|start| start.eq_ignore_ascii_case(registered))
                && matches!(path.get(registered.len()), None | Some(b'/'))
        };
        let longest = self.0.iter().filter(|(registered, _)| matches(registered.as_bytes()));
        longest.max_by_key(|(registered, _)| registered.len()).map(|(_, number)| *number)
    }
}

/// Whole paths in lower case, asked from the longest prefix of the Via to the shortest.
struct Paths(HashMap<String, usize>);

impl Paths {
    fn new(len: usize) -> Self {
        let entry = |number| (path(&addresses::address(number)).to_ascii_lowercase(), number);
        Self(addresses::numbers(len).map(entry).collect())
    }

    fn find(&self, via: &str) -> Option<usize> {
        let path = path(via).to_ascii_lowercase();
        let mut rest = path.as_str();
        loop {
            if let Some(number) = self.0.get(rest) {
                return Some(*number);
            }
            rest = &rest[..rest.rfind('/')?];
        }
    }
}

/// A router made for HTTP: the registered paths, each also with anything behind it.
struct Published(matchit::Router<usize>);

impl Published {
    fn new(len: usize) -> Self {
        let mut router = matchit::Router::new();
        for number in addresses::numbers(len) {
            let path = path(&addresses::address(number)).to_ascii_lowercase();
            router.insert(path.clone(), number).expect("no conflict");
            router.insert(format!("{path}/{{*rest}}"), number).expect("no conflict");
        }
        Self(router)
    }

    fn find(&self, via: &str) -> Option<usize> {
        self.0.at(&path(via).to_ascii_lowercase()).ok().map(|found| *found.value)
    }
}

/// The path of a Via without a query, without a look at anything else.
fn path(via: &str) -> &str {
    via.get("net.tcp://".len()..).and_then(|rest| rest.find('/').map(|at| &rest[at..])).unwrap_or("/")
}

/// One table, the Vias of one question after another.
fn ask(
    c: &mut Criterion<ProcessorTime>,
    name: &str,
    len: usize,
    vias: &[String],
    find: impl Fn(&str) -> Option<usize>,
    found: bool,
) {
    assert!(vias.iter().all(|via| find(via).is_some() == found), "{name} of {len}");
    let mut next = vias.iter().cycle();
    c.bench_function(&format!("route/{name}/{len}"), |bencher| {
        bencher.iter(|| black_box(find(black_box(next.next().expect("there is one")))));
    });
}

/// Vias of some addresses evenly spread over the table, with something behind them.
fn vias(len: usize, some: usize, behind: &str) -> Vec<String> {
    let numbers: Vec<usize> = addresses::numbers(len).collect();
    let step = (len / some).max(1);
    numbers.iter().step_by(step).take(some).map(|&number| addresses::via(number) + behind).collect()
}

fn questions(c: &mut Criterion<ProcessorTime>) {
    for len in LENGTHS {
        let shallow = vias(len, 64, "");
        let deep = vias(len, 64, "/a/b/c/d/e/f/g/h/i/j/k/l");
        let misses = vias(len, 64, "x");
        let table = addresses::table(len);
        ask(c, "hit_one/router", len, &shallow[..1], |via| find(&table, via), true);
        ask(c, "hit_shallow/router", len, &shallow, |via| find(&table, via), true);
        ask(c, "hit_1024/router", len, &vias(len, 1024, ""), |via| find(&table, via), true);
        ask(c, "hit_deep/router", len, &deep, |via| find(&table, via), true);
        ask(c, "miss/router", len, &misses, |via| find(&table, via), false);
        if len == MOST {
            // Each Via another address: what is not in a cache counts too.
            let all: Vec<String> = (0..MOST).step_by(7).map(|at| addresses::via(at * 389 % MOST)).collect();
            ask(c, "hit_cold/router", len, &all, |via| find(&table, via), true);
            edits(c, &table);
        }
        drop(table);
        let scan = Scan::new(len);
        ask(c, "hit_shallow/scan", len, &shallow, |via| scan.find(via), true);
        ask(c, "miss/scan", len, &misses, |via| scan.find(via), false);
        drop(scan);
        let paths = Paths::new(len);
        ask(c, "hit_shallow/hashmap", len, &shallow, |via| paths.find(via), true);
        ask(c, "hit_deep/hashmap", len, &deep, |via| paths.find(via), true);
        ask(c, "miss/hashmap", len, &misses, |via| paths.find(via), false);
        drop(paths);
        let published = Published::new(len);
        ask(c, "hit_shallow/matchit", len, &shallow, |via| published.find(via), true);
        ask(c, "hit_deep/matchit", len, &deep, |via| published.find(via), true);
        ask(c, "miss/matchit", len, &misses, |via| published.find(via), false);
    }
}

/// Register and unregister one of a million, in a copy of a table that others read.
fn edits(c: &mut Criterion<ProcessorTime>, table: &RouteTable<usize>) {
    let prefix = addresses::prefix("net.tcp://localhost:9000/Tenant50/Service50/Another");
    c.bench_function("route/edit/register_one_more", |bencher| {
        bencher.iter(|| {
            let mut copy = table.clone();
            copy.register(prefix.clone(), 0).expect("it is new");
            copy
        });
    });
    let there = addresses::prefix(&addresses::address(505_050));
    c.bench_function("route/edit/unregister_one", |bencher| {
        bencher.iter(|| {
            let mut copy = table.clone();
            copy.unregister(&there).expect("it is there");
            copy
        });
    });
}

/// Vias of 2048 octets, against tables made for them: nested addresses at every segment, and ones that share all but the
/// last octet.
fn adversarial(c: &mut Criterion<ProcessorTime>) {
    let start = "net.tcp://localhost:9000";
    let room = 2048 - start.len();
    let nested: String = "/a".repeat(room / 2);
    let mut table = RouteTable::new();
    (1..=room / 2).for_each(|segments| {
        let prefix = addresses::prefix(&format!("{start}{}", &nested[..segments * 2]));
        table.register(prefix, segments).expect("no address comes twice");
    });
    let long = "x".repeat(room - 2);
    for last in '!'..='~' {
        if last.is_ascii_lowercase() || last.is_ascii_digit() {
            table
                .register(addresses::prefix(&format!("{start}/{long}{last}")), 0)
                .expect("no address comes twice");
        }
    }
    for (name, via) in [
        ("segments", format!("{start}{nested}")),
        ("empty_segments", format!("{start}{}", "/".repeat(room))),
        ("dot_segments", format!("{start}{}", "/a/..".repeat(room / 5))),
        ("shared_prefix", format!("{start}/{long}z")),
        ("escapes", format!("{start}/{}", "%2e".repeat(room / 3 - 1))),
        ("query", format!("{start}/a?{}", "/..".repeat(room / 3 - 2))),
    ] {
        c.bench_with_input(BenchmarkId::new("route/adversarial", name), &via, |bencher, via| {
            bencher.iter(|| black_box(find(&table, black_box(via))));
        });
    }
}

fn configured() -> Criterion<ProcessorTime> {
    Criterion::default().sample_size(20).with_measurement(ProcessorTime)
}

criterion_group! { name = benches; config = configured(); targets = adversarial, questions }
criterion_main!(benches);
