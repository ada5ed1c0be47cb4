//! Mistakes that an administrator makes, and what the broker says: the file, the line, what is wrong, and what to write instead.

mod common;

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use common::{Broker, eventually, free_port, installed, is_root};

/// What a broker that does not start says; with its status.
fn said(folder: &std::path::Path, arguments: &[&str]) -> (Option<i32>, String) {
    let output =
        Command::new(env!("CARGO_BIN_EXE_broker")).args(arguments).current_dir(folder).output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

const ROUTE: &str = "[[route]]\naddress = 'net.tcp://h:9000/x'\n";

#[test]
fn in_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let route = |line: &str| format!("{ROUTE}{line}\n");
    let address = |address: &str| format!("[[route]]\naddress = '{address}'\nrelay = '127.0.0.1:9101'\n");
    for (toml, message) in [
        ("adress = 1".to_owned(), "1:1: error: unknown key `adress`; did you mean `address` in [[route]]?"),
        (
            "[listen]\naddress = []".to_owned(),
            "2:1: error: unknown key `address` in [listen]; did you mean `addresses`?",
        ),
        (route("relais = 'x'"), "3:1: error: unknown key `relais` in [[route]]; did you mean `relay`?"),
        (
            route("colour = 'red'"),
            "3:1: error: unknown key `colour` in [[route]]; there are address, host_name_comparison, relay",
        ),
        (
            "compatibility = 'iis'".to_owned(),
            "1:17: error: compatibility is \"iis\"; it must be default or smsvchost",
        ),
        (
            "compatibility = true".to_owned(),
            "1:17: error: compatibility is a boolean; write compatibility = 'default'",
        ),
        (
            "\nmax_pending_connections = 'many'".to_owned(),
            "2:27: error: max_pending_connections is a string; write max_pending_connections = 100",
        ),
        (
            "max_pending_connections = -1".to_owned(),
            "1:27: error: max_pending_connections is -1; it must be from 1 to 100000",
        ),
        (
            "max_pending_connections = 1.5".to_owned(),
            "1:27: error: max_pending_connections is a float; write max_pending_connections = 100",
        ),
        (
            "max_listeners_per_user = 99999999999999999999".to_owned(),
            "1:26: error: max_listeners_per_user is 99999999999999999999; it must be from 1 to 1048576",
        ),
        (
            "receive_timeout_seconds = '30s'".to_owned(),
            "1:27: error: receive_timeout_seconds is a string; write receive_timeout_seconds = 30",
        ),
        (
            "receive_timeout_seconds = -3".to_owned(),
            "1:27: error: receive_timeout_seconds is -3; it must be from 0.001 to 86400",
        ),
        (
            "control = 5".to_owned(),
            "1:11: error: control is an integer; write control = '/run/net-tcp-port-sharing/control'",
        ),
        (
            "control_group = 'a'\ncontrol_group = 'b'".to_owned(),
            "2:1: error: control_group is there twice; leave one",
        ),
        (
            "listen = ['127.0.0.1']".to_owned(),
            "1:10: error: listen is an array; write [listen] on a line of its own, and addresses = ['127.0.0.1', '::1'] below it",
        ),
        (
            "[listen]".to_owned(),
            "1:1: error: addresses is missing in [listen]; write addresses = ['127.0.0.1', '::1']",
        ),
        (
            "[listen]\naddresses = ['localhost']".to_owned(),
            "2:14: error: \"localhost\" is no IP address; write one of this machine's, without a port, such as 127.0.0.1 or ::1",
        ),
        (
            "[route]\naddress = 'net.tcp://h/x'".to_owned(),
            "1:1: error: route is a table; write [[route]] on a line of its own for each, and address and relay below it",
        ),
        (route(""), "1:1: error: relay is missing in [[route]]; write relay = '127.0.0.1:9101'"),
        (route("relay = 9101"), "3:9: error: relay is an integer; write relay = '127.0.0.1:9101'"),
        (
            route("relay = '127.0.0.1'"),
            "3:9: error: the relay \"127.0.0.1\" is neither IP:PORT, NAME:PORT nor unix:PATH; write, for instance, 127.0.0.1:9101",
        ),
        (route("relay = '/run/x'"), "3:9: error: the relay \"/run/x\" is a path; write 'unix:/run/x'"),
        (
            route("relay = '127.0.0.1:0'"),
            "3:9: error: the relay \"127.0.0.1:0\" has port 0; write the port that the back-end listens on",
        ),
        (
            route("relay = '127.0.0.1:9000'"),
            "3:9: error: the relay \"127.0.0.1:9000\" leads back to the route's own port; write where the back-end listens",
        ),
        (
            route("host_name_comparison = 'Exakt'\nrelay = '127.0.0.1:1'"),
            "3:24: error: host_name_comparison is \"Exakt\"; it must be strong_wildcard or exact or weak_wildcard",
        ),
        (
            address("localhost/x"),
            "2:11: error: the address \"localhost/x\": the URI has no valid scheme; write net.tcp://HOST:PORT/PATH",
        ),
        (
            address("http://localhost/x"),
            "2:11: error: the address \"http://localhost/x\": the scheme is not net.tcp; write net.tcp://HOST:PORT/PATH",
        ),
        (
            address("net.tcp://*:9000/x"),
            "2:11: error: the address \"net.tcp://*:9000/x\": write localhost for *, and host_name_comparison = 'weak_wildcard': any name \
             stands for every host then",
        ),
        (
            address("*:9000/x"),
            "2:11: error: the address \"*:9000/x\": the URI has no valid scheme; write net.tcp://HOST:PORT/PATH, with localhost for *, and \
             host_name_comparison = 'weak_wildcard': any name stands for every host then",
        ),
        (
            address("net.tcp://+/x"),
            "2:11: error: the address \"net.tcp://+/x\": write localhost for +, and host_name_comparison = 'strong_wildcard' (the \
             default): any name stands for every host then",
        ),
        ("control = ''".to_owned(), "1:11: error: control is \"\"; it must not be empty"),
        (
            address("net.tcp://h:0/x"),
            "2:11: error: the address \"net.tcp://h:0/x\": port 0 is no port that anybody could connect to; an address without a port \
             has 808",
        ),
        (
            address("net.tcp://h/x") + &address("net.tcp://H/X/"),
            "5:11: error: the address \"net.tcp://H/X/\" is that of the route at line 2 already, as \"net.tcp://h/x\"; leave one of them",
        ),
        ("control = ".to_owned(), "1:11: error: "),
        (
            "control".to_owned(),
            "1:8: error: key with no value, expected `=`; write control = '/run/net-tcp-port-sharing/control'",
        ),
    ] {
        std::fs::write(folder.path().join("broker.toml"), &toml).unwrap();
        let (status, said) = said(folder.path(), &["--config", "broker.toml", "--control", "control"]);
        let whole = format!("broker.toml:{message}");
        assert!(said.starts_with(&whole) && said.lines().count() == 1, "{toml}\n{whole}\n{said}");
        assert!(message.ends_with(": ") || said.trim_end() == whole, "{said}");
        assert_eq!(status, Some(2));
    }
}

