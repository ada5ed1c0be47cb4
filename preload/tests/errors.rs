//! What a program is told at `bind`, and what `broker exec` says before it runs one. Long: one case after the other.

mod common;

use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, Output, Stdio};

use common::{Broker, Service, address, call, compile, free_port, installed, programs};
use test_peers::{is_root, skip};

/// Binds, and prints the name of the error.
const BIND: &str = "import errno, socket, sys
try: socket.socket().bind(('127.0.0.1', int(sys.argv[1]))); print('bound')
except OSError as error: print(errno.errorcode[error.errno])";

fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

fn bind(mut exec: Command, port: u16) -> Output {
    exec.args(["python3", "-c", BIND, &port.to_string()]).output().unwrap()
}

#[test]
fn an_address_that_someone_else_has_is_eaddrinuse_at_bind() {
    let Some(server) = compile("server.c", &[]) else { return };
    if !installed("python3") {
        return;
    }
    let broker = Broker::start();
    let port = free_port();
    let addresses = [address(port, "a")];
    let mut first = broker.serve(&addresses, &[server.to_str().unwrap(), "threads", &port.to_string()]);
    let second = bind(broker.exec(&addresses), port);
    assert_eq!(text(&second.stdout), "EADDRINUSE\n");
    let line = text(&second.stderr);
    assert!(line.contains(&addresses[0]) && line.contains("already registered"), "{line}");
    assert_eq!(line.lines().count(), 1, "{line}");
    first.kill();
    assert_eq!(text(&bind(broker.exec(&addresses), port).stdout), "bound\n", "at once after a kill");
}

#[test]
fn a_port_that_another_program_has_is_eaddrinuse() {
    if !installed("python3") {
        return;
    }
    let broker = Broker::start();
    let foreign = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = foreign.local_addr().unwrap().port();
    assert_eq!(text(&bind(broker.exec(&[address(port, "a")]), port).stdout), "EADDRINUSE\n");
}

/// What Linux says of it, and what programs that wait for a floating address wait for.
#[test]
fn an_address_that_is_not_of_this_machine_is_eaddrnotavail() {
    if !installed("python3") {
        return;
    }
    const BIND_TO: &str = "import errno, socket, sys
family = socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET
at = (sys.argv[1], int(sys.argv[2])) + ((0, 1) if ':' in sys.argv[1] else ())
try: socket.socket(family).bind(at); print('bound')
except OSError as error: print(errno.errorcode[error.errno])";
    let broker = Broker::start();
    let port = free_port();
    for (ip, said) in [
        ("203.0.113.7", "203.0.113.7 is no address of this machine"),
        ("fe80::5", "fe80::5 is a link-local address, which cannot be shared; listen on [::] or on another"),
    ] {
        let mut exec = broker.exec(&[address(port, "a")]);
        let output = exec.args(["python3", "-c", BIND_TO, ip, &port.to_string()]).output().unwrap();
        assert_eq!(text(&output.stdout), "EADDRNOTAVAIL\n", "{ip}");
        assert!(text(&output.stderr).contains(said), "{}", text(&output.stderr));
    }
}

#[test]
fn no_broker_is_one_line_on_standard_error() {
    if !installed("python3") {
        return;
    }
    let mut broker = Broker::start();
    broker.kill();
    let port = free_port();
    let output = bind(broker.exec(&[address(port, "a")]), port);
    assert_eq!(text(&output.stdout), "EADDRNOTAVAIL\n");
    let line = text(&output.stderr);
    let control = broker.control();
    assert!(line.contains(&format!("no port sharing broker runs at {}", control.display())), "{line}");
    assert!(line.contains(&format!("`broker run --control {}` starts one", control.display())), "{line}");
    assert_eq!(line.lines().count(), 1, "{line}");
}

#[test]
fn a_program_that_may_make_no_unix_sockets_is_told_what_its_unit_lacks() {
    let Some(restricted) = compile("restricted.c", &[]) else { return };
    if !installed("python3") {
        return;
    }
    let broker = Broker::start();
    let port = free_port();
    let mut exec = broker.exec(&[address(port, "a")]);
    exec.arg(&restricted);
    let output = bind(exec, port);
    assert_eq!(text(&output.stdout), "EADDRNOTAVAIL\n");
    let line = text(&output.stderr);
    assert!(line.ends_with("add AF_UNIX to RestrictAddressFamilies= of its unit\n"), "{line}");
    assert_eq!(line.lines().count(), 1, "{line}");
}

