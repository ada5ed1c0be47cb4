//! Where a broker listens, and where a worker looks for it: by environment and user, each in a process of its own.

use std::os::unix::process::CommandExt;
use std::process::Command;

use handoff::{CONTROL_VARIABLE, HandoffError, control_path, default_control_path};

const SYSTEM: &str = "/run/net-tcp-port-sharing/control";

/// Runs the child below with these variables, as root or as another user.
fn child(environment: &[(&str, &str)], expected: [&str; 2], user: u32) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "child_that_looks", "--ignored"]);
    command.env_remove(CONTROL_VARIABLE).env_remove("XDG_RUNTIME_DIR").envs(environment.iter().copied());
    command.env("TEST_DEFAULT", expected[0]).env("TEST_FOUND", expected[1]);
    match command.uid(user).gid(user).status() {
        Ok(status) => assert!(status.success(), "{environment:?} {user}"),
        Err(error) => test_peers::skip(
            "way to be another user",
            &format!("run the tests as root, from where others may read them ({error})"),
        ),
    }
}

#[test]
fn root_s_broker_is_the_system_s() {
    child(&[], [SYSTEM, SYSTEM], 0);
    child(&[("XDG_RUNTIME_DIR", "/nowhere")], [SYSTEM, SYSTEM], 0);
}

#[test]
fn another_user_s_broker_is_below_the_runtime_directory() {
    let own = "/nowhere/net-tcp-port-sharing/control";
    // a broker of the system would be found in its place
    let found = if std::path::Path::new(SYSTEM).exists() { SYSTEM } else { own };
    child(&[("XDG_RUNTIME_DIR", "/nowhere")], [own, found], 65_534);
    child(&[], ["", SYSTEM], 65_534);
    child(&[("XDG_RUNTIME_DIR", "")], ["", SYSTEM], 65_534);
}

#[test]
fn a_worker_goes_where_the_variable_says() {
    child(&[(CONTROL_VARIABLE, "/else/where")], [SYSTEM, "/else/where"], 0);
    child(&[(CONTROL_VARIABLE, "")], [SYSTEM, SYSTEM], 0);
}

#[test]
#[ignore = "has an environment of its own"]
fn child_that_looks() {
    let expected = std::env::var("TEST_DEFAULT").unwrap();
    match default_control_path() {
        Ok(path) => assert_eq!(path.to_str(), Some(expected.as_str())),
        Err(error) => assert!(matches!(error, HandoffError::NoControlPath) && expected.is_empty(), "{error}"),
    }
    assert_eq!(control_path().to_str(), Some(std::env::var("TEST_FOUND").unwrap().as_str()));
}
