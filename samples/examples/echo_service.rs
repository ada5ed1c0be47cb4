//! A service of a .NET contract: sessions by `transport`, envelopes by `message_encoding`.
//!
//! ```csharp
//! [ServiceContract(Namespace = "http://interop.example/2024")]
//! public interface IEcho
//! {
//!     [OperationContract] string Echo(string text);
//!     [OperationContract] byte[] Blob(byte[] data);   // gives it reversed
//! }
//! ```
//!
//!     cargo run -p samples --example echo_service -- net.tcp://localhost:9000/echo

use std::time::Duration;

use message_encoding::Quotas;
use message_encoding::envelope::{
    Decoder, Element, Encoder, MessageEncoding, MessageFault, Reply, Request, answer,
};
use transport::{AcceptError, Channel, Limits, ListenOptions, Listener};

const NAMESPACE: &str = "http://interop.example/2024";
const ECHO: &str = "http://interop.example/2024/IEcho/Echo";
const BLOB: &str = "http://interop.example/2024/IEcho/Blob";

/// WCF's limits are small. What a binding's `MaxReceivedMessageSize` raises, and ...
const LIMITS: Limits = Limits { envelope: 1 << 20, ..Limits::DEFAULT };
/// ... its `ReaderQuotas`.
const QUOTAS: Quotas =
    Quotas { max_array_length: 1 << 20, max_string_content_length: 1 << 20, ..Quotas::DEFAULT };

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).ok_or("usage: echo_service ADDRESS")?;
    // On a shared port: `.port_sharing(true)`, and nothing else.
    let listener = Listener::bind(options(&address)).await?;
    println!("listening on {address}");
    Ok(accept(listener).await?)
}

pub(crate) fn options(address: &str) -> ListenOptions {
    let options = ListenOptions::new(address).limits(LIMITS);
    // Only what can be read; a client with another binding is told so.
    let content_types = MessageEncoding::ALL.iter().flat_map(|encoding| encoding.content_types());
    content_types.fold(options, |options, content_type| options.content_type(*content_type))
}

/// Each session has a task of its own.
pub(crate) async fn accept(mut listener: Listener) -> Result<(), AcceptError> {
    loop {
        match listener.accept().await {
            Ok(channel) => {
                tokio::spawn(async {
                    if let Err(error) = serve(channel).await {
                        eprintln!("a session broke off: {error}");
                    }
                });
            }
            Err(error) if error.retry_helps() => tokio::time::sleep(Duration::from_millis(100)).await,
            Err(error) => return Err(error),
        }
    }
}

async fn serve(mut channel: Channel) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let encoding = MessageEncoding::from_content_type(channel.content_type()).ok_or("an unknown encoding")?;
    // As long as the session: one that is binary has a dictionary for each direction.
    let mut decoder = Decoder::new(encoding, QUOTAS);
    let mut encoder = Encoder::new(encoding, QUOTAS);
    while let Some(envelope) = channel.receive().await? {
        if let Some(reply) = answer(&mut decoder, &envelope.octets, &mut echo) {
            let mut octets = Vec::new();
            encoder.encode(&reply, &mut octets)?;
            channel.send(&octets).await?;
        }
        if decoder.is_broken() {
            return Err("the session's dictionary is lost".into());
        }
    }
    Ok(channel.close().await?)
}

fn echo(request: &Request<'_>) -> Result<Option<Reply>, MessageFault> {
    let reply = match request.action() {
        ECHO => {
            let text = request.body_named(NAMESPACE, "Echo")?.required_member("text")?.value().to_text()?;
            Element::new(NAMESPACE, "EchoResponse").child("EchoResult", text)
        }
        BLOB => {
            let data = request.body_named(NAMESPACE, "Blob")?.required_member("data")?;
            let reversed: Vec<u8> = data.value().to_bytes()?.iter().rev().copied().collect();
            Element::new(NAMESPACE, "BlobResponse").child("BlobResult", reversed)
        }
        other => return Err(MessageFault::action_not_supported(other)),
    };
    Ok(Some(reply.into()))
}
