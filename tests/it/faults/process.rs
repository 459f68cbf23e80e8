//! A backend process that is killed. The kernel closes the sockets that it leaves.

use std::time::{Duration, Instant};

use tokio::net::TcpStream;

use super::row::{Seen, ask, patient};
use crate::harness::{Gate, Setup, cancel, signal};
use crate::origin::Origin;
use crate::origin::Step::{Body, Drip, Hang, Head, Say};

/// The backend is another gate, which has to judge the request too. The origin behind it only keeps the request there.
fn process(behind: &Origin) -> Gate {
    let set = vec!["upstreams.operations.timeouts={response: 60s}".to_owned()];
    Gate::start_with(Setup { endpoints: Some(vec![behind.address]), set, ..Setup::default() })
}

fn in_front_of(backend: &Gate) -> Gate {
    let mut set = patient();
    set.push("services.cloudaicompanion.forward=[authorization]".to_owned());
    Gate::start_with(Setup { endpoints: Some(vec![backend.address]), set, ..Setup::default() })
}

/// Kills a process, and waits until the kernel has closed its port: on a busy machine that takes a moment.
async fn kill(gate: &Gate) {
    signal(gate.pid(), "KILL");
    let deadline = Instant::now() + Duration::from_secs(30);
    while TcpStream::connect(gate.address).await.is_ok() {
        assert!(Instant::now() < deadline, "the port of a killed process is open");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_backend_that_is_killed_while_it_has_the_request() {
    for version in [1, 2] {
        let behind = Origin::start(&[Head, Body, Hang]).await;
        let backend = process(&behind);
        let gate = in_front_of(&backend);
        let request = cancel();
        let (answer, ()) = tokio::join!(ask(&gate, &request, version), async {
            while behind.requests().is_empty() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            kill(&backend).await;
        });
        assert_eq!((answer.status, answer.seen), (502, Seen::Error), "{}", answer.text);
        let line = gate.audit(1).remove(0);
        assert_eq!(line["protoPayload"]["metadata"]["reason"], "UPSTREAM_INVALID");
        assert_eq!(behind.requests().len(), 1, "sent once");
        // The port is closed now. That is another answer (503), which invites the client to try again.
        let answer = ask(&gate, &cancel(), version).await;
        assert_eq!((answer.status, answer.seen), (503, Seen::Error), "{}", answer.text);
    }
}

#[tokio::test]
async fn a_backend_that_is_killed_while_it_answers() {
    const BEGUN: &str = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{";
    const MORE: &str =
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    for version in [1, 2] {
        let behind = Origin::start(&[Head, Body, Say(BEGUN), Drip(MORE), Hang]).await;
        let backend = process(&behind);
        let gate = in_front_of(&backend);
        let request = cancel();
        let (answer, ()) = tokio::join!(ask(&gate, &request, version), async {
            while behind.requests().is_empty() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
            kill(&backend).await;
        });
        assert_eq!((answer.status, answer.seen), (200, Seen::Truncated), "{}", answer.text);
        let line = gate.audit(1).remove(0);
        assert_eq!(line["protoPayload"]["metadata"]["reason"], "UPSTREAM_INVALID");
    }
}
