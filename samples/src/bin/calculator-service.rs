//! The calculator service of the port sharing sample.

use std::process::ExitCode;

use clap::Parser;
use samples::{service, terminate};

/// Serve the calculator of the port sharing sample
///
/// Says its address when it listens, and ends on ENTER, SIGINT or SIGTERM. It takes every encoding that the client has. The exit
/// status is 1 if it cannot listen, for a reason that standard error says.
#[derive(Parser)]
#[command(name = "calculator-service", version)]
struct Cli {
    #[command(flatten)]
    options: service::Options,
}

#[tokio::main]
async fn main() -> ExitCode {
    let Cli { options } = Cli::parse();
    let run = async { service::run(options, terminate::enter_or_signal()?).await };
    match run.await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("calculator-service: {error:#}");
            ExitCode::FAILURE
        }
    }
}
