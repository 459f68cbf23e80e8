//! What a gate writes for other programs: its process id, and the addresses that it serves on.

use std::io;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::ready::wait_until_ready;
use super::sockets::Sockets;
use super::start_error::StartError;
use crate::admin::Admin;

/// The files that were asked for.
#[derive(Clone, Debug)]
pub(crate) struct Announcement {
    pid_file: Option<PathBuf>,
    addresses_file: Option<PathBuf>,
    addresses: serde_json::Value,
}

impl Announcement {
    pub(crate) fn of(sockets: &Sockets, pid_file: Option<PathBuf>, addresses_file: Option<PathBuf>) -> Self {
        let listeners: Vec<String> =
            sockets.listeners.iter().map(|listening| listening.bound().to_string()).collect();
        let mut addresses = json!({ "listeners": listeners, "admin": sockets.admin.bound().to_string() });
        if let (Some(explain), Some(addresses)) = (&sockets.explain, addresses.as_object_mut()) {
            addresses.insert("explain".to_owned(), explain.bound().to_string().into());
        }
        Self { pid_file, addresses_file, addresses }
    }

    /// Writes the process id.
    pub(crate) fn pid(&self) -> Result<(), StartError> {
        write(self.pid_file.as_deref(), &format!("{}\n", std::process::id()))
    }

    /// Writes the addresses, once requests are served.
    pub(crate) async fn addresses(&self, admin: &Admin) -> Result<(), StartError> {
        if self.addresses_file.is_some() {
            wait_until_ready(admin).await;
        }
        write(self.addresses_file.as_deref(), &self.addresses.to_string())
    }

    /// Removes the process id, unless another process has written its own.
    pub(crate) fn withdraw(&self) {
        let Some(path) = &self.pid_file else { return };
        let own = std::process::id().to_string();
        if std::fs::read_to_string(path).is_ok_and(|content| content.trim_end() == own)
            && let Err(error) = std::fs::remove_file(path)
        {
            tracing::warn!(%error, path = %path.display(), "cannot remove the pid file");
        }
    }
}

fn write(path: Option<&Path>, content: &str) -> Result<(), StartError> {
    let Some(path) = path else { return Ok(()) };
    replace(path, content).map_err(|source| StartError::Write { path: path.to_owned(), source })
}

/// Written beside and renamed: a reader sees the whole file or none.
fn replace(path: &Path, content: &str) -> io::Result<()> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    std::fs::write(&partial, content)?;
    std::fs::rename(&partial, path)
}
