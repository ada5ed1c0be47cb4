//! The unit of this folder under a real systemd, installed and used as the README says.

mod common;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;

use common::{Strace, eventually, installed};
use test_peers::Systemd;

const UNIT: &str = include_str!("../net-tcp-port-sharing.service");

/// A machine with the broker installed, not started.
struct Machine(Systemd);

impl Machine {
    /// With what the unit says, or, given a configuration, with the line instead that the unit offers for that.
    fn with(configuration: Option<&str>) -> Option<Self> {
        let machine = Self(Systemd::start()?);
        let program = machine.0.path("/usr/local/bin/broker");
        std::fs::copy(env!("CARGO_BIN_EXE_broker"), &program).unwrap();
        std::fs::set_permissions(program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let mut unit = UNIT.to_owned();
        if let Some(configuration) = configuration {
            machine.configure(configuration);
            let starts = |line: &&str| line.starts_with("ExecStart=");
            let plain = UNIT.lines().find(starts).unwrap();
            let (_, with) = UNIT.split_once("# With a configuration: ").unwrap();
            unit = UNIT.replacen(plain, with.lines().next().unwrap(), 1);
        }
        std::fs::write(machine.0.path("/etc/systemd/system/net-tcp-port-sharing.service"), unit).unwrap();
        Some(machine)
    }

    fn configure(&self, configuration: &str) {
        std::fs::write(self.0.path("/etc/broker.toml"), configuration).unwrap();
    }

    /// Beside the unit, as `systemctl edit` writes it.
    fn edit(&self, lines: &str) {
        let folder = self.0.path("/etc/systemd/system/net-tcp-port-sharing.service.d");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("override.conf"), lines).unwrap();
        self.0.does("systemctl daemon-reload");
    }

    /// What `systemctl show` says of the unit.
    fn shown(&self, property: &str) -> String {
        let line = format!("systemctl show --value --property {property} net-tcp-port-sharing");
        self.0.does(&line).trim().to_owned()
    }

    fn status(&self) -> String {
        self.0.shell("systemctl status net-tcp-port-sharing").1
    }

