//! Writes an envelope with message-encoding, reads it, and finds its address with router, on core and an allocator. A
//! second panic handler (std's) fails the build, not a test.

#![no_std]
#![no_main]

extern crate alloc;
#[cfg(feature = "leak-std")]
extern crate std;

use alloc::vec::Vec;
use core::alloc::{GlobalAlloc, Layout};
use core::ffi::{c_char, c_int, c_void};
use core::net::SocketAddr;
use core::panic::PanicInfo;

use message_encoding::Quotas;
use message_encoding::envelope::{Decoder, Element, Encoder, MessageEncoding, MessageId, Outgoing};
use message_encoding::value::Uuid;
use router::{HostNameComparison, Prefix, RouteTable, Via};

const ADDRESS: &str = "net.tcp://localhost:9000/calc";

// The C runtime calls `main`, and has the memory functions.
#[link(name = "c")]
unsafe extern "C" {
    fn aligned_alloc(align: usize, size: usize) -> *mut c_void;
    fn free(memory: *mut c_void);
}

struct C;

// SAFETY: what the C library gives out is aligned, of the size asked for, and nobody else's until it is freed.
unsafe impl GlobalAlloc for C {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: an alignment of Rust is a power of two, and the size becomes a multiple of it.
        unsafe { aligned_alloc(layout.align(), layout.pad_to_align().size()).cast() }
    }

    unsafe fn dealloc(&self, memory: *mut u8, _: Layout) {
        // SAFETY: it came from `alloc`.
        unsafe { free(memory.cast()) }
    }
}

#[global_allocator]
static ALLOCATOR: C = C;

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {}
}

// `alloc` comes compiled for programs that unwind; in this one panics abort, and the linker only wants the names.
// SAFETY: no other symbols of this program are called so.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() {}

/// Exit status 0 if the envelope's address is found, and its body says what was written.
// SAFETY: no other symbol of this program is called `main`.
#[unsafe(no_mangle)]
extern "C" fn main(_: c_int, _: *const *const c_char) -> c_int {
    match (written_and_read(), found()) {
        (Some(2), Some("calc")) => 0,
        _ => 1,
    }
}

fn written_and_read() -> Option<i64> {
    let body = Element::new("urn:calc", "Add").child("n1", 2);
    let id = MessageId::Uuid(Uuid::from_random([7; 16]));
    let mut envelope = Vec::new();
    Encoder::new(MessageEncoding::BinarySession, Quotas::DEFAULT)
        .encode(&Outgoing::request("urn:calc/Add", ADDRESS, id, body), &mut envelope)
        .ok()?;
    let mut decoder = Decoder::new(MessageEncoding::BinarySession, Quotas::DEFAULT);
    decoder.decode(&envelope).ok()?.body().ok()??.find("n1")?.value().to_i64().ok()
}

fn found() -> Option<&'static str> {
    let mut table = RouteTable::new();
    table.register(Prefix::parse(ADDRESS, HostNameComparison::StrongWildcard).ok()?, "calc").ok()?;
    let via = Via::parse("net.tcp://other:9000/CALC/7").ok()?;
    table.lookup(&via, SocketAddr::from(([127, 0, 0, 1], 9000))).ok().map(|found| *found.value)
}