#[test]
fn another_user_is_eacces() {
    if !is_root() || !installed("python3") {
        return;
    }
    let broker = Broker::start();
    let port = free_port();
    let mut exec = broker.exec(&[address(port, "a")]);
    exec.uid(65_534).gid(65_534);
    // the interpreter in /root is out of reach for others
    let output = exec.args(["/usr/bin/python3", "-c", BIND, &port.to_string()]).output();
    match output {
        Ok(output) if output.status.success() => assert_eq!(text(&output.stdout), "EACCES\n"),
        other => skip("/usr/bin/python3 that others may run", &format!("apt install python3 ({other:?})")),
    }
}

/// Binds, listens, and waits to be ended.
const LISTEN: &str = "import socket, sys
for host in sys.argv[2:]:
    s = socket.socket(); s.setsockopt(1, 2, 1); s.bind((host, int(sys.argv[1]))); s.listen()";

fn said_at_listen(mut exec: Command, port: u16, hosts: &[&str]) -> String {
    let output = exec.args(["python3", "-c", LISTEN, &port.to_string()]).args(hosts).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    text(&output.stderr)
}

#[test]
fn listen_says_whether_it_is_shared() {
    if !installed("python3") {
        return;
    }
    let broker = Broker::start();
    let (port, other) = (free_port(), free_port());
    let addresses = [address(port, "a")];
    let said = said_at_listen(broker.exec(&addresses), port, &["127.0.0.1"]);
    let address = &addresses[0];
    assert!(
        said.starts_with(&format!(
            "net.tcp port sharing: 127.0.0.1:{port} is shared: {address} is registered (reg"
        )) && said.lines().count() == 1,
        "{said}"
    );
    // a port that means nothing to the addresses: the likeliest mistake
    let said = said_at_listen(broker.exec(&["net.tcp://localhost/a".into()]), other, &["127.0.0.1"]);
    assert_eq!(said, format!("net.tcp port sharing: port {other} is not shared: --address names port 808\n"));
    let said = said_at_listen(broker.exec(&[format!("net.tcp://127.0.0.2:{port}/a")]), port, &["127.0.0.1"]);
    assert!(said.contains("is not shared: --address names other IP addresses"), "{said}");
    let mut quiet = broker.exec(&addresses);
    quiet.env("NET_TCP_PORT_SHARING_QUIET", "1");
    assert_eq!(said_at_listen(quiet, port, &["127.0.0.1"]), "");
}

/// A service on all addresses is reached on those of the broker alone.
#[test]
fn listen_says_what_the_broker_does_not_open() {
    if !installed("python3") {
        return;
    }
    let broker = Broker::with(&["--listen", "127.0.0.3", "--listen", "127.0.0.2"]);
    let port = free_port();
    let said = said_at_listen(broker.exec(&[address(port, "a")]), port, &["0.0.0.0"]);
    let only = format!(
        " (registration 1), on 127.0.0.2:{port}, 127.0.0.3:{port} only, where the broker is configured to listen\n"
    );
    assert!(said.starts_with("net.tcp port sharing: 0.0.0.0:") && said.ends_with(&only), "{said}");
    // what it asks for is open
    let said = said_at_listen(broker.exec(&[address(port, "a")]), port, &["127.0.0.1"]);
    assert!(said.ends_with(" (registration 2)\n"), "{said}");
}

#[test]
fn a_broken_environment_is_said() {
    if !installed("python3") {
        return;
    }
    let port = free_port();
    let library = programs().join("libnet_tcp_port_sharing.so");
    for broken in ["", "localhost:808"] {
        let mut python = Command::new("env");
        python.arg(format!("LD_PRELOAD={}", library.display()));
        python.env("NET_TCP_PORT_SHARING_ADDRESSES", broken);
        let said = said_at_listen(python, port, &["127.0.0.1"]);
        let expected = format!("no address is in NET_TCP_PORT_SHARING_ADDRESSES={broken}\n");
        assert!(said.ends_with(&expected) && said.contains(&format!("port {port} is not shared")), "{said}");
    }
}

