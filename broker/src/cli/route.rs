//! `broker route`: which registration a Via belongs to, and why.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use handoff::administration::Nearest;
use handoff::{ControlConnection, Route, Routed, misleads};
use router::{Prefix, Via};

use super::check::complaint;
use crate::config::{Compatibility, Config, Loaded};
use crate::control::lookup::{Asked, LONGEST_VIA, is_unknown, lookup};
use crate::control::nearest::Registered;
use crate::control::ports::{covers, wanted};
use crate::control::static_routes::table_of;
use crate::routes::table::{Bound, Table};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  broker route net.tcp://srv1:808/orders/7
  broker route --local 192.0.2.5:808 net.tcp://srv1:808/orders/7
  broker route --config broker.toml - < vias.txt

Exit status: 0 if a registration gets the connection (with `-`: every one), 1 if none does, 2 if there is no answer, or the \
command line is wrong.")]
pub(crate) struct RouteArguments {
    /// Look into the static routes of this configuration; without it, ask the running broker.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where the running broker is [default: as for workers].
    #[arg(long, value_name = "PATH", conflicts_with = "config")]
    control: Option<PathBuf>,
    /// The local address and port that the connection comes to [default: where a client of this machine would connect to, the
    /// port of the Via (808 if it has none) at its host if that is an IP address, else at 127.0.0.1].
    #[arg(long, value_name = "IP:PORT", value_parser = local_address)]
    local: Option<SocketAddr>,
    /// The Via, or `-` to read one a line from standard input and answer each with one line.
    #[arg(value_name = "VIA")]
    via: OsString,
}

/// A broker that lives answers within this time.
const ANSWER: Duration = Duration::from_secs(10);

fn local_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "it is no IP address with a port; write, for instance, 127.0.0.1:808".to_owned())
}

/// Who is asked.
enum Source {
    Configuration(Box<Configured>),
    Broker(ControlConnection),
}

/// The routes of a configuration, and what a broker with it listens on.
pub(crate) struct Configured {
    compatibility: Compatibility,
    pub(crate) table: Table,
    open: Vec<SocketAddr>,
    prefixes: Vec<Prefix>,
}

/// The whole command.
pub(crate) fn run(arguments: RouteArguments) -> ExitCode {
    match answer(arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(io::stderr().lock(), "{}", complaint("broker route", &error));
            ExitCode::from(2)
        }
    }
}

/// Whether every connection gets somewhere.
fn answer(arguments: RouteArguments) -> Result<bool> {
    let RouteArguments { config, control, local, via } = arguments;
    let mut source = match config {
        Some(file) => {
            let loaded = Loaded::from_file(&file)?;
            Source::Configuration(Box::new(Configured::new(loaded.config())))
        }
        None => {
            let path = control.unwrap_or_else(handoff::control_path);
            let mut broker = ControlConnection::connect_as_administrator(&path)?;
            broker.set_timeout(Some(ANSWER))?;
            Source::Broker(broker)
        }
    };
    let output = BufWriter::new(io::stdout().lock());
    let result = if via == "-" {
        answer_lines(&mut source, local, BufReader::new(io::stdin().lock()), output)
    } else {
        explain(&mut source, local, via.as_encoded_bytes(), output)
    };
    match result.as_ref().map_err(|error| error.downcast_ref::<io::Error>()) {
        // Whoever read the answers has seen enough.
        Err(Some(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(true),
        _ => result,
    }
}

impl Configured {
    pub(crate) fn new(config: &Config) -> Self {
        let mut open = Vec::new();
        for route in &config.routes {
            let wanted = wanted(&config.listen, &route.prefix, &Bound::default());
            open.extend(wanted.iter().map(|wanted| wanted.address));
        }
        let prefixes = config.routes.iter().map(|route| route.prefix.clone()).collect();
        Self { compatibility: config.compatibility, table: table_of(config), open, prefixes }
    }
}

/// One Via: the answer, and what led to it.
fn explain(
    source: &mut Source,
    local: Option<SocketAddr>,
    via: &[u8],
    mut output: impl Write,
) -> Result<bool> {
    let (local, routed) = source.route(via, local, true)?;
    writeln!(output, "{}", line(&routed))?;
    let asked = Asked::from(via);
    let is_none = routed.reset || routed.fault.is_some();
    if let Some(via) = asked.parse().ok().filter(|via| via.is_net_tcp() && !is_none) {
        writeln!(output, "  canonical Via: net.tcp://{}:{}{}", via.host(), via.port(), via.path())?;
        if via.wildcard_path() != via.path() {
            writeln!(output, "  path for wildcard addresses, query included: {}", via.wildcard_path())?;
        }
    }
    if asked.parse().is_ok_and(|via| !via.is_net_tcp()) || asked.parse().is_err() {
        writeln!(output, "  this is no Via of net.tcp: write net.tcp://HOST:PORT/PATH")?;
    }
    writeln!(output, "  accepted on: {local}")?;
    writeln!(output, "  because: {}", printable(&routed.message))?;
    if let Some(Nearest { address, difference, .. }) = &routed.nearest {
        writeln!(output, "  nearest: {} ({})", printable(address), printable(difference))?;
    }
    if let Some(who) = who(&routed) {
        writeln!(output, "  {who}")?;
    }
    output.flush()?;
    Ok(routed.address.is_some())
}

/// One Via a line, one answer a line.
fn answer_lines(
    source: &mut Source,
    local: Option<SocketAddr>,
    mut input: BufReader<impl io::Read>,
    mut output: impl Write,
) -> Result<bool> {
    let (mut via, mut all) = (Vec::new(), true);
    while read_line(&mut input, &mut via)? {
        let (_, routed) = source.route(&via, local, false)?;
        all &= routed.address.is_some();
        writeln!(output, "{}", line(&routed))?;
        if input.buffer().is_empty() {
            // Somebody may wait for the answer before asking again.
            output.flush()?;
        }
    }
    output.flush()?;
    Ok(all)
}

/// Where a client of this machine connects to for this Via.
fn usual_local(via: &Via<'_>) -> SocketAddr {
    let ip = via.host().trim_matches(['[', ']']).parse().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    SocketAddr::new(ip, via.port())
}

/// Reads a line without its line feed, of one that is too long only what shows it. `false` at the end.
fn read_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    let mut any = false;
    loop {
        let read = match input.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        };
        if read.is_empty() {
            return Ok(any);
        }
        any = true;
        let end = read.iter().position(|&octet| octet == b'\n');
        let now = &read[..end.unwrap_or(read.len())];
        line.extend_from_slice(&now[..now.len().min(LONGEST_VIA + 1 - line.len().min(LONGEST_VIA + 1))]);
        let used = end.map_or(read.len(), |end| end + 1);
        input.consume(used);
        if end.is_some() {
            return Ok(true);
        }
    }
}