#[test]
fn in_a_configuration_that_cannot_be_had_or_opened() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (port, own) = (taken.local_addr().unwrap().port(), std::process::id());
    let circle = [free_port(), free_port()];
    let route =
        |port: u16, relay: &str| format!("[[route]]\naddress = 'net.tcp://h:{port}/x'\nrelay = '{relay}'\n");
    let [a, b] = circle;
    std::fs::create_dir(path("folder")).unwrap();
    std::fs::write(path("latin.toml"), b"# \n# f\xfcr\n").unwrap();
    std::fs::write(path("taken.toml"), "\n".to_owned() + &route(port, "127.0.0.1:1")).unwrap();
    let circle = route(a, &format!("127.0.0.1:{b}")) + &route(b, &format!("127.0.0.1:{a}"));
    std::fs::write(path("circle.toml"), circle).unwrap();
    std::fs::write(path("elsewhere.toml"), "[[route]]\naddress = 'net.tcp://203.0.113.7/x'\nrelay = 'h:1'\n")
        .unwrap();
    std::fs::write(path("group.toml"), "control_group = 'no such group'\n").unwrap();
    for (file, message) in [
        ("none.toml", "broker: the configuration none.toml cannot be read: No such file or directory (os error 2)".to_owned()),
        ("folder", "broker: the configuration folder cannot be read: Is a directory (os error 21)".to_owned()),
        ("latin.toml", "latin.toml:2:4: error: what is there is no UTF-8; save the file as UTF-8".to_owned()),
        ("taken.toml", format!("taken.toml:3:11: error: the route net.tcp://h:{port}/x: address already in use: ")),
        ("taken.toml", format!(" (pid {own}) listens on 127.0.0.1:{port}")),
        (
            "circle.toml",
            format!(
                "circle.toml:2:11: error: the route net.tcp://h:{a}/x: its relay leads back: 127.0.0.1:{b} is the \
                 broker itself, and its route net.tcp://h:{b}/x; write where the back-end listens"
            ),
        ),
        (
            "elsewhere.toml",
            "elsewhere.toml:2:11: error: the route net.tcp://203.0.113.7/x: 203.0.113.7 is no address of this machine (`ip address` lists them)"
                .to_owned(),
        ),
        ("group.toml", "group.toml:1:17: error: control_group: there is no group \"no such group\"; `getent group` lists".to_owned()),
    ] {
        let (status, said) = said(folder.path(), &["--config", file, "--control", "control"]);
        let first = said.lines().next().unwrap();
        assert!(first.contains(&message), "{file}: {message}\n{said}");
        // What depends on the machine may be otherwise soon; a file is as it is.
        assert_eq!(status, Some(if ["none.toml", "folder", "latin.toml"].contains(&file) { 2 } else { 1 }));
    }
    // `broker route` reads it the same way.
    std::fs::write(path("route.toml"), "compatibility = 1\n").unwrap();
    let (status, said) = said(folder.path(), &["route", "--config", "route.toml", "net.tcp://h/"]);
    assert_eq!(status, Some(2));
    assert_eq!(
        said,
        "route.toml:1:17: error: compatibility is an integer; write compatibility = 'default'\n"
    );
}

