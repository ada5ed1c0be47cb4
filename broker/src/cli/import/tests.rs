//! Files as Windows ships them and as people edit them.

use super::settings::{Mistake, import};
use super::text::decode;
use super::value::{account, number, time, truth};
use crate::config::Config;

fn with(net_tcp: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<configuration>\n <system.serviceModel.activation>\n  {net_tcp}\n \
         </system.serviceModel.activation>\n</configuration>\n"
    )
}

fn imported(text: &str) -> (String, Config) {
    let toml = import("SMSvcHost.exe.config", text).unwrap();
    let config = Config::from_toml(&toml).unwrap_or_else(|error| panic!("{error}\n{toml}"));
    (toml, config)
}

fn mistakes(text: &str) -> Vec<(u32, String)> {
    let mistakes = import("x", text).unwrap_err();
    mistakes.into_iter().map(|Mistake { line, message, .. }| (line, message)).collect()
}

#[test]
fn each_setting_has_a_key_or_a_reason() {
    let text = with(
        "<net.tcp listenBacklog='16' maxPendingAccepts='4'\n maxPendingConnections='250' receiveTimeout='00:01:30.5' \
         teredoEnabled='True'>\n   <!-- who -->\n   <allowAccounts>\n    <add securityIdentifier='S-1-5-18'/>\n    \
         <add securityIdentifier='S-1-5-20'/><add securityIdentifier='S-1-5-21-1-2-3-1001'/>\n   </allowAccounts>\n  \
         </net.tcp>\n  <net.pipe/><diagnostics performanceCountersEnabled='true'/>",
    );
    let (toml, config) = imported(&text);
    let expected = Config {
        max_pending_connections: 250,
        receive_timeout: std::time::Duration::from_millis(90_500),
        ..Config::default()
    };
    assert_eq!(config, expected, "{toml}");
    for line in [
        "# From SMSvcHost.exe.config, by `broker import`.",
        "# listenBacklog = 16 (line 4): it is 4096 here; the system's net.core.somaxconn bounds it.",
        "# maxPendingAccepts = 4 (line 4): no counterpart; the broker accepts all that wait.",
        "max_pending_connections = 250  # maxPendingConnections = 250 (line 5)",
        "receive_timeout_seconds = 90.5  # receiveTimeout = 00:01:30.5 (line 5)",
        "# teredoEnabled = True (line 5): Linux has no Teredo of its own.",
        "# control_group = \"net-tcp\"",
        "#   S-1-5-18, LocalSystem: root, who always may",
        "#   S-1-5-20, NetworkService: make the users of its services members of the group",
        "#   S-1-5-21-1-2-3-1001, an account of that Windows: make the users of its services members of the group",
        "# <net.pipe> (line 12): there is TCP only here.",
        "# <diagnostics> (line 12): the figures are in `broker ls`, /metrics and the access log.",
    ] {
        assert!(toml.lines().any(|shown| shown == line), "{line}\n{toml}");
    }
}

#[test]
fn a_file_that_sets_nothing_leaves_the_defaults() {
    for text in [
        "<configuration/>".to_owned(),
        "<configuration><runtime><gcConcurrent enabled='false'/></runtime></configuration>".to_owned(),
        with(""),
        with("<net.tcp/>"),
        with("<!-- <net.tcp maxPendingConnections='7'/> -->"),
    ] {
        assert_eq!(imported(&text).1, Config::default());
    }
}

/// The key takes less than the original: the nearest, with a word.
#[test]
fn what_is_too_much_becomes_the_most() {
    for (value, seconds) in
        [("Infinite", 86_400), ("2.00:00:00", 86_400), ("1.00:00:00", 86_400), ("7", 86_400)]
    {
        let (toml, config) = imported(&with(&format!("<net.tcp receiveTimeout='{value}'/>")));
        assert_eq!(config.receive_timeout.as_secs(), seconds);
        assert_eq!(toml.contains("; the longest here"), value != "1.00:00:00", "{toml}");
    }
    let (toml, config) = imported(&with("<net.tcp maxConnectionsPendingDispatch='2147483647'/>"));
    assert_eq!((config.max_pending_connections, toml.contains("; the most here")), (100_000, true));
}

