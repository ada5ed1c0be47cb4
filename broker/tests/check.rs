//! `broker check`: what it says of a configuration, and what it comes to, with real processes.

mod common;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use common::{Broker, installed, is_root};

fn check(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_broker"));
    command.arg("check").args(arguments).current_dir(folder).output().unwrap()
}

/// The status, standard output and standard error.
fn said(output: &Output) -> (Option<i32>, &str, &str) {
    let text = |octets| str::from_utf8(octets).unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn what_it_comes_to_is_shown_with_where_it_comes_from() {
    let folder = tempfile::tempdir().unwrap();
    let toml = "control = '/run/c'\nmax_pending_connections = 7\n\n[listen]\naddresses = [\n  '127.0.0.1',\n]\n\n\
                [[route]]\naddress = 'net.tcp://localhost:9000/legacy'\nrelay = '192.0.2.1:9101'\n";
    std::fs::write(folder.path().join("broker.toml"), toml).unwrap();
    let arguments =
        ["--config", "broker.toml", "--max-pending-connections", "8", "--compatibility", "smsvchost"];
    let output = check(folder.path(), &arguments);
    let (status, shown, error) = said(&output);
    assert_eq!((status, error), (Some(0), ""));
    let mut lines = shown.lines();
    for (start, comment) in [
        ("control = \"/run/c\"", "broker.toml:1"),
        ("# control_group", "default: none"),
        ("relay_idle_seconds = 3600", "default"),
        ("max_pending_connections = 8", "--max-pending-connections"),
        ("# max_registrations_per_user", "default: an eighth of the limit of open files"),
        ("compatibility = \"smsvchost\"", "--compatibility"),
        ("", ""),
        ("[listen]", ""),
        ("addresses = [\"127.0.0.1\"]", "broker.toml:5"),
        ("", ""),
        ("[[route]]", ""),
        ("address = \"net.tcp://localhost:9000/legacy\"", "broker.toml:10"),
        ("host_name_comparison = \"strong_wildcard\"", ""),
        ("relay = \"192.0.2.1:9101\"", ""),
    ] {
        let line = if comment.is_empty() { start.to_owned() } else { format!("{start:43}  # {comment}") };
        assert!(lines.any(|shown| shown == line), "{line}\n{shown}");
    }

    // Pasted back it is the same.
    std::fs::write(folder.path().join("pasted.toml"), shown).unwrap();
    let output = check(folder.path(), &["--config", "pasted.toml"]);
    let values = |text: &str| {
        let values = text.lines().map(|line| line.split('#').next().unwrap().trim().to_owned());
        values.collect::<Vec<_>>()
    };
    assert_eq!(values(said(&output).1), values(shown));

    // Nobody reads on; nobody can.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let full = std::fs::File::create("/dev/full").unwrap();
    for (to, status, message) in [
        (Stdio::from(writer), 0, ""),
        (
            full.into(),
            1,
            "broker check: standard output cannot be written: No space left on device (os error 28)\n",
        ),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_broker"));
        let output = command.arg("check").stdout(to).output().unwrap();
        assert_eq!(said(&output), (Some(status), "", message));
    }
}

#[test]
fn a_mistake_is_named_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::create_dir(path("folder")).unwrap();
    for (octets, message) in [
        (&b"\n  adress = 1"[..], "x:2:3: error: unknown key `adress`; did you mean `address` in [[route]]?"),
        (
            "# \u{e4}\r\ncontrol_group = 5\r\n".as_bytes(),
            "x:2:17: error: control_group is an integer; write ",
        ),
        (
            "\u{feff}control_groop = 'a'".as_bytes(),
            "x:1:1: error: unknown key `control_groop`; did you mean ",
        ),
        ("['\u{e4}'.b]\nc = ".as_bytes(), "x:2:5: error: "),
        (b"control = 'a'\n control = 'b'", "x:2:2: error: control is there twice; leave one"),
        (b"[listen]\naddresses = ['::1', 'x']", "x:2:21: error: \"x\" is no IP address; write "),
        (b"\n[listen]\n", "x:2:1: error: addresses is missing in [listen]; write "),
        (b"\n[[route]]\naddress = 'net.tcp://h/x'", "x:2:1: error: relay is missing in [[route]]; write "),
        (
            b"[[route]]\naddress = 'net.tcp://h/x'\nrelay = ':1'",
            "x:3:9: error: the relay \":1\" is neither IP:PORT, NAME:PORT nor unix:PATH",
        ),
        (b"ab = \xff", "x:1:6: error: what is there is no UTF-8; save the file as UTF-8"),
        (b"\xff\xfec\0", "x:1:1: error: what is there is no UTF-8; save the file as UTF-8"),
        (b"control = 'a\0'", "x:1:13: error: "),
        (
            b"[listen\n",
            "x:1:8: error: unclosed table, expected `]`; write [listen] on a line of its own, and addresses = ",
        ),
    ] {
        std::fs::write(path("x"), octets).unwrap();
        let output = check(folder.path(), &["--config", "x"]);
        let (status, shown, error) = said(&output);
        assert!(error.starts_with(message) && error.lines().count() == 1, "{message}\n{error}");
        assert_eq!((status, shown), (Some(1), ""));
    }
    for (file, message) in [
        (
            "none",
            "broker check: the configuration none cannot be read: No such file or directory (os error 2)\n",
        ),
        ("/dev/zero", "broker check: the configuration /dev/zero cannot be read: it has more than 64 MiB\n"),
        ("folder", "broker check: the configuration folder cannot be read: Is a directory (os error 21)\n"),
    ] {
        assert_eq!(said(&check(folder.path(), &["--config", file])), (Some(1), "", message));
    }
    let output = check(folder.path(), &["--max-pending-connections", "0"]);
    let (status, shown, error) = said(&output);
    assert_eq!((status, shown), (Some(2), ""));
    assert!(error.contains("it must be from 1 to 100000"), "{error}");
}

