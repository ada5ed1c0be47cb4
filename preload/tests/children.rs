//! Programs that a program under `broker exec` starts: into some of them no library can be loaded, and that is said.

mod common;

use std::os::unix::fs::{PermissionsExt, chown};
use std::process::Command;

use common::{Broker, address, compile, free_port, installed};
use test_peers::{is_root, skip};

/// What is said on standard error by a program that starts others.
#[track_caller]
fn said(exec: &mut Command) -> String {
    let output = exec.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

fn exec(broker: &Broker) -> Command {
    broker.exec(&[address(9999, "a")])
}

/// In a folder, with a script in front of it.
fn program(flags: &[&str]) -> Option<tempfile::TempDir> {
    let file = compile("unsuitable.c", flags)?;
    let folder = tempfile::tempdir().unwrap();
    // by a process of its own: one that another test starts meanwhile would have it open for writing
    assert!(Command::new("cp").arg(&file).arg(folder.path().join("child")).status().unwrap().success());
    let script = folder.path().join("script");
    std::fs::write(&script, format!("#!{}\n", folder.path().join("child").display())).unwrap();
    std::fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).unwrap();
    Some(folder)
}

fn static_line(file: &str) -> String {
    format!(
        "net.tcp port sharing: {file} shares no port of its own: it is statically linked, so no library can be \
         loaded into it; what it starts, or runs inside itself, may\n"
    )
}

/// How `starts.c` is to start a child, and what is said to be it.
const FUNCTIONS: [(&str, Said); 22] = [
    ("execl", Said::File),
    ("execl-few", Said::File),
    ("execlp", Said::File),
    ("execle", Said::File),
    ("execle-few", Said::File),
    // none that is meant to share
    ("execle-none", Said::Nothing),
    ("execle-null", Said::Nothing),
    ("execv", Said::File),
    ("execve", Said::File),
    ("execvp", Said::File),
    ("execvpe", Said::File),
    ("fexecve", Said::File),
    ("fexecve-memfd", Said::Memfd),
    ("execveat", Said::File),
    ("execveat-in", Said::Name),
    ("execveat-here", Said::Name),
    ("execveat-absolute", Said::File),
    ("execveat-empty", Said::File),
    ("posix_spawn", Said::File),
    ("posix_spawnp", Said::File),
    ("system", Said::Shell),
    ("popen", Said::Shell),
];

#[derive(Clone, Copy)]
enum Said {
    File,
    Name,
    Memfd,
    Shell,
    Nothing,
}

/// Each with its arguments in place: the child ends with what the last of them says.
#[test]
fn a_child_is_said_whichever_function_starts_it() {
    let Some(starts) = compile("starts.c", &[]) else { return };
    let Some(folder) = program(&["-static"]) else { return };
    let child = folder.path().join("child").display().to_string();
    let broker = Broker::start();
    for (function, expected) in FUNCTIONS {
        let mut exec = exec(&broker);
        exec.env("PATH", format!("/nowhere:{}:/usr/bin:/bin", folder.path().display()));
        exec.arg(&starts).args([function, &child]);
        if matches!(expected, Said::Shell) {
            exec = with_shell(&child, &exec);
        }
        let output = exec.output().unwrap();
        if output.status.code() == Some(99) {
            skip("mount namespace", "run the tests where users may make one (unshare --user --mount)");
            continue;
        }
        let line = match expected {
            Said::File => static_line(&child),
            Said::Name => static_line("child"),
            Said::Memfd => static_line("/memfd:copy (deleted)"),
            Said::Shell => static_line("/bin/sh"),
            Said::Nothing => String::new(),
        };
        assert_eq!(String::from_utf8_lossy(&output.stderr), line, "{function}");
        assert_eq!(output.status.code(), Some(9), "{function}");
    }
}

