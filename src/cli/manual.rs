//! `opgate man` and `opgate completions`: what packages install beside the program.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::CommandFactory;

use crate::terminal::{FAILED, eprint, print};

/// Arguments of `opgate man`.
#[derive(Debug, clap::Args)]
pub struct ManArgs {
    /// Where to write the pages, one for each command; made if it is missing
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

/// Arguments of `opgate completions`.
#[derive(Debug, clap::Args)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    shell: clap_complete::Shell,
}

/// Writes the manual pages. Exits 1 where they cannot be written.
pub fn man<P: CommandFactory>(args: &ManArgs) -> ExitCode {
    let written = std::fs::create_dir_all(&args.directory)
        .and_then(|()| clap_mangen::generate_to(P::command(), &args.directory));
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprint(&format!("opgate: cannot write to {}: {error}\n", args.directory.display()));
            ExitCode::from(FAILED)
        }
    }
}

/// Prints the completions of a shell.
pub fn completions<P: CommandFactory>(args: &CompletionsArgs) -> ExitCode {
    let mut command = P::command();
    let name = command.get_name().to_owned();
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut command, name, &mut text);
    print(&String::from_utf8_lossy(&text));
    ExitCode::SUCCESS
}
