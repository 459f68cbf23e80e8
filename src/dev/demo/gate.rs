//! opgate as a child process on free ports.
//!
//! It says where it listens by renaming a file into place once it is ready. Its audit lines and its log go to files
//! beside that one, in a directory that only this user may read, and that is removed afterwards.

use std::fs::DirBuilder;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use serde::Deserialize;
use tokio::process::{Child, Command};
use tokio::time::Instant;

/// How long opgate may take to become ready.
const START_TIMEOUT: Duration = Duration::from_secs(20);
/// The time between two looks at whether it is.
const POLL_EVERY: Duration = Duration::from_millis(20);

/// A running opgate. Dropping it kills the process and removes its files.
#[derive(Debug)]
pub struct GateProcess {
    child: Child,
    scratch: ScratchDirectory,
    addresses: Addresses,
}

/// What opgate is connected to.
#[derive(Clone, Debug)]
pub struct GateSettings<'s> {
    /// Its configuration file.
    pub config: &'s Path,
    /// The endpoint of the upstream `operations`.
    pub backend: SocketAddr,
    /// Where the keys of the issuer `demo` are.
    pub keys_url: &'s str,
}

/// Where it listens: what it writes to its addresses file.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
struct Addresses {
    listeners: Vec<SocketAddr>,
    admin: SocketAddr,
}

/// Why opgate could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A file or process operation failed.
    #[error("cannot start opgate: {0}")]
    Io(#[from] io::Error),
    /// The process ended before it was ready.
    #[error("opgate ended before it was ready ({status}); its log:\n{log}")]
    Ended {
        /// How it ended.
        status: ExitStatus,
        /// Its standard error.
        log: String,
    },
    /// The process is still not ready.
    #[error("opgate was not ready after {} seconds; its log:\n{log}", START_TIMEOUT.as_secs())]
    TimedOut {
        /// Its standard error.
        log: String,
    },
    /// The addresses file holds something else.
    #[error("opgate wrote addresses that cannot be used: {0}")]
    Addresses(String),
}

impl GateProcess {
    /// Starts `opgate run`, and waits until it is ready. `program` is the command without its arguments.
    ///
    /// # Errors
    /// Where it cannot be started, ends, or is not ready within 20 seconds.
    pub async fn start(mut program: Command, surroundings: &GateSettings<'_>) -> Result<Self, StartError> {
        let scratch = ScratchDirectory::create()?;
        let log = std::fs::File::create(scratch.log())?;
        program.arg("run").arg("--config").arg(surroundings.config);
        for setting in [
            "listeners.0.address=127.0.0.1:0".to_owned(),
            "admin.address=127.0.0.1:0".to_owned(),
            format!("upstreams.operations.endpoints.0={}", surroundings.backend),
            format!("issuers.demo.keys.url={}", surroundings.keys_url),
            format!("audit.output={}", scratch.audit().display()),
        ] {
            program.arg("--set").arg(setting);
        }
        program.arg("--addresses-file").arg(scratch.addresses());
        program.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).kill_on_drop(true);
        let mut child = program.spawn()?;
        let addresses = wait_until_ready(&mut child, &scratch).await?;
        if addresses.listeners.is_empty() {
            return Err(StartError::Addresses("no listener".to_owned()));
        }
        Ok(Self { child, scratch, addresses })
    }

    /// Where clients connect.
    pub fn listener(&self) -> SocketAddr {
        // Checked at the start: there is one.
        self.addresses.listeners.first().copied().unwrap_or(self.addresses.admin)
    }

    /// The address of its admin endpoints.
    pub fn admin(&self) -> SocketAddr {
        self.addresses.admin
    }

    /// Its audit lines so far.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn audit_lines(&self) -> io::Result<Vec<String>> {
        let text = std::fs::read_to_string(self.scratch.audit())?;
        // The last piece is a line only once its newline is there.
        Ok(text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')).map(str::to_owned).collect())
    }

    /// Writes a file beside its log: only this user may read it, and it is removed with the log.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn write(&self, name: &str, text: &str) -> io::Result<PathBuf> {
        let path = self.scratch.0.join(name);
        std::fs::write(&path, text)?;
        Ok(path)
    }

    /// Where its log is.
    pub fn log(&self) -> PathBuf {
        self.scratch.log()
    }

    /// Waits until the process ends. It does not end by itself.
    ///
    /// # Errors
    /// Where its state cannot be asked for.
    pub async fn ended(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Kills the process and waits until it is gone.
    ///
    /// # Errors
    /// Where that fails.
    pub async fn stop(mut self) -> io::Result<()> {
        self.child.kill().await
    }
}

