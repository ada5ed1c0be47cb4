//! The `broker` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    broker::main_from(std::env::args_os())
}
