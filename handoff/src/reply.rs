//! What the broker answers.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::administration::{
    Drained, HeldConnection, Holder, LogLevel, Nearest, Page, Reloaded, Status, Upgraded,
};
use crate::message::{Malformed, only_known, parse_id, parse_object};
pub use crate::refused::{Refused, RefusedReason};

/// The most addresses that go into [`Registered::listening`]: so many fit into a message, however they are written.
const MOST_LISTENING: usize = 1000;

/// The body of a `registered` reply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Registered {
    /// Names the registration on this control connection.
    pub id: u64,
    /// The local addresses, with their ports, on which the broker takes connections for it: fewer than the worker asked for if
    /// the broker is configured to listen on some addresses where others say "all". None: the broker is older than this
    /// member, or they are more than a message holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listening: Option<Vec<SocketAddr>>,
}

impl Registered {
    /// A registration with this number; nothing is told of addresses.
    pub fn new(id: u64) -> Self {
        Self { id, listening: None }
    }

    /// The same, for which the broker listens on these.
    #[must_use]
    pub fn with_listening(self, listening: Vec<SocketAddr>) -> Self {
        let listening = (listening.len() <= MOST_LISTENING).then_some(listening);
        Self { listening, ..self }
    }
}

/// The body of a `routed` reply: what would become of the connection.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Routed {
    /// The registered address it would go to, as registered. Without it, and without the next three, the answer is
    /// EndpointNotFound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Whether it would be reset: the Via is none, and the broker's `compatibility` is `smsvchost`.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub reset: bool,
    /// The fault it would be answered with because the Via is none: the last segment of the fault's URI.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
    /// Whether the broker listens on no such local address and port: there is no connection to begin with, unless another
    /// program listens there.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub not_listening: bool,
    /// The number of the registration that has the address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registration: Option<u64>,
    /// The process that has registered it, if the broker can see into its PID namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// The name of that process's program, as the kernel knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// The back-end of the static route that has the address, as in the broker's configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relay: Option<String>,
    /// Why, for an operator.
    #[serde(default)]
    pub message: String,
    /// The registered address that is most like it, if nobody gets it and that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nearest: Option<Nearest>,
}

impl Routed {
    /// To the registration of this address.
    pub fn to(address: impl Into<String>, message: impl Into<String>) -> Self {
        Self { address: Some(address.into()), ..Self::nowhere(message) }
    }

    /// To nobody: EndpointNotFound.
    pub fn nowhere(message: impl Into<String>) -> Self {
        Self { message: message.into(), ..Self::default() }
    }

    /// The Via is none, and answered with this fault.
    pub fn fault(fault: impl Into<String>, message: impl Into<String>) -> Self {
        Self { fault: Some(fault.into()), ..Self::nowhere(message) }
    }

    /// The Via is none, and the connection reset.
    pub fn reset(message: impl Into<String>) -> Self {
        Self { reset: true, ..Self::nowhere(message) }
    }

    /// The broker does not listen there.
    pub fn not_listening(message: impl Into<String>) -> Self {
        Self { not_listening: true, ..Self::nowhere(message) }
    }
}

/// What the broker answers. Every request gets one reply, in order; a long answer comes in several, one behind the other.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reply {
    /// The addresses are registered; the message carries the accept socket as its one descriptor.
    Registered(Registered),
    /// The request was not carried out.
    Refused(Refused),
    /// The registration has ended.
    Unregistered {
        /// The number of the request.
        id: u64,
    },
    /// Where the connection would go.
    Routed(Routed),
    /// Whose the session would be.
    Validated {
        /// The registration of this control connection that has the Via; `None`: somebody else, or nobody.
        id: Option<u64>,
    },
    /// The connection is the broker's again.
    Returned,
    /// Who has which address, in the order of their numbers.
    Listed(Page<Holder>),
    /// Connections that the broker still has.
    Connections(Page<HeldConnection>),
    /// What became of the holders that a `drain` or `undrain` was about.
    Drained(Vec<Drained>),
    /// What became of a `reload`.
    Reloaded(Reloaded),
    /// What became of an `upgrade`.
    Upgraded(Upgraded),
    /// How the broker does.
    Status(Box<Status>),
    /// How much is logged now.
    LogLevel(LogLevel),
}

/// The replies that this version knows.
const NAMES: &[&str] = &[
    "registered",
    "refused",
    "unregistered",
    "routed",
    "validated",
    "returned",
    "listed",
    "connections",
    "drained",
    "reloaded",
    "upgraded",
    "status",
    "log_level",
];

