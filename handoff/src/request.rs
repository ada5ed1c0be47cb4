//! What a worker asks of the broker.

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::os::fd::OwnedFd;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::administration::{List, LogLevel, Upgrade, Which};
use crate::message::{Malformed, PROTOCOL_VERSION, only_known, parse_id, parse_object};
pub use crate::used_again::Validate;

/// What a worker asks of the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Request {
    /// Register addresses; answered by [`Reply::Registered`](crate::Reply::Registered) with the accept socket, or
    /// [`Reply::Refused`](crate::Reply::Refused).
    Register(Register),
    /// End one registration of this control connection; answered by [`Reply::Unregistered`](crate::Reply::Unregistered).
    Unregister {
        /// The number [`Reply::Registered`](crate::Reply::Registered) gave.
        id: u64,
    },
    /// Ask where a connection would go; answered by [`Reply::Routed`](crate::Reply::Routed), to root and the broker's own user
    /// only.
    Route(Route),
    /// Ask whether a connection that the worker has would be its own with another Via; answered by
    /// [`Reply::Validated`](crate::Reply::Validated).
    Validate(Validate),
    /// Give a connection back, which comes with the message as its one descriptor; answered by
    /// [`Reply::Returned`](crate::Reply::Returned).
    Return {
        /// The registration of this control connection by which it came.
        id: u64,
    },
    /// Who has which address; answered by [`Reply::Listed`](crate::Reply::Listed), in parts, to an administrator.
    List(List),
    /// Which connections the broker still has; answered by [`Reply::Connections`](crate::Reply::Connections), in parts, to an
    /// administrator.
    Connections,
    /// Give a holder no new connections; answered by [`Reply::Drained`](crate::Reply::Drained), to an administrator, and to the
    /// worker of a registration on its own control connection. To ask again is to ask what still waits.
    Drain(Which),
    /// Give it new ones again; answered likewise.
    Undrain(Which),
    /// Read the configuration again, and do what it says now; answered by [`Reply::Reloaded`](crate::Reply::Reloaded), in parts, to
    /// an administrator.
    Reload,
    /// How the broker does; answered by [`Reply::Status`](crate::Reply::Status), to an administrator.
    Status,
    /// Start the next broker, and pass everything on to it; answered by [`Reply::Upgraded`](crate::Reply::Upgraded), to an
    /// administrator.
    Upgrade(Upgrade),
    /// Log more or less; answered by [`Reply::LogLevel`](crate::Reply::LogLevel), to an administrator.
    LogLevel(LogLevel),
    /// A request this version does not know; answered by `not_supported`, the connection stays.
    NotSupported {
        /// The request's name, as the peer wrote it.
        name: String,
    },
}

/// A request, and the connection that came with it: with [`Request::Return`] alone. Where that has none, the descriptor table was
/// full: it is to be refused, and the worker still has the connection.
pub type RequestWithConnection = (Request, Option<OwnedFd>);

