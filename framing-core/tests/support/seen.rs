//! Events of both roles as owned values, payloads joined: what must not depend on how octets are split.

use std::fmt;

use framing_core::{DecodeError, Encoding, Mode, Preamble};

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    Preamble { mode: Mode, via: String, encoding: String },
    UpgradeRequest(String),
    UpgradeResponse,
    PreambleEnd,
    PreambleAck,
    EnvelopeStart(Option<u32>),
    Payload(Vec<u8>),
    EnvelopeEnd,
    End,
    Fault(String),
    Failed(DecodeError),
}

impl Seen {
    pub fn preamble(preamble: &Preamble<'_>) -> Self {
        let encoding = match preamble.encoding {
            Encoding::Known(code) => code.to_string(),
            Encoding::Extensible(content_type) => format!("{content_type:?}"),
        };
        Self::Preamble { mode: preamble.mode, via: preamble.via.to_owned(), encoding }
    }

    /// Adds octets of an envelope to the payload at the end.
    pub fn add_payload(seen: &mut Vec<Self>, octets: &[u8]) {
        match seen.last_mut() {
            Some(Self::Payload(payload)) => payload.extend_from_slice(octets),
            _ if octets.is_empty() => {}
            _ => seen.push(Self::Payload(octets.to_vec())),
        }
    }
}

/// One line of an `.events` file; a payload is its size and its FNV-1a hash.
impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Preamble { mode, via, encoding } => write!(f, "Preamble {mode} {via:?} {encoding}"),
            Self::UpgradeRequest(name) => write!(f, "UpgradeRequest {name:?}"),
            Self::EnvelopeStart(Some(size)) => write!(f, "EnvelopeStart {size}"),
            Self::EnvelopeStart(None) => write!(f, "EnvelopeStart"),
            Self::Payload(octets) => {
                let hash = octets.iter().fold(0xCBF2_9CE4_8422_2325_u64, |hash, octet| {
                    (hash ^ u64::from(*octet)).wrapping_mul(0x0000_0100_0000_01B3)
                });
                write!(f, "Payload {} octets, hash {hash:016x}", octets.len())
            }
            Self::Fault(uri) => write!(f, "Fault {uri:?}"),
            Self::Failed(error) => write!(f, "error: {error}"),
            simple => write!(f, "{simple:?}"),
        }
    }
}
