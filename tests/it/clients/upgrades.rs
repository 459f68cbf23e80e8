//! `Upgrade`: an offer that the gate does not take up (RFC 9110, section 7.8). The request goes on as what it is.

use crate::bodies::{TRAIN, ana, head};
use crate::connection::Connection;
use crate::harness::{COMPANION, Gate, Req, Setup, cancel, get};
use crate::recorder::{Recorder, field, request_line};

/// What the JDK's HttpClient sends on each cleartext connection, Apache HttpClient 5.4 with each request, and others.
const OFFERS: &[&str] = &[
    "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA",
    "Upgrade: TLS/1.2\r\nConnection: Upgrade",
    "Connection: keep-alive, Upgrade\r\nUpgrade: TLS/1.0, HTTP/2.0",
    "Upgrade: h2c",
    "Connection: Upgrade\r\nUpgrade: foo/2",
];

#[tokio::test]
async fn an_offer_other_than_websocket_is_dropped_and_the_request_goes_on() {
    let backend = Recorder::start();
    let gate = Gate::start_with(Setup { endpoints: Some(vec![backend.address()]), ..Setup::default() });
    for offer in OFFERS {
        let mut connection = Connection::open(gate.address).await;
        let name = format!(r#"{{"name":"{TRAIN}"}}"#);
        let chunked = format!("{:x}\r\n{name}\r\n0\r\n\r\n", name.len());
        let wait = Req::new("POST", COMPANION, &format!("/v1/{TRAIN}:wait")).bearer(&ana());
        let requests = [
            head(&get(), offer),
            head(&cancel(), &format!("{offer}\r\nContent-Length: 2")) + "{}",
            head(&wait, &format!("{offer}\r\nTransfer-Encoding: chunked")) + &chunked,
            // The connection is one of HTTP/1.1 still.
            head(&get(), "X-A: b"),
        ];
        for request in &requests {
            connection.send(request).await;
            let answer = connection.answer().await.unwrap();
            assert_eq!(answer.status, 200, "{offer}");
            assert_eq!(answer.header("upgrade"), None);
            assert_eq!(answer.header("connection"), Some("keep-alive"));
        }
        let heads = backend.take();
        let methods: Vec<_> =
            heads.iter().map(|head| request_line(head).split(' ').next().unwrap()).collect();
        assert_eq!(methods, ["GET", "POST", "POST", "GET"], "{offer}");
        for head in &heads {
            for name in ["upgrade", "http2-settings", "connection"] {
                assert_eq!(field(head, name), [""; 0], "{offer}: {name}");
            }
        }
        assert_eq!(backend.bodies().last_chunk::<2>().unwrap()[0].1, name.into_bytes(), "{offer}");
    }
}

/// HTTP/2 by prior knowledge is spoken on the same port.
#[tokio::test]
async fn prior_knowledge_is_not_an_upgrade() {
    let gate = Gate::start();
    assert_eq!(gate.http2(&get()).await.status, 200);
    // An HTTP/2 request has no such field (RFC 9113, section 8.2.2): the library of the gate refuses it.
    let mut client = gate.http2_client().await;
    let (answer, _) = client.start(&get().header("x-a", "b"), true).await;
    assert_eq!(client.finish(answer).await.status, 200);
}