#[test]
fn an_inherited_listener_is_said() {
    let broker = Broker::start();
    let foreign = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = foreign.local_addr().unwrap().port();
    let mut exec = broker.exec(&[address(port, "a")]);
    let output = exec.arg("true").stdin(std::os::fd::OwnedFd::from(foreign)).output().unwrap();
    let said = text(&output.stderr);
    assert!(
        said.contains(&format!("descriptor 0, which listens on 127.0.0.1:{port}, is not shared")),
        "{said}"
    );
}

/// Standard error is the program's: what it has put there since is none of ours to write to.
#[test]
fn another_file_at_standard_error_gets_no_line() {
    if !installed("python3") {
        return;
    }
    let broker = Broker::start();
    let port = free_port();
    let file = tempfile::NamedTempFile::new().unwrap();
    let program = format!("import os, sys\nos.dup2(os.open({:?}, 1), 2)\n{LISTEN}", file.path());
    let mut exec = broker.exec(&[address(port, "a")]);
    let output = exec.args(["python3", "-c", &program, &port.to_string(), "127.0.0.1"]).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    assert_eq!(std::fs::read_to_string(file.path()).unwrap(), "");
}

/// A full pipe that nobody reads holds nothing up.
#[test]
fn a_standard_error_that_stalls_blocks_nothing() {
    let Some(server) = compile("server.c", &[]) else { return };
    let broker = Broker::start();
    let port = free_port();
    let (reader, writer) = std::io::pipe().unwrap();
    rustix::fs::fcntl_setfl(&writer, rustix::fs::OFlags::NONBLOCK).unwrap();
    while rustix::io::write(&writer, &[b'x'; 4096]).is_ok() {}
    rustix::fs::fcntl_setfl(&writer, rustix::fs::OFlags::empty()).unwrap();
    let mut exec = broker.exec(&[address(port, "a")]);
    exec.arg(&server).args(["threads", &port.to_string()]).stderr(writer);
    let _service = Service::start(exec);
    assert_eq!(call(port, "a"), "0\n");
    drop(reader);
}

#[test]
fn the_broker_s_end_and_return_are_said() {
    let Some(server) = compile("server.c", &[]) else { return };
    let mut broker = Broker::start();
    let (port, file) = (free_port(), tempfile::NamedTempFile::new().unwrap());
    let mut exec = broker.exec(&[address(port, "a")]);
    exec.arg(&server).args(["edge", &port.to_string()]).stderr(file.reopen().unwrap());
    let _service = Service::start(exec);
    let lines = || std::fs::read_to_string(file.path()).unwrap();
    broker.kill();
    common::wait_until("its end is said", || lines().contains("the broker is gone"));
    broker.restart();
    common::wait_until("its return is said", || lines().contains("is registered again (registration 1)\n"));
    assert_eq!(lines().lines().count(), 3, "{}", lines());
}

#[test]
fn a_broker_that_may_not_open_the_port_is_eacces() {
    use std::os::unix::fs::chown;
    let first = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap();
    if !installed("python3") || !is_root() {
        return;
    }
    if first.trim() == "0" {
        return skip("port that only root may open", "sysctl net.ipv4.ip_unprivileged_port_start=1024");
    }
    let folder = tempfile::tempdir().unwrap();
    chown(folder.path(), Some(65_534), Some(65_534)).unwrap();
    let control = folder.path().join("control");
    let mut run = Command::new(programs().join("broker"));
    run.args(["run", "--log-level", "error", "--control"]).arg(&control).uid(65_534).gid(65_534);
    let mut broker = run.spawn().unwrap();
    common::wait_until("it listens", || handoff::ControlConnection::connect(&control).is_ok());
    let mut exec = Command::new(programs().join("broker"));
    exec.arg("exec").arg("--control").arg(&control).args(["--address", "net.tcp://localhost:1/a", "--"]);
    let output = bind(exec, 1);
    broker.kill().unwrap();
    broker.wait().unwrap();
    assert_eq!(text(&output.stdout), "EACCES\n");
    assert!(text(&output.stderr).contains("CAP_NET_BIND_SERVICE"), "{output:?}");
}