impl Reply {
    /// Reads one message.
    ///
    /// # Errors
    /// [`Malformed`], as [`Request::parse`](crate::Request::parse); also for a reply this version does not know.
    pub fn parse(message: &[u8]) -> Result<Self, Malformed> {
        let mut object = parse_object(message)?;
        let name = only_known(&object, NAMES)?.ok_or_else(|| Malformed::new("no known reply"))?;
        let body = object.remove(name).unwrap_or_default();
        match name {
            "registered" => serde_json::from_value(body).map(Self::Registered).map_err(Malformed::new),
            "routed" => serde_json::from_value(body).map(Self::Routed).map_err(Malformed::new),
            "validated" => parse_validated(body).map(|id| Self::Validated { id }),
            "returned" => Ok(Self::Returned),
            "listed" => serde_json::from_value(body).map(Self::Listed).map_err(Malformed::new),
            "connections" => serde_json::from_value(body).map(Self::Connections).map_err(Malformed::new),
            "reloaded" => serde_json::from_value(body).map(Self::Reloaded).map_err(Malformed::new),
            "upgraded" => serde_json::from_value(body).map(Self::Upgraded).map_err(Malformed::new),
            "drained" => serde_json::from_value(body).map(Self::Drained).map_err(Malformed::new),
            "status" => serde_json::from_value(body).map(Self::Status).map_err(Malformed::new),
            "log_level" => serde_json::from_value(body).map(Self::LogLevel).map_err(Malformed::new),
            "refused" => serde_json::from_value(body).map(Self::Refused).map_err(Malformed::new),
            _ => parse_id(body).map(|id| Self::Unregistered { id }),
        }
    }

    /// Writes the message.
    pub fn to_json(&self) -> String {
        match self {
            Self::Registered(registered) => serde_json::json!({ "registered": registered }),
            Self::Refused(refused) => serde_json::json!({ "refused": refused }),
            Self::Unregistered { id } => serde_json::json!({ "unregistered": { "id": id } }),
            Self::Routed(routed) => serde_json::json!({ "routed": routed }),
            Self::Validated { id: Some(id) } => serde_json::json!({ "validated": { "id": id } }),
            Self::Validated { id: None } => serde_json::json!({ "validated": {} }),
            Self::Returned => serde_json::json!({ "returned": {} }),
            Self::Listed(page) => serde_json::json!({ "listed": page }),
            Self::Connections(page) => serde_json::json!({ "connections": page }),
            Self::Status(status) => serde_json::json!({ "status": status }),
            Self::Drained(drained) => serde_json::json!({ "drained": drained }),
            Self::Reloaded(reloaded) => serde_json::json!({ "reloaded": reloaded }),
            Self::Upgraded(upgraded) => serde_json::json!({ "upgraded": upgraded }),
            Self::LogLevel(level) => serde_json::json!({ "log_level": level }),
        }
        .to_string()
    }
}

fn parse_validated(body: Value) -> Result<Option<u64>, Malformed> {
    #[derive(Deserialize)]
    struct Body {
        #[serde(default)]
        id: Option<u64>,
    }
    serde_json::from_value::<Body>(body).map(|body| body.id).map_err(Malformed::new)
}

