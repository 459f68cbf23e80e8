//! The demo: the real gate in front of a backend that really runs operations, and a walk that shows what it lets
//! through and what it stops.
//!
//! ```text
//! opgate-dev demo ──┬── issuer    an identity provider: keys over HTTP, tokens for the walk
//!                   ├── backend   long-running operations for three services; logs every request that reaches it
//!                   ├── walk      a client that sends bytes as it likes, judges the answers and the backend's log
//!                   └── gate      a child process: `opgate run --config config/demo.yaml`, on free ports
//! ```
//!
//! The gate is a process of its own so that the demo shows the program people deploy, not a part of it. Issuer and
//! backend are libraries too: the integration tests stand on them.

mod evidence;
pub mod gate;
mod observed;
mod print;
mod steps;
pub mod walk;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;

use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

use self::gate::{GateProcess, GateSettings, StartError};
use self::walk::{DemoWalk, TOKEN_LIFETIME};
use super::backend::Backend;
use super::issuer::{CLOUD_PLATFORM, CLOUD_TRANSLATION, Issuer};

/// Why the demo could not be shown.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// There is no gate to show.
    #[error(transparent)]
    Start(#[from] StartError),
    /// A socket, a file or the terminal failed.
    #[error("the demo broke off: {0}")]
    Io(#[from] io::Error),
    /// The gate ended while it was being shown.
    #[error("the gate ended ({status}); it said:\n{log}")]
    GateEnded {
        /// How.
        status: std::process::ExitStatus,
        /// Its standard error.
        log: String,
    },
    /// Ctrl-C before the end of the walk.
    #[error("interrupted")]
    Interrupted,
}

/// Shows the demo. `program` is the command of the gate as far as `run`. With `once` it ends with the walk, else with
/// SIGINT or SIGTERM. The result is whether everything came out as expected.
///
/// # Errors
/// Where something failed that is not a step of the walk.
pub async fn run(
    program: Command,
    config: &Path,
    once: bool,
    out: &mut dyn Write,
) -> Result<bool, DemoError> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let interrupted = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    tokio::pin!(interrupted);

    let issuer = Issuer::start()?;
    let backend = Backend::start()?;
    let keys_url = issuer.keys_url();
    let surroundings = GateSettings { config, backend: backend.address(), keys_url: &keys_url };
    let mut gate = tokio::select! {
        gate = GateProcess::start(program, &surroundings) => gate?,
        () = &mut interrupted => return Err(DemoError::Interrupted),
    };
    let passed = tokio::select! {
        passed = show(&gate, &issuer, &backend, out) => passed?,
        () = &mut interrupted => return Err(DemoError::Interrupted),
    };
    if !once {
        invite(&gate, &issuer, out)?;
        let log = gate.log();
        tokio::select! {
            status = gate.ended() => {
                // Ctrl-C in a terminal reaches the gate too: its end is then ours.
                let asked = tokio::time::timeout(std::time::Duration::from_millis(200), interrupted).await;
                if asked.is_err() {
                    let log = std::fs::read_to_string(log).unwrap_or_else(|error| error.to_string());
                    return Err(DemoError::GateEnded { status: status?, log });
                }
            }
            () = &mut interrupted => {}
        }
    }
    gate.stop().await?;
    Ok(passed)
}

/// The walk and its evidence.
async fn show(
    gate: &GateProcess,
    issuer: &Issuer,
    backend: &Backend,
    out: &mut dyn Write,
) -> io::Result<bool> {
    writeln!(
        out,
        "opgate listens on {}, in front of operations on {}; its keys come from {}.\n\
         Each step sends requests through it and looks at the answer and at the backend's own log.",
        gate.listener(),
        backend.address(),
        issuer.address(),
    )?;
    let tally = DemoWalk { gate: gate.listener(), issuer, backend }.run(out).await?;
    let agreed = evidence::show(gate, backend, tally, out).await?;
    let steps = tally.passed + tally.failed;
    writeln!(out, "\n{} of {steps} steps came out as expected.", tally.passed)?;
    Ok(agreed && tally.failed == 0)
}

/// Commands to copy, with tokens that are good for an hour.
fn invite(gate: &GateProcess, issuer: &Issuer, out: &mut dyn Write) -> Result<(), DemoError> {
    writeln!(out, "\nTry it. Ana may cancel, Bob may look, Erin may cancel in projects/other; paste:\n")?;
    for (variable, email, scope) in [
        ("ANA", "ana@example.com", CLOUD_PLATFORM),
        ("BOB", "bob@example.com", CLOUD_PLATFORM),
        ("ERIN", "erin@example.com", CLOUD_TRANSLATION),
    ] {
        let token = issuer.token(email, &[scope], TOKEN_LIFETIME).map_err(io::Error::other)?;
        writeln!(out, "{variable}={token}")?;
    }
    writeln!(out, "\n{}", commands(gate.listener()))?;
    writeln!(out, "Metrics: curl http://{}/metrics", gate.admin())?;
    writeln!(out, "The gate's log: {}", gate.log().display())?;
    writeln!(out, "\nCtrl-C ends it.")?;
    Ok(out.flush()?)
}

fn commands(listener: SocketAddr) -> String {
    const COMPANION: &str = "v1/projects/demo/locations/us-central1/operations";
    let port = listener.port();
    let companion = format!("http://cloudaicompanion.localhost:{port}/{COMPANION}");
    let dataproc =
        format!("http://dataproc.localhost:{port}/v1/projects/demo/regions/us-central1/operations");
    let translation = format!("http://translation.localhost:{port}/v3/projects/demo/operations");
    format!(
        "curl -i -X POST -H \"Authorization: Bearer $ANA\" {companion}/train-2:cancel\n\
         curl -i -H \"Authorization: Bearer $ANA\" {companion}/train-2\n\
         curl -i -H \"Authorization: Bearer $BOB\" '{companion}?pageSize=2'\n\
         curl -i -X POST -H \"Authorization: Bearer $BOB\" {companion}/stubborn-2:cancel\n\
         curl -i -X POST -H \"Authorization: Bearer $ANA\" {dataproc}/job-2:cancel\n\
         curl -i -X POST -H \"Authorization: Bearer $ERIN\" {translation}/batch-2:cancel\n\
         curl -i -X POST -H \"Authorization: Bearer $ANA\" --http2-prior-knowledge {companion}/stubborn-2:cancel\n\
         curl -i -X POST {companion}/train-2:cancel\n"
    )
}
