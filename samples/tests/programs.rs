//! The sample programs and the demonstration, as a person uses them.

mod common;

use std::io::Write;
use std::net::{TcpListener, TcpStream};

use common::{Broker, Process, RESULTS, Terminal, free_port, sample, until};

fn service(port: &str, more: &[&str]) -> Process {
    Process::start(sample("calculator-service").args(["--port", port]).args(more))
}

#[test]
fn the_original_sample_line_by_line() {
    let port = free_port().to_string();
    let mut service = service(&port, &["--number", "4381", "--no-port-sharing"]);
    let listening = format!("Service #4381 listening on net.tcp://localhost:{port}/calculator/4381.");
    assert_eq!(service.line().unwrap(), listening);
    assert_eq!(service.line().unwrap(), "Press <ENTER> to terminate service.");

    let mut client = sample("calculator-client");
    client.args(["--port", &port]).stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut client = client.spawn().unwrap();
    client.stdin.take().unwrap().write_all(b"4381\n").unwrap();
    let output = client.wait_with_output().unwrap();
    let wanted = format!("Enter the service number to test: {}\n", RESULTS.join("\n"));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), wanted);
    assert!(output.status.success());

    // end of input does not end it where nobody sits at it
    service.close_input();
    for encoding in ["binary", "text", "text-utf16", "soap11", "soap11-utf16"] {
        for more in [&[][..], &["--streamed"]] {
            let mut again = sample("calculator-client");
            again.args(["--port", &port, "--number", "4381", "--encoding", encoding]).args(more);
            assert_eq!(Process::start(&mut again).finish().1, RESULTS, "{encoding} {more:?}");
        }
    }
    assert!(service.is_running());
    service.terminate();
    assert!(service.finish().0.success());
}

#[test]
fn enter_ends_the_service() {
    let mut service = service(&free_port().to_string(), &["--no-port-sharing"]);
    service.expect("Press");
    service.enter("\n");
    assert!(service.finish().0.success());
}

#[test]
fn a_client_on_another_machine_names_the_host() {
    let port = free_port().to_string();
    let _service = {
        let service = service(&port, &["--number", "7", "--no-port-sharing"]);
        service.expect("Press");
        service
    };
    for host in ["127.0.0.2", "localhost"] {
        let client =
            sample("calculator-client").args(["--port", &port, "--number", "7", "--host", host]).output();
        let client = client.unwrap();
        assert_eq!(String::from_utf8(client.stdout).unwrap().lines().collect::<Vec<_>>(), RESULTS, "{host}");
    }
}

#[test]
fn what_a_caller_is_told() {
    let service = service("0", &["--number", "7", "--no-port-sharing"]);
    let listening = service.line().unwrap();
    let port = listening.split([':', '/']).find_map(|word| word.parse::<u16>().ok()).unwrap();
    assert_ne!(port, 0, "{listening}");
    let port = port.to_string();
    let call = |arguments: &[&str]| {
        let mut client = sample("calculator-client");
        let (status, _, errors) = Process::start(client.args(["--port", &port]).args(arguments)).finish();
        (status.code(), errors.join("\n"))
    };
    for (arguments, code, said) in [
        (
            &["--number", "8"][..],
            1,
            &*format!("{port}/calculator/8: the peer answered with the fault EndpointNotFound"),
        ),
        (&["--number", "7", "--host", "+"], 1, "+ stands for every host name"),
        (&["--number", "7", "--host", "localhost:9000"], 2, "--port and --number say the rest"),
        (&["--number", "7", "--host", "net.tcp://localhost"], 2, "--port and --number say the rest"),
        (&["--number", "7", "--host", ""], 2, "--port and --number say the rest"),
        (&["--number", "7", "--encoding", "mtom"], 2, "possible values: binary, text"),
    ] {
        let (status, errors) = call(arguments);
        assert_eq!(status, Some(code), "{arguments:?}: {errors}");
        assert!(errors.contains(said), "{arguments:?}: {errors}");
    }
    assert_eq!(call(&["--number", "7", "--host", "[::1]"]).0, Some(0));
    assert_eq!(call(&["--number", "7", "--host", "::1"]).0, Some(0));

    // The near end of a connection: nobody listens there, and while it lasts nobody can.
    let nobody = TcpStream::connect(("127.0.0.1", port.parse().unwrap())).unwrap();
    let unheard = nobody.local_addr().unwrap().port().to_string();
    let mut client = sample("calculator-client");
    client.args(["--number", "7", "--host", "127.0.0.1", "--port", &unheard]);
    let (status, _, errors) = Process::start(&mut client).finish();
    assert_eq!(status.code(), Some(1));
    assert!(errors.join("\n").contains("no program listens there"), "{errors:?}");
}

/// A service that cannot listen, and what it says.
fn complaint(port: &str, more: &[&str]) -> String {
    let (status, lines, errors) = service(port, more).finish();
    assert_eq!(status.code(), Some(1));
    assert_eq!(lines, [""; 0]);
    errors.join("\n")
}

