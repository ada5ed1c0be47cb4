//! Runs both machines of framing-core against each other on core alone. A second panic handler (std's) or the lack of
//! a global allocator (which alloc wants) fails the build, not a test.

#![no_std]
#![no_main]

#[cfg(feature = "leak-alloc")]
extern crate alloc;
#[cfg(feature = "leak-std")]
extern crate std;

use core::ffi::{c_char, c_int};
use core::panic::PanicInfo;

use framing_core::receiver::Event;
use framing_core::{
    ApiMisuse, Encoding, Initiator, KnownEncoding, Limits, Mode, OwnedPreamble, Preamble, Receiver, initiator,
};

// The C runtime calls `main` and has the memory functions the compiler emits calls to.
#[link(name = "c")]
unsafe extern "C" {}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {}
}

/// Exit status 0 if a preamble was written, read, kept and acknowledged.
// SAFETY: no other symbol of this program is called `main`.
#[unsafe(no_mangle)]
extern "C" fn main(_: c_int, _: *const *const c_char) -> c_int {
    match session() {
        Ok(true) => 0,
        _ => 1,
    }
}

fn session() -> Result<bool, ApiMisuse> {
    let (mut initiator, mut receiver) = (Initiator::new(Limits::DEFAULT), Receiver::new(Limits::DEFAULT));
    let encoding = Encoding::Known(KnownEncoding::BINARY_SESSION);
    let preamble = Preamble { mode: Mode::DUPLEX, via: "net.tcp://localhost:9000/calc", encoding };
    let mut wire = [0; 64];
    let mut written = initiator.preamble(&preamble, &mut wire)?;
    written += initiator.preamble_end(&mut wire[written..])?;

    let mut octets = &wire[..written];
    let mut kept = None;
    let mut answer = [0; 1];
    while let Ok(step) = receiver.step(octets) {
        match step.event {
            Event::Preamble(preamble) => kept = OwnedPreamble::<64, 0>::try_from(preamble).ok(),
            Event::PreambleEnd => receiver.acknowledge(&mut answer).map(drop)?,
            _ => break,
        }
        octets = &octets[step.consumed..];
    }
    let acknowledged = initiator.step(&answer).is_ok_and(|step| step.event == initiator::Event::PreambleAck);
    Ok(acknowledged && kept.is_some_and(|kept| kept.as_preamble() == preamble))
}
