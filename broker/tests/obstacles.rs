//! Whatever keeps a broker from starting is told by `broker check` as well, in the same words: each way in which a start fails, with
//! real processes, as root and as a user without rights.

mod common;

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use common::{Broker, free_port, installed, is_root};

/// The command as somebody else: `None`: as who runs the test.
fn broker(folder: &Path, program: &Path, user: Option<u32>, arguments: &[&str]) -> Output {
    let mut command = match user {
        None => Command::new(program),
        Some(user) => {
            let mut command = Command::new("setpriv");
            let ids = [format!("--reuid={user}"), format!("--regid={user}"), "--clear-groups".to_owned()];
            command.args(ids).arg(program);
            command
        }
    };
    command.env_remove("XDG_RUNTIME_DIR").env_remove("NET_TCP_PORT_SHARING_CONTROL");
    command.args(arguments).current_dir(folder).output().unwrap()
}

fn text(octets: &[u8]) -> String {
    String::from_utf8(octets.to_owned()).unwrap()
}

/// The lines of standard error that are no log.
fn errors(output: &Output) -> Vec<String> {
    let said = text(&output.stderr);
    said.lines()
        .filter(|line| !line.contains(": warning: ") && !line.contains(" WARN "))
        .map(str::to_owned)
        .collect()
}

/// A file, further arguments, and how what is said of it begins; several for several lines.
struct Case {
    toml: String,
    arguments: Vec<&'static str>,
    said: Vec<String>,
    /// How `run` ends: with 2 where it would be the same at each further start, as the unit knows.
    ends: i32,
}

fn case(toml: impl Into<String>, said: &[&str]) -> Case {
    let said = said.iter().map(|said| (*said).to_owned()).collect();
    Case { toml: toml.into(), arguments: vec!["--control", "control"], said, ends: 1 }
}

/// What no other start would change.
fn for_good(case: Case) -> Case {
    Case { ends: 2, ..case }
}

