//! The whole story on this machine, step by step: a broker process, two calculator services that share one port through
//! it, and a client that calls both. Needs no rights, no fixed port and nothing installed; leaves nothing behind.
//!
//! `demo` starts itself again for each of the processes, with one of the words below as its first argument.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;
use samples::{client, demo, service, terminate};

/// Two calculator services on one port, step by step: a broker, the services, and a client that reaches both
///
/// Needs no rights, no fixed port and nothing installed; leaves nothing behind.
#[derive(Parser)]
#[command(name = "demo", version)]
struct Demo;

#[derive(Parser)]
#[command(name = "calculator-service", version)]
struct Service {
    #[command(flatten)]
    options: service::Options,
}

#[derive(Parser)]
#[command(name = "calculator-client", version)]
struct Client {
    #[command(flatten)]
    options: client::Options,
}

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    match arguments.first().and_then(|word| word.to_str()) {
        Some(demo::BROKER) => {
            demo::end_with_the_starter();
            broker::main_from(arguments)
        }
        Some(demo::SERVICE) => {
            let Service { options } = Service::parse_from(arguments);
            block_on("calculator-service", async {
                service::run(options, terminate::end_of_input_or_signal()?).await
            })
        }
        Some(demo::CLIENT) => {
            let Client { options } = Client::parse_from(arguments);
            block_on("calculator-client", client::run(options))
        }
        _ => {
            let Demo = Demo::parse();
            block_on("demo", demo::run())
        }
    }
}

fn block_on(name: &str, run: impl Future<Output = anyhow::Result<()>>) -> ExitCode {
    let result =
        tokio::runtime::Runtime::new().map_err(anyhow::Error::from).and_then(|runtime| runtime.block_on(run));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{name}: {error:#}");
            ExitCode::FAILURE
        }
    }
}
