//! What is not there.

use std::process::Command;

/// The variable that makes a test that cannot run a failure.
const REQUIRE: &str = "NET_TCP_REQUIRE_PEERS";

/// Says that a test ends here for want of a program or of a right, and how to have it.
///
/// # Panics
/// `NET_TCP_REQUIRE_PEERS` is 1, as in `.ci/run` where everything can be had: then the test fails instead.
#[track_caller]
pub fn skip(missing: &str, remedy: &str) {
    let required = std::env::var_os(REQUIRE).is_some_and(|value| value == "1");
    assert!(!required, "{REQUIRE} is 1, and there is no {missing}: {remedy}");
    println!("skipped: no {missing}: {remedy}");
}

/// Whether this is root, who alone can be another user; if not, says so as [`skip`] does.
///
/// # Panics
/// As [`skip`].
#[track_caller]
pub fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        skip("root", "run the tests as root");
    }
    root
}

/// Whether a program is on the `PATH`; if not, says so as [`skip`] does.
///
/// # Panics
/// As [`skip`].
#[track_caller]
pub fn installed(program: &str) -> bool {
    // Starting it is no way to find out: not every program has an option that does nothing.
    let found = Command::new("sh").args(["-c", "command -v \"$0\"", program]).output();
    let found = found.is_ok_and(|output| output.status.success());
    if !found {
        let package = match program {
            "mono" | "mcs" => "mono-mcs mono-runtime libmono-system-servicemodel4.0a-cil",
            "nginx" => "nginx libnginx-mod-stream-js",
            "node" => "nodejs",
            "setpriv" => "util-linux",
            other => other,
        };
        skip(program, &format!("apt install {package}"));
    }
    found
}