/// The body of a `register` request: addresses, all or none of them, that share one queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Register {
    /// The protocol's version, [`PROTOCOL_VERSION`]. Of a request with another one only this member was read: answer
    /// `version_unsupported`.
    pub protocol: u32,
    /// The base addresses, such as `net.tcp://localhost:9000/calc`. At least one.
    pub addresses: Vec<String>,
    /// `strong_wildcard` (the default), `exact` or `weak_wildcard`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_name_comparison: Option<String>,
    /// The local addresses the worker's own listener would have had, `0.0.0.0` and `::` for all of a family. None: as the
    /// addresses say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bound: Option<Vec<IpAddr>>,
    /// How many sockets one message of the accept socket may carry; see [`Register::sockets_per_message`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sockets_per_message: Option<u32>,
    /// When this worker leaves without [`Unregister`](Request::Unregister), its addresses stay for so many seconds, up to
    /// [`Register::LONGEST_GRACE`]: see [`Register::with_grace`].
    #[serde(default, skip_serializing_if = "is_default")]
    pub grace_seconds: u64,
    /// Others of the same user may have the addresses as well: see [`Register::with_share`].
    #[serde(default, skip_serializing_if = "is_default")]
    pub share: bool,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Register {
    /// The longest grace: an hour.
    pub const LONGEST_GRACE: Duration = Duration::from_secs(3600);

    /// A registration of these addresses with every default.
    pub fn new(addresses: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            protocol: PROTOCOL_VERSION,
            addresses: addresses.into_iter().map(Into::into).collect(),
            host_name_comparison: None,
            bound: None,
            sockets_per_message: None,
            grace_seconds: 0,
            share: false,
        }
    }

    /// When this worker leaves without unregistering, by a crash or because it is started again, its addresses stay for so long
    /// (whole seconds, rounded up): connections wait in the broker, and the next registration of an address by the same user gets
    /// them in their order. If nobody comes they are told EndpointUnavailable, and the address goes. A broker that is older than
    /// this member knows no grace.
    ///
    /// ```
    /// use std::time::Duration;
    /// use handoff::Register;
    ///
    /// let register = Register::new(["net.tcp://localhost:9000/calc"]).with_grace(Duration::from_millis(1500));
    /// assert_eq!(register.grace_seconds, 2);
    /// ```
    #[must_use]
    pub fn with_grace(self, grace: Duration) -> Self {
        let grace_seconds = grace.as_secs().saturating_add(u64::from(grace.subsec_nanos() > 0));
        Self { grace_seconds, ..self }
    }

    /// Shares the addresses with other registrations of the same user that ask for it, too: each new connection goes to the one for
    /// which the fewest wait, in turn where as many wait for several.
    #[must_use]
    pub fn with_share(self, share: bool) -> Self {
        Self { share, ..self }
    }

    /// How many sockets to put into one message at most: what was asked for, within 1 and
    /// [`MAX_SOCKETS`](crate::MAX_SOCKETS), which is also the default.
    pub fn sockets_per_message(&self) -> usize {
        let asked = self.sockets_per_message.and_then(|n| usize::try_from(n).ok());
        asked.unwrap_or(crate::MAX_SOCKETS).clamp(1, crate::MAX_SOCKETS)
    }
}

/// The body of a `route` request: a connection that might come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Route {
    /// Its Via.
    pub via: String,
    /// The octets of the Via are no UTF-8, and `via` has U+FFFD for what is not: a broker that is as SMSvcHost matches that, another
    /// takes no such Via.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub not_utf8: bool,
    /// The local address and port it would be accepted on, such as `192.0.2.5:808`.
    pub local: SocketAddr,
    /// If nobody would get it, the registered address that is most like it is wanted.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub nearest: bool,
}

impl Route {
    /// A connection with this Via to this local address.
    pub fn new(via: impl Into<String>, local: SocketAddr) -> Self {
        Self { via: via.into(), not_utf8: false, local, nearest: false }
    }
}

/// The requests that this version knows.
const NAMES: &[&str] = &[
    "register",
    "unregister",
    "route",
    "validate",
    "return",
    "list",
    "connections",
    "drain",
    "undrain",
    "reload",
    "upgrade",
    "status",
    "log_level",
];

impl Request {
    /// Reads one message.
    ///
    /// ```
    /// use handoff::Request;
    /// let request = Request::parse(br#"{"unregister": {"id": 7, "comment": "ignored"}}"#)?;
    /// assert_eq!(request, Request::Unregister { id: 7 });
    /// assert!(Request::parse(br#"{"register": {"protocol": 1}}"#).is_err(), "addresses are required");
    /// # Ok::<(), handoff::Malformed>(())
    /// ```
    ///
    /// # Errors
    /// [`Malformed`]: over [`MAX_MESSAGE`](crate::MAX_MESSAGE) octets, no JSON object, no or several known requests in it, or
    /// a required member missing or of the wrong type.
    pub fn parse(message: &[u8]) -> Result<Self, Malformed> {
        let mut object = parse_object(message)?;
        let Some(name) = only_known(&object, NAMES)? else {
            let name = object.keys().next().cloned();
            return name
                .map(|name| Self::NotSupported { name })
                .ok_or_else(|| Malformed::new("an empty object"));
        };
        let body = object.remove(name).unwrap_or_default();
        match name {
            "register" => parse_register(body).map(Self::Register),
            "route" => serde_json::from_value(body).map(Self::Route).map_err(Malformed::new),
            "validate" => serde_json::from_value(body).map(Self::Validate).map_err(Malformed::new),
            "return" => parse_id(body).map(|id| Self::Return { id }),
            "list" => serde_json::from_value::<Option<List>>(body)
                .map(|list| Self::List(list.unwrap_or_default()))
                .map_err(Malformed::new),
            "connections" => Ok(Self::Connections),
            "status" => Ok(Self::Status),
            "drain" => serde_json::from_value(body).map(Self::Drain).map_err(Malformed::new),
            "reload" => Ok(Self::Reload),
            "upgrade" => serde_json::from_value(body).map(Self::Upgrade).map_err(Malformed::new),
            "undrain" => serde_json::from_value(body).map(Self::Undrain).map_err(Malformed::new),
            "log_level" => serde_json::from_value(body).map(Self::LogLevel).map_err(Malformed::new),
            _ => parse_id(body).map(|id| Self::Unregister { id }),
        }
    }

