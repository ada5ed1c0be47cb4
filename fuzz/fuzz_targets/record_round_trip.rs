#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| fuzz::framing::record_round_trip(octets));