async fn wait_until_ready(child: &mut Child, scratch: &ScratchDirectory) -> Result<Addresses, StartError> {
    let log = || {
        std::fs::read_to_string(scratch.log())
            .unwrap_or_else(|error| format!("(its log cannot be read: {error})"))
    };
    let deadline = Instant::now() + START_TIMEOUT;
    loop {
        match std::fs::read(scratch.addresses()) {
            Ok(bytes) => {
                return serde_json::from_slice(&bytes)
                    .map_err(|error| StartError::Addresses(error.to_string()));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
        if let Some(status) = child.try_wait()? {
            return Err(StartError::Ended { status, log: log() });
        }
        if Instant::now() >= deadline {
            return Err(StartError::TimedOut { log: log() });
        }
        tokio::time::sleep(POLL_EVERY).await;
    }
}

/// A directory for one run.
#[derive(Debug)]
struct ScratchDirectory(PathBuf);

impl ScratchDirectory {
    fn create() -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("opgate-demo-{}", uuid::Uuid::new_v4()));
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }

    fn addresses(&self) -> PathBuf {
        self.0.join("addresses.json")
    }

    fn audit(&self) -> PathBuf {
        self.0.join("audit.jsonl")
    }

    fn log(&self) -> PathBuf {
        self.0.join("opgate.log")
    }
}

impl Drop for ScratchDirectory {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(%error, path = %self.0.display(), "the demo's files could not be removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A shell script in the place of `opgate`: `$ADDRESSES` and `$AUDIT` are files that opgate would write.
    async fn start(script: &str) -> Result<GateProcess, StartError> {
        let prologue = r#"
            for argument in "$@"; do
                case "$argument" in
                    audit.output=*) AUDIT="${argument#audit.output=}" ;;
                    */addresses.json) ADDRESSES="$argument" ;;
                esac
            done
        "#;
        let mut program = Command::new("sh");
        program.arg("-c").arg(format!("{prologue}\n{script}")).arg("opgate");
        let surroundings = GateSettings {
            config: Path::new("demo.yaml"),
            backend: "127.0.0.1:1".parse().unwrap(),
            keys_url: "http://127.0.0.1:2/jwks.json",
        };
        GateProcess::start(program, &surroundings).await
    }

    const READY: &str = r#"
        printf '{"listeners":["127.0.0.1:3"],"admin":"127.0.0.1:4"}' > "$ADDRESSES.part"
        mv "$ADDRESSES.part" "$ADDRESSES"
    "#;

    #[tokio::test]
    async fn it_gets_its_settings_and_writes_its_addresses() {
        let script =
            format!(r#"printf '%s\n' "$@" > "$AUDIT"; printf unfinished >> "$AUDIT"; {READY} exec sleep 60"#);
        let mut gate = start(&script).await.unwrap();
        assert_eq!(gate.listener().port(), 3);
        assert_eq!(gate.admin().port(), 4);
        let lines = gate.audit_lines().unwrap();
        assert_eq!(&lines[..3], ["run", "--config", "demo.yaml"]);
        assert!(lines.contains(&"upstreams.operations.endpoints.0=127.0.0.1:1".to_owned()));
        assert!(lines.contains(&"issuers.demo.keys.url=http://127.0.0.1:2/jwks.json".to_owned()));
        assert!(!lines.contains(&"unfinished".to_owned()));
        let still_running = tokio::time::timeout(Duration::from_millis(50), gate.ended()).await;
        assert!(still_running.is_err());

        let directory = gate.scratch.0.clone();
        gate.stop().await.unwrap();
        assert!(!directory.exists());
    }

    #[tokio::test]
    async fn its_log_is_in_the_error_where_it_ends_early() {
        let error = start("echo 'error: no such file' >&2; exit 3").await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "opgate ended before it was ready (exit status: 3); its log:\nerror: no such file\n"
        );
    }

    #[tokio::test]
    async fn addresses_that_make_no_sense_are_refused() {
        for content in ["{}", "[", r#"{"listeners":[],"admin":"127.0.0.1:4"}"#] {
            let script = format!(
                "printf '%s' '{content}' > \"$ADDRESSES.part\"; mv \"$ADDRESSES.part\" \"$ADDRESSES\"; exec sleep 60"
            );
            let error = start(&script).await.unwrap_err();
            assert!(matches!(error, StartError::Addresses(_)), "{content}: {error}");
        }
    }
}
