//! Libraries that listen in their constructor: the dynamic linker may run it before that of the preloaded library.

mod common;

use std::path::Path;

use common::{Broker, Service, address, call, compile, free_port, programs};

const LIBRARY: [&str; 2] = ["-shared", "-fPIC"];

/// Runs a program with these libraries in `LD_PRELOAD`.
#[track_caller]
fn is_shared(program: &Path, preloaded: &[&Path]) {
    let broker = Broker::start();
    let port = free_port();
    let preloaded: Vec<_> = preloaded.iter().map(|library| library.to_str().unwrap()).collect();
    // not in the broker's own environment, which would have the other library, too
    let mut exec = broker.exec(&[address(port, "a")]);
    exec.args(["env", &format!("CONSTRUCTOR_PORT={port}"), &format!("LD_PRELOAD={}", preloaded.join(":"))]);
    exec.arg(program);
    let _service = Service::start(exec);
    for _ in 0..3 {
        assert_eq!(call(port, "a"), "constructed\n");
    }
    assert!(call(port, "b").contains("EndpointNotFound"), "it is the broker's port");
}

#[test]
fn a_library_that_the_program_is_linked_with() {
    let Some(library) = compile("constructor.c", &LIBRARY) else { return };
    let folder = library.parent().unwrap().display();
    let by_name = format!("-l:{}", library.file_name().unwrap().display());
    let flags = [
        "-DPROGRAM",
        &format!("-L{folder}"),
        &format!("-Wl,-rpath,{folder}"),
        "-Wl,--no-as-needed",
        &by_name,
    ];
    let program = compile("constructor.c", &flags).unwrap();
    is_shared(&program, &[&programs().join("libnet_tcp_port_sharing.so")]);
}

#[test]
fn a_library_that_is_preloaded_before_or_after_ours() {
    let Some(library) = compile("constructor.c", &LIBRARY) else { return };
    let program = compile("constructor.c", &["-DPROGRAM"]).unwrap();
    let ours = programs().join("libnet_tcp_port_sharing.so");
    is_shared(&program, &[&ours, &library]);
    is_shared(&program, &[&library, &ours]);
}