    /// The journal of the broker, without what systemd says of it.
    fn journal(&self) -> Vec<BTreeMap<String, serde_json::Value>> {
        let lines = self.0.does("journalctl --sync && journalctl --output json SYSLOG_IDENTIFIER=broker");
        lines.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    fn eventually(&self, what: &str, so: impl FnMut() -> bool) {
        eventually(so, || format!("{what}: {}\n{}", self.status(), self.0.shell("journalctl --lines 60").1));
    }
}

/// Active is what is ready, and everything else of the unit.
#[test]
fn it_starts_and_stops() {
    let Some(machine) = Machine::with(None) else { return };
    machine.0.does("systemd-analyze verify --man=no /etc/systemd/system/net-tcp-port-sharing.service");
    machine.0.does("systemctl enable --now net-tcp-port-sharing");
    // Nothing is waited for: it is ready.
    assert_eq!(machine.0.does("broker ls"), "no registration, no static route\n");
    let status = machine.status();
    let figures =
        r#"Status: "0 registrations and routes; 0 connections accepted, 0 here, 0 of them relayed""#;
    assert!(status.contains("active (running)") && status.contains(figures), "{status}");

    machine.0.does("systemctl stop net-tcp-port-sharing");
    assert_eq!(
        (machine.shown("ActiveState"), machine.shown("Result")),
        ("inactive".into(), "success".into())
    );
    let said = machine.journal();
    let has = |message: &str| {
        said.iter().any(|record| record["MESSAGE"] == message && record["_TRANSPORT"] == "journal")
    };
    assert!(has("ready") && has("ending: SIGTERM"), "{said:?}");
    // Nothing that it was given is there any more but the folder of its logs.
    assert!(!machine.0.path("/run/net-tcp-port-sharing").exists());
    assert!(machine.0.path("/var/log/net-tcp-port-sharing").exists());
}

/// What is wrong is said where an administrator looks, and not tried again.
#[test]
fn a_wrong_configuration_fails_once_and_says_why() {
    let Some(machine) = Machine::with(Some("adress = 1\n")) else { return };
    // Whose a message is journald may ask about too late.
    machine.0.does("systemctl kill --signal STOP systemd-journald");
    let (started, said) = machine.0.shell("systemctl start net-tcp-port-sharing");
    machine.0.does("systemctl kill --signal CONT systemd-journald");
    assert!(!started && said.contains("failed"), "{said}");
    assert_eq!((machine.shown("ActiveState"), machine.shown("NRestarts")), ("failed".into(), "0".into()));
    let why = "/etc/broker.toml:1:1: error: unknown key `adress`; did you mean `address` in [[route]]?";
    machine.eventually("the reason is shown", || machine.status().contains(why));
    let said = machine.0.does("journalctl --unit net-tcp-port-sharing --priority err");
    assert!(said.contains(why), "{said}");
}

/// What may pass by itself is waited for, and said meanwhile.
#[test]
fn a_port_that_is_taken_is_tried_again() {
    let route = "[[route]]\naddress = 'net.tcp://localhost:9000/x'\nrelay = '127.0.0.1:9101'\n";
    let Some(machine) = Machine::with(Some(route)) else { return };
    if !installed("python3") {
        return;
    }
    let mut holder = machine.0.command("python3");
    let holds = "import socket; s = socket.create_server(('', 9000)); print('', flush=True); input()";
    let mut holder = test_peers::Process::start(holder.args(["-c", holds]));
    holder.expect("");
    let (started, said) = machine.0.shell("systemctl start net-tcp-port-sharing");
    assert!(!started, "{said}");
    let why = "the route net.tcp://localhost:9000/x: address already in use: python3 (pid ";
    // More than once a second is not needed; five in ten seconds are what systemd gives up after.
    machine.eventually("it goes on trying", || {
        machine.shown("NRestarts").parse::<u32>().unwrap() > 5 && machine.status().contains(why)
    });
    holder.close_input();
    machine.eventually("it gets the port", || machine.shown("ActiveState") == "active");
}

/// A changed file takes effect; a wrong one changes nothing, and `systemctl reload` fails.
#[test]
fn it_is_reloaded() {
    let log = "access_log.to = '/var/log/net-tcp-port-sharing/access.log'\n";
    let route = |name: &str| {
        format!("[[route]]\naddress = 'net.tcp://localhost:9000/{name}'\nrelay = '127.0.0.1:9101'\n")
    };
    let Some(machine) = Machine::with(Some(log)) else { return };
    machine.0.does("systemctl start net-tcp-port-sharing");
    let process = machine.shown("MainPID");
    machine.configure(&(log.to_owned() + &route("a")));
    machine.0.does("systemctl reload net-tcp-port-sharing");
    assert!(machine.0.does("broker ls").contains("net.tcp://localhost:9000/a"));

    machine.configure("adress = 1\n");
    let (reloaded, said) = machine.0.shell("systemctl reload net-tcp-port-sharing");
    assert!(!reloaded, "{said}");
    let why = "broker reload: nothing has changed: /etc/broker.toml:1:1: error: unknown key `adress`";
    machine.eventually("the reason is shown", || machine.status().contains(why));
    assert_eq!((machine.shown("ActiveState"), machine.shown("MainPID")), ("active".into(), process));
    assert!(machine.0.does("broker ls").contains("net.tcp://localhost:9000/a"));

    // The same for whoever rotates logs.
    machine.configure(&(log.to_owned() + &route("a")));
    for how in ["reload", "kill --signal HUP"] {
        machine
            .0
            .does("mv /var/log/net-tcp-port-sharing/access.log /var/log/net-tcp-port-sharing/access.log.1");
        machine.0.does(&format!("systemctl {how} net-tcp-port-sharing"));
        machine.eventually(how, || machine.0.path("/var/log/net-tcp-port-sharing/access.log").exists());
    }
}

/// systemd ends a broker of which a thread is stuck, and starts another.
#[test]
fn a_thread_that_is_stuck_is_noticed() {
    let Some(machine) = Machine::with(None) else { return };
    if !installed("strace") {
        return;
    }
    machine.edit("[Service]\nWatchdogSec=1\n");
    machine.0.does("systemctl start net-tcp-port-sharing");
    let process = machine.shown("MainPID");
    let outside = machine.0.outside(process.parse().unwrap());
    let tasks = std::fs::read_dir(format!("/proc/{outside}/task")).unwrap().flatten();
    let is_accept =
        |path: &std::path::PathBuf| std::fs::read_to_string(path.join("comm")).unwrap() == "accept\n";
    let thread = tasks.map(|task| task.path()).find(is_accept).unwrap();
    let thread = thread.file_name().unwrap().to_str().unwrap().parse().unwrap();
    let stuck = Strace::attach(thread, &["-e", "inject=all:delay_enter=600000000"]);
    machine.eventually("it is noticed", || {
        machine.0.does("journalctl --unit net-tcp-port-sharing").contains("Watchdog timeout")
    });
    drop(stuck);
    machine.eventually("another is started", || {
        machine.shown("ActiveState") == "active" && machine.shown("MainPID") != process
    });
    assert_eq!(machine.shown("NRestarts"), "1");
    let said = machine.0.does("journalctl --unit net-tcp-port-sharing");
    assert!(said.contains("the accept thread does not answer"), "{said}");
    machine.0.does("broker ls");
}

/// What journald is told: a message that says all, and its parts in fields.
#[test]
fn the_journal_has_fields() {
    let configuration = "access_log.to = 'journal'\n[[route]]\naddress = 'net.tcp://localhost:9000/x'\nrelay = '127.0.0.1:9101'\n";
    let Some(machine) = Machine::with(Some(configuration)) else { return };
    machine.0.does("systemctl start net-tcp-port-sharing");
    let (_, said) = machine.0.shell("broker probe net.tcp://localhost:9000/y");
    assert!(said.contains("EndpointNotFound"), "{said}");
    let found = || machine.0.shell("journalctl --output cat NET_TCP_OUTCOME=endpoint_not_found").1;
    machine.eventually("the record", || found().contains("via=\"net.tcp://localhost:9000/y\""));
    let mut worker = machine.0.command("python3");
    worker.args([
        "-c",
        include_str!("worker.py"),
        "/run/net-tcp-port-sharing/control",
        "w",
        "net.tcp://localhost:9000/w",
    ]);
    let worker = test_peers::Process::start(&mut worker);
    worker.expect("{\"registered\"");
    machine.eventually("who has registered", || {
        let status = machine.status();
        status.contains(": registered registration=2 pid=")
            && status.contains("addresses=[\"net.tcp://localhost:9000/w\"]")
    });
    let said =
        machine.0.does("journalctl --output cat --output-fields NET_TCP_ADDRESSES NET_TCP_REGISTRATION=2");
    assert_eq!(said.lines().next(), Some("[\"net.tcp://localhost:9000/w\"]"));
}
