use std::time::Duration;

use router::HostNameComparison;

use super::*;

fn refused(text: &str) -> String {
    Config::from_toml(text).unwrap_err().to_string()
}

#[test]
fn everything_is_optional() {
    assert_eq!(Config::from_toml("").unwrap(), Config::default());
}

#[test]
fn all_keys() {
    let config = Config::from_toml(
        "control = '/tmp/control'\ncontrol_group = 'wcf'\nreceive_timeout_seconds = 2.5\n\
         relay_idle_seconds = 0\nmax_pending_connections = 7\nmax_connections_per_source = 0\nmax_addresses_per_registration = 1\n\
         max_registrations_per_user = 2\nmax_listeners_per_user = 3\nmax_control_connections_per_user = 4\n\
         compatibility = 'smsvchost'\n[listen]\naddresses = ['192.0.2.1', '::1']\n\
         [[route]]\naddress = 'net.tcp://a:9000/x'\nhost_name_comparison = 'exact'\nrelay = '[::1]:9101'\n\
         [[route]]\naddress = 'net.tcp://a:9000/y'\nrelay = 'unix:/run/y'\n\
         [[route]]\naddress = 'net.tcp://a:9000/z'\nrelay = 'backend:9101'\n",
    )
    .unwrap();
    assert_eq!(config.control, Some("/tmp/control".into()));
    assert_eq!(config.receive_timeout, Duration::from_millis(2500));
    assert_eq!(config.relay_idle, Duration::ZERO);
    assert_eq!((config.max_pending_connections, config.max_connections_per_source), (7, Some(0)));
    assert_eq!(config.control_group, Some("wcf".to_owned()));
    let quota = Quota {
        addresses_per_registration: Some(1),
        registrations_per_user: Some(2),
        listeners_per_user: Some(3),
        control_connections_per_user: Some(4),
    };
    assert_eq!(config.quota, quota);
    assert_eq!(config.compatibility, Compatibility::Smsvchost);
    assert_eq!(config.listen.len(), 2);
    let relays: Vec<String> = config.routes.iter().map(|route| route.relay.to_string()).collect();
    assert_eq!(relays, ["[::1]:9101", "unix:/run/y", "backend:9101"]);
    assert_eq!(config.routes[0].prefix.mode(), HostNameComparison::Exact);
}

#[test]
fn unknown_keys_name_their_line_and_the_nearest_key() {
    for (text, message) in [
        (
            "control = '/x'\ncontrol_groop = 'a'\n",
            "2:1: error: unknown key `control_groop`; did you mean `control_group`?",
        ),
        (
            "[listen]\n\nadress = []\n",
            "3:1: error: unknown key `adress` in [listen]; did you mean `addresses`?",
        ),
        (
            "[[route]]\naddress = 'net.tcp://h/a'\nrelay = 'b:1'\n[[route]]\nrely = 'c'\n",
            "5:1: error: unknown key `rely` in [[route]]; did you mean `relay`?",
        ),
        ("[routes]\n", "1:2: error: unknown key `routes`; did you mean `route`?"),
        (
            "receive_timeout = 3\n",
            "1:1: error: unknown key `receive_timeout`; did you mean `receive_timeout_seconds`?",
        ),
    ] {
        assert_eq!(refused(text), message);
    }
}

#[test]
fn values_that_make_no_sense_name_their_line() {
    for (text, message) in [
        (
            "\nreceive_timeout_seconds = 0",
            "2:27: error: receive_timeout_seconds is 0; it must be from 0.001 to 86400",
        ),
        (
            "relay_idle_seconds = -1",
            "1:22: error: relay_idle_seconds is -1; it must be 0, for no limit, or from 0.001 to 31536000",
        ),
        (
            "max_pending_connections = 0",
            "1:27: error: max_pending_connections is 0; it must be from 1 to 100000",
        ),
        (
            "[[route]]\naddress = 'net.tcp://localhost:9000/a'\nrelay = 'nowhere'",
            "3:9: error: the relay \"nowhere\" is neither IP:PORT, NAME:PORT nor unix:PATH; write, for instance, \
             127.0.0.1:9101",
        ),
        (
            "[[route]]\naddress = 'net.tcp://localhost:9000/a'\nrelay = '127.0.0.1:9000'",
            "3:9: error: the relay \"127.0.0.1:9000\" leads back to the route's own port; write where the back-end listens",
        ),
        (
            "[[route]]\naddress = 'net.tcp://a:9000/x'\nrelay = '127.0.0.1:1'\n\n[[route]]\n\
             address = 'net.tcp://b:9000/X/'\nrelay = '127.0.0.1:2'",
            "6:11: error: the address \"net.tcp://b:9000/X/\" is that of the route at line 2 already, as \
             \"net.tcp://a:9000/x\"; leave one of them",
        ),
        (
            "[[route]]\naddress = 'net.tcp://localhost:0/a'\nrelay = '127.0.0.1:1'",
            "2:11: error: the address \"net.tcp://localhost:0/a\": port 0 is no port that anybody could connect to; an \
             address without a port has 808",
        ),
        (
            "[[route]]\naddress = 'http://localhost/a'\nrelay = '127.0.0.1:1'",
            "2:11: error: the address \"http://localhost/a\": the scheme is not net.tcp; write net.tcp://HOST:PORT/PATH",
        ),
    ] {
        assert_eq!(refused(text), message);
    }
    for text in ["listen = '127.0.0.1'", "listen = ['127.0.0.1']", "[[listen]]\naddresses = []"] {
        let message = refused(text);
        assert!(
            message.contains("[listen] on a line of its own") && !message.contains("struct"),
            "{message}"
        );
    }
    for text in ["route = ['x']", "[route]\naddress = 'x'", "\nroute = 'x'"] {
        let message = refused(text);
        assert!(
            message.contains("[[route]] on a line of its own") && !message.contains("struct"),
            "{message}"
        );
    }
    assert!(refused("[listen]\naddresses = ['here']").starts_with("2:14: error: "));
    assert!(refused("compatibility = 'iis'").starts_with("1:17: error: "));
    assert!(refused("a = \n").starts_with("1:5: error: "));
}

