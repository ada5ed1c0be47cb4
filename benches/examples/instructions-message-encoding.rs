//! Instruction and allocation counts of message-encoding, for `benches/instructions/check`.

use std::hint::black_box;
use std::process::ExitCode;

use benches::{encoding, instructions};
use message_encoding::Quotas;
use message_encoding::envelope::{Decoder, Encoder, MessageEncoding};
use message_encoding::event::{Reader, ReaderState, Writer};
use message_encoding::{Value, dictionary::Strings};

fn main() -> ExitCode {
    let (first, later) = (encoding::mono_request(), encoding::net_request());
    let mut mono = Decoder::new(MessageEncoding::BinarySession, Quotas::DEFAULT);
    let mut net = Decoder::new(MessageEncoding::BinarySession, Quotas::DEFAULT);
    // Strings come with the first envelope of a session; the later ones are what a service lives with.
    encoding::walk(&mut mono, &first);
    encoding::walk(&mut net, &later);
    let (mono_later, net_later) = (encoding::without_table(&first), encoding::without_table(&later));
    let fresh = Decoder::new(MessageEncoding::BinarySession, Quotas::DEFAULT);
    let mut encoder = Encoder::new(MessageEncoding::BinarySession, Quotas::DEFAULT);
    let reply = encoding::reply();
    let mut out = Vec::with_capacity(1024);
    let mut element = Vec::with_capacity(64);
    let bulk = encoding::bulk();
    let mut state = ReaderState::new();
    instructions::run(&mut [
        ("decode_mono_request", &mut || {
            black_box(encoding::walk(&mut mono, black_box(&mono_later)));
        }),
        ("decode_net_request", &mut || {
            black_box(encoding::walk(&mut net, black_box(&net_later)));
        }),
        ("decode_first_net_request", &mut || {
            black_box(encoding::walk(&mut fresh.clone(), black_box(&later)));
        }),
        ("encode_reply", &mut || {
            out.clear();
            let _ = black_box(encoder.encode(black_box(&reply), &mut out));
        }),
        ("read_1_MiB_of_octets", &mut || {
            let mut reader = Reader::new(&mut state, black_box(&bulk), Strings::STATIC, Quotas::MAX);
            let _ = black_box(reader.next());
            let _ = black_box(reader.next());
        }),
        ("write_double_element", &mut || {
            element.clear();
            let mut writer = Writer::new(&mut element, None);
            let _ = writer.start("", "n1");
            let _ = writer.text(Value::Double(black_box(15.99)));
            let _ = black_box(writer.end());
        }),
    ])
}
