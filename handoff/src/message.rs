//! What all messages of the control socket have in common: one JSON object per `SOCK_SEQPACKET` message of at most 64 KiB.
//!
//! The one member of the object names the request or the reply; what it holds is the body. Unknown members are ignored, so
//! that either side may be older than the other; required ones are checked. The requests and replies themselves are in
//! [`request`](crate::request) and [`reply`](crate::reply).

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::printable::printable;

/// The version this crate speaks: `protocol` of a registration, and each octet on an accept socket.
pub const PROTOCOL_VERSION: u32 = 1;

/// The largest message of the control socket, in octets.
pub const MAX_MESSAGE: usize = 65_536;

/// The message is not of the protocol's form; holds what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("malformed message: {0}")]
pub struct Malformed(pub(crate) String);

/// What is said of a malformed message, in characters. It may repeat the peer's own words, which may fill a whole message.
const LONGEST_COMPLAINT: usize = 200;

impl Malformed {
    pub(crate) fn new(what: impl core::fmt::Display) -> Self {
        Self(printable(&what.to_string()).chars().take(LONGEST_COMPLAINT).collect())
    }
}

pub(crate) fn parse_object(message: &[u8]) -> Result<Map<String, Value>, Malformed> {
    if message.len() > MAX_MESSAGE {
        return Err(Malformed::new("over 65536 octets"));
    }
    serde_json::from_slice(message).map_err(Malformed::new)
}

/// The one of `names` that is a member of `object`; none if there is none.
pub(crate) fn only_known(
    object: &Map<String, Value>,
    names: &[&'static str],
) -> Result<Option<&'static str>, Malformed> {
    let mut known = names.iter().copied().filter(|name| object.contains_key(*name));
    match (known.next(), known.next()) {
        (first, None) => Ok(first),
        (_, Some(_)) => Err(Malformed::new("more than one request or reply in a message")),
    }
}

pub(crate) fn parse_id(body: Value) -> Result<u64, Malformed> {
    #[derive(Deserialize)]
    struct Body {
        id: u64,
    }
    serde_json::from_value::<Body>(body).map(|body| body.id).map_err(Malformed::new)
}
