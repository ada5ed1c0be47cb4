//! `broker import`, then `broker check` of what it wrote, as an administrator who comes from Windows does it.

use std::path::Path;
use std::process::{Command, Output};

fn broker(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_broker")).args(arguments).current_dir(folder).output().unwrap()
}

/// The status, standard output and standard error.
fn said(output: &Output) -> (Option<i32>, String, String) {
    let text = |octets: &[u8]| String::from_utf8(octets.to_owned()).unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// With every setting, as UTF-16 with line ends of Windows.
const ORIGINAL: &str = "<?xml version=\"1.0\" encoding=\"utf-16\"?>\r\n<configuration>\r\n  <runtime>\r\n    \
    <gcConcurrent enabled=\"false\" />\r\n  </runtime>\r\n  <system.serviceModel.activation>\r\n    \
    <net.tcp listenBacklog=\"16\" maxPendingAccepts=\"4\" maxPendingConnections=\"150\" receiveTimeout=\"00:00:10\" \
    teredoEnabled=\"false\">\r\n      <allowAccounts>\r\n        <add securityIdentifier=\"S-1-5-18\" />\r\n        \
    <add securityIdentifier=\"S-1-5-19\" />\r\n        <add securityIdentifier=\"S-1-5-32-544\" />\r\n      \
    </allowAccounts>\r\n    </net.tcp>\r\n    <net.pipe maxPendingConnections=\"10\" />\r\n    \
    <diagnostics performanceCountersEnabled=\"true\" />\r\n  </system.serviceModel.activation>\r\n</configuration>\r\n";

#[test]
fn what_is_imported_passes_the_check() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let units = [0xFEFF].into_iter().chain(ORIGINAL.encode_utf16());
    let octets: Vec<u8> = units.flat_map(u16::to_le_bytes).collect();
    std::fs::write(folder.join("SMSvcHost.exe.config"), octets).unwrap();

    let arguments = ["import", "SMSvcHost.exe.config", "--output", "broker.toml"];
    assert_eq!(said(&broker(folder, &arguments)), (Some(0), String::new(), String::new()));
    let (status, shown, error) = said(&broker(folder, &["check", "--config", "broker.toml"]));
    assert_eq!((status, &*error), (Some(0), ""));
    for (key, line) in [("max_pending_connections = 150", 4), ("receive_timeout_seconds = 10", 5)] {
        let right = |shown: &str| shown.starts_with(key) && shown.ends_with(&format!("# broker.toml:{line}"));
        assert!(shown.lines().any(right), "{shown}");
    }

    // To standard output it is the same; a file that is there stays.
    let toml = std::fs::read_to_string(folder.join("broker.toml")).unwrap();
    assert_eq!(said(&broker(folder, &arguments[..2])), (Some(0), toml.clone(), String::new()));
    let message = "broker import: broker.toml is there already; name another file, or remove it\n";
    assert_eq!(said(&broker(folder, &arguments)), (Some(1), String::new(), message.to_owned()));
    assert_eq!(std::fs::read_to_string(folder.join("broker.toml")).unwrap(), toml);

    // What the comments say to type is right, too: the group is one that is here.
    let with_group = toml.replace("# control_group = \"net-tcp\"", "control_group = \"0\"");
    assert_ne!(with_group, toml);
    std::fs::write(folder.join("group.toml"), with_group).unwrap();
    assert_eq!(said(&broker(folder, &["check", "--config", "group.toml"])).0, Some(0));
}

#[test]
fn nothing_is_written_of_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let wrong = ORIGINAL.replace("\"150\"", "\"-1\"").replace("S-1-5-19", "LocalService");
    std::fs::write(folder.join("original"), wrong).unwrap();
    let (status, out, error) = said(&broker(folder, &["import", "original", "--output", "broker.toml"]));
    assert_eq!((status, &*out), (Some(1), ""));
    let lines: Vec<&str> = error.lines().collect();
    assert_eq!(lines.len(), 2, "{error}");
    assert!(
        lines[0].starts_with("original:7:") && lines[0].contains("maxPendingConnections is \"-1\""),
        "{error}"
    );
    assert!(
        lines[1].starts_with("original:10:") && lines[1].contains("securityIdentifier is \"LocalService\""),
        "{error}"
    );
    assert!(!folder.join("broker.toml").exists());

    for (arguments, words) in [
        (&["import", "nothing"][..], "broker import: nothing: cannot be read: No such file"),
        (&["import", "."], "broker import: .: cannot be read: Is a directory"),
    ] {
        let (status, out, error) = said(&broker(folder, arguments));
        assert_eq!((status, &*out), (Some(1), ""));
        assert!(error.starts_with(words), "{error}");
    }
}
