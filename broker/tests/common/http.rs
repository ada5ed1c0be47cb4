//! Asking a broker over HTTP.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;

use super::{Broker, PATIENCE, free_port};

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

pub fn exchange(mut stream: TcpStream, request: &str) -> Answer {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut octets = Vec::new();
    stream.read_to_end(&mut octets).unwrap();
    let text = String::from_utf8(octets).expect("UTF-8");
    let (head, body) =
        text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer to {request:?}: {text:?}"));
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).unwrap().parse().unwrap();
    let headers = lines.filter_map(|line| line.split_once(": "));
    let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()));
    Answer { status, headers: headers.collect(), body: body.to_owned() }
}

pub fn request(port: u16, method: &str, path: &str, headers: &str) -> Answer {
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    exchange(stream, &format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n"))
}

pub fn get(port: u16, path: &str) -> Answer {
    request(port, "GET", path, "")
}

/// A broker that answers HTTP on this port.
pub fn broker_with_http(arguments: &[&str]) -> (Broker, u16) {
    let port = free_port();
    let listen = format!("127.0.0.1:{port}");
    (Broker::start(&[&["--http-listen", &listen], arguments].concat()), port)
}
