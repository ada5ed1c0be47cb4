//! The calculator client: any WCF client would do, port sharing concerns services only.

use core::time::Duration;
use std::io::{self, BufRead, Write};

use anyhow::{Context, bail, ensure};
use message_encoding::Quotas;
use message_encoding::envelope::{Decoder, Encoder, Outgoing};
use transport::{Channel, ConnectOptions, Mode};

use crate::calculator::{self, Operation};
use crate::encoding::Choice;
use crate::place::Place;
use crate::random;

/// How long a reply may be waited for: WCF's default send timeout.
const REPLY_TIMEOUT: Duration = Duration::from_secs(60);

/// Calls the calculator of the port sharing sample.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Number of the service to call; asked for if not given
    #[arg(long)]
    pub number: Option<u32>,
    /// Where it is
    #[command(flatten)]
    pub place: Place,
    /// How messages are encoded
    #[arg(long, value_enum, default_value_t)]
    pub encoding: Choice,
    /// Use a session for each call, as WCF does with TransferMode.Streamed; else one for all
    #[arg(long)]
    pub streamed: bool,
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
    let address = options.place.address(number);
    let mode = if options.streamed { Mode::SINGLETON_UNSIZED } else { Mode::DUPLEX };
    let open = async || {
        Client::open(&address, options.encoding, mode).await.map_err(|error| match error.fault() {
            // The peer has not said whom it speaks of.
            Some(_) => anyhow::Error::from(error).context(address.clone()),
            None => error.into(),
        })
    };
    let mut client = open().await?;
    for (operation, n1, n2) in [
        (Operation::Add, 100.0, 15.99),
        (Operation::Subtract, 145.0, 76.54),
        (Operation::Multiply, 9.0, 81.25),
        (Operation::Divide, 22.0, 7.0),
    ] {
        if client.is_used_up() {
            client.close().await?;
            client = open().await?;
        }
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
    ensure!(!number.is_empty(), "no service number given; a service says its own when it starts");
    number.parse().ok().with_context(|| {
        format!("'{}' is no service number: those are whole numbers, 4381 say", number.escape_debug())
    })
}

/// A session with a calculator service.
#[derive(Debug)]
pub struct Client {
    channel: Channel,
    encoder: Encoder,
    decoder: Decoder,
    address: String,
    calls: usize,
}

impl Client {
    /// Opens a session with the service at `address`.
    ///
    /// # Errors
    /// What [`transport::connect`] says.
    pub async fn open(address: &str, choice: Choice, mode: Mode) -> Result<Self, transport::TransportError> {
        let encoding = choice.encoding(mode);
        let options = ConnectOptions::new(encoding.content_type()).mode(mode).receive_timeout(REPLY_TIMEOUT);
        let channel = transport::connect(address, options).await?;
        Ok(Self {
            channel,
            encoder: Encoder::new(encoding, Quotas::DEFAULT),
            decoder: Decoder::new(encoding, Quotas::DEFAULT),
            address: address.to_owned(),
            calls: 0,
        })
    }

    /// Whether the session carries no further call: a streamed one carries one.
    pub fn is_used_up(&self) -> bool {
        self.channel.mode() == Mode::SINGLETON_UNSIZED && self.calls > 0
    }

    /// Calls an operation.
    ///
    /// # Errors
    /// The session broke off, the service answered with a fault or with something that is no answer, or nothing came
    /// within a minute.
    pub async fn call(&mut self, operation: Operation, n1: f64, n2: f64) -> anyhow::Result<f64> {
        self.calls += 1;
        let id = random::message_id();
        let body = operation.request(n1, n2);
        let request = Outgoing::request(&operation.action(), &self.address, id.clone(), body);
        let mut octets = Vec::new();
        self.encoder.encode(&request, &mut octets)?;
        self.channel.send(&octets).await?;
        if self.is_used_up() {
            // Mono answers a streamed call when it has seen its end.
            self.channel.end().await?;
        }
        let Some(envelope) = self.channel.receive().await? else {
            bail!("the service ended the session instead of answering")
        };
        let mut reply = self.decoder.decode(&envelope.octets)?;
        // Mono's faults do not say what they answer.
        let body = reply.reply()??;
        ensure!(reply.headers().relates_to == Some(id), "the reply relates to another message");
        Ok(operation.result(body.as_ref())?)
    }

    /// Ends the session.
    ///
    /// # Errors
    /// The service does not end it too.
    pub async fn close(self) -> anyhow::Result<()> {
        Ok(self.channel.close().await?)
    }
}
