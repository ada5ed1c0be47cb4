#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| fuzz::encoding::nbfse_session(octets));