impl Malformed {
    /// The reply that tells the peer so.
    pub fn reply(&self) -> Reply {
        Reply::Refused(Refused::new(RefusedReason::Malformed, None, self.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_of_the_design_is_read() {
        let refused = br#"{"refused": {"reason": "conflicting_registration", "address": "net.tcp://h/a", "message": "m"}}"#;
        let Ok(Reply::Refused(refused)) = Reply::parse(refused) else { panic!() };
        assert_eq!(refused.reason, RefusedReason::ConflictingRegistration);
        assert_eq!(refused.address.as_deref(), Some("net.tcp://h/a"));
    }

    #[test]
    fn what_would_become_of_a_connection_is_one_of_five() {
        let none = Routed { message: "m".to_owned(), ..Routed::default() };
        let to = Routed { address: Some("net.tcp://h/a".to_owned()), ..none.clone() };
        assert_eq!(Routed::to("net.tcp://h/a", "m"), to);
        assert_eq!(Routed::fault("F", "m"), Routed { fault: Some("F".to_owned()), ..none.clone() });
        assert_eq!(Routed::reset("m"), Routed { reset: true, ..none.clone() });
        assert_eq!(Routed::not_listening("m"), Routed { not_listening: true, ..none.clone() });
        assert_eq!(Routed::nowhere("m"), none);
    }

    #[test]
    fn a_reason_is_shown_as_on_the_wire() {
        assert_eq!(RefusedReason::FailedToListen.to_string(), "failed_to_listen");
        assert_eq!(RefusedReason::Unknown.to_string(), "unknown");
    }

    #[test]
    fn a_complaint_fits_a_message() {
        let text = "\u{7f}".repeat(65_000);
        let malformed = format!(r#"{{"register": {{"protocol": 1, "addresses": "{text}"}}}}"#);
        let malformed = crate::Request::parse(malformed.as_bytes()).unwrap_err();
        assert!(malformed.reply().to_json().len() < 2000, "{malformed}");
    }

    #[test]
    fn addresses_that_fill_more_than_a_message_are_left_out() {
        let longest = "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535".parse().unwrap();
        let reply = |count| Registered::new(u64::MAX).with_listening(vec![longest; count]);
        assert!(Reply::Registered(reply(MOST_LISTENING)).to_json().len() <= crate::MAX_MESSAGE);
        assert_eq!(reply(MOST_LISTENING + 1), Registered::new(u64::MAX));
    }

    /// As an older broker answers.
    #[test]
    fn what_the_broker_listens_on_may_be_missing() {
        let reply = Reply::parse(br#"{"registered": {"id": 7}}"#);
        assert_eq!(reply, Ok(Reply::Registered(Registered::new(7))));
    }

    /// The worker prints it, and the name of another's program may be in it.
    #[test]
    fn what_a_refusal_says_can_be_printed() {
        let hostile = "by \u{202e}x\u{2066}\u{200b}\u{1b}[2J\u{9b}\u{3164}ü (pid 7)";
        let shown = "by \u{fffd}x\u{fffd}\u{fffd}\u{fffd}[2J\u{fffd}\u{fffd}ü (pid 7)";
        assert_eq!(Refused::new(RefusedReason::Malformed, None, hostile).to_string(), shown);
        let sent = serde_json::json!({"refused": {"reason": "malformed", "message": hostile}});
        let Ok(Reply::Refused(refused)) = Reply::parse(sent.to_string().as_bytes()) else { panic!() };
        assert_eq!((refused.to_string().as_str(), refused.message.as_str()), (shown, shown));
    }

    #[test]
    fn a_reason_of_a_newer_broker_is_unknown() {
        let reason = Reply::parse(br#"{"refused": {"reason": "out_of_cheese"}}"#);
        assert!(
            matches!(reason, Ok(Reply::Refused(Refused { reason: RefusedReason::Unknown, .. }))),
            "{reason:?}"
        );
    }

    #[test]
    fn what_is_written_reads_the_same() {
        let refused = Refused { reason: RefusedReason::AccessDenied, address: None, message: "m".into() };
        assert_eq!(
            Reply::Refused(refused.clone()).to_json(),
            r#"{"refused":{"message":"m","reason":"access_denied"}}"#
        );
        let routed =
            Routed { address: Some("net.tcp://h/a".into()), message: "m".into(), ..Routed::default() };
        assert_eq!(
            Reply::Routed(routed.clone()).to_json(),
            r#"{"routed":{"address":"net.tcp://h/a","message":"m"}}"#
        );
        let reset = Routed { reset: true, message: "m".into(), ..Routed::default() };
        let who = Routed {
            address: Some("a".into()),
            registration: Some(7),
            pid: Some(4711),
            program: Some("dotnet".into()),
            ..Routed::default()
        };
        assert_eq!(
            Reply::Routed(who.clone()).to_json(),
            r#"{"routed":{"address":"a","message":"","pid":4711,"program":"dotnet","registration":7}}"#
        );
        let two = Registered::new(7)
            .with_listening(vec!["0.0.0.0:9000".parse().unwrap(), "[::1]:808".parse().unwrap()]);
        assert_eq!(
            Reply::Registered(two.clone()).to_json(),
            r#"{"registered":{"id":7,"listening":["0.0.0.0:9000","[::1]:808"]}}"#
        );
        let fault =
            Routed { fault: Some("ViaTooLong".into()), relay: Some("h:1".into()), ..Routed::default() };
        for reply in [
            Reply::Registered(Registered::new(0)),
            Reply::Registered(two),
            Reply::Refused(refused),
            Reply::Unregistered { id: 9 },
            Reply::Routed(routed),
            Reply::Routed(reset),
            Reply::Routed(who),
            Reply::Routed(fault),
            Reply::Validated { id: Some(7) },
            Reply::Validated { id: None },
            Reply::Returned,
            Reply::Listed(Page::new(vec![Holder { id: 3, pid: Some(1), ..Holder::default() }], true)),
            Reply::Connections(Page::new(vec![HeldConnection::default()], false)),
            Reply::Drained(vec![Drained::new(7, "net.tcp://h/a", true)]),
            Reply::Reloaded(Reloaded::refused("m")),
            Reply::Reloaded(Reloaded { more: true, ..Reloaded::applied(vec!["a".into()], vec!["b".into()]) }),
            Reply::Upgraded(Upgraded::refused("m")),
            Reply::Upgraded(Upgraded::to(4711, "0.2.0", 1500)),
            Reply::LogLevel(LogLevel { was: Some("info".into()), ..LogLevel::new("debug") }),
        ] {
            assert_eq!(Reply::parse(reply.to_json().as_bytes()), Ok(reply));
        }
    }
}