/// The dynamic linker itself is statically linked, and loads the library into what it is asked to run.
#[test]
fn the_dynamic_linker_is_not_said_whichever_function_starts_it() {
    let linker = "/lib64/ld-linux-x86-64.so.2";
    let Some(starts) = compile("starts.c", &[]) else { return };
    if !std::path::Path::new(linker).exists() {
        return;
    }
    let broker = Broker::start();
    for function in ["execv", "execl", "fexecve", "execveat-empty"] {
        let output = exec(&broker).arg(&starts).args([function, linker]).output().unwrap();
        // it finds no program called 9
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("cannot open shared object file") && !said.contains("port sharing"), "{said}");
    }
}

/// Where `/bin/sh` is this program.
fn with_shell(program: &str, command: &Command) -> Command {
    let mut unshare = Command::new("unshare");
    unshare.args(["--user", "--map-root-user", "--mount", "sh", "-c"]);
    unshare.arg("mount --bind \"$0\" /bin/sh 2>/dev/null || exit 99; exec \"$@\"");
    unshare.arg(program).arg(command.get_program()).args(command.get_args());
    unshare.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    unshare
}

/// Two instructions, `exit(9)`, in an ELF file of 32 bits; and one of a machine that does not exist.
#[test]
fn a_child_for_another_architecture_is_said_and_one_that_cannot_be_started_is_not() {
    if !installed("python3") {
        return;
    }
    let mut elf = vec![0; 0x60];
    let mut put = |at: usize, octets: &[u8]| elf[at..at + octets.len()].copy_from_slice(octets);
    put(0, b"\x7fELF\x01\x01\x01");
    put(16, &[2, 0, 3, 0, 1, 0, 0, 0, 0x54, 0x80, 4, 8, 0x34, 0, 0, 0]);
    put(40, &[0x34, 0, 0x20, 0, 1, 0]);
    put(52, &[1, 0, 0, 0, 0, 0, 0, 0, 0, 0x80, 4, 8, 0, 0x80, 4, 8, 0x60, 0, 0, 0, 0x60, 0, 0, 0, 5]);
    put(0x54, &[0x31, 0xC0, 0x40, 0xB3, 9, 0xCD, 0x80]);
    let mut unknown = elf.clone();
    unknown[4] = 2;
    unknown[18] = 0xFF;
    let broker = Broker::start();
    let folder = tempfile::tempdir().unwrap();
    for (name, octets) in [("32-bit", &elf), ("unknown", &unknown)] {
        let file = folder.path().join(name);
        std::fs::write(&file, octets).unwrap();
        let line = || said(exec(&broker).args(["python3", "-c", START]).arg(&file));
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o644)).unwrap();
        assert_eq!(line(), "", "it may not be executed");
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).unwrap();
        let expected = format!(
            "net.tcp port sharing: {} shares no port of its own: it is a program for another architecture\n",
            file.display()
        );
        assert_eq!(line(), expected);
    }
}

/// Whether or not this machine can.
const START: &str = "import os, sys
try: os.wait4(os.posix_spawn(sys.argv[1], ['child'], os.environ), 0)
except OSError: pass";

/// Only its name tells: no library of musl is needed.
#[test]
fn a_child_that_is_linked_with_musl_is_said() {
    let Some(folder) = program(&["-Wl,--dynamic-linker=/lib/ld-musl-x86_64.so.1"]) else { return };
    let child = folder.path().join("child").display().to_string();
    let broker = Broker::start();
    let said = said(exec(&broker).args(["sh", "-c", "\"$0\"; true", &child]));
    let expected = format!(
        "net.tcp port sharing: {child} shares no port of its own: it is linked with musl, not with the GNU C library, \
         and ends as it cannot load this one: start it by `env -u LD_PRELOAD`"
    );
    // then musl's linker, or the shell where there is none, says the rest
    assert_eq!(said.lines().next(), Some(expected.as_str()));
}

/// valgrind's tools load libraries themselves, into the program that they run inside.
#[test]
fn valgrind_is_not_said_to_share_nothing() {
    if !installed("valgrind") || !installed("python3") {
        return;
    }
    let (broker, port) = (Broker::start(), free_port());
    let mut exec = broker.exec(&[address(port, "a")]);
    let listen = "import socket, sys; socket.create_server(('127.0.0.1', int(sys.argv[1])))";
    let said = said(exec.args(["valgrind", "-q", "--tool=none", "python3", "-c", listen, &port.to_string()]));
    let [tool, shared] = said.lines().collect::<Vec<_>>()[..] else { panic!("{said}") };
    assert!(tool.ends_with("it; what it starts, or runs inside itself, may"), "{said}");
    assert!(shared.contains(&format!("127.0.0.1:{port} is shared")), "{said}");
}

