//! The calculator client of the port sharing sample.

use std::process::ExitCode;

use clap::Parser;
use samples::client;

/// Call the calculator of the port sharing sample
///
/// Makes four calls, Add, Subtract, Multiply and Divide, and prints their results. The exit status is 0 if all four were
/// answered, 1 if not, for a reason that standard error says.
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
