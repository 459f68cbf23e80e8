//! Listeners behind a balancer and beside other processes: the PROXY protocol, Unix sockets, IPv6, the health path and the drain.

mod balanced;
mod health_path;
mod proxied;
mod sockets;

use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::harness::{Gate, Setup};

/// A gate with these settings.
fn gate(set: &[&str]) -> Gate {
    Gate::start_with(Setup { set: set.iter().map(ToString::to_string).collect(), ..Setup::default() })
}

/// Sends bytes and gives all that comes back.
async fn talk(mut stream: impl AsyncRead + AsyncWrite + Unpin, bytes: &[u8]) -> String {
    let talk = async {
        // The gate may have closed it already.
        let _ = stream.write_all(bytes).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    };
    tokio::time::timeout(Duration::from_secs(20), talk).await.expect("the end of the connection in time")
}

/// The status of an answer over HTTP/1.1.
fn status(answer: &str) -> u16 {
    let status = answer.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3));
    status.unwrap_or_else(|| panic!("no answer: {answer:?}")).parse().unwrap()
}

/// The address of the caller in an audit line; `-` for none.
fn caller(line: &Value) -> &str {
    line["protoPayload"]["requestMetadata"]["callerIp"].as_str().unwrap_or("-")
}

async fn until_refused(gate: &Gate, reason: &str, count: u64) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while gate.refused_connections(reason).await < count {
        assert!(Instant::now() < deadline, "{reason}:\n{}", gate.metrics().await);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