impl Source {
    /// The answer, and for which local address it is.
    fn route(
        &mut self,
        via: &[u8],
        local: Option<SocketAddr>,
        nearest: bool,
    ) -> Result<(SocketAddr, Routed)> {
        // More than is needed to see that it is too long would not fit into a request.
        let asked = Asked::from(&via[..via.len().min(LONGEST_VIA + 1)]);
        let usual =
            || asked.parse().map_or_else(|_| (Ipv4Addr::LOCALHOST, 808).into(), |via| usual_local(&via));
        let local = local.unwrap_or_else(usual);
        let mut route = Route::new(asked.text.to_string(), local);
        (route.not_utf8, route.nearest) = (asked.not_utf8, nearest);
        let routed = match self {
            Self::Configuration(of) => {
                let mut routed = lookup(&of.table, of.compatibility, &route, |at| covers(of.open.iter(), at));
                if nearest && is_unknown(&routed) {
                    routed.nearest = Registered::new(of.prefixes.clone()).nearest(&route.via);
                }
                routed
            }
            Self::Broker(broker) => broker.route(&route)?,
        };
        Ok((local, routed))
    }
}

/// The answer as one line.
fn line(routed: &Routed) -> String {
    match (&routed.address, &routed.fault) {
        (Some(address), _) => printable(address),
        (None, Some(fault)) => format!("{}: {}", printable(fault), printable(&routed.message)),
        (None, None) if routed.reset => format!("reset: {}", printable(&routed.message)),
        (None, None) if routed.not_listening => "connection refused".to_owned(),
        (None, None) => "EndpointNotFound".to_owned(),
    }
}

/// Who gets the connection.
fn who(routed: &Routed) -> Option<String> {
    if let Some(relay) = &routed.relay {
        return Some(format!("relayed to: {}, by a static route", printable(relay)));
    }
    let registration = routed.registration?;
    let program = match (&routed.program, routed.pid) {
        (Some(program), Some(pid)) => format!("{} (pid {pid})", printable(program)),
        _ => "a program in another PID namespace".to_owned(),
    };
    Some(format!("handed to: {program}, registration {registration}"))
}

