//! A complete worker: shares a port and sends every envelope back.
//!
//!     cargo run -p transport --example worker -- net.tcp://localhost:9000/echo

use std::time::Duration;

use transport::{Channel, ListenOptions, Listener, TransportError};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).ok_or("usage: worker ADDRESS")?;
    let mut listener = Listener::bind(ListenOptions::new(&address).port_sharing(true)).await?;
    println!("listening on {address}");
    loop {
        match listener.accept().await {
            Ok(channel) => {
                tokio::spawn(async {
                    if let Err(error) = echo(channel).await {
                        eprintln!("{error}");
                    }
                });
            }
            Err(error) if error.retry_helps() => tokio::time::sleep(Duration::from_millis(100)).await,
            Err(error) => return Err(error.into()),
        }
    }
}

async fn echo(mut channel: Channel) -> Result<(), TransportError> {
    while let Some(envelope) = channel.receive().await? {
        channel.send(&envelope.octets).await?;
    }
    channel.close().await
}
