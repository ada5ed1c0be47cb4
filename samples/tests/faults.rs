//! What the calculator service answers to requests that it cannot serve: a fault that says which request it is the answer to.

mod common;

use common::{Process, free_port, sample};
use message_encoding::Quotas;
use message_encoding::envelope::{Decoder, MessageEncoding, MessageFault};
use transport::{Channel, ConnectOptions, TransportError, connect};

const ID: &str = "urn:uuid:6faed679-8bc4-4507-b9bb-f706ceb26c43";
const ADD: &str = "http://Microsoft.ServiceModel.Samples/ICalculator/Add";

async fn open(port: u16, encoding: MessageEncoding) -> Channel {
    let address = format!("net.tcp://localhost:{port}/calculator/7");
    let options = ConnectOptions::new(encoding.content_type()).receive_timeout(test_peers::DEADLINE);
    connect(&address, options).await.unwrap()
}

/// The fault that is the answer, and to which message.
async fn ask(channel: &mut Channel, decoder: &mut Decoder, request: &[u8]) -> (MessageFault, Option<String>) {
    channel.send(request).await.unwrap();
    let answer = channel.receive().await.unwrap().expect("an answer");
    let mut reply = decoder.decode(&answer.octets).unwrap();
    let fault = reply.reply().unwrap().expect_err("a fault");
    (fault, reply.headers().relates_to.as_ref().map(ToString::to_string))
}

fn text(action: &str, body: &str) -> String {
    format!(
        "<s:Envelope xmlns:s=\"http://www.w3.org/2003/05/soap-envelope\" xmlns:a=\"http://www.w3.org/2005/08/addressing\">\
         <s:Header><a:Action>{action}</a:Action><a:MessageID>{ID}</a:MessageID></s:Header><s:Body>{body}</s:Body></s:Envelope>"
    )
}

#[tokio::test]
async fn every_request_that_fails_gets_a_fault_that_answers_it() {
    let port = free_port();
    let mut command = sample("calculator-service");
    let service =
        Process::start(command.args(["--number", "7", "--no-port-sharing", "--port", &port.to_string()]));
    service.expect("Press");

    let mut channel = open(port, MessageEncoding::Soap12Utf8).await;
    let mut decoder = Decoder::new(MessageEncoding::Soap12Utf8, Quotas::MAX);
    let body =
        |n1: &str| format!("<Add xmlns=\"http://Microsoft.ServiceModel.Samples\">{n1}<n2>2</n2></Add>");
    let whole = text(ADD, &body("<n1>1</n1>"));
    for (what, request, subcode, reason) in [
        ("unknown operation", text("urn:Root", ""), "ActionNotSupported", "urn:Root"),
        ("no number", text(ADD, &body("<n1>one</n1>")), "DeserializationFailed", "n1"),
        ("missing number", text(ADD, &body("")), "DeserializationFailed", "n1"),
        ("another body", text(ADD, "<Root/>"), "DeserializationFailed", "Add"),
        ("over a quota", text(ADD, &body(&format!("<n1>{}</n1>", "1".repeat(8193)))), "", "8192"),
        ("cut short", whole[..whole.len() - 20].to_owned(), "", "no well-formed XML"),
    ] {
        let (fault, relates_to) = ask(&mut channel, &mut decoder, request.as_bytes()).await;
        let found = fault.subcode.as_ref().map_or("", |(_, name)| name);
        assert_eq!((found, fault.reason.contains(reason)), (subcode, true), "{what}: {fault}");
        assert_eq!(relates_to.as_deref(), Some(ID), "{what}: {fault}");
    }
    // None of them has ended the session.
    channel.send(whole.as_bytes()).await.unwrap();
    let answer = channel.receive().await.unwrap().unwrap();
    assert!(decoder.decode(&answer.octets).unwrap().reply().unwrap().is_ok());
    channel.close().await.unwrap();
}

#[tokio::test]
async fn a_session_whose_strings_are_lost_ends_with_its_fault() {
    let port = free_port();
    let mut command = sample("calculator-service");
    let service =
        Process::start(command.args(["--number", "7", "--no-port-sharing", "--port", &port.to_string()]));
    service.expect("Press");

    let mut channel = open(port, MessageEncoding::BinarySession).await;
    let mut decoder = Decoder::new(MessageEncoding::BinarySession, Quotas::MAX);
    // A table of 4,098 octets, twice what a session may have.
    let string = [&b"\x80\x20"[..], &[b'x'; 4096]].concat();
    let request = [&b"\x82\x20"[..], &string, b"\x56\x02\x01"].concat();
    let (fault, _) = ask(&mut channel, &mut decoder, &request).await;
    assert!(fault.reason.contains("2048"), "{fault}");
    let ended = channel.receive().await;
    assert!(matches!(ended, Ok(None) | Err(TransportError::Closed | TransportError::Io(_))), "{ended:?}");
}