#[test]
fn bind_waits_for_a_broker_that_is_about_to_start() {
    if !installed("python3") {
        return;
    }
    let mut broker = Broker::start();
    broker.kill();
    let port = free_port();
    let mut exec = broker.exec(&[address(port, "a")]);
    exec.env("NET_TCP_PORT_SHARING_WAIT", "60").args(["python3", "-c", BIND, &port.to_string()]);
    let mut program = exec.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = std::io::BufReader::new(program.stderr.take().unwrap());
    let mut line = String::new();
    std::io::BufRead::read_line(&mut said, &mut line).unwrap();
    assert!(line.contains("waits for it, at most 60 s"), "{line}");
    broker.restart();
    let output = program.wait_with_output().unwrap();
    assert_eq!(text(&output.stdout), "bound\n");
}

#[test]
fn an_option_that_the_broker_s_listener_cannot_have_is_refused() {
    if !installed("python3") {
        return;
    }
    let broker = Broker::start();
    let port = free_port();
    let program = "import ctypes, errno, socket, struct, sys
port, after = int(sys.argv[1]), sys.argv[2] == 'after'
everything = (ctypes.c_ubyte * 8)(*struct.pack('HBBI', 6, 0, 0, 65535))
filter = struct.pack('HxxxxxxQ', 1, ctypes.addressof(everything))
peer = struct.pack('HH4s120x', socket.AF_INET, 0, bytes([127, 0, 0, 1]))
md5 = peer + struct.pack('BBHI80s', 0, 0, 3, 0, b'key')
ao = peer + struct.pack('=64siIHBBBBBB80s', b'hmac(sha1)', 0, 0, 0, 32, 100, 100, 0, 0, 3, b'key')
def bpf(): # BPF_PROG_LOAD of a socket filter: r0 = 65535; exit
    everything = (ctypes.c_ubyte * 16)(*struct.pack('<BBhiBBhi', 0xb7, 0, 0, 65535, 0x95, 0, 0, 0))
    licence = ctypes.create_string_buffer(b'MIT')
    numbers = (1, 2, ctypes.addressof(everything), ctypes.addressof(licence), 0, 0, 0, 0, 0)
    asked = ctypes.create_string_buffer(struct.pack('=IIQQIIQII', *numbers), 128)
    loaded = ctypes.CDLL(None).syscall(321, 5, asked, 128)
    if loaded < 0: print('no BPF'); sys.exit()
    return loaded
options = {
    'IP_MINTTL': (socket.IPPROTO_IP, 21, lambda: 255),
    'SO_ATTACH_FILTER': (socket.SOL_SOCKET, 26, lambda: filter),
    'SO_ATTACH_BPF': (socket.SOL_SOCKET, 50, bpf),
    'SO_ATTACH_REUSEPORT_CBPF': (socket.SOL_SOCKET, 51, lambda: filter),
    'SO_ATTACH_REUSEPORT_EBPF': (socket.SOL_SOCKET, 52, bpf),
    'TCP_MD5SIG': (socket.IPPROTO_TCP, 14, lambda: md5),
    'TCP_AO_ADD_KEY': (socket.IPPROTO_TCP, 38, lambda: ao),
}
level, name, value = options[sys.argv[3]]
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
try:
    if after: s.bind(('127.0.0.1', port))
    s.setsockopt(level, name, value())
    if not after: s.bind(('127.0.0.1', port))
    print('bound')
except OSError as error: print(errno.errorcode[error.errno])";
    let kernel = compile("tcp_ao.c", &["-shared", "-fPIC"]);
    for option in [
        "IP_MINTTL",
        "SO_ATTACH_FILTER",
        "SO_ATTACH_BPF",
        "SO_ATTACH_REUSEPORT_CBPF",
        "SO_ATTACH_REUSEPORT_EBPF",
        "TCP_MD5SIG",
        "TCP_AO_ADD_KEY",
    ] {
        for (when, expected, said) in
            [("before", "ENOTSUP\n", "cannot be shared: "), ("after", "ENOPROTOOPT\n", " is refused: ")]
        {
            let mut exec = broker.exec(&[address(port, "a")]);
            exec.args(["python3", "-c", program, &port.to_string(), when, option]);
            if let (Some(kernel), "TCP_AO_ADD_KEY") = (&kernel, option) {
                exec.env("LD_PRELOAD", kernel);
            }
            let output = exec.output().unwrap();
            if text(&output.stdout) == "no BPF\n" {
                skip(option, "run as root");
                continue;
            }
            assert_eq!(text(&output.stdout), expected, "{option}: {output:?}");
            let line = text(&output.stderr);
            assert!(line.lines().count() == 1 && line.contains(said), "{option}: {line}");
        }
    }
}

