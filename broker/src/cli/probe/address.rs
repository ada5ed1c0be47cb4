//! The address of a service, as its clients have it.

use router::Via;

/// Where to connect to, and what is sent as the Via.
#[derive(Clone, Debug)]
pub(super) struct Address {
    pub(super) via: String,
    pub(super) host: String,
    pub(super) port: u16,
}

impl Address {
    /// # Errors
    /// What is wrong with it, and what to write.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        const FORM: &str = "write net.tcp://HOST:PORT/PATH";
        let via = Via::parse(text).map_err(|error| format!("{error}; {FORM}"))?;
        if !via.is_net_tcp() {
            return Err(format!("it is no net.tcp address; {FORM}"));
        }
        match (via.port(), via.host()) {
            (0, _) => Err(format!("nobody can be reached at port 0; {FORM}")),
            (_, "") => Err(format!("it has no host; {FORM}")),
            (port, host) => Ok(Self { via: text.to_owned(), host: host.to_owned(), port }),
        }
    }
}
