//! `opgate health`: asks a running gate whether it serves, for container runtimes, which run a command.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use super::admin_address::reachable;
use super::args::{ConfigArgs, Output};
use crate::diagnostic::Report;
use crate::terminal::{FAILED, INVALID, eprint, eprint_report, print};
use crate::tls;

/// Arguments of `opgate health`.
#[derive(Debug, clap::Args)]
pub struct HealthArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Ask whether requests should be sent to it (/readyz), instead of whether it serves (/livez)
    #[arg(long)]
    ready: bool,
    /// How long to wait for the answer, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 2)]
    timeout: u64,
}

/// Exits 0 if the gate says yes, 1 if it says no or does not answer, and 3 if the configuration does not say where to
/// ask.
pub fn run(args: &HealthArgs) -> ExitCode {
    let mut report = Report::new();
    let Some(config) = args.config.origin().load(&mut report).filter(|_| !report.is_fatal()) else {
        eprint_report(&report);
        return ExitCode::from(INVALID);
    };
    let help = "give it a port in `admin.address`";
    let address = match reachable(config.admin.address, help) {
        Ok(address) => address,
        Err(problem) => return problem.print(Output::Text),
    };
    let path = if args.ready { "/readyz" } else { "/livez" };
    match ask(address, path, Duration::from_secs(args.timeout)) {
        Ok((true, said)) => {
            print(&said);
            ExitCode::SUCCESS
        }
        Ok((false, said)) => {
            eprint(&said);
            ExitCode::from(FAILED)
        }
        Err(error) => {
            eprint(&format!("opgate: cannot ask the gate at {address}: {error}\n"));
            ExitCode::from(FAILED)
        }
    }
}

/// Whether the answer is a success, and its text.
fn ask(
    address: SocketAddr,
    path: &str,
    timeout: Duration,
) -> Result<(bool, String), Box<dyn std::error::Error>> {
    tls::choose_cryptography();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let client = reqwest::Client::builder().no_proxy().timeout(timeout).build()?;
        let answer = client.get(format!("http://{address}{path}")).send().await?;
        let is_good = answer.status().is_success();
        let mut text = answer.text().await?;
        if !text.ends_with('\n') {
            text.push('\n');
        }
        Ok((is_good, text))
    })
}
