//! The requests that most tests send: calls of an operation that ana may read and cancel under the shipped policies.

use std::net::SocketAddr;

use tokio::net::{TcpSocket, TcpStream};

use super::{COMPANION, Req, token};

/// The operation, one that the demo's backend has.
pub const TRAIN: &str = "/v1/projects/demo/locations/us-central1/operations/train-1";
/// The target of its cancel.
pub const CANCEL: &str = "/v1/projects/demo/locations/us-central1/operations/train-1:cancel";

/// A cancel by ana, which policy allows.
pub fn cancel() -> Req {
    Req::new("POST", COMPANION, CANCEL).bearer(&token("ana@example.com"))
}

/// A get by ana, which policy allows. Unlike a cancel, it may be sent again.
pub fn get() -> Req {
    Req::new("GET", COMPANION, TRAIN).bearer(&token("ana@example.com"))
}

/// A connection from another address of this machine, like `127.0.0.2`.
pub async fn connect_from(address: &str, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(format!("{address}:0").parse().unwrap()).unwrap();
    socket.connect(to).await.unwrap()
}

/// A number from the environment, with which `make` lengthens a test.
pub fn parameter(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().unwrap())
}
