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
         relay_idle_seconds = 0\nmax_pending_connections = 7\nmax_addresses_per_registration = 1\n\
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
    assert_eq!(config.max_pending_connections, 7);
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
            "line 2: unknown key `control_groop`; did you mean `control_group`?",
        ),
        ("[listen]\n\nadress = []\n", "line 3: unknown key `adress` in [listen]; did you mean `addresses`?"),
        (
            "[[route]]\naddress = 'a'\nrelay = 'b'\n[[route]]\nrely = 'c'\n",
            "line 5: unknown key `rely` in [[route]]; did you mean `relay`?",
        ),
        ("[routes]\n", "line 1: unknown key `routes`; did you mean `route`?"),
        (
            "receive_timeout = 3\n",
            "line 1: unknown key `receive_timeout`; did you mean `receive_timeout_seconds`?",
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
            "line 2: receive_timeout_seconds is 0; it must be from 0.001 to 86400",
        ),
        (
            "relay_idle_seconds = -1",
            "line 1: relay_idle_seconds is -1; it must be 0, for no limit, or from 0.001 to 31536000",
        ),
        ("max_pending_connections = 0", "line 1: max_pending_connections is 0; it must be from 1 to 100000"),
        (
            "[[route]]\naddress = 'net.tcp://localhost:9000/a'\nrelay = 'nowhere'",
            "line 3: the relay \"nowhere\" is neither IP:PORT, NAME:PORT nor unix:PATH; write, for instance, \
             127.0.0.1:9101",
        ),
        (
            "[[route]]\naddress = 'net.tcp://localhost:9000/a'\nrelay = '127.0.0.1:9000'",
            "line 3: the relay \"127.0.0.1:9000\" leads back to the route's own port; write where the back-end listens",
        ),
        (
            "[[route]]\naddress = 'net.tcp://a:9000/x'\nrelay = '127.0.0.1:1'\n\n[[route]]\n\
             address = 'net.tcp://b:9000/X/'\nrelay = '127.0.0.1:2'",
            "line 6: the address \"net.tcp://b:9000/X/\" is that of the route at line 2 already, as \
             \"net.tcp://a:9000/x\"; leave one of them",
        ),
        (
            "[[route]]\naddress = 'net.tcp://localhost:0/a'\nrelay = '127.0.0.1:1'",
            "line 2: the address \"net.tcp://localhost:0/a\": port 0 is no port that anybody could connect to; an \
             address without a port has 808",
        ),
        (
            "[[route]]\naddress = 'http://localhost/a'\nrelay = '127.0.0.1:1'",
            "line 2: the address \"http://localhost/a\": the scheme is not net.tcp; write net.tcp://HOST:PORT/PATH",
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
    assert!(refused("[listen]\naddresses = ['here']").starts_with("line 2: "));
    assert!(refused("compatibility = 'iis'").starts_with("line 1: "));
    assert!(refused("a = \n").starts_with("line 1: "));
}
