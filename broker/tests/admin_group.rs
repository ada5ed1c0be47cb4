//! `[admin] group`: who is in it administers without being root, on a socket beside the control socket.

mod common;

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Output};

use common::{Broker, Worker, address, copy_of_the_broker, eventually, free_port, installed, is_root};
use handoff::administration::admin_path;
use handoff::{ControlConnection, HandoffError, RefusedReason, Register};

/// A group that nobody else is in.
const OPS: u32 = 54321;

/// As somebody who is in these groups besides.
fn as_nobody(program: &Path, groups: &str, control: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534"]);
    match groups {
        "" => command.arg("--clear-groups"),
        groups => command.args(["--groups", groups]),
    };
    command.arg(program).args(arguments).arg("--control").arg(control).output().unwrap()
}

#[test]
fn members_administer_and_others_do_not() {
    if !is_root() || !installed("setpriv") {
        return;
    }
    let (program, port) = (copy_of_the_broker(), free_port());
    let broker = Broker::configured(&format!("[admin]\ngroup = '{OPS}'\n"), &[]);
    let file = std::fs::metadata(admin_path(&broker.control())).unwrap();
    assert_eq!((file.permissions().mode() & 0o777, file.gid()), (0o660, OPS));
    let worker = Worker::register(&broker, &[address(port, "x")]);
    let ops = OPS.to_string();
    let member = |arguments: &[&str]| as_nobody(&program, &ops, &broker.control(), arguments);
    let said = |output: Output| {
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(said(member(&["ls", "--json"])).contains(&address(port, "x")));
    assert!(said(member(&["drain", "1"])).contains("drains"));
    assert!(said(member(&["undrain", "1"])).contains("takes connections"));
    assert_eq!(said(member(&["reload"])), "nothing has changed in the configuration\n");
    let via = address(port, "x");
    assert!(said(member(&["route", &via])).contains(&via));
    // By a program that they name they would be the broker's user.
    let named = member(&["upgrade", "--binary", "/bin/true"]);
    assert_eq!(named.status.code(), Some(2), "{named:?}");
    assert!(
        String::from_utf8_lossy(&named.stderr).contains("may name the next broker's program"),
        "{named:?}"
    );

    // Who is not in it comes to the control socket, where nobody but its users is anybody.
    let stranger = as_nobody(&program, "", &broker.control(), &["ls"]);
    assert_eq!(stranger.status.code(), Some(2), "{stranger:?}");
    assert!(String::from_utf8_lossy(&stranger.stderr).contains("may not use this broker"), "{stranger:?}");

    // A cleaner of temporary files comes by.
    std::fs::remove_file(admin_path(&broker.control())).unwrap();
    eventually(|| member(&["ls"]).status.success(), || broker.log());
    drop(worker);

    // Who may register may not administer: the refusal says who may.
    let toml = format!("control_group = '54322'\n[admin]\ngroup = '{OPS}'\n");
    let broker = Broker::configured(&toml, &[]);
    let worker = as_nobody(&program, "54322", &broker.control(), &["ls"]);
    assert_eq!(worker.status.code(), Some(2), "{worker:?}");
    let said =
        "only root, the broker's own user and members of its configuration's [admin] group may ask this";
    assert!(String::from_utf8_lossy(&worker.stderr).contains(said), "{worker:?}");
    std::fs::remove_file(program).unwrap();
}

#[test]
fn nobody_registers_where_administrators_ask() {
    let group = rustix::process::getgid().as_raw().to_string();
    let mut broker = Broker::start(&["--admin-group", &group]);
    let admin = admin_path(&broker.control());
    let mut control = ControlConnection::connect(&admin).unwrap();
    let Err(HandoffError::Refused(refused)) = control.register(&Register::new([address(free_port(), "x")]))
    else {
        panic!("it was registered")
    };
    assert_eq!(refused.reason, RefusedReason::AccessDenied);
    let expected =
        format!("this socket is for administrators; workers register on {}", broker.control().display());
    assert_eq!(refused.message, expected);
    assert_eq!(control.list().unwrap(), []);
    drop(control);
    assert!(broker.terminate() && !admin.exists() && !broker.control().exists());
}

#[test]
fn a_group_that_does_not_exist_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_broker"))
        .args(["--admin-group", "no such group", "--control"])
        .arg(folder.path().join("control"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("[admin] group: there is no group \"no such group\"; `getent group` lists"),
        "{said}"
    );
    assert!(!folder.path().join("control").exists());
}