/// What is no mistake although it looks like one, in files as Windows and others write them.
#[test]
fn files_as_editors_save_them() {
    let folder = tempfile::tempdir().unwrap();
    let default = check(folder.path(), &[]);
    for text in ["", "\n\n", "\u{feff}", "# a comment without a line feed"] {
        std::fs::write(folder.path().join("x"), text).unwrap();
        let output = check(folder.path(), &["--config", "x"]);
        assert_eq!(said(&output), said(&default), "{text:?}");
    }
    std::fs::write(folder.path().join("x"), "\u{feff}control_group = '0'\r\n\r\nrelay_idle_seconds = 1\r\n")
        .unwrap();
    let output = check(folder.path(), &["--config", "x"]);
    let (status, shown, error) = said(&output);
    assert_eq!((status, error), (Some(0), ""));
    let ends =
        |start: &str, end: &str| shown.lines().any(|line| line.starts_with(start) && line.ends_with(end));
    assert!(ends("control_group = \"0\" ", " # x:1") && ends("relay_idle_seconds = 1 ", " # x:3"), "{shown}");
}

#[test]
fn a_file_of_somebody_else() {
    if !is_root() || !installed("setpriv") {
        return;
    }
    let program = common::copy_of_the_broker();
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret.toml");
    std::fs::write(&secret, "").unwrap();
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&program);
    let output = command.args(["check", "--config"]).arg(&secret).output().unwrap();
    let message = format!(
        "broker check: the configuration {} cannot be read: Permission denied (os error 13)\n",
        secret.display()
    );
    assert_eq!(said(&output), (Some(1), "", &*message));
    std::fs::remove_file(program).unwrap();
}

/// A broker would start, but something may be meant otherwise.
#[test]
fn what_is_no_obstacle_is_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    std::fs::write(folder.path().join("file"), "").unwrap();
    let port = common::free_port();
    let route = |n: u16, relay: &str| {
        format!("[[route]]\naddress = 'net.tcp://127.0.0.1:{port}/{n}'\nrelay = '{relay}'\n")
    };
    let toml = "control = 'control'\n".to_owned()
        + &route(1, "no.such.host.invalid:1")
        + &route(3, "unix:none/socket")
        + &route(4, "unix:file")
        + &route(5, "unix:file/socket")
        + &route(6, &format!("unix:{}", socket.display()))
        + &route(7, "localhost:1");
    std::fs::write(folder.path().join("x"), toml).unwrap();
    let arguments =
        ["--config", "x", "--listen", "127.0.0.1", "--listen", "203.0.113.8", "--http-allow", "192.0.2.1"];
    let output = check(folder.path(), &arguments);
    let (status, shown, warnings) = said(&output);
    assert_eq!(status, Some(0), "{warnings}");
    assert!(shown.contains("\n[listen]\naddresses = [\"127.0.0.1\", \"203.0.113.8\"]"), "{shown}");
    let expected = [
        "--http-allow: warning: [http] allow does nothing without [http] listen",
        "--listen: warning: listen: 203.0.113.8 is no address of this machine (`ip address` lists them)",
        "x:3:11: warning: the relay \"no.such.host.invalid:1\" cannot be resolved: ",
        "x:6:11: warning: the relay \"unix:none/socket\": nothing is there; until a back-end listens there",
        "x:9:11: warning: the relay \"unix:file\": that is no socket; until",
        "x:12:11: warning: the relay \"unix:file/socket\": nothing is there; until",
    ];
    let warnings: Vec<&str> = warnings.lines().collect();
    assert_eq!(warnings.len(), expected.len(), "{warnings:#?}");
    for (warning, expected) in warnings.iter().zip(expected) {
        assert!(warning.starts_with(expected), "{expected}\n{warning}");
    }
}