fn by_option(arguments: &[&'static str], said: &[&str]) -> Case {
    Case { arguments: arguments.to_owned(), ..case("", said) }
}

#[track_caller]
fn both_say(folder: &Path, program: &Path, user: Option<u32>, case: &Case) {
    let Case { toml, arguments, said, ends } = case;
    fs::write(folder.join("x"), toml).unwrap();
    let all = |command: &'static str| [&[command, "--config", "x"][..], arguments].concat();
    let before = files(folder);
    let [check, run] = ["check", "run"].map(|command| broker(folder, program, user, &all(command)));
    for (output, ends) in [(&check, &1), (&run, ends)] {
        let errors = errors(output);
        assert_eq!(output.status.code(), Some(*ends), "{toml}{arguments:?}: {errors:#?}");
        assert_eq!(errors.len(), said.len(), "{toml}{arguments:?}: {errors:#?}");
        for (error, said) in errors.iter().zip(said) {
            assert!(error.starts_with(said), "{toml}{arguments:?}:\n{said}\n{error}");
        }
    }
    assert_eq!(errors(&check), errors(&run), "{toml}{arguments:?}");
    assert_eq!(text(&check.stdout), "");
    assert_eq!(files(folder), before, "{toml}{arguments:?}: something is left");
}

fn files(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn route(port: u16, address: &str) -> String {
    format!("[[route]]\naddress = 'net.tcp://{address}:{port}/x'\nrelay = '192.0.2.1:1'\n")
}

#[test]
fn whatever_keeps_a_broker_from_starting_is_told_by_check() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("file"), "").unwrap();
    fs::create_dir(path("folder")).unwrap();
    let _stream = std::os::unix::net::UnixListener::bind(path("stream")).unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let (taken, own) = (taken.local_addr().unwrap().port(), std::process::id());
    let _taken = TcpListener::bind(("::1", taken));
    let [port, back] = [free_port(), free_port()];
    let here = folder.path().display().to_string();
    let listens = |name: &str| format!("{name} (pid {own}) listens on 127.0.0.1:{taken}");
    let program = fs::read_to_string("/proc/self/comm").unwrap().trim_end().to_owned();
    let who = listens(&program);
    let cases = [
        // The control socket, and that of administrators.
        by_option(
            &["--control", "file"],
            &["--control: error: the control socket file cannot be opened (--control, or `control` in \
                                            the configuration, names another path): file exists and is no socket"],
        ),
        by_option(
            &["--control", "folder"],
            &["--control: error: the control socket folder cannot be opened"],
        ),
        by_option(
            &["--control", "stream"],
            &["--control: error: the control socket stream cannot be opened"],
        ),
        by_option(
            &["--control", "file/control"],
            &["--control: error: the control socket file/control cannot be opened"],
        ),
        Case {
            arguments: vec![],
            ..case("control = 'file'\n", &["x:1:11: error: the control socket file cannot be opened"])
        },
        Case {
            arguments: vec![],
            ..case(format!("control = '{}'", "x".repeat(200)), &["x:1:11: error: the control socket x"])
        },
        Case {
            arguments: vec!["--control", "fil"],
            ..case(
                "[admin]\ngroup = 'nogroup-of-this-name'\n",
                &[
                    "x:2:9: error: [admin] group: there is no group \"nogroup-of-this-name\"; `getent group` lists",
                ],
            )
        },
        case(
            "control_group = 'no such group'\n[admin]\ngroup = 'nor this'\n",
            &[
                "x:1:17: error: control_group: there is no group \"no such group\"; ",
                "x:3:9: error: [admin] group: there is no group \"nor this\"; ",
            ],
        ),
        by_option(
            &["--control", "control", "--admin-group", "no such"],
            &["--admin-group: error: [admin] group: there is no group"],
        ),
        // HTTP.
        case(
            "[http]\nlisten = '203.0.113.8:9808'\nallow = ['192.0.2.1']\n",
            &[
                "x:2:10: error: [http] listen 203.0.113.8:9808 cannot be opened: 203.0.113.8 is no address of this machine",
            ],
        ),
        case(
            format!("[http]\nlisten = '127.0.0.1:{taken}'\n"),
            &[&format!(
                "x:2:10: error: [http] listen 127.0.0.1:{taken} cannot be opened: address already in use: {who}"
            )],
        ),
        case(
            format!("[http]\nlisten = ['127.0.0.1:{port}', '127.0.0.1:{port}']\n"),
            &[&format!(
                "x:2:10: error: [http] listen 127.0.0.1:{port} cannot be opened: 127.0.0.1:{port} in listen has that port"
            )],
        ),
        case(
            format!("[http]\nlisten = '127.0.0.1:{port}'\n{}", route(port, "h")),
            &[&format!(
                "x:2:10: error: [http] listen 127.0.0.1:{port} cannot be opened: the route at line 4, net.tcp://h:{port}/x, listens"
            )],
        ),
        case(
            "[http]\nlisten = '0.0.0.0:9808'\n",
            &["x:2:10: error: [http] listen 0.0.0.0:9808 is not loopback, and [http] allow"],
        ),
        by_option(
            &["--control", "control", "--http-listen", "203.0.113.8:1", "--http-allow", "::/0"],
            &["--http-listen: error: [http] listen 203"],
        ),
        // The access log.
        case(
            format!("[access_log]\nto = '{here}/folder'\n"),
            &[&format!(
                "x:2:6: error: the access log cannot be written to {here}/folder (its folder must be there, and this user"
            )],
        ),
        case(
            format!("[access_log]\nto = '{here}/none/log'\n"),
            &[&format!("x:2:6: error: the access log cannot be written to {here}/none/log (its folder")],
        ),
        case(
            format!("[access_log]\nto = '{here}/file/log'\n"),
            &[&format!("x:2:6: error: the access log cannot be written to {here}/file/log (its folder")],
        ),
        case(
            format!("[access_log]\nto = '{here}/control'\n"),
            &[&format!("x:2:6: error: the access log cannot be written to {here}/control (its folder")],
        ),
        // Routes.
        case(
            format!("{}{}", route(taken, "h"), route(port, "203.0.113.7")),
            &[
                &format!("x:2:11: error: the route net.tcp://h:{taken}/x: address already in use: {who}"),
                &format!(
                    "x:5:11: error: the route net.tcp://203.0.113.7:{port}/x: 203.0.113.7 is no address of this machine"
                ),
            ],
        ),
        case(
            format!("[listen]\naddresses = ['203.0.113.9']\n{}", route(port, "h")),
            &[&format!(
                "x:4:11: error: the route net.tcp://h:{port}/x: 203.0.113.9 is no address of this machine"
            )],
        ),
        case(
            format!(
                "[[route]]\naddress = 'net.tcp://h:{port}/x'\nrelay = '127.0.0.1:{}'\n[[route]]\naddress = 'net.tcp://h:{}/x'\n\
                 relay = '192.0.2.1:1'\n",
                back, back
            ),
            &[&format!("x:2:11: error: the route net.tcp://h:{port}/x: its relay leads back: ")],
        ),
        // The file alone, and several of all kinds.
        for_good(case(
            "adress = 1\ncontrol_group = 5\n",
            &["x:1:1: error: unknown key `adress`", "x:2:17: error: control_group is an integer"],
        )),
        case(
            format!(
                "control_group = 'no such'\n[http]\nlisten = '127.0.0.1:{taken}'\n{}",
                route(taken, "127.0.0.1")
            ),
            &[
                "x:1:17: error: control_group: there is no group",
                "x:3:10: error: [http] listen 127.0.0.1",
                "x:5:11: error: the route net.tcp://127.0.0.1",
            ],
        ),
    ];
    let journal = "x:2:6: error: the access log cannot be written to journal (--access-log, or `to` of [access_log] in the";
    let journal = (!Path::new("/run/systemd/journal/socket").exists())
        .then(|| case("[access_log]\nto = 'journal'\n", &[journal]));
    for case in cases.iter().chain(&journal) {
        both_say(folder.path(), Path::new(env!("CARGO_BIN_EXE_broker")), None, case);
    }
}

