//! Initiators, and what they are told.

use std::io::{Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};

use super::PATIENCE;

pub fn address(port: u16, path: &str) -> String {
    format!("net.tcp://localhost:{port}/{path}")
}

/// A duplex preamble through its encoding record.
pub fn preamble(via: &str) -> Vec<u8> {
    let mut octets = b"\0\x01\0\x01\x02\x02".to_vec();
    let mut size = via.len();
    while size >= 0x80 {
        octets.push(u8::try_from(size & 0x7f).unwrap() | 0x80);
        size >>= 7;
    }
    octets.push(u8::try_from(size).unwrap());
    octets.extend(via.as_bytes());
    octets.extend(b"\x03\x08");
    octets
}

pub fn connect(port: u16) -> TcpStream {
    connect_to("127.0.0.1".parse().unwrap(), port)
}

pub fn connect_to(ip: IpAddr, port: u16) -> TcpStream {
    let stream = TcpStream::connect(SocketAddr::new(ip, port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Connects and says where it wants to go.
pub fn ask(port: u16, path: &str) -> TcpStream {
    let mut stream = connect(port);
    stream.write_all(&preamble(&address(port, path))).unwrap();
    stream
}

/// What an initiator is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// A fault of this name, then the end of the stream.
    Fault(String),
    /// Just the end.
    End,
    /// A reset.
    Reset,
    /// Anything else, escaped.
    Other(String),
}

pub fn fault(name: &str) -> Told {
    Told::Fault(name.to_owned())
}

/// Reads to the end, without closing first.
pub fn told(stream: &mut TcpStream) -> Told {
    const URI: &str = "http://schemas.microsoft.com/ws/2006/05/framing/faults/";
    let mut octets = Vec::new();
    match stream.read_to_end(&mut octets) {
        Ok(_) if octets.is_empty() => Told::End,
        Ok(_) => {
            let uri = std::str::from_utf8(octets.get(2..).unwrap_or_default()).unwrap_or_default();
            match uri.strip_prefix(URI) {
                Some(name) if octets[0] == 8 && usize::from(octets[1]) == uri.len() => {
                    Told::Fault(name.to_owned())
                }
                _ => Told::Other(octets.escape_ascii().to_string()),
            }
        }
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => Told::Reset,
        Err(error) => Told::Other(error.to_string()),
    }
}

/// Sends octets and reads what comes back.
pub fn tell(port: u16, octets: &[u8]) -> Told {
    let mut stream = connect(port);
    stream.write_all(octets).unwrap();
    told(&mut stream)
}

/// Answers one octet so that the initiator knows who it got, and checks that nothing was read before.
pub fn serve(mut stream: TcpStream, expected: &[u8], answer: u8) {
    let mut octets = vec![0; expected.len()];
    stream.read_exact(&mut octets).unwrap();
    assert_eq!(octets.escape_ascii().to_string(), expected.escape_ascii().to_string());
    stream.write_all(&[answer]).unwrap();
}

pub fn answer(stream: &mut TcpStream) -> u8 {
    let mut octet = [0];
    stream.read_exact(&mut octet).unwrap();
    octet[0]
}

/// The initiator has nothing more to say.
pub fn finish(stream: &TcpStream) {
    stream.shutdown(Shutdown::Write).unwrap();
}