#[test]
fn a_listener_on_another_port_is_left_alone() {
    let Some(server) = compile("server.c", &[]) else { return };
    let broker = Broker::start();
    let (shared, other) = (free_port(), free_port());
    let _service =
        broker.serve(&[address(shared, "a")], &[server.to_str().unwrap(), "threads", &other.to_string()]);
    assert_eq!(call(other, "anything"), "0\n");
    assert!(common::call_at([127, 0, 0, 1].into(), shared, "a").is_err());
}

#[test]
fn several_addresses_are_one_registration() {
    let Some(server) = compile("server.c", &[]) else { return };
    let broker = Broker::start();
    let port = free_port();
    let addresses = [address(port, "a"), address(port, "b/c"), address(free_port(), "d")];
    let _service = broker.serve(&addresses, &[server.to_str().unwrap(), "edge", &port.to_string()]);
    assert_eq!([call(port, "a"), call(port, "b/c"), call(port, "a/x")], ["0\n", "1\n", "2\n"]);
    assert!(call(port, "b").contains("EndpointNotFound"));
}

#[test]
fn exec_leaves_no_process_between_and_passes_arguments_signals_and_status_on() {
    let broker = Broker::start();
    let addresses = [address(free_port(), "a")];
    let output = broker
        .exec(&addresses)
        .args(["sh", "-c", "echo $$ $0 $1; exit 42", "--zero", "--one"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(42));
    let mut exec = broker.exec(&addresses);
    exec.args(["sh", "-c", "echo $$; exec sleep 100"]);
    let mut service = Service::start(exec);
    assert_eq!(service.first_line.trim(), service.process.id().to_string());
    let pid = rustix::process::Pid::from_child(&service.process);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(service.process.wait().unwrap().signal(), Some(15));
}

fn refusal(mut exec: Command, program: &[&str]) -> (Option<i32>, String) {
    let output = exec.args(program).stdin(Stdio::null()).output().unwrap();
    (output.status.code(), text(&output.stderr))
}

#[test]
fn what_cannot_share_is_refused_with_the_reason() {
    let broker = Broker::start();
    let exec = || broker.exec(&["net.tcp://localhost/a".into()]);
    let (code, reason) = refusal(exec(), &["/nowhere/program"]);
    assert!(code == Some(127) && reason.contains("/nowhere/program"), "{reason}");

    for (flags, expected) in [
        (&["-static"][..], "statically linked"),
        (&["-static-pie"], "statically linked"),
        (&["-Wl,--dynamic-linker=/lib/ld-musl-x86_64.so.1"], "musl"),
        (&["-Wl,--dynamic-linker=/lib/ld-other.so.1"], "ld-other.so.1"),
        (&["-DGO_NOTE"], "Go program"),
    ] {
        let Some(program) = compile("unsuitable.c", flags) else { return };
        let program = program.to_str().unwrap();
        let (code, reason) = refusal(exec(), &[program]);
        assert!(
            code == Some(126) && reason.contains(expected) && reason.contains(program),
            "{code:?} {reason}"
        );
        assert_eq!(reason.lines().count(), 1);

        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("script");
        std::fs::write(&script, format!("#!{program}\n")).unwrap();
        let (code, reason) = refusal(exec(), &[script.to_str().unwrap()]);
        assert!(code == Some(126) && reason.contains(expected), "behind #!: {code:?} {reason}");
        std::fs::write(&script, format!("#! /usr/bin/env -S {program} x\n")).unwrap();
        let (code, reason) = refusal(exec(), &[script.to_str().unwrap()]);
        assert!(code == Some(126) && reason.contains(expected), "behind env: {code:?} {reason}");
    }

    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("svc.exe");
    std::fs::write(&program, b"MZ\x90\0").unwrap();
    let (code, reason) = refusal(exec(), &[program.to_str().unwrap()]);
    assert!(code == Some(126) && reason.contains("start it with mono or dotnet"), "{code:?} {reason}");

    let Some(program) = compile("unsuitable.c", &[]) else { return };
    let program = program.to_str().unwrap();
    assert_eq!(refusal(exec(), &[program]).0, Some(7), "it runs");
    let linker = "/lib64/ld-linux-x86-64.so.2";
    if std::path::Path::new(linker).exists() {
        assert_eq!(refusal(exec(), &[linker, program]), (Some(7), String::new()), "by the dynamic linker");
        let shell = ["sh", "-c", "\"$0\" \"$1\"; exit $?", linker, program];
        assert_eq!(refusal(exec(), &shell), (Some(7), String::new()), "by a shell");
    }
    Command::new("chmod").args(["0111", program]).status().unwrap();
    assert_eq!(refusal(exec(), &[program]).0, Some(7), "it runs unread");
    if rustix::process::geteuid().is_root() {
        let mut other = exec();
        other.uid(65_534).gid(65_534);
        assert_eq!(refusal(other, &[program]).0, Some(7), "it runs unread by another user");
    }
    Command::new("chmod").args(["4755", program]).status().unwrap();
    let (code, reason) = refusal(exec(), &[program]);
    assert!(code == Some(126) && reason.contains("set-user-id"), "{code:?} {reason}");
}

/// In a user namespace of its own, which has its own list of binary formats since Linux 6.7.
#[test]
fn a_dotnet_file_that_the_kernel_was_told_how_to_run_is_run() {
    let broker = Broker::start();
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("svc.exe");
    std::fs::write(&program, b"MZ\x90\0").unwrap();
    Command::new("chmod").arg("755").arg(&program).status().unwrap();
    let run = |format: &str| {
        let mut exec = broker.exec(&["net.tcp://localhost/a".into()]);
        exec.arg(&program);
        let mut unshare = Command::new("unshare");
        unshare.args(["--user", "--map-root-user", "--mount", "sh", "-c"]);
        unshare.arg(
            "mount -t binfmt_misc none /proc/sys/fs/binfmt_misc 2>/dev/null || exit 99
             echo \"$0\" >/proc/sys/fs/binfmt_misc/register || exit 99
             exec \"$@\"",
        );
        unshare.arg(format).arg(exec.get_program()).args(exec.get_args()).output().unwrap()
    };
    let output = run(":dotnet:M::MZ::/bin/echo:");
    if output.status.code() == Some(99) {
        return skip("list of binary formats of a namespace's own", "use Linux 6.7 or later");
    }
    assert_eq!(text(&output.stdout), format!("{}\n", program.display()), "{output:?}");
    assert_eq!(run(":other:M::MX::/bin/echo:").status.code(), Some(126));
}

#[test]
fn a_wrong_use_of_exec_is_told_as_all_wrong_uses_are() {
    let broker = Broker::start();
    for address in ["http://localhost/a", "net.tcp://", "localhost:808"] {
        let (code, reason) = refusal(broker.exec(&[address.into()]), &["true"]);
        assert!(code == Some(2) && reason.starts_with(&format!("error: --address {address}: ")), "{reason}");
        let because = reason.lines().next().unwrap().rsplit(": ").next().unwrap();
        assert_eq!(reason.matches(because).count(), 1, "said once: {reason}");
    }
    for (address, expected) in [
        ("net.tcp://+:808/a", "write localhost for +"),
        ("net.tcp://*/a", "write localhost for *"),
        ("net.tcp://localhost:0/a", "name the one that clients use"),
    ] {
        let (code, reason) = refusal(broker.exec(&[address.into()]), &["true"]);
        assert!(
            code == Some(2) && reason.contains(address) && reason.contains(expected),
            "{code:?} {reason}"
        );
    }
    let twice = ["net.tcp://localhost/a".into(), "net.tcp://localhost:808/a".into()];
    let (code, reason) = refusal(broker.exec(&twice), &["true"]);
    assert!(code == Some(2) && reason.contains("given twice"), "{code:?} {reason}");
    for options in [&["--host-name-comparison", "loose", "true"][..], &["--no-such", "true"], &[]] {
        let mut exec = Command::new(programs().join("broker"));
        exec.args(["exec", "--address", "net.tcp://h/a"]);
        let (code, reason) = refusal(exec, options);
        assert!(code == Some(2) && reason.starts_with("error: "), "{options:?}: {code:?} {reason}");
    }
}

#[test]
fn the_program_may_follow_without_two_dashes() {
    let mut exec = Command::new(programs().join("broker"));
    exec.args(["exec", "--address", "net.tcp://h/a", "echo", "--quiet", "-n"]);
    assert_eq!(text(&exec.output().unwrap().stdout), "--quiet -n\n");
}

#[test]
fn the_printed_environment_is_what_exec_gives() {
    let broker = Broker::start();
    let run = |arguments: &[&str]| {
        let mut exec = Command::new(programs().join("broker"));
        exec.arg("exec").arg("--control").arg(broker.control());
        exec.args(["--address", "net.tcp://localhost/a", "--address", "net.tcp://localhost/b c|d"]);
        let output =
            exec.args(["--host-name-comparison", "exact"]).args(arguments).env_remove("LD_PRELOAD").output();
        text(&output.unwrap().stdout)
    };
    let printed = run(&["--print-environment"]);
    assert_eq!(printed.lines().count(), 5, "{printed}");
    assert!(
        printed
            .contains("NET_TCP_PORT_SHARING_ADDRESSES=net.tcp://localhost/a|net.tcp://localhost/b%20c%7Cd\n")
    );
    assert!(printed.contains("NET_TCP_PORT_SHARING_HOST_NAME_COMPARISON=exact\n"));
    let given = run(&["--", "env"]);
    for line in printed.lines() {
        assert!(given.lines().any(|given| given == line), "{line}");
    }
}

#[test]
fn the_library_is_found_in_the_library_directory() {
    let folder = tempfile::tempdir().unwrap();
    let (bin, lib) = (folder.path().join("bin"), folder.path().join("lib/net-tcp-port-sharing"));
    std::fs::create_dir(&bin).unwrap();
    // Not by this process: one that another test starts meanwhile would have it open for writing, and it could not be run.
    assert!(Command::new("cp").arg(programs().join("broker")).arg(&bin).status().unwrap().success());
    let run = || {
        let mut exec = Command::new(bin.join("broker"));
        exec.args(["exec", "--print-environment", "--address", "net.tcp://h/a"])
            .env_remove("LD_PRELOAD")
            .output()
            .unwrap()
    };
    if !std::path::Path::new("/usr/lib/net-tcp-port-sharing").exists() {
        let output = run();
        assert!(
            !output.status.success()
                && text(&output.stderr).starts_with("broker exec: libnet_tcp_port_sharing.so is in none of")
                && text(&output.stderr).contains("cargo build --release -p preload")
        );
    }
    std::fs::create_dir_all(&lib).unwrap();
    let library = lib.join("libnet_tcp_port_sharing.so");
    std::fs::copy(programs().join("libnet_tcp_port_sharing.so"), &library).unwrap();
    let library = library.canonicalize().unwrap();
    assert!(text(&run().stdout).starts_with(&format!("LD_PRELOAD={}\n", library.display())));
}

#[test]
fn the_mode_reaches_the_broker() {
    let Some(server) = compile("server.c", &[]) else { return };
    let broker = Broker::start();
    let port = free_port();
    let serve = |address: &str| {
        let mut exec = Command::new(programs().join("broker"));
        exec.arg("exec").arg("--control").arg(broker.control());
        exec.args(["--host-name-comparison", "exact", "--address", address, "--"]);
        exec.arg(&server).args(["threads", &port.to_string()]);
        Service::start(exec)
    };
    let mut service = serve(&format!("net.tcp://elsewhere:{port}/a"));
    assert!(call(port, "a").contains("EndpointNotFound"), "localhost is another host");
    service.kill();
    let mut service = serve(&address(port, "a"));
    assert_eq!(call(port, "a"), "0\n");
    let mut rest = String::new();
    service.kill();
    service.lines.read_to_string(&mut rest).unwrap();
}
