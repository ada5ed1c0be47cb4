//! Envelopes of the calculator: binary against text, and a textual XML parser on the same message for orientation; octets
//! in bulk.

use std::hint::black_box;

use benches::encoding;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use message_encoding::dictionary::Strings;
use message_encoding::envelope::{Decoder, Encoder, MessageEncoding};
use message_encoding::event::{Event, Reader, ReaderState};
use message_encoding::{Quotas, Value};

fn decode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode");
    let mut session = Decoder::new(MessageEncoding::BinarySession, Quotas::DEFAULT);
    let first = encoding::net_request();
    encoding::walk(&mut session, &first);
    let later = encoding::without_table(&first);
    group.bench_function("binary in a session", |bencher| {
        bencher.iter(|| encoding::walk(&mut session, black_box(&later)));
    });
    let mut text = Vec::new();
    Encoder::new(MessageEncoding::Soap12Utf8, Quotas::DEFAULT)
        .encode(&encoding::request(), &mut text)
        .expect("written");
    let mut decoder = Decoder::new(MessageEncoding::Soap12Utf8, Quotas::DEFAULT);
    group.bench_function("text", |bencher| bencher.iter(|| encoding::walk(&mut decoder, black_box(&text))));
    let text = String::from_utf8(text).expect("UTF-8");
    group.bench_function("quick-xml alone, events only", |bencher| {
        bencher.iter(|| {
            let mut reader = quick_xml::Reader::from_str(black_box(&text));
            let mut events = 0;
            while !matches!(reader.read_event(), Ok(quick_xml::events::Event::Eof) | Err(_)) {
                events += 1;
            }
            events
        });
    });
}

fn encode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode");
    let reply = encoding::reply();
    for (name, encoding) in
        [("binary in a session", MessageEncoding::BinarySession), ("text", MessageEncoding::Soap12Utf8)]
    {
        let mut encoder = Encoder::new(encoding, Quotas::DEFAULT);
        let mut out = Vec::new();
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                out.clear();
                encoder.encode(black_box(&reply), &mut out)
            });
        });
    }
}

fn bulk(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("octets in bulk");
    let document = encoding::bulk();
    let mut state = ReaderState::new();
    let mut copy = Vec::with_capacity(document.len());
    group.throughput(Throughput::Bytes(document.len() as u64));
    group.bench_function("read and copied", |bencher| {
        bencher.iter(|| {
            let mut reader = Reader::new(&mut state, black_box(&document), Strings::STATIC, Quotas::MAX);
            copy.clear();
            while let Some(event) = reader.next().expect("a document") {
                if let Event::Text(Value::Bytes(octets)) = event {
                    copy.extend_from_slice(octets);
                }
            }
            copy.len()
        });
    });
    // .NET's writer makes two records of them: whole groups of three octets, and the rest. They are put together first.
    for (name, document) in [("one record", document.clone()), ("two records", encoding::bulk_in_two())] {
        group.bench_function(format!("read as one value of {name} and copied"), |bencher| {
            bencher.iter(|| {
                let mut reader = Reader::new(&mut state, black_box(&document), Strings::STATIC, Quotas::MAX);
                let _ = reader.next();
                copy.clear();
                copy.extend_from_slice(&reader.read_bytes().expect("octets"));
                copy.len()
            });
        });
    }
    // From where they lie in the document: where a copy begins and ends decides how fast it is.
    let start = document.windows(2).position(|pair| pair == [0x5A, 0x5A]).expect("the octets");
    let octets = &document[start..];
    group.bench_function("only copied", |bencher| {
        bencher.iter(|| {
            copy.clear();
            copy.extend_from_slice(black_box(octets));
            copy.len()
        });
    });
}

criterion_group!(benches, decode, encode, bulk);
criterion_main!(benches);