#[test]
fn what_is_wrong_is_named_with_its_line() {
    let text = with(
        "<net.tcp listenBacklog='many'\n maxPendingConnections='0'\n receiveTimeout='30'\n teredoEnabled='no'\n \
         MaxPendingAccept='2'>\n<allowAccounts>\n<add securityIdentifier='NetworkService'/>\n<allow/></allowAccounts><x/></net.tcp>",
    );
    let found = mistakes(&text.replace("receiveTimeout='30'", "receiveTimeout='00:00:00'"));
    let expected = [
        (4, "listenBacklog is \"many\": it must be a whole number from 0 to 2147483647"),
        (
            5,
            "maxPendingConnections is \"0\": with 0 no connection would ever be taken; leave it out, or write 100",
        ),
        (
            6,
            "receiveTimeout is \"00:00:00\": no preamble would be quick enough; leave it out, or write 00:00:30",
        ),
        (7, "teredoEnabled is \"no\": it must be true or false"),
        (8, "MaxPendingAccept is \"2\": there is no such setting; did you mean maxPendingAccepts?"),
        (
            10,
            "securityIdentifier is \"NetworkService\": it must be a security identifier, such as S-1-5-20; names are not taken",
        ),
        (11, "unknown element <allow> in <allowAccounts>"),
        (11, "unknown element <x> in <net.tcp>"),
    ];
    assert_eq!(found, expected.map(|(line, message)| (line, message.to_owned())));

    for (text, line, words) in [
        ("", 1, "not XML: "),
        ("max_pending_connections = 7", 1, "not XML: "),
        ("<configuration>\n <net.tcp a='1'\n</configuration>", 3, "not XML: "),
        // As Microsoft's documentation has it.
        (
            "<configuration>\n<net.tcp a=\"16\" <!-- 16 --> b=\"4\"/>\n</configuration>",
            2,
            "move it in front of the tag",
        ),
        ("<web/>", 1, "<web> is no configuration of .NET"),
        (
            "<configuration>\n<system.serviceModel/></configuration>",
            2,
            "this is the configuration of a service",
        ),
    ] {
        let found = mistakes(text);
        assert!(found.len() == 1 && found[0].0 == line && found[0].1.contains(words), "{text}: {found:?}");
    }
}

#[test]
fn no_value_ends_its_comment() {
    let (toml, config) = imported(&with(
        "<net.tcp listenBacklog='&#10;16&#10;'><allowAccounts><add securityIdentifier='&#10;S-1-5-18'/></allowAccounts></net.tcp>",
    ));
    assert_eq!(config, Config::default(), "{toml}");
    assert!(toml.lines().all(|line| line.is_empty() || line.starts_with("# ")), "{toml}");
}

#[test]
fn windows_editors_encodings_are_read() {
    let text = with("<net.tcp maxPendingConnections='7'/> <!-- für -->");
    let units: Vec<u16> = text.encode_utf16().collect();
    let little: Vec<u8> = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
    let big: Vec<u8> = units.iter().flat_map(|unit| unit.to_be_bytes()).collect();
    for octets in [
        text.clone().into_bytes(),
        [b"\xEF\xBB\xBF", text.as_bytes()].concat(),
        [b"\xFF\xFE", &little[..]].concat(),
        [b"\xFE\xFF", &big[..]].concat(),
        little.clone(),
        big,
        text.replace('\n', "\r\n").replace("utf-8", "utf-16").into_bytes(),
    ] {
        assert_eq!(imported(&decode(&octets).unwrap()).1.max_pending_connections, 7);
    }
    let latin = text.replace('ü', "?").into_bytes();
    let latin: Vec<u8> = latin.into_iter().map(|octet| if octet == b'?' { 0xFC } else { octet }).collect();
    assert_eq!(decode(&latin).unwrap_err(), "line 1 is neither UTF-8 nor UTF-16; save the file as UTF-8");
    assert!(decode(&little[..little.len() - 1]).unwrap_err().contains("save the file as UTF-8"));
    assert!(decode(b"\xFF\xFE\x00\xD8\x00\xD8").is_err());
}

#[test]
fn values_are_read_as_dotnet_reads_them() {
    let seconds = |text| time(text).map(|time| time.map(|time| time.as_secs_f64()));
    for (text, expected) in [
        ("00:00:30", Some(30.0)),
        (" 0:1 ", Some(60.0)),
        ("1.02:03:04.5", Some(93_784.5)),
        ("2", Some(172_800.0)),
        ("00:00:00.0000001", Some(0.000_000_1)),
        ("infinite", None),
    ] {
        assert_eq!(seconds(text), Ok(expected), "{text}");
    }
    for wrong in [
        "",
        "-00:00:01",
        "24:00",
        "0:60",
        "0:0:60",
        "00:00:01.",
        "00:00:01.12345678",
        "30s",
        "1:2:3:4",
        "+1:0",
        "٣",
    ] {
        assert!(time(wrong).is_err(), "{wrong}");
    }
    assert_eq!((number(" 7 "), number("2147483647")), (Ok(7), Ok(2_147_483_647)));
    assert!(["-1", "2147483648", "0x10", "", "1.0"].iter().all(|wrong| number(wrong).is_err()));
    assert_eq!((truth(" TRUE"), truth("false")), (Ok(true), Ok(false)));
    assert!(["S-1-5", "S-1-x-5", "Everyone", "", "S"].iter().all(|wrong| account(wrong).is_err()));
    assert_eq!(account("s-1-5-18").unwrap().map(|(name, _)| name), Some("LocalSystem"));
}