/// A name may be resolved later; that it cannot be now is said.
#[test]
fn a_relay_that_cannot_be_resolved() {
    let route =
        format!("[[route]]\naddress = 'net.tcp://h:{}/x'\nrelay = 'no.such.host.invalid:1'\n", free_port());
    let broker = Broker::configured(&route, &[]);
    let said = ":2:11: the relay \"no.such.host.invalid:1\" cannot be resolved: ";
    eventually(|| broker.log().contains(said), || broker.log());
}

#[test]
fn in_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "").unwrap();
    for (arguments, status, message) in [
        (&["--listen", "localhost"][..], 2, "\"localhost\" is no IP address; write one of this machine's"),
        (&["--listen", "127.0.0.1:808"], 2, "without a port, such as 127.0.0.1 or ::1"),
        (
            &["--max-pending-connections", "-1"],
            2,
            "'-1' for '--max-pending-connections <CONNECTIONS>': it must be from 1 to 100000",
        ),
        (
            &["--max-pending-connections", "many"],
            2,
            "'many' for '--max-pending-connections <CONNECTIONS>': it must be from 1 to 100000",
        ),
        (
            &["--max-registrations-per-user", "0"],
            2,
            "'0' for '--max-registrations-per-user <REGISTRATIONS>': it must be from 1 to 1048576",
        ),
        (&["--receive-timeout-seconds", "30s"], 2, "it is no number of seconds; write, for instance, 30"),
        (
            &["--receive-timeout-seconds", "-1"],
            2,
            "'-1' for '--receive-timeout-seconds <SECONDS>': it must be from 0.001 to 86400",
        ),
        (&["--relay-idle-seconds", "1e30"], 2, "it must be 0, for no limit, or from 0.001 to 31536000"),
        (&["--compatibility", "smsvchst"], 2, "a similar value exists: 'smsvchost'"),
        (&["--log-level", "verbose"], 2, "[possible values: off, error, warn, info, debug, trace]"),
        (&["--confg", "x"], 2, "a similar argument exists: '--config'"),
        (&["--config"], 2, "a value is required for '--config <FILE>'"),
        (&["rout"], 2, "'route'"),
        (&["exec"], 2, "--address <ADDRESS>"),
        (&["route"], 2, "<VIA>"),
        (
            &["route", "--local", "127.0.0.1", "net.tcp://h/"],
            2,
            "it is no IP address with a port; write, for instance, 127.0.0.1:808",
        ),
        (&["route", "--control", "none", "net.tcp://h/"], 2, "no port sharing broker runs at none"),
        (
            &["--control", "file"],
            1,
            "the control socket file cannot be opened (--control, or `control` in the configuration, names another path): file exists \
             and is no socket",
        ),
        (
            &["--control", "control", "--control-group", "nosuchgroup"],
            1,
            "there is no group \"nosuchgroup\"; `getent group`",
        ),
    ] {
        let (code, said) = said(folder.path(), arguments);
        assert!(code == Some(status) && said.contains(message), "{arguments:?}: {message}\n{said}");
    }
}

/// Nothing starts a broker at a file that is no socket, and no command says so.
#[test]
fn a_control_socket_that_is_a_file() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "").unwrap();
    std::fs::create_dir(folder.path().join("folder")).unwrap();
    for path in ["file", "folder"] {
        for (command, status) in [
            (&["ls"][..], 2),
            (&["connections"], 2),
            (&["drain", "1"], 2),
            (&["reload"], 2),
            (&["log-level", "info"], 2),
            (&["route", "net.tcp://h/"], 2),
        ] {
            let (code, said) = said(folder.path(), &[command, &["--control", path]].concat());
            let name = command[0];
            assert_eq!(
                said,
                format!(
                    "broker {name}: {path} exists and is no socket: no port sharing broker can be there\n"
                )
            );
            assert_eq!(code, Some(status), "{name}");
        }
    }
}

/// Where the files are another's.
#[test]
fn without_the_right() {
    if !is_root() || !installed("setpriv") {
        return;
    }
    let program = common::copy_of_the_broker();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("secret.toml"), "").unwrap();
    let secret = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(folder.path().join("secret.toml"), secret).unwrap();
    let (secret, control) = (folder.path().join("secret.toml"), folder.path().join("control"));
    let nobody = |arguments: &[&str]| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&program).args(arguments);
        String::from_utf8(command.output().unwrap().stderr).unwrap()
    };
    let secret = secret.to_str().unwrap();
    let said = nobody(&["--config", secret]);
    assert_eq!(
        said,
        format!("broker: the configuration {secret} cannot be read: Permission denied (os error 13)\n")
    );
    let control = control.to_str().unwrap();
    let said = nobody(&["--control", control]);
    let refused = format!(
        "the control socket {control} cannot be opened (--control, or `control` in the configuration, names another"
    );
    assert!(
        said.contains(&refused) && said.trim_end().ends_with("Permission denied (os error 13)"),
        "{said}"
    );
    std::fs::remove_file(program).unwrap();
}
