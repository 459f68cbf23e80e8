//! `opgate run`: serve until the process is told to end.

use std::path::PathBuf;
use std::process::ExitCode;

use super::args::ConfigArgs;
use crate::server::{self, Options};
use crate::terminal::{FAILED, INVALID, eprint};
use crate::tls;

/// Arguments of `opgate run`.
#[derive(Debug, clap::Args)]
pub struct RunArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Write the bound addresses here, as JSON, once requests are served: for port 0
    #[arg(long, value_name = "FILE")]
    addresses_file: Option<PathBuf>,
    /// Take the listeners over from the running process, which SIGQUIT asks to hand them over; it drains once this one
    /// serves. Needs `upgrade.socket`
    #[arg(long)]
    upgrade: bool,
    /// Write the process's id here while it serves
    #[arg(long, value_name = "FILE")]
    pid_file: Option<PathBuf>,
    /// Start the process in place of this one, and end: how SIGUSR2 starts a process that is not its child
    #[arg(long, hide = true)]
    detach: bool,
}

/// Serves until SIGTERM or SIGINT, or until another process serves in its place.
pub fn run(args: &RunArgs) -> ExitCode {
    if args.detach {
        return match server::start_in_place() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprint(&format!("opgate: {error}\n"));
                ExitCode::from(FAILED)
            }
        };
    }
    tls::choose_cryptography();
    let origin = args.config.origin();
    let Some(loaded) = server::load(&origin) else {
        return ExitCode::from(INVALID);
    };
    if args.upgrade && !loaded.can_take_over() {
        eprint(
            "opgate: `--upgrade` needs `upgrade.socket` in the configuration: the same as the running process has\n",
        );
        return ExitCode::from(INVALID);
    }
    let options = Options {
        takes_over: args.upgrade,
        pid_file: args.pid_file.clone(),
        addresses_file: args.addresses_file.clone(),
    };
    match server::run(origin, loaded, &options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprint(&format!("opgate: {error}\n"));
            ExitCode::from(FAILED)
        }
    }
}
