//! The messages of the two processes: lines of JSON, and sockets.
//!
//! Sockets come with one byte each. A line is read byte by byte, so that no read takes the byte that a socket belongs to.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::UnixStream;

use super::HandoverError;
use crate::listener::ListenAddress;

/// The version of these messages. A change of their meaning changes the number.
pub const PROTOCOL: u32 = 1;

/// Longer than any list of listeners.
const MAX_LINE: usize = 256 * 1024;

/// The first message of each side. Every version can read every other's.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Greeting {
    pub(super) handover: u32,
    #[serde(rename = "opgate")]
    pub(super) version: String,
    /// What the running process knows and the new one can go on with. Versions that do not know it pass over it.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub(super) known: Value,
}

/// Messages of the running process.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum FromRunning {
    Offer(Vec<Offered>),
    /// The new process serves from here on.
    Yours,
    Refused(String),
}

/// Messages of the new process.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum FromNew {
    /// Positions in the offer.
    Take(Vec<usize>),
    /// It accepts on all its listeners.
    Ready,
    Failed(String),
}

/// A socket that can be taken.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Offered {
    pub(super) purpose: Purpose,
    pub(super) written: ListenAddress,
    pub(super) bound: ListenAddress,
}

/// The clients of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// Clients.
    Listener,
    /// The operator.
    Admin,
}

/// Exchanges versions, and goes on only where the two processes understand each other. Says what this one knows, and gives what
/// the other one says.
pub(super) async fn greet(stream: &mut UnixStream, known: Value) -> Result<Value, HandoverError> {
    let ours = Greeting { handover: PROTOCOL, version: env!("CARGO_PKG_VERSION").to_owned(), known };
    say(stream, &ours).await?;
    let theirs: Greeting = hear(stream).await?;
    if theirs.handover == PROTOCOL {
        Ok(theirs.known)
    } else {
        Err(HandoverError::Version { version: theirs.version, protocol: theirs.handover })
    }
}

/// Makes sure that the process at the other end runs as the same user.
pub(super) fn is_no_stranger(stream: &UnixStream, path: &Path) -> Result<(), HandoverError> {
    let theirs = stream.peer_cred()?.uid();
    let ours = rustix::process::geteuid().as_raw();
    if theirs == ours { Ok(()) } else { Err(HandoverError::Stranger { path: path.to_owned(), theirs, ours }) }
}

pub(super) async fn say(stream: &mut UnixStream, message: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    stream.write_all(&line).await
}

pub(super) async fn hear<T: DeserializeOwned>(stream: &mut UnixStream) -> Result<T, HandoverError> {
    let mut line = Vec::new();
    loop {
        match stream.read_u8().await? {
            b'\n' => break,
            _ if line.len() == MAX_LINE => {
                return Err(HandoverError::Nonsense("a line without an end".to_owned()));
            }
            byte => line.push(byte),
        }
    }
    serde_json::from_slice(&line).map_err(|error| HandoverError::Nonsense(error.to_string()))
}

pub(super) async fn pass(stream: &UnixStream, socket: &impl AsFd) -> io::Result<()> {
    stream
        .async_io(Interest::WRITABLE, || {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            let sockets = [socket.as_fd()];
            if !control.push(SendAncillaryMessage::ScmRights(&sockets)) {
                return Err(io::ErrorKind::OutOfMemory.into());
            }
            sendmsg(stream, &[IoSlice::new(b".")], &mut control, SendFlags::NOSIGNAL)?;
            Ok(())
        })
        .await
}

pub(super) async fn receive(stream: &UnixStream) -> Result<OwnedFd, HandoverError> {
    let received = stream
        .async_io(Interest::READABLE, || {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let mut byte = [0];
            let received =
                recvmsg(stream, &mut [IoSliceMut::new(&mut byte)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
            if received.bytes == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let sockets = control.drain().find_map(|message| match message {
                RecvAncillaryMessage::ScmRights(mut sockets) => sockets.next(),
                _ => None,
            });
            Ok(sockets)
        })
        .await?;
    received.ok_or_else(|| HandoverError::Nonsense("a socket was announced and none came".to_owned()))
}