    /// Writes the message.
    pub fn to_json(&self) -> String {
        match self {
            Self::Register(register) => serde_json::json!({ "register": register }),
            Self::Unregister { id } => serde_json::json!({ "unregister": { "id": id } }),
            Self::Route(route) => serde_json::json!({ "route": route }),
            Self::Validate(validate) => serde_json::json!({ "validate": validate }),
            Self::Return { id } => serde_json::json!({ "return": { "id": id } }),
            Self::List(list) => serde_json::json!({ "list": list }),
            Self::Connections => serde_json::json!({ "connections": {} }),
            Self::Status => serde_json::json!({ "status": {} }),
            Self::Drain(which) => serde_json::json!({ "drain": which }),
            Self::Undrain(which) => serde_json::json!({ "undrain": which }),
            Self::Reload => serde_json::json!({ "reload": {} }),
            Self::Upgrade(upgrade) => serde_json::json!({ "upgrade": upgrade }),
            Self::LogLevel(level) => serde_json::json!({ "log_level": level }),
            Self::NotSupported { name } => Value::Object(Map::from_iter([(name.clone(), Value::Null)])),
        }
        .to_string()
    }
}

/// The version comes first: what another version means by the other members is unknown.
fn parse_register(body: Value) -> Result<Register, Malformed> {
    let protocol = body.get("protocol").ok_or_else(|| Malformed::new("missing field `protocol`"))?;
    let protocol = protocol.as_u64().ok_or_else(|| Malformed::new("`protocol` is no whole number"))?;
    if protocol != u64::from(PROTOCOL_VERSION) {
        let protocol = u32::try_from(protocol).unwrap_or(u32::MAX);
        return Ok(Register { protocol, ..Register::new([""; 0]) });
    }
    serde_json::from_value(body).map_err(Malformed::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_of_the_design_is_read() {
        let text = br#"{"register": {"protocol": 1, "addresses": ["net.tcp://localhost:9000/calc"],
            "host_name_comparison": "strong_wildcard", "bound": ["127.0.0.1", "::1"],  "sockets_per_message": 32,
            "grace_seconds": 30, "share": true}}"#;
        let mut register = Register::new(["net.tcp://localhost:9000/calc"]);
        register.host_name_comparison = Some("strong_wildcard".into());
        register.bound = Some(vec!["127.0.0.1".parse().unwrap(), "::1".parse().unwrap()]);
        register.sockets_per_message = Some(32);
        let register = register.with_grace(Duration::from_secs(30)).with_share(true);
        assert_eq!(Request::parse(text), Ok(Request::Register(register)));
    }

    #[test]
    fn required_members_are_checked() {
        for malformed in [
            "",
            "7",
            "[]",
            "{}",
            "{\"register\": {}",
            r#"{"register": {}}"#,
            r#"{"register": 1}"#,
            r#"{"register": {"protocol": 1}}"#,
            r#"{"register": {"protocol": "1", "addresses": ["a"]}}"#,
            r#"{"register": {"protocol": -1, "addresses": ["a"]}}"#,
            r#"{"register": {"protocol": 1, "addresses": "a"}}"#,
            r#"{"register": {"protocol": 1, "addresses": ["a"], "bound": ["nowhere"]}}"#,
            r#"{"register": {"protocol": 1, "addresses": ["a"], "sockets_per_message": -1}}"#,
            r#"{"register": {"protocol": 1, "addresses": ["a"], "grace_seconds": -1}}"#,
            r#"{"register": {"protocol": 1, "addresses": ["a"], "share": 1}}"#,
            r#"{"register": {"protocol": 1, "addresses": ["a"]}, "unregister": {"id": 1}}"#,
            r#"{"unregister": {"id": "1"}}"#,
            r#"{"unregister": {}}"#,
            r#"{"route": {"via": "net.tcp://h/a"}}"#,
            r#"{"route": {"via": "net.tcp://h/a", "local": "h:808"}}"#,
            r#"{"validate": {"via": "net.tcp://h/a"}}"#,
            r#"{"validate": {"via": 1, "local": "192.0.2.5:808"}}"#,
            r#"{"return": {}}"#,
            "{\"unregister\": {\"id\": 1}} {}",
            r#"{"drain": {}}"#,
            r#"{"drain": {"id": 1, "address": "net.tcp://h/a"}}"#,
            r#"{"undrain": {"id": "1"}}"#,
            r#"{"list": {"id": "1"}}"#,
            r#"{"list": {"most": -1}}"#,
            r#"{"log_level": {}}"#,
            r#"{"log_level": {"level": "debug", "for_seconds": "10m"}}"#,
        ] {
            assert!(Request::parse(malformed.as_bytes()).is_err(), "{malformed}");
        }
        assert!(Request::parse(b"\xff").is_err());
        let deep = "[".repeat(60_000);
        assert!(Request::parse(format!("{{\"x\": {deep}").as_bytes()).is_err(), "no stack overflow");
    }

    #[test]
    fn no_address_is_an_argument_and_no_form() {
        let none = Request::parse(br#"{"register": {"protocol": 1, "addresses": []}}"#);
        assert_eq!(none, Ok(Request::Register(Register::new([""; 0]))));
    }

    #[test]
    fn what_a_newer_peer_adds_is_ignored_or_named() {
        let more =
            br#"{"register": {"protocol": 1, "addresses": ["a"], "hops": 30, "bound": null}, "trace": 1}"#;
        assert_eq!(Request::parse(more), Ok(Request::Register(Register::new(["a"]))));
        let other = Request::parse(br#"{"register": {"protocol": 2, "addresses": {"new": "form"}}}"#);
        assert!(matches!(other, Ok(Request::Register(Register { protocol: 2, .. }))), "{other:?}");
        let huge = Request::parse(br#"{"register": {"protocol": 18446744073709551615}}"#);
        assert!(matches!(huge, Ok(Request::Register(Register { protocol: u32::MAX, .. }))), "{huge:?}");
        assert_eq!(
            Request::parse(br#"{"sublet": {"via": "x"}}"#),
            Ok(Request::NotSupported { name: "sublet".into() })
        );
    }

    #[test]
    fn an_over_long_message_is_malformed() {
        let fill = crate::MAX_MESSAGE - r#"{"x": ""}"#.len();
        assert!(Request::parse(format!(r#"{{"x": "{}"}}"#, "a".repeat(fill)).as_bytes()).is_ok());
        assert!(Request::parse(format!(r#"{{"x": "{}"}}"#, "a".repeat(fill + 1)).as_bytes()).is_err());
    }

    #[test]
    fn sockets_per_message_is_kept_within_what_a_message_holds() {
        let asked = |n| Register { sockets_per_message: n, ..Register::new(["a"]) }.sockets_per_message();
        assert_eq!([asked(None), asked(Some(1)), asked(Some(0)), asked(Some(u32::MAX))], [32, 1, 1, 32]);
    }

    #[test]
    fn what_is_written_reads_the_same() {
        let mut register = Register::new(["net.tcp://h:1/\"\u{1}ü"]);
        assert_eq!(
            Request::Register(Register::new(["a"])).to_json(),
            r#"{"register":{"addresses":["a"],"protocol":1}}"#
        );
        register.bound = Some(vec!["::".parse().unwrap()]);
        let route = Route::new("net.tcp://h/\u{7}", "[::1]:808".parse().unwrap());
        assert_eq!(
            Request::Route(route.clone()).to_json(),
            r#"{"route":{"local":"[::1]:808","via":"net.tcp://h/\u0007"}}"#
        );
        let not_utf8 = Request::Route(Route { not_utf8: true, nearest: true, ..route.clone() });
        for request in [
            Request::Register(register),
            Request::Unregister { id: u64::MAX },
            Request::Route(route),
            not_utf8,
            Request::Validate(Validate::new("net.tcp://h/ü", "[::1]:808".parse().unwrap())),
            Request::Return { id: 7 },
            Request::List(List::default()),
            Request::List(List::holder(7)),
            Request::List(List::first(500)),
            Request::Connections,
            Request::Reload,
            Request::Status,
            Request::Drain(Which::Id(7)),
            Request::Undrain(Which::Address("net.tcp://h/a".into())),
            Request::LogLevel(LogLevel { for_seconds: Some(600), ..LogLevel::new("debug") }),
        ] {
            assert_eq!(Request::parse(request.to_json().as_bytes()), Ok(request));
        }
    }
}
