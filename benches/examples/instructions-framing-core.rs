//! Instruction counts of framing-core, for `benches/instructions/check`.

use std::hint::black_box;
use std::process::ExitCode;

use benches::instructions;
use framing_core::receiver::Event;
use framing_core::{Limits, Receiver, Record, preamble};

/// As a read buffer is.
#[repr(align(8))]
struct Aligned<const N: usize>([u8; N]);

fn main() -> ExitCode {
    // MC-NMF as WCF's default binding sends it: 39 octets of preamble and a Preamble End.
    let preamble = &Aligned(*b"\x00\x01\x00\x01\x02\x02\x1Enet.tcp://localhost:9000/calc1\x03\x08\x0C").0;
    let content_type = b"\x00\x01\x00\x01\x02\x02\x1Enet.tcp://localhost:9000/calc1\x04\x03a/b\x0C";
    let via = b"\x02\x1Enet.tcp://localhost:9000/calc1";
    let envelope = b"\x06\xAC\x02";
    let limits = Limits::DEFAULT;
    let idle = Receiver::new(limits);
    instructions::run(&mut [
        ("preamble_view_40", &mut || {
            let _ = black_box(&preamble::view(black_box(preamble), &limits));
        }),
        ("preamble_view_first_7", &mut || {
            let _ = black_box(&preamble::view(black_box(&preamble[..7]), &limits));
        }),
        ("preamble_view_content_type", &mut || {
            let _ = black_box(&preamble::view(black_box(content_type), &limits));
        }),
        ("record_decode_via", &mut || {
            let _ = black_box(&Record::decode(black_box(via), &limits));
        }),
        ("record_decode_sized_envelope", &mut || {
            let _ = black_box(&Record::decode(black_box(envelope), &limits));
        }),
        ("receiver_preamble_to_ack", &mut || {
            let mut receiver = black_box(&idle).clone();
            let mut octets: &[u8] = black_box(preamble);
            let mut out = [0; 1];
            while let Ok(step) = receiver.step(octets) {
                match step.event {
                    Event::PreambleEnd => break,
                    _ => octets = &octets[step.consumed..],
                }
            }
            let _ = black_box(&receiver.acknowledge(&mut out));
        }),
    ])
}
