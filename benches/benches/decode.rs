//! Decoding: a preamble seen by a router, single records, a session up to its Ack, and streams of envelopes.
//!
//! All octets are in memory and aligned as in a read buffer. The streams are walked by a `Receiver` that is given 64 KiB
//! at a time, as a reader would give them; payloads are handed out where they lie and not touched, so the figures are
//! the cost of finding them and not of memory.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use framing_core::receiver::Event;
use framing_core::{Encoding, KnownEncoding, Limits, Mode, Preamble, Receiver, Record, preamble};

/// What a reader has received at once.
const READ: usize = 64 * 1024;

fn preamble_octets(mode: Mode, via: &str, encoding: Encoding<'_>) -> Vec<u8> {
    let preamble = Preamble { mode, via, encoding };
    let mut octets = vec![0; preamble.encoded_len() + 1];
    preamble.encode(&mut octets).expect("the length is right");
    octets[preamble.encoded_len()] = 0x0C;
    octets
}

fn preambles(criterion: &mut Criterion) {
    let session = Encoding::Known(KnownEncoding::BINARY_SESSION);
    let gzip = Encoding::Extensible("application/soap+msbinsession1+gzip");
    let long = format!("net.tcp://localhost:9000/{}", "segment/".repeat(252));
    let mut group = criterion.benchmark_group("preamble_view");
    for (name, octets) in [
        ("40_octets", preamble_octets(Mode::DUPLEX, "net.tcp://localhost:9000/calc1", session)),
        ("extensible_encoding", preamble_octets(Mode::DUPLEX, "net.tcp://localhost:9000/calc1", gzip)),
        ("2048_octet_via", preamble_octets(Mode::DUPLEX, &long[..2048.min(long.len())], session)),
    ] {
        let view = preamble::view(&octets, &Limits::DEFAULT);
        assert!(matches!(view, Ok(preamble::PreambleView::Encoding { .. })), "{name}");
        group.bench_function(name, |bencher| {
            bencher.iter(|| preamble::view(black_box(&octets), &Limits::DEFAULT));
        });
    }
    let partial = preamble_octets(Mode::DUPLEX, "net.tcp://localhost:9000/calc1", session);
    group.bench_function("incomplete_7_octets", |bencher| {
        bencher.iter(|| preamble::view(black_box(&partial[..7]), &Limits::DEFAULT));
    });
    group.finish();
}

fn records(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("record_decode");
    for (name, record) in [
        ("via_30_octets", Record::Via("net.tcp://localhost:9000/calc1")),
        ("known_encoding", Record::KnownEncoding(KnownEncoding::BINARY_SESSION)),
        ("sized_envelope", Record::SizedEnvelope { size: 300 }),
        ("end", Record::End),
    ] {
        let mut octets = vec![0; record.encoded_len()];
        record.encode(&mut octets).expect("the length is right");
        group.bench_function(name, |bencher| {
            bencher.iter(|| Record::decode(black_box(&octets), &Limits::DEFAULT));
        });
    }
    group.finish();
}

/// From the first octet to the Ack, as a worker does it for every connection.
fn session(criterion: &mut Criterion) {
    let encoding = Encoding::Known(KnownEncoding::BINARY_SESSION);
    let octets = preamble_octets(Mode::DUPLEX, "net.tcp://localhost:9000/calc1", encoding);
    criterion.bench_function("receiver/preamble_to_ack", |bencher| {
        bencher.iter(|| {
            let mut receiver = Receiver::new(Limits::DEFAULT);
            established(&mut receiver, black_box(&octets))
        });
    });
}

/// Steps through a preamble and acknowledges it; returns the octets of the Ack.
fn established(receiver: &mut Receiver, preamble: &[u8]) -> usize {
    let mut rest = preamble;
    loop {
        let step = receiver.step(rest).expect("a valid preamble");
        rest = &rest[step.consumed..];
        if step.event == Event::PreambleEnd {
            return receiver.acknowledge(&mut [0; 1]).expect("in turn");
        }
    }
}

fn streams(criterion: &mut Criterion) {
    let limits = Limits { envelope: u64::MAX, ..Limits::DEFAULT };
    let mut group = criterion.benchmark_group("envelope_stream");
    for (name, mode, size) in [
        ("sized_300_octets", Mode::DUPLEX, 300),
        ("sized_64_kib", Mode::DUPLEX, 64 * 1024),
        ("chunks_4_kib", Mode::SINGLETON_UNSIZED, 4 * 1024),
        ("chunks_64_kib", Mode::SINGLETON_UNSIZED, 64 * 1024),
    ] {
        let preamble = preamble_octets(mode, "net.tcp://localhost/a", Encoding::Known(KnownEncoding::BINARY));
        let octets = stream(mode, size);
        group.throughput(Throughput::Bytes(octets.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let mut receiver = Receiver::new(limits);
                established(&mut receiver, &preamble);
                payload_octets(&mut receiver, black_box(&octets))
            });
        });
    }
    group.finish();
}

/// 4 MiB of envelopes or chunks of one size.
fn stream(mode: Mode, size: usize) -> Vec<u8> {
    let mut octets = Vec::new();
    let mut header = [0; 8];
    let written = Record::SizedEnvelope { size: size as u32 }.encode(&mut header).expect("fits");
    let header = if mode == Mode::DUPLEX { &header[..written] } else { &header[1..written] };
    if mode == Mode::SINGLETON_UNSIZED {
        octets.push(0x05);
    }
    while octets.len() < 4 << 20 {
        octets.extend_from_slice(header);
        octets.resize(octets.len() + size, 0x5A);
    }
    octets
}

/// Walks a stream in reads of 64 KiB and counts the payload.
fn payload_octets(receiver: &mut Receiver, octets: &[u8]) -> usize {
    let (mut start, mut payload) = (0, 0);
    while start < octets.len() {
        // A reader keeps what was not consumed and adds to it.
        let read = &octets[start..(start + READ).min(octets.len())];
        let mut consumed = 0;
        loop {
            let step = receiver.step(&read[consumed..]).expect("a valid stream");
            consumed += step.consumed;
            match step.event {
                Event::NeedMore(_) => break,
                Event::Payload(octets) => payload += octets.len(),
                _ => {}
            }
        }
        start += consumed;
    }
    payload
}

criterion_group!(decode, preambles, records, session, streams);
criterion_main!(decode);
