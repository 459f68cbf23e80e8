//! The demo: opgate in front of a backend that runs operations, and a walk that shows what it allows and what it
//! refuses.
//!
//! ```text
//! opgate-dev demo ──┬── issuer    an identity provider: keys over HTTP, tokens for the walk
//!                   ├── backend   long-running operations of three services; logs every request that reaches it
//!                   ├── walk      a client that sends exactly the bytes it is given; checks responses and that log
//!                   └── gate      a child process: `opgate run --config config/demo.yaml`, on free ports
//! ```
//!
//! opgate is a process of its own, so that the demo shows the program that people deploy.

mod evidence;
pub mod gate;
mod observed;
mod print;
mod steps;
pub mod walk;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

use self::gate::{GateProcess, GateSettings, StartError};
pub use self::print::Detail;
use self::walk::{DemoWalk, TOKEN_LIFETIME};
use super::backend::Backend;
use super::issuer::{CLOUD_PLATFORM, CLOUD_TRANSLATION, DevIssuer};

/// How many commands to try are shown where little is.
const BRIEF_COMMANDS: usize = 2;
/// How long our own signal may take to arrive after opgate has ended.
const SIGNAL_TIMEOUT: Duration = Duration::from_millis(200);

/// Why the demo could not be shown.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// opgate could not be started.
    #[error(transparent)]
    Start(#[from] StartError),
    /// A socket, a file or the terminal failed.
    #[error("the demo broke off: {0}")]
    Io(#[from] io::Error),
    /// opgate ended while it was shown.
    #[error("opgate ended ({status}); its log:\n{log}")]
    GateEnded {
        /// How it ended.
        status: std::process::ExitStatus,
        /// Its standard error.
        log: String,
    },
    /// SIGINT or SIGTERM before the end of the walk.
    #[error("interrupted")]
    Interrupted,
}

/// What is shown, and how.
#[derive(Clone, Copy, Debug)]
pub struct DemoSettings<'s> {
    /// The configuration that opgate is started with.
    pub config: &'s Path,
    /// Whether the demo ends with the walk; else it ends with SIGINT or SIGTERM.
    pub once: bool,
    /// How much is shown.
    pub detail: Detail,
}

/// Shows the demo. `program` is the command of opgate without its arguments. The result is whether every step came out
/// as expected.
///
/// # Errors
/// Where anything but a step of the walk failed.
pub async fn run(
    program: Command,
    settings: DemoSettings<'_>,
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

    let issuer = DevIssuer::start()?;
    let backend = Backend::start()?;
    let keys_url = issuer.keys_url();
    let surroundings =
        GateSettings { config: settings.config, backend: backend.address(), keys_url: &keys_url };
    let mut gate = tokio::select! {
        gate = GateProcess::start(program, &surroundings) => gate?,
        () = &mut interrupted => return Err(DemoError::Interrupted),
    };
    let passed = tokio::select! {
        passed = show(&gate, &issuer, &backend, settings.detail, out) => passed?,
        () = &mut interrupted => return Err(DemoError::Interrupted),
    };
    if !settings.once {
        invite(&gate, &issuer, settings.detail, out)?;
        stay(&mut gate, interrupted).await?;
    }
    gate.stop().await?;
    Ok(passed)
}

/// The walk and its evidence.
async fn show(
    gate: &GateProcess,
    issuer: &DevIssuer,
    backend: &Backend,
    detail: Detail,
    out: &mut dyn Write,
) -> io::Result<bool> {
    match detail {
        Detail::Brief => writeln!(out, "What is sent through opgate => what comes back (why)\n")?,
        Detail::Full => writeln!(
            out,
            "opgate listens on {}, in front of operations on {}; its keys come from {}.\n\
             Each step sends requests through it, and checks the responses and the log of the backend.",
            gate.listener(),
            backend.address(),
            issuer.address(),
        )?,
    }
    let tally = DemoWalk { gate: gate.listener(), issuer, backend }.run(detail, out).await?;
    let agrees = evidence::show(gate, backend, tally, detail, out).await?;
    let steps = tally.passed + tally.failed;
    writeln!(out, "\n{} of {steps} steps came out as expected.", tally.passed)?;
    Ok(agrees && tally.failed == 0)
}

