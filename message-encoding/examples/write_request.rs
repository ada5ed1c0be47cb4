//! Writes the request `Add(100, 15.99)` twice, as a WCF client sends it in a session, and prints the octets.

use message_encoding::Quotas;
use message_encoding::envelope::{Element, EncodeError, Encoder, MessageEncoding, MessageId, Outgoing};
use message_encoding::value::Uuid;

const NAMESPACE: &str = "http://Microsoft.ServiceModel.Samples";

fn main() -> Result<(), EncodeError> {
    // One encoder for a session: strings go with the first envelope that has them.
    let mut encoder = Encoder::new(MessageEncoding::BinarySession, Quotas::DEFAULT);
    for number in 1..=2 {
        let octets = request(&mut encoder, number)?;
        let hex: Vec<String> = octets.iter().map(|octet| format!("{octet:02x}")).collect();
        println!("{} octets: {}", octets.len(), hex.join(" "));
    }
    Ok(())
}

/// The request as an envelope: what a Sized Envelope record is to contain.
fn request(encoder: &mut Encoder, number: u8) -> Result<Vec<u8>, EncodeError> {
    let body = Element::new(NAMESPACE, "Add").child("n1", 100).child("n2", 15.99);
    let request = Outgoing::request(
        "http://Microsoft.ServiceModel.Samples/ICalculator/Add",
        "net.tcp://localhost/calculator",
        // A real client takes sixteen random octets.
        MessageId::Uuid(Uuid::from_random([number; 16])),
        body,
    );
    let mut octets = Vec::new();
    encoder.encode(&request, &mut octets)?;
    Ok(octets)
}

#[test]
fn the_second_request_has_its_strings_from_the_first() {
    use message_encoding::envelope::Decoder;
    let mut encoder = Encoder::new(MessageEncoding::BinarySession, Quotas::DEFAULT);
    let mut decoder = Decoder::new(MessageEncoding::BinarySession, Quotas::DEFAULT);
    let octets = [1, 2].map(|number| request(&mut encoder, number).unwrap());
    assert!(octets[1].len() < octets[0].len() / 2);
    for octets in &octets {
        let body = decoder.decode(octets).unwrap().body().unwrap().unwrap();
        assert_eq!(body.find("n2").unwrap().value().to_f64(), Ok(15.99));
    }
}