/// A text without characters that could end a line or command a terminal.
fn printable(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut line, c| {
        if misleads(c) {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
        line
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTES: &str = "[[route]]\naddress = 'net.tcp://LocalHost:9000/Calc'\nrelay = '127.0.0.1:9101'\n\
        [[route]]\naddress = 'net.tcp://srv1:9000/x'\nhost_name_comparison = 'exact'\nrelay = '127.0.0.1:9102'\n\
        [[route]]\naddress = 'net.tcp://192.0.2.5:9000/y/z'\nrelay = '127.0.0.1:9103'\n";

    fn source(toml: &str) -> Source {
        let config = Config::from_toml(toml).expect("a configuration");
        Source::Configuration(Box::new(Configured::new(&config)))
    }

    fn answers(input: &[u8]) -> String {
        let mut output = Vec::new();
        let local = "192.0.2.9:9000".parse().expect("an address");
        answer_lines(&mut source(ROUTES), Some(local), BufReader::with_capacity(7, input), &mut output)
            .expect("no input or output fails");
        String::from_utf8(output).expect("UTF-8")
    }

    #[test]
    fn each_line_gets_one_line() {
        let mut input = Vec::new();
        input.extend_from_slice(b"net.tcp://any/calc/add\nnet.tcp://SRV1:9000/X\nnet.tcp://srv1/x\n\n");
        input.extend_from_slice(
            b"net.tcp://h/\xFF\nnet.tcp://h/calc\r\nhttp://h/\nnet.pipe://h/\nnet.tcp://h/y/z\n",
        );
        input.extend_from_slice(format!("net.tcp://h/calc/{}\n", "x".repeat(5000)).as_bytes());
        input.extend_from_slice(b"net.tcp://u@h/\nnet.tcp://h/CALC");
        assert_eq!(
            answers(&input),
            "net.tcp://LocalHost:9000/Calc\nnet.tcp://srv1:9000/x\nEndpointNotFound\nEndpointNotFound: the URI is empty\n\
             EndpointNotFound: the Via is not UTF-8\nnet.tcp://LocalHost:9000/Calc\nEndpointNotFound\n\
             EndpointNotFound: the scheme cannot carry a port\nEndpointNotFound\nViaTooLong: the Via has more than 2048 octets\n\
             EndpointNotFound: the URI has user information, which net.tcp does not allow\nnet.tcp://LocalHost:9000/Calc\n"
        );
        assert_eq!(answers(b""), "");
        assert_eq!(answers(b"\n"), "EndpointNotFound: the URI is empty\n");
    }

    /// The original matches what is not UTF-8 as U+FFFD.
    #[test]
    fn what_is_not_utf8_is_replaced_where_the_original_replaces_it() {
        const ROUTES: &str = "[[route]]\naddress = 'net.tcp://h:9000/%EF%BF%BD'\nrelay = '127.0.0.1:9101'\n";
        for (compatibility, first, longest) in [
            ("default", "EndpointNotFound: the Via is not UTF-8\n", "EndpointNotFound: the Via is not UTF-8"),
            (
                "smsvchost",
                "net.tcp://h:9000/%EF%BF%BD\n  canonical Via: ",
                "reset: the Via has more than 2048 octets",
            ),
        ] {
            let mut source = source(&format!("compatibility = '{compatibility}'\n{ROUTES}"));
            let mut explained = |via: &[u8]| {
                let mut output = Vec::new();
                explain(&mut source, Some("127.0.0.1:9000".parse().unwrap()), via, &mut output).unwrap();
                String::from_utf8(output).unwrap()
            };
            let said = explained(b"net.tcp://h/\xFF/x");
            assert!(said.starts_with(first), "{said}");
            let many = [b"net.tcp://h/\xFF/", &[0xFF; 680][..]].concat();
            assert!(explained(&many).starts_with(longest), "as long as it is with what replaces it");
        }
    }

    #[test]
    fn the_longest_via_is_still_one() {
        let via = |octets: usize| format!("net.tcp://h/calc/{}", "x".repeat(octets - 17));
        assert_eq!(answers(via(2048).as_bytes()), "net.tcp://LocalHost:9000/Calc\n");
        assert_eq!(answers(via(2049).as_bytes()), "ViaTooLong: the Via has more than 2048 octets\n");
    }

    #[test]
    fn a_decision_is_explained() {
        let explained = |via: &str, local: &str| {
            let mut output = Vec::new();
            let local = (!local.is_empty()).then(|| local.parse().expect("an address"));
            explain(&mut source(ROUTES), local, via.as_bytes(), &mut output).expect("no output fails");
            String::from_utf8(output).expect("UTF-8")
        };
        assert_eq!(
            explained("net.tcp://SRV9/a/../calc/add?x", "192.0.2.9:9000"),
            "net.tcp://LocalHost:9000/Calc\n  canonical Via: net.tcp://srv9:808/calc/add\n  \
             path for wildcard addresses, query included: /calc/add%3Fx\n  accepted on: 192.0.2.9:9000\n  \
             because: strong_wildcard: the port of the connection and 1 segment of the path match\n  relayed to: 127.0.0.1:9101, by a static route\n"
        );
        assert_eq!(
            explained("net.tcp://h/y/z", "192.0.2.9:9000"),
            "EndpointNotFound\n  canonical Via: net.tcp://h:808/y/z\n  accepted on: 192.0.2.9:9000\n  \
             because: net.tcp://192.0.2.5:9000/y/z (strong_wildcard) matches, but the connection came in on 192.0.2.9\n  \
             nearest: net.tcp://192.0.2.5:9000/y/z (another port: 808 instead of 9000)\n"
        );
        assert_eq!(
            explained("calc", "192.0.2.9:9000"),
            "EndpointNotFound: the URI has no valid scheme\n  this is no Via of net.tcp: write net.tcp://HOST:PORT/PATH\n  \
             accepted on: 192.0.2.9:9000\n  because: the URI has no valid scheme\n  \
             nearest: net.tcp://srv1:9000/x (no net.tcp URI)\n"
        );
    }

    #[test]
    fn an_answer_is_one_line_whatever_was_registered() {
        let routed = Routed::to("net.tcp://h/a\nb\u{1b}\u{202e}\u{200b}ü", "");
        assert_eq!(line(&routed), r"net.tcp://h/a\nb\u{1b}\u{202e}\u{200b}ü");
    }
}
