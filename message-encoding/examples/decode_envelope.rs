//! Decodes captured envelopes of one direction of a session, in order, and prints what they say.
//!
//! `decode_envelope FILE …` reads one envelope from each file: what a Sized Envelope record contains. Without files it takes the
//! answer of a Mono service that it has itself.

use std::error::Error;

use message_encoding::Quotas;
use message_encoding::envelope::{Decoder, MessageEncoding};
use message_encoding::text::{XmlPrinter, print};

/// The table with one string, `AddResult`, then the document.
const CAPTURED: &[u8] = b"\x0A\x09AddResult\
    \x56\x02\x0B\x01s\x04\x0B\x01a\x06\x56\x08\x44\x0A\x1E\x00\x82\x99\x3D\
    http://Microsoft.ServiceModel.Samples/ICalculator/AddResponse\
    \x44\x12\xAD\x79\xD6\xAE\x6F\xC4\x8B\x07\x45\xB9\xBB\xF7\x06\xCE\xB2\x6C\x43\x01\x56\x0E\
    \x40\x0BAddResponse\x08\x25http://Microsoft.ServiceModel.Samples\x42\x01\x93\x8F\xC2\xF5\x28\x5C\xFF\x5C\x40\x01\x01\x01";

fn main() -> Result<(), Box<dyn Error>> {
    let mut envelopes = Vec::new();
    for file in std::env::args_os().skip(1) {
        envelopes.push(std::fs::read(file)?);
    }
    if envelopes.is_empty() {
        envelopes.push(CAPTURED.to_vec());
    }
    // One decoder for all: the strings of an envelope may have come with an earlier one.
    let mut decoder = Decoder::new(MessageEncoding::BinarySession, Quotas::DEFAULT);
    for envelope in &envelopes {
        println!("{}", show(&mut decoder, envelope)?);
    }
    Ok(())
}

/// The envelope as XML, each element on a line.
fn show(decoder: &mut Decoder, envelope: &[u8]) -> Result<String, Box<dyn Error>> {
    let mut xml = String::new();
    print(&mut XmlPrinter::indented(2), &mut decoder.document(envelope)?, &mut xml)?;
    Ok(xml)
}

#[test]
fn the_answer_is_shown_and_says_its_number() {
    let mut decoder = Decoder::new(MessageEncoding::BinarySession, Quotas::DEFAULT);
    assert!(show(&mut decoder, CAPTURED).unwrap().contains("\n      <AddResult>115.99</AddResult>\n"));
    let mut decoder = Decoder::new(MessageEncoding::BinarySession, Quotas::DEFAULT);
    let mut answer = decoder.decode(CAPTURED).unwrap();
    assert_eq!(answer.action(), "http://Microsoft.ServiceModel.Samples/ICalculator/AddResponse");
    let body = answer.body().unwrap().unwrap();
    assert_eq!(body.find("AddResult").unwrap().value().to_f64(), Ok(115.99));
}
