//! A client of a .NET contract, that of `echo_service`: sessions by `transport`, envelopes by `message_encoding`.
//!
//!     cargo run -p samples --example echo_client -- net.tcp://localhost:9000/echo hello

use message_encoding::Quotas;
use message_encoding::envelope::{Decoder, Element, Encoder, MessageEncoding, Outgoing};
use transport::{ConnectOptions, connect};

const NAMESPACE: &str = "http://interop.example/2024";
const ECHO: &str = "http://interop.example/2024/IEcho/Echo";

/// What a `NetTcpBinding` that says nothing has.
const ENCODING: MessageEncoding = MessageEncoding::BinarySession;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().ok_or("usage: echo_client ADDRESS TEXT…")?;
    for reply in echo(&address, &arguments.collect::<Vec<_>>()).await? {
        println!("{reply}");
    }
    Ok(())
}

/// What comes back of each text, over one session.
pub(crate) async fn echo(address: &str, texts: &[String]) -> Result<Vec<String>, Box<dyn std::error::Error>> {
    let mut channel = connect(address, ConnectOptions::new(ENCODING.content_type())).await?;
    // As long as the session: it has a dictionary for each direction.
    let mut encoder = Encoder::new(ENCODING, Quotas::DEFAULT);
    let mut decoder = Decoder::new(ENCODING, Quotas::DEFAULT);
    let mut replies = Vec::new();
    for text in texts {
        let body = Element::new(NAMESPACE, "Echo").child("text", text.as_str());
        // Any UUID that is not used twice.
        let id = samples::random::message_id();
        let mut octets = Vec::new();
        encoder.encode(&Outgoing::request(ECHO, address, id.clone(), body), &mut octets)?;
        channel.send(&octets).await?;

        let envelope =
            channel.receive().await?.ok_or("the service ended the session instead of answering")?;
        let mut reply = decoder.decode(&envelope.octets)?;
        // The service's fault is the second error.
        let body = reply.reply()??.ok_or("the reply is empty")?;
        if reply.headers().relates_to.as_ref() != Some(&id) {
            return Err("the reply is to another message".into());
        }
        replies.push(body.required_member("EchoResult")?.value().to_text()?);
    }
    channel.close().await?;
    Ok(replies)
}
