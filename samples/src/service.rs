//! The calculator service: a worker process of the port sharing sample.

use core::future::Future;
use core::time::Duration;
use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Context;
use message_encoding::Quotas;
use message_encoding::envelope::{
    Decoder, EncodeError, Encoder, MessageEncoding, MessageFault, Outgoing, answer,
};
use tokio::time::sleep;
use transport::{Channel, ListenOptions, Listener, Mode};

use crate::place::Place;
use crate::{calculator, random};

/// How long accepting pauses when this process has no descriptor left.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves the calculator of the port sharing sample.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Number in the service's address; random if not given
    #[arg(long)]
    pub number: Option<u32>,
    /// Where it is
    #[command(flatten)]
    pub place: Place,
    /// Listen on the port alone instead of sharing it; port 0 is then a free one
    #[arg(long)]
    pub no_port_sharing: bool,
    /// The broker's control socket [default: $NET_TCP_PORT_SHARING_CONTROL, else where a broker of root or this user has it]
    #[arg(long, value_name = "PATH")]
    pub control: Option<PathBuf>,
}

/// Listens, says so on standard output, and serves until `terminate` completes.
///
/// # Errors
/// The address cannot be listened on, or standard output cannot be written to.
pub async fn run(options: Options, terminate: impl Future<Output = ()>) -> anyhow::Result<()> {
    let number = options.number.unwrap_or_else(random::number);
    let mut place = options.place;
    let address = place.address(number);
    let mut listen = ListenOptions::new(&address)
        .port_sharing(!options.no_port_sharing)
        .on_registration(|event| eprintln!("calculator-service: {event}"));
    for content_type in MessageEncoding::ALL.iter().flat_map(|encoding| encoding.content_types()) {
        listen = listen.content_type(*content_type);
    }
    if let Some(control) = options.control {
        listen = listen.control(control);
    }
    let mut listener = Listener::bind(listen).await?;
    if let Some(local) = listener.local_addrs().first() {
        place.port = local.port();
    }
    {
        let address = place.address(number);
        let mut out = io::stdout().lock();
        writeln!(out, "Service #{number} listening on {address}.")
            .and_then(|()| writeln!(out, "Press <ENTER> to terminate service."))
            .and_then(|()| out.flush())
            .context("standard output")?;
    }
    tokio::select! {
        () = accept(&mut listener) => {}
        () = terminate => {}
    }
    // What was not begun here another instance may serve.
    listener.shutdown().await;
    listener.close().await;
    Ok(())
}

/// Each session is served by a task of its own.
async fn accept(listener: &mut Listener) {
    loop {
        match listener.accept().await {
            Ok(channel) => drop(tokio::spawn(serve(channel))),
            Err(error) => {
                eprintln!("calculator-service: {:#}", anyhow::Error::from(error));
                sleep(PAUSE).await;
            }
        }
    }
}

/// Answers the requests of one session. A peer that breaks it off concerns nobody else.
async fn serve(mut channel: Channel) {
    let Some(encoding) = MessageEncoding::from_content_type(channel.content_type()) else { return };
    let mut decoder = Decoder::new(encoding, Quotas::DEFAULT);
    if channel.mode() == Mode::DUPLEX {
        decoder = decoder.in_duplex();
    }
    let mut encoder = Encoder::new(encoding, Quotas::DEFAULT);
    while let Ok(received) = channel.receive().await {
        let Some(request) = received else {
            drop(channel.close().await);
            return;
        };
        if let Some(reply) = answer(&mut decoder, &request.octets, &mut calculator::answer) {
            let Ok(octets) = written(&mut encoder, reply) else { return };
            let Ok(()) = channel.send(&octets).await else { return };
        }
        // What comes now cannot be read without the strings that were refused.
        if decoder.is_broken() {
            return;
        }
    }
}

/// A reply, or a fault where it cannot be written: whoever has asked does not wait in vain.
fn written(encoder: &mut Encoder, reply: Outgoing) -> Result<Vec<u8>, EncodeError> {
    let mut octets = Vec::new();
    if encoder.encode(&reply, &mut octets).is_err() {
        encoder.encode(&reply.with_fault(MessageFault::internal()), &mut octets)?;
    }
    Ok(octets)
}

#[cfg(test)]
mod tests {
    use message_encoding::envelope::{Element, Reply, Request};

    use super::*;

    /// As of a service that lets its callers name elements. Binary XML has such a name, text has not.
    fn answers_with_a_name_that_is_none(_: &Request<'_>) -> Result<Option<Reply>, MessageFault> {
        Ok(Some(Element::new("urn:x", "no name").into()))
    }

    #[test]
    fn an_answer_that_cannot_be_written_is_a_fault() {
        let encoding = MessageEncoding::Soap12Utf8;
        let mut encoder = Encoder::new(encoding, Quotas::DEFAULT);
        let mut decoder = Decoder::new(encoding, Quotas::DEFAULT);
        for _ in 0..2 {
            let id = random::message_id();
            let asked = Outgoing::request("urn:x", "", id.clone(), Element::new("urn:x", "Asked"));
            let mut request = Vec::new();
            Encoder::new(encoding, Quotas::DEFAULT).encode(&asked, &mut request).unwrap();
            let reply = answer(
                &mut Decoder::new(encoding, Quotas::DEFAULT),
                &request,
                &mut answers_with_a_name_that_is_none,
            );
            let octets = written(&mut encoder, reply.expect("a reply")).unwrap();
            let mut reply = decoder.decode(&octets).unwrap();
            assert_eq!(reply.headers().relates_to.as_ref().map(ToString::to_string), Some(id.to_string()));
            assert_eq!(reply.reply().unwrap().unwrap_err().reason, MessageFault::internal().reason);
        }
    }
}