/// Whatever can be told without mending something of it first, in the order of the file.
#[test]
fn all_mistakes_are_told_at_once() {
    let text = "control_groop = 'a'\nmax_pending_connections = 0\nreceive_timeout_seconds = '30'\n\
                compatibility = 'iis'\n[listen]\naddresses = ['x', '::1', 7]\n[htp]\n[http]\nallow = 'all'\n\
                [[route]]\naddress = 'http://h/x'\nrelay = '/run/x'\nhost_name_comparison = 'any'\n\
                [[route]]\naddress = 'net.tcp://h/y'\nrelay = 'h:1'\nport = 1\n\
                [[route]]\naddress = 'net.tcp://h/Y/'\nrelay = 'h:1'\n\
                [[route]]\naddress = 'net.tcp://h/z'\n";
    let error = Config::from_toml(text).unwrap_err();
    let places: Vec<_> = error.mistakes().iter().map(|mistake| mistake.place.unwrap().to_string()).collect();
    let expected = [
        "1:1", "2:27", "3:27", "4:17", "6:14", "6:26", "7:2", "9:9", "11:11", "12:9", "13:24", "17:1",
        "19:11", "21:1",
    ];
    assert_eq!(places, expected, "{error}");
    assert_eq!(error.to_string().lines().count(), expected.len());
}

/// A text that is no TOML is not guessed at, but what is there twice leaves the rest as it is.
#[test]
fn what_is_no_toml_comes_first() {
    for (text, expected) in [
        ("adress = 1\ncontrol = \n", "2:11"),
        ("control_group = 'a'\ncontrol_group = 'b'\nadress = 1\n[http]\n[http]\n", "2:1 3:1 5:2"),
        ("control = 'a'\ncontrol = 'b'\n[listen]\naddresses = [\n'::1'\n[http]\nlisten = '1'\n", "6:1"),
        ("control = 'a\ncontrol_group = x\n", "1:13"),
    ] {
        let error = Config::from_toml(text).unwrap_err();
        let places: Vec<_> =
            error.mistakes().iter().map(|mistake| mistake.place.unwrap().to_string()).collect();
        assert_eq!(places.join(" "), expected, "{error}");
    }
}

#[test]
fn what_does_nothing_without_another_key_is_told() {
    for (text, expected) in [
        (
            "[http]\nallow = ['192.0.2.0/24']",
            &["2:9: warning: [http] allow does nothing without [http] listen"][..],
        ),
        (
            "[http]\nlisten = []\nallow = []",
            &["3:9: warning: [http] allow does nothing without [http] listen"],
        ),
        ("[http]\nlisten = '127.0.0.1:1'\nallow = []", &[]),
        (
            "[access_log]\nformat = 'text'\noutcomes = ['draining']\nper_source = 0",
            &[
                "2:10: warning: [access_log] format does nothing without [access_log] to",
                "3:12: warning: [access_log] outcomes does nothing without [access_log] to",
                "4:14: warning: [access_log] per_source does nothing without [access_log] to",
            ],
        ),
        ("[access_log]\nto = 'stderr'\nformat = 'json'", &[]),
    ] {
        let loaded = Loaded::from_toml(text).unwrap();
        let told: Vec<_> = loaded.idle().iter().map(|said| loaded.warning(said)).collect();
        assert_eq!(told, expected);
    }
}
