//! The calculator client of the port sharing sample.

use std::process::ExitCode;

use clap::Parser;
use samples::client;

/// Call the calculator of the port sharing sample
#[derive(Parser)]
#[command(name = "calculator-client", version)]
struct Cli {
    #[command(flatten)]
    options: client::Options,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Cli { options } = Cli::parse();
    match client::run(options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("calculator-client: {error:#}");
            ExitCode::FAILURE
        }
    }
}
