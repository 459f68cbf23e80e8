//! The new process: takes the sockets that it is to listen on, and says when it does.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use tokio::net::UnixStream;
use tokio::time::timeout_at;

use super::Failure;
use super::message::{FromNew, FromRunning, Offered, Purpose, greet, hear, is_no_stranger, receive, say};
use crate::config::Upgrade;
use crate::listener::Listening;

/// From one look for an offer to the next. Neither process has to be started or asked first.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The process that serves until this one does.
#[derive(Debug)]
pub struct Predecessor {
    stream: UnixStream,
    offered: Vec<Option<Offered>>,
    timeout: Duration,
    deadline: Instant,
}

impl Predecessor {
    /// Waits until the running process offers its sockets.
    ///
    /// # Errors
    /// Where nobody does in time, or not this process's own user, or in another version of the protocol.
    pub async fn find(upgrade: &Upgrade) -> Result<Self, Failure> {
        let mut stream = connect(upgrade).await?;
        let deadline = Instant::now() + upgrade.timeout;
        let heard = async {
            greet(&mut stream).await?;
            match hear(&mut stream).await? {
                FromRunning::Offer(offered) => Ok(offered.into_iter().map(Some).collect()),
                FromRunning::Refused(why) => Err(Failure::Refused(why)),
                FromRunning::Yours => Err(Failure::Nonsense("it lets go before it has offered".to_owned())),
            }
        };
        let heard = timeout_at(deadline.into(), heard).await;
        let offered = heard.unwrap_or(Err(Failure::TooLate(upgrade.timeout)))?;
        Ok(Self { stream, offered, timeout: upgrade.timeout, deadline })
    }

    /// Takes those sockets that are `wanted`: for the same purpose, and of an address that is written the same or that the
    /// socket is bound to. Nothing where there is none.
    ///
    /// # Errors
    /// Where the running process does not hand over what it has offered.
    pub async fn take(
        &mut self,
        wanted: &[(Purpose, SocketAddr)],
    ) -> Result<Vec<Option<Listening>>, Failure> {
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
                    Some((_, offered)) => Some(listening(&self.stream, offered.bound, *written).await?),
                });
            }
            Ok(taken)
        };
        let received = timeout_at(self.deadline.into(), received).await;
        received.unwrap_or(Err(Failure::TooLate(self.timeout)))
    }

    /// Until when this process has to be ready.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// What is said where it is not.
    pub fn too_late(&self) -> Failure {
        Failure::TooLate(self.timeout)
    }

    /// Tells the running process that this one accepts on all its sockets. It lets go of them then, or says why not; one
    /// that has ended meanwhile has let go. It does not end before the value is dropped.
    ///
    /// # Errors
    /// Where it goes on serving: this process has to stop.
    pub async fn relieve(mut self) -> Result<Relieved, Failure> {
        let relieved = async {
            say(&mut self.stream, &FromNew::Ready).await?;
            match hear(&mut self.stream).await? {
                FromRunning::Yours => Ok(()),
                FromRunning::Refused(why) => Err(Failure::Refused(why)),
                FromRunning::Offer(_) => Err(Failure::Nonsense("it offers twice".to_owned())),
            }
        };
        // The running process has a deadline of its own: this bounds one that hangs.
        let deadline = self.deadline + self.timeout;
        match timeout_at(deadline.into(), relieved).await {
            Ok(Ok(())) => {}
            // It was killed, or told to stop: if this one stopped too, nobody would be left.
            Ok(Err(Failure::Broken { source })) => {
                tracing::warn!(%source, "the running process ended without a word: serving in its place");
            }
            Ok(Err(failure)) => return Err(failure),
            Err(_) => return Err(Failure::TooLate(self.timeout)),
        }
        Ok(Relieved { _stream: self.stream })
    }

    /// Tells the running process why this one ends.
    pub async fn give_up(mut self, why: &str) {
        // It sees the end of the connection where it does not hear this.
        let _ = say(&mut self.stream, &FromNew::Failed(why.to_owned())).await;
    }
}

/// A process that has let go, and looks whether its successor still has something to do before it ends.
#[derive(Debug)]
pub struct Relieved {
    _stream: UnixStream,
}

/// The socket that comes next, which has to be the one that was spoken of.
async fn listening(
    stream: &UnixStream,
    bound: SocketAddr,
    written: SocketAddr,
) -> Result<Listening, Failure> {
    let socket = TcpListener::from(receive(stream).await?);
    let listens = rustix::net::sockopt::socket_acceptconn(&socket).unwrap_or_default();
    if !listens || socket.local_addr().ok() != Some(bound) {
        return Err(Failure::WrongSocket(bound));
    }
    Listening::inherited(socket, written).map_err(|_| Failure::WrongSocket(bound))
}

async fn connect(upgrade: &Upgrade) -> Result<UnixStream, Failure> {
    let path = &upgrade.socket;
    let deadline = Instant::now() + upgrade.timeout;
    loop {
        match UnixStream::connect(path).await {
            Ok(stream) => {
                is_no_stranger(&stream, path)?;
                return Ok(stream);
            }
            // Not asked yet; or what a process that was killed has left behind.
            Err(error)
                if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {}
            Err(source) => return Err(Failure::Ask { path: path.clone(), source }),
        }
        if Instant::now() >= deadline {
            return Err(Failure::NobodyOffered { path: path.clone(), timeout: upgrade.timeout });
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
