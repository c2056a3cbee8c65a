//! xlfsctl, the command line of xlfs. It reads the command line ([`cli`]),
//! talks to xlfsd over its Unix socket ([`client`]) and prints what comes back
//! ([`output`]); each command has a file under [`commands`].

mod cli;
mod client;
mod commands;
mod complete;
mod errors;
mod exit;
mod output;
mod progress;
mod terminal;
mod usage;
mod words;
mod xl_cfg;

use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::Cli;
use crate::errors::Failure;
use crate::exit::Exit;

fn main() -> ExitCode {
    if complete::answer_shell() {
        return ExitCode::SUCCESS;
    }
    let exit = match Cli::try_parse() {
        Ok(cli) => run(cli),
        Err(error) => usage::report(error),
    };
    ExitCode::from(exit.code())
}

fn run(cli: Cli) -> Exit {
    // One thread is enough: there is one user and one socket.
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => {
            let exit = runtime.block_on(commands::run(cli));
            // A thread may still sit in a read of the keyboard.
            runtime.shutdown_background();
            exit
        }
        Err(error) => {
            let failure = Failure::io("cannot start", &error);
            output::failure::report(cli.global.output, &failure);
            failure.exit()
        }
    }
}