/// Prints commands to paste. Their tokens are in a file beside the log, so that they do not fill the terminal.
fn invite(
    gate: &GateProcess,
    issuer: &DevIssuer,
    detail: Detail,
    out: &mut dyn Write,
) -> Result<(), DemoError> {
    let mut tokens = String::new();
    for (variable, email, scope) in [
        ("ANA", "ana@example.com", CLOUD_PLATFORM),
        ("BOB", "bob@example.com", CLOUD_PLATFORM),
        ("ERIN", "erin@example.com", CLOUD_TRANSLATION),
    ] {
        let token = issuer.token(email, &[scope], TOKEN_LIFETIME).map_err(io::Error::other)?;
        tokens.push_str(&format!("{variable}={token}\n"));
    }
    let tokens = gate.write("tokens.sh", &tokens)?;
    writeln!(out, "\nTry it. Ana may cancel, Bob may read, Erin may cancel in projects/other; paste:\n")?;
    writeln!(out, ". {}", tokens.display())?;
    let commands = commands(gate.listener());
    let shown = if detail == Detail::Full { commands.len() } else { BRIEF_COMMANDS };
    for command in commands.iter().take(shown) {
        writeln!(out, "{command}")?;
    }
    writeln!(out, "curl http://{}/metrics", gate.admin())?;
    writeln!(out, "\nThe log of opgate: {}", gate.log().display())?;
    if detail == Detail::Brief {
        writeln!(out, "`--verbose` shows each request and response, the metrics and the audit log.")?;
    }
    writeln!(out, "Ctrl-C ends it.")?;
    Ok(out.flush()?)
}

/// Waits for SIGINT or SIGTERM, or for the unexpected end of opgate.
async fn stay(
    gate: &mut GateProcess,
    interrupted: Pin<&mut impl Future<Output = ()>>,
) -> Result<(), DemoError> {
    let log = gate.log();
    let mut interrupted = interrupted;
    tokio::select! {
        status = gate.ended() => {
            // Ctrl-C in a terminal reaches opgate too, and may end it before our own signal has arrived here.
            let asked = tokio::time::timeout(SIGNAL_TIMEOUT, interrupted).await;
            if asked.is_err() {
                let log = std::fs::read_to_string(log).unwrap_or_else(|error| error.to_string());
                return Err(DemoError::GateEnded { status: status?, log });
            }
        }
        () = &mut interrupted => {}
    }
    Ok(())
}

/// The commands to try, the most telling first.
fn commands(listener: SocketAddr) -> Vec<String> {
    const COMPANION: &str = "v1/projects/demo/locations/us-central1/operations";
    let port = listener.port();
    let companion = format!("http://cloudaicompanion.localhost:{port}/{COMPANION}");
    let dataproc =
        format!("http://dataproc.localhost:{port}/v1/projects/demo/regions/us-central1/operations");
    let translation = format!("http://translation.localhost:{port}/v3/projects/demo/operations");
    let cancel = |who: &str, operation: &str| {
        format!("curl -i -X POST -H \"Authorization: Bearer ${who}\" {operation}:cancel")
    };
    vec![
        cancel("ANA", &format!("{companion}/train-2")),
        cancel("BOB", &format!("{companion}/stubborn-2")),
        format!("curl -i -H \"Authorization: Bearer $ANA\" {companion}/train-2"),
        format!("curl -i -H \"Authorization: Bearer $BOB\" '{companion}?pageSize=2'"),
        cancel("ANA", &format!("{dataproc}/job-2")),
        cancel("ERIN", &format!("{translation}/batch-2")),
        cancel("ANA", &format!("--http2-prior-knowledge {companion}/stubborn-2")),
        format!("curl -i -X POST {companion}/train-2:cancel"),
    ]
}