/// What a broker refuses when it looks at all routes together.
#[test]
fn routes_that_lead_back_are_a_mistake() {
    let folder = tempfile::tempdir().unwrap();
    let toml = "[[route]]\naddress = 'net.tcp://h:9001/x'\nrelay = '127.0.0.1:9002'\n\
                [[route]]\naddress = 'net.tcp://h:9002/x'\nrelay = '127.0.0.1:9001'\n";
    std::fs::write(folder.path().join("x"), toml).unwrap();
    let message = "x:2:11: error: the route net.tcp://h:9001/x: its relay leads back: 127.0.0.1:9002 is the broker itself, and its \
                   route net.tcp://h:9002/x; write where the back-end listens\n\
                   x:5:11: error: the route net.tcp://h:9002/x: its relay leads back: 127.0.0.1:9001 is the broker itself, and its \
                   route net.tcp://h:9001/x; write where the back-end listens\n";
    assert_eq!(said(&check(folder.path(), &["--config", "x"])), (Some(1), "", message));
}

/// An exact address is found whatever port its Via came to, but at the back-end's nobody comes to the broker.
#[test]
fn a_back_end_on_another_port_of_this_machine_is_no_way_back() {
    let folder = tempfile::tempdir().unwrap();
    let exact = |port: u16, relay: u16| {
        format!(
            "[[route]]\naddress = 'net.tcp://h:{port}/x'\nhost_name_comparison = 'exact'\nrelay = '127.0.0.1:{relay}'\n"
        )
    };
    std::fs::write(folder.path().join("x"), exact(9001, 9002)).unwrap();
    assert_eq!(check(folder.path(), &["--config", "x"]).status.code(), Some(0));
    // Where another route opens that port, they do.
    std::fs::write(folder.path().join("x"), exact(9001, 9002) + &exact(9002, 9003)).unwrap();
    assert_eq!(check(folder.path(), &["--config", "x"]).status.code(), Some(1));
}

/// It opens nothing: a broker that runs is not in its way, nor the other way round.
#[test]
fn beside_a_broker_that_runs() {
    let port = common::free_port();
    let toml = format!("[[route]]\naddress = 'net.tcp://h:{port}/x'\nrelay = '127.0.0.1:1'\n");
    let broker = Broker::configured(&toml, &[]);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("x"), toml).unwrap();
    let control = broker.control();
    let output = check(
        folder.path(),
        &["--config", "x", "--control", control.to_str().unwrap(), "--log-level", "debug"],
    );
    let (status, shown, error) = said(&output);
    assert_eq!((status, error), (Some(0), ""), "{shown}");
}

#[test]
fn help_has_an_example_and_the_exit_status() {
    let output = check(Path::new("."), &["--help"]);
    let (status, help, _) = said(&output);
    assert_eq!(status, Some(0));
    assert!(
        help.contains("Exit status: 0 if") && help.contains("Example:\n  broker check --config"),
        "{help}"
    );
    assert!(help.lines().all(|line| line.chars().count() <= 100), "{help}");
}

#[test]
fn an_access_log_that_is_not_understood() {
    for (text, place, said) in [
        ("format = 'json'", "2:10", "[access_log] format does nothing without [access_log] to"),
        ("\noutcomes = ['draining']", "3:12", "[access_log] outcomes does nothing without [access_log] to"),
    ] {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, format!("[access_log]\n{text}\n")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_broker"));
        let output = command.args(["check", "--config"]).arg(file.path()).output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(told, format!("{}:{place}: warning: {said}\n", file.path().display()));
        assert!(output.status.success());
    }
    for (value, said) in [
        ("'stdout'", "to is \"stdout\"; it must be stderr, journal, or the whole path of a file, from / on"),
        (
            "'access.log'",
            "to is \"access.log\"; it must be stderr, journal, or the whole path of a file, from / on",
        ),
    ] {
        let error = broker::Config::from_toml(&format!("[access_log]\nto = {value}")).unwrap_err();
        assert_eq!(error.mistakes()[0].message, said);
    }
    let outcomes = |value: &str| {
        let error = broker::Config::from_toml(&format!("[access_log]\noutcomes = {value}")).unwrap_err();
        error.mistakes()[0].message.split(';').next().unwrap().to_owned()
    };
    assert_eq!(
        outcomes("['server_to_busy']"),
        "\"server_to_busy\" is no outcome (did you mean \"server_too_busy\"?)"
    );
    assert_eq!(outcomes("['timeout']"), "\"timeout\" is no outcome");
    assert_eq!(outcomes("[]"), "no outcome is here");
    assert_eq!(outcomes("['draining', 7]"), "an entry of outcomes is an integer");
}