#[test]
fn what_an_operator_is_told() {
    let port = free_port().to_string();
    let address = format!("net.tcp://localhost:{port}/calculator/1");

    let nowhere = tempfile::tempdir().unwrap();
    let nowhere = nowhere.path().join("control").display().to_string();
    let said = complaint(&port, &["--control", &nowhere]);
    assert!(said.contains("no port sharing broker") && said.contains(&nowhere), "{said}");
    assert!(said.contains(&format!("`broker run --control {nowhere}` starts one")), "{said}");

    let alone = service(&port, &["--number", "1", "--no-port-sharing"]);
    alone.expect("Press");
    let said = complaint(&port, &["--number", "1", "--no-port-sharing"]);
    assert!(said.contains("address already in use") && said.contains(&address), "{said}");

    // the port belongs to another program when the broker wants it
    let broker = Broker::start("");
    let control = broker.control().display().to_string();
    let said = complaint(&port, &["--number", "1", "--control", &control]);
    assert!(said.contains("address already in use") && said.contains(&address), "{said}");
    drop(alone);

    let first = service(&port, &["--number", "1", "--control", &control]);
    first.expect("Press");
    let said = complaint(&port, &["--number", "1", "--control", &control]);
    assert!(said.contains("address already in use") && said.contains(&address), "{said}");
    assert!(said.contains(&first.id().to_string()), "names the other side: {said}");

    // the broker's port is taken for a service that does not share
    let said = complaint(&port, &["--number", "2", "--no-port-sharing"]);
    assert!(said.contains("address already in use"), "{said}");
}

#[test]
fn the_demonstration_shows_everything_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (status, lines, errors) = Process::start(sample("demo").env("TMPDIR", folder.path())).finish();
    assert!(status.success(), "{lines:?} {errors:?}");
    for result in RESULTS {
        assert_eq!(lines.iter().filter(|line| *line == result).count(), 2, "{result}: {lines:#?}");
    }
    assert!(lines.iter().any(|line| line.contains("EndpointNotFound")));
    let owner = lines.iter().find(|line| line.contains("belongs to process")).unwrap();
    let port =
        owner.split([' ', ':']).find_map(|word| word.parse().ok().filter(|port: &u16| *port > 0)).unwrap();
    TcpListener::bind(("127.0.0.1", port)).unwrap();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn the_demonstration_cleans_up_when_a_step_fails() {
    let folder = tempfile::tempdir().unwrap();
    // too long for the address of a Unix socket
    let deep = folder.path().join("x".repeat(100));
    std::fs::create_dir(&deep).unwrap();
    let (status, _, errors) = Process::start(sample("demo").env("TMPDIR", &deep)).finish();
    assert_eq!(status.code(), Some(1));
    assert!(errors.iter().any(|line| line.starts_with("demo: ")), "{errors:?}");
    assert_eq!(std::fs::read_dir(&deep).unwrap().count(), 0);
}

#[test]
fn the_demonstration_cleans_up_when_interrupted() {
    let folder = tempfile::tempdir().unwrap();
    let demo = Process::start(sample("demo").env("TMPDIR", folder.path()));
    let broker = demo.expect("   Process");
    demo.interrupt();
    let (status, lines, errors) = demo.finish();
    // it may have been done before the signal came
    assert!(
        status.code() == Some(1) || lines.iter().any(|line| line.contains("Nothing is left")),
        "{errors:?}"
    );
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    let pid =
        broker.split(|character: char| !character.is_ascii_digit()).find(|word| !word.is_empty()).unwrap();
    until(|| !std::path::Path::new(&format!("/proc/{pid}/exe")).exists());
}

#[test]
fn at_a_terminal_nobody_complains_about_it() {
    let (status, said) = Terminal::start(&mut sample("demo")).finish();
    assert!(status.success() && said.contains("Nothing is left.") && !said.contains("tracing"), "{said}");
    let port = free_port().to_string();
    let mut service = sample("calculator-service");
    service.args(["--port", &port, "--number", "1", "--no-port-sharing"]);
    let service = Terminal::start(&mut service);
    until(|| service.said().contains("Press <ENTER>"));
    let (status, said) =
        Terminal::start(sample("calculator-client").args(["--port", &port, "--number", "1"])).finish();
    assert!(status.success(), "{said}");
    assert_eq!(said.lines().collect::<Vec<_>>(), RESULTS);
    assert!(!service.said().contains("tracing"), "{}", service.said());
}

#[test]
fn what_a_program_is_and_how_it_is_called() {
    for name in ["demo", "calculator-service", "calculator-client", "wcf-dump"] {
        for (option, expected) in
            [("--help", "Usage: "), ("-h", "Usage: "), ("--version", name), ("-V", name)]
        {
            let output = sample(name).arg(option).output().unwrap();
            let said = String::from_utf8(output.stdout).unwrap();
            assert!(output.status.success() && said.contains(expected), "{name} {option}: {said}");
            assert!(output.stderr.is_empty(), "{name} {option}");
        }
        let output = sample(name).arg("--nonsense").output().unwrap();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{name}");
    }
}

/// Its broker ends with the demonstration, however that ends, and the log has its last line.
#[test]
fn the_demonstrations_broker_ends_in_good_order() {
    let folder = tempfile::tempdir().unwrap();
    let control = folder.path().join("control");
    let mut broker = Process::start(sample("demo").arg("broker-process").arg("--control").arg(&control));
    until(|| control.exists());
    broker.close_input();
    let (status, _, errors) = broker.finish();
    assert!(status.success() && !control.exists(), "{errors:?}");
    assert!(errors.last().is_some_and(|last| last.contains(" ended; ")), "{errors:?}");
}
