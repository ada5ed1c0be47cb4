//! Where a calculator service is: what both programs are told, and the address that it makes.

use std::net::Ipv6Addr;

/// Where a calculator service is.
#[derive(Debug, clap::Args)]
pub struct Place {
    /// Host in the service's address: a name or an IP address. A service with a name listens on all addresses of its machine
    #[arg(long, default_value = "localhost", value_parser = host)]
    pub host: String,
    /// Port in the service's address
    #[arg(long, default_value_t = 9000)]
    pub port: u16,
}

impl Place {
    /// The address of a calculator service there.
    ///
    /// ```
    /// let at = |host: &str| samples::place::Place { host: host.into(), port: 9000 }.address(4381);
    /// assert_eq!(at("srv1"), "net.tcp://srv1:9000/calculator/4381");
    /// assert_eq!(at("::1"), "net.tcp://[::1]:9000/calculator/4381");
    /// ```
    pub fn address(&self, number: u32) -> String {
        let Self { host, port } = self;
        let literal = host.parse::<Ipv6Addr>().map(|literal| format!("[{literal}]"));
        format!("net.tcp://{}:{port}/calculator/{number}", literal.as_deref().unwrap_or(host))
    }
}

fn host(text: &str) -> Result<String, &'static str> {
    let literal = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let is_literal = literal.parse::<Ipv6Addr>().is_ok();
    if text.is_empty() || text.contains(['/', ':', '@', ' ']) && !is_literal {
        return Err(
            "it is a host name or an IP address alone; --port and --number say the rest of the address",
        );
    }
    Ok(literal.into())
}
