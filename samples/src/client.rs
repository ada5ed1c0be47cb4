//! The calculator client: any WCF client would do, port sharing concerns services only.

use core::time::Duration;
use std::io::{self, BufRead, Write};

use anyhow::{Context, bail, ensure};
use transport::{Channel, ConnectOptions};

use crate::calculator::{self, Operation};
use crate::encoding::{Codec, Encoding};
use crate::message::{ANONYMOUS, Body, Message};
use crate::{address, random};

/// How long one call may take: WCF's default send timeout.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);

/// Calls the calculator of the port sharing sample.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Number of the service to call; asked for if not given
    #[arg(long)]
    pub number: Option<u32>,
    /// Machine of the service
    #[arg(long, default_value = "localhost")]
    pub host: String,
    /// Port of the service
    #[arg(long, default_value_t = 9000)]
    pub port: u16,
}

/// Makes the sample's four calls and prints their results on standard output.
///
/// # Errors
/// The service cannot be reached, refuses the session, or answers a call with a fault.
pub async fn run(options: Options) -> anyhow::Result<()> {
    let number = match options.number {
        Some(number) => number,
        None => ask_number()?,
    };
    let address = address(&options.host, options.port, number);
    let mut client = Client::open(&address).await?;
    for (operation, n1, n2) in [
        (Operation::Add, 100.0, 15.99),
        (Operation::Subtract, 145.0, 76.54),
        (Operation::Multiply, 9.0, 81.25),
        (Operation::Divide, 22.0, 7.0),
    ] {
        let result = client.call(operation, n1, n2).await.with_context(|| operation.name())?;
        let [n1, n2, result] = [n1, n2, result].map(calculator::display);
        writeln!(io::stdout(), "{}({n1},{n2}) = {result}", operation.name()).context("standard output")?;
    }
    client.close().await
}

fn ask_number() -> anyhow::Result<u32> {
    let mut out = io::stdout();
    write!(out, "Enter the service number to test: ")
        .and_then(|()| out.flush())
        .context("standard output")?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).context("standard input")?;
    let number = line.trim();
    ensure!(!number.is_empty(), "no service number given");
    number.parse().with_context(|| format!("'{}' is no service number", number.escape_debug()))
}

/// A session with a calculator service.
#[derive(Debug)]
pub struct Client {
    channel: Channel,
    codec: Codec,
    address: String,
}

impl Client {
    /// Opens a session with the service at `address`.
    ///
    /// # Errors
    /// What [`transport::connect`] says.
    pub async fn open(address: &str) -> Result<Self, transport::TransportError> {
        let encoding = Encoding::Text;
        let channel = transport::connect(address, ConnectOptions::new(encoding.content_type())).await?;
        Ok(Self { channel, codec: Codec::new(encoding), address: address.to_owned() })
    }

    /// Calls an operation.
    ///
    /// # Errors
    /// The session broke off, the service answered with a fault or with something that is no answer, or nothing came
    /// within a minute.
    pub async fn call(&mut self, operation: Operation, n1: f64, n2: f64) -> anyhow::Result<f64> {
        let request = Message {
            action: operation.action(),
            message_id: Some(random::message_id()),
            relates_to: None,
            reply_to: Some(ANONYMOUS.into()),
            to: Some(self.address.clone()),
            body: Body::Content(Some(operation.request(n1, n2))),
        };
        self.channel.send(&self.codec.encode(&request)?).await?;
        let received = tokio::time::timeout(CALL_TIMEOUT, self.channel.receive()).await;
        let received = received.context("no answer within a minute")??;
        let Some(envelope) = received else { bail!("the service ended the session instead of answering") };
        let reply = self.codec.decode(&envelope.octets)?;
        let result = operation.result(&reply)?;
        ensure!(reply.relates_to == request.message_id, "the reply relates to another message");
        Ok(result)
    }

    /// Ends the session.
    ///
    /// # Errors
    /// The service does not end it too.
    pub async fn close(self) -> anyhow::Result<()> {
        Ok(self.channel.close().await?)
    }
}