#[test]
fn a_statically_linked_child_is_said_however_it_is_started() {
    let broker = Broker::start();
    for flags in [["-static"], ["-static-pie"]] {
        let Some(folder) = program(&flags) else { return };
        let file = |name: &str| folder.path().join(name).display().to_string();
        let is_said = |said: &str, file: &str| {
            assert_eq!(said, static_line(file));
        };
        let path = format!("{}:/usr/bin:/bin", folder.path().display());
        let child = file("child");
        is_said(&said(exec(&broker).args(["sh", "-c", "\"$0\"; true", &child])), &child);
        is_said(&said(exec(&broker).args(["sh", "-c", "\"$0\"; true", &file("script")])), &file("script"));
        is_said(&said(exec(&broker).args(["sh", "-c", "PATH=\"$0\" env child; true", &path])), &child);
        if installed("python3") {
            for spawn in ["posix_spawn(sys.argv[1]", "posix_spawnp('child'"] {
                let script = format!("import os, sys; os.wait4(os.{spawn}, ['child'], os.environ), 0)");
                let mut python = exec(&broker);
                python.env("PATH", format!("{path}:{}", std::env::var("PATH").unwrap()));
                is_said(&said(python.args(["python3", "-c", &script, &child])), &child);
            }
        }
        let mut quiet = exec(&broker);
        quiet.env("NET_TCP_PORT_SHARING_QUIET", "1").args(["sh", "-c", "\"$0\"; true", &child]);
        assert_eq!(said(&mut quiet), "");
        // it is not meant to share
        assert_eq!(said(exec(&broker).args(["sh", "-c", "env -u LD_PRELOAD \"$0\"; true", &child])), "");
    }
}

#[test]
fn a_set_user_id_child_is_said_and_any_other_is_not() {
    let broker = Broker::start();
    let Some(folder) = program(&[]) else { return };
    let child = folder.path().join("child");
    let started = || said(exec(&broker).args(["sh", "-c", "\"$0\"; true"]).arg(&child));
    assert_eq!(started(), "");
    if !is_root() {
        return;
    }
    chown(&child, Some(65_534), None).unwrap();
    std::fs::set_permissions(&child, PermissionsExt::from_mode(0o4755)).unwrap();
    assert!(started().contains("child shares no port of its own: the dynamic linker ignores LD_PRELOAD"));
}

/// systemd-socket-activate gives what it starts an environment of its own.
#[test]
fn a_child_that_inherits_a_listener_without_the_library_is_said() {
    if !installed("python3") {
        return;
    }
    let (broker, port) = (Broker::start(), free_port());
    let script = format!(
        "import os, socket
s = socket.socket(); s.bind(('127.0.0.1', {port})); s.listen()
for inheritable in False, True:
    s.set_inheritable(inheritable)
    os.wait4(os.posix_spawn('/bin/true', ['true'], {{}}), 0)"
    );
    let mut python = broker.exec(&[address(port, "a")]);
    let said = said(python.args(["python3", "-c", &script]));
    let lines: Vec<_> = said.lines().collect();
    let [registered, inherits] = &lines[..] else { panic!("{said}") };
    assert!(registered.contains("is registered"), "{said}");
    let expected = format!("cannot use the listener on 127.0.0.1:{port} that it inherits");
    assert!(inherits.contains("/bin/true is started without") && inherits.ends_with(&expected), "{said}");
}

#[test]
fn many_children_do_not_fill_a_log() {
    let broker = Broker::start();
    let Some(folder) = program(&["-static"]) else { return };
    let loops = "for i in $(seq 50); do \"$0\"; done; true";
    let said = said(exec(&broker).args(["sh", "-c", loops]).arg(folder.path().join("child")));
    assert_eq!(said.lines().count(), 16);
}