#[test]
fn and_so_is_what_a_user_has_no_right_to() {
    if !is_root() || !installed("setpriv") {
        return;
    }
    let program = common::copy_of_the_broker();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir(path("theirs")).unwrap();
    fs::set_permissions(path("theirs"), fs::Permissions::from_mode(0o777)).unwrap();
    fs::write(path("secret"), "").unwrap();
    fs::set_permissions(path("secret"), fs::Permissions::from_mode(0o600)).unwrap();
    let here = folder.path().display().to_string();
    let theirs = |toml: String, said: &[&str]| Case {
        arguments: vec!["--control", "theirs/control"],
        ..case(toml, said)
    };
    let refused =
        "(--control, or `control` in the configuration, names another path): Permission denied (os error 13)";
    let mut cases = vec![
        case("", &[&format!("--control: error: the control socket control cannot be opened {refused}")]),
        by_option(
            &["--control", "new/control"],
            &[&format!("--control: error: the control socket new/control cannot be opened {refused}")],
        ),
        theirs(
            "control_group = '0'\n".to_owned(),
            &["--control: error: the control socket theirs/control cannot be opened"],
        ),
        theirs(
            format!("[access_log]\nto = '{here}/log'\n"),
            &[&format!("x:2:6: error: the access log cannot be written to {here}/log")],
        ),
        theirs(
            format!("[access_log]\nto = '{here}/secret'\n"),
            &[&format!("x:2:6: error: the access log cannot be written to {here}/secret")],
        ),
        Case { arguments: vec![], ..case("", &["broker: XDG_RUNTIME_DIR is not set"]) },
    ];
    let unprivileged =
        fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap_or_default();
    if unprivileged.trim().parse().unwrap_or(1024) > 809 {
        cases.push(theirs(
            route(809, "h"),
            &["x:2:11: error: the route net.tcp://h:809/x: not permitted to listen on "],
        ));
        cases.push(theirs(
            "[http]\nlisten = '127.0.0.1:809'\n".to_owned(),
            &["x:2:10: error: [http] listen 127.0.0.1:809 cannot be opened: not permitted"],
        ));
    }
    for case in &cases {
        both_say(folder.path(), &program, Some(65534), case);
    }
    fs::remove_file(program).unwrap();
}

/// It is what shall be started again: its ports, and its control socket, are in nobody's way. Of another broker's it is said whose.
#[test]
fn a_broker_that_runs_is_no_obstacle() {
    let [port, http] = [free_port(), free_port()];
    let toml = format!("[http]\nlisten = '127.0.0.1:{http}'\n{}", route(port, "h"));
    let running = Broker::configured(&toml, &[]);
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("x"), toml).unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_broker"));
    let control = running.control().to_str().unwrap().to_owned();
    let same = ["--config", "x", "--control", &control];
    let output = broker(folder.path(), program, None, &[&["check"], &same[..]].concat());
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()));
    let output = broker(folder.path(), program, None, &[&["run"], &same[..]].concat());
    let message = format!(
        "--control: error: the control socket {control} cannot be opened: a port sharing broker already runs at {control}\n"
    );
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(1), message));

    let other = ["--config", "x", "--control", "other"];
    let check = broker(folder.path(), program, None, &[&["check"], &other[..]].concat());
    let run = broker(folder.path(), program, None, &[&["run"], &other[..]].concat());
    let who = format!("address already in use: broker (pid {}) listens on ", running.pid());
    let expected = [
        format!("x:2:10: error: [http] listen 127.0.0.1:{http} cannot be opened: {who}127.0.0.1:{http}"),
        format!("x:4:11: error: the route net.tcp://h:{port}/x: {who}0.0.0.0:{port}"),
    ];
    let said = text(&run.stderr);
    assert_eq!(
        (run.status.code(), said.lines().take(2).collect::<Vec<_>>()),
        (Some(1), expected.iter().map(String::as_str).collect())
    );
    let warned: Vec<String> =
        text(&run.stderr).lines().map(|line| line.replacen(": error: ", ": warning: ", 1)).collect();
    assert_eq!(
        (check.status.code(), text(&check.stderr).lines().map(str::to_owned).collect()),
        (Some(0), warned)
    );
}
