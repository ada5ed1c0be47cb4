//! A service in the process of the test.

use message_encoding::Quotas;
use message_encoding::envelope::{Decoder, Encoder, MessageEncoding, MessageFault, Service, answer};
use tokio::runtime::Runtime;
use transport::{Channel, Limits, ListenOptions, Listener, Mode};

/// Serves at `address`, each session with a copy of `service`, until the runtime is dropped.
pub fn serve(
    address: &str,
    quotas: Quotas,
    service: impl Service + Clone + Send + Sync + 'static,
) -> Runtime {
    let runtime = Runtime::new().unwrap();
    let limits = Limits { envelope: 1 << 20, ..Limits::DEFAULT };
    let mut options = ListenOptions::new(address).limits(limits);
    for encoding in MessageEncoding::ALL {
        options = options.content_type(encoding.content_type());
    }
    let mut listener = runtime.block_on(Listener::bind(options)).unwrap();
    runtime.spawn(async move {
        while let Ok(channel) = listener.accept().await {
            tokio::spawn(serve_session(channel, quotas, service.clone()));
        }
    });
    runtime
}

async fn serve_session(mut channel: Channel, quotas: Quotas, mut service: impl Service) {
    let encoding = MessageEncoding::from_content_type(channel.content_type()).unwrap();
    let mut decoder = Decoder::new(encoding, quotas);
    if channel.mode() == Mode::DUPLEX {
        decoder = decoder.in_duplex();
    }
    let mut encoder = Encoder::new(encoding, Quotas::DEFAULT);
    while let Ok(Some(request)) = channel.receive().await {
        let Some(reply) = answer(&mut decoder, &request.octets, &mut service) else { continue };
        let mut octets = Vec::new();
        if encoder.encode(&reply, &mut octets).is_err() {
            encoder.encode(&reply.with_fault(MessageFault::internal()), &mut octets).unwrap();
        }
        channel.send(&octets).await.unwrap();
    }
    drop(channel.close().await);
}
