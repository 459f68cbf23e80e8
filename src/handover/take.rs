//! The new process: takes the sockets that it is to listen on, and says when it does.

use std::io;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::net::UnixStream;
use tokio::time::timeout_at;

use super::HandoverError;
use super::Upgrade;
use super::message::{FromNew, FromRunning, Offered, Purpose, greet, hear, is_no_stranger, receive, say};
use crate::listener::{ListenAddress, ListenSocket};

/// The time between two looks for an offer. So the two processes may be started in either order.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The process that serves until this one does.
#[derive(Debug)]
pub struct Predecessor {
    stream: UnixStream,
    known: Value,
    offered: Vec<Option<Offered>>,
    timeout: Duration,
    deadline: Instant,
}

impl Predecessor {
    /// Waits until the running process offers its sockets.
    ///
    /// # Errors
    /// Where no process offers in time, or it runs as another user, or speaks another version of the protocol.
    pub async fn find(upgrade: &Upgrade) -> Result<Self, HandoverError> {
        let mut stream = connect(upgrade).await?;
        let deadline = Instant::now() + upgrade.timeout;
        let heard = async {
            let known = greet(&mut stream, Value::Null).await?;
            match hear(&mut stream).await? {
                FromRunning::Offer(offered) => Ok((known, offered.into_iter().map(Some).collect())),
                FromRunning::Refused(why) => Err(HandoverError::Refused(why)),
                FromRunning::Yours => {
                    Err(HandoverError::Nonsense("it lets go before it has offered".to_owned()))
                }
            }
        };
        let heard = timeout_at(deadline.into(), heard).await;
        let (known, offered) = heard.unwrap_or(Err(HandoverError::TooLate(upgrade.timeout)))?;
        Ok(Self { stream, known, offered, timeout: upgrade.timeout, deadline })
    }

    /// What the running process knows, if it says so.
    pub fn known(&self) -> &Value {
        &self.known
    }

    /// Takes those sockets that are `wanted`: for the same purpose, and of an address that is written the same or that the
    /// socket is bound to. Nothing where there is none.
    ///
    /// # Errors
    /// Where the running process does not hand over what it has offered.
    pub async fn take(
        &mut self,
        wanted: &[(Purpose, ListenAddress)],
    ) -> Result<Vec<Option<ListenSocket>>, HandoverError> {
        let mut chosen = Vec::new();
        for (purpose, address) in wanted {
            let fits = |offered: &Offered| {
                offered.purpose == *purpose && (offered.written == *address || offered.bound == *address)
            };
            let position = self.offered.iter().position(|offered| offered.as_ref().is_some_and(fits));
            // Each once.
            chosen.push(
                position.and_then(|position| Some((position, self.offered.get_mut(position)?.take()?))),
            );
        }
        let received = async {
            let positions = chosen.iter().flatten().map(|(position, _)| *position).collect();
            say(&mut self.stream, &FromNew::Take(positions)).await?;
            let mut taken = Vec::new();
            for (choice, (_, written)) in chosen.iter().zip(wanted) {
                taken.push(match choice {
                    None => None,
                    Some((_, offered)) => Some(listening(&self.stream, &offered.bound, written).await?),
                });
            }
            Ok(taken)
        };
        let received = timeout_at(self.deadline.into(), received).await;
        received.unwrap_or(Err(HandoverError::TooLate(self.timeout)))
    }

    /// The time by which this process has to be ready.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// The error where it is not.
    pub fn too_late(&self) -> HandoverError {
        HandoverError::TooLate(self.timeout)
    }

    /// Tells the running process that this one accepts on all its sockets. That one lets go of them then, or says why
    /// not. If it has ended meanwhile, it has let go. It does not end before the value is dropped.
    ///
    /// # Errors
    /// Where the running process goes on serving: this process has to stop.
    pub async fn relieve(mut self) -> Result<Relieved, HandoverError> {
        let relieved = async {
            say(&mut self.stream, &FromNew::Ready).await?;
            match hear(&mut self.stream).await? {
                FromRunning::Yours => Ok(()),
                FromRunning::Refused(why) => Err(HandoverError::Refused(why)),
                FromRunning::Offer(_) => Err(HandoverError::Nonsense("it offers twice".to_owned())),
            }
        };
        // The running process has a deadline of its own: this one is for a process that hangs.
        let deadline = self.deadline + self.timeout;
        match timeout_at(deadline.into(), relieved).await {
            Ok(Ok(())) => {}
            // The running process was killed, or told to stop. If this one stopped too, no process would serve.
            Ok(Err(HandoverError::Broken { source })) => {
                tracing::warn!(%source, "the running process ended without an answer: serving in its place");
            }
            Ok(Err(failure)) => return Err(failure),
            Err(_) => return Err(HandoverError::TooLate(self.timeout)),
        }
        Ok(Relieved { _stream: self.stream })
    }

    /// Tells the running process why this one ends.
    pub async fn give_up(mut self, why: &str) {
        // If this fails, it sees the end of the connection.
        let _ = say(&mut self.stream, &FromNew::Failed(why.to_owned())).await;
    }
}

/// The old process after it has let go: it waits until its successor has done what has to come before its end.
#[derive(Debug)]
pub struct Relieved {
    _stream: UnixStream,
}

/// The next socket, which has to be the one that was announced.
async fn listening(
    stream: &UnixStream,
    bound: &ListenAddress,
    written: &ListenAddress,
) -> Result<ListenSocket, HandoverError> {
    let socket = receive(stream).await?;
    match ListenSocket::inherited(socket, written) {
        Ok(socket) if socket.bound() == bound => Ok(socket),
        _ => Err(HandoverError::WrongSocket(bound.clone())),
    }
}

async fn connect(upgrade: &Upgrade) -> Result<UnixStream, HandoverError> {
    let path = &upgrade.socket;
    let deadline = Instant::now() + upgrade.timeout;
    loop {
        match UnixStream::connect(path).await {
            Ok(stream) => {
                is_no_stranger(&stream, path)?;
                return Ok(stream);
            }
            // Either no offer yet, or the socket of a process that was killed.
            Err(error)
                if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {}
            Err(source) => return Err(HandoverError::Ask { path: path.clone(), source }),
        }
        if Instant::now() >= deadline {
            return Err(HandoverError::NobodyOffered { path: path.clone(), timeout: upgrade.timeout });
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
