//! Programs that a program under `broker exec` starts: into some of them no library can be loaded, and that is said.

mod common;

use std::os::unix::fs::{PermissionsExt, chown};
use std::process::Command;

use common::{Broker, address, compile, free_port, installed};
use test_peers::is_root;

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

#[test]
fn a_statically_linked_child_is_said_however_it_is_started() {
    let broker = Broker::start();
    for flags in [["-static"], ["-static-pie"]] {
        let Some(folder) = program(&flags) else { return };
        let file = |name: &str| folder.path().join(name).display().to_string();
        let is_said = |said: &str, file: &str| {
            let expected = format!(
                "net.tcp port sharing: {file} is started, and shares no port: it is statically linked, so no \
                 library can be loaded into it\n"
            );
            assert_eq!(said, expected);
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
    assert!(
        started().contains("child is started, and shares no port: the dynamic linker ignores LD_PRELOAD")
    );
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
