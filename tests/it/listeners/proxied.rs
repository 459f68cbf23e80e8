//! The PROXY protocol, in raw bytes.

use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::{caller, gate, status, talk, until_refused};
use crate::authority::Authority;
use crate::connection::Connection;
use crate::harness::{COMPANION, Gate, Http2, Req, TRAIN, cancel, connect_from, get, token};

const PROXIED: &str = "listeners.0.proxy_protocol={addresses: [127.0.0.1/32]}";
const LINE: &[u8] = b"PROXY TCP4 192.0.2.7 203.0.113.9 56324 443\r\n";

fn version2(command: u8, protocol: u8, rest: &[u8]) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    header.extend([0x20 | command, protocol]);
    header.extend((rest.len() as u16).to_be_bytes());
    header.extend(rest);
    header
}

/// TCP over IPv6 from `2001:db8::7`, with a TLV.
fn over_ipv6() -> Vec<u8> {
    let address = |text: &str| text.parse::<std::net::Ipv6Addr>().unwrap().octets();
    let mut rest = [address("2001:db8::7"), address("2001:db8::9")].concat();
    rest.extend([0xdc, 0x04, 0x01, 0xbb, 0x04, 0, 3, 1, 2, 3]);
    version2(1, 0x21, &rest)
}

fn closing(request: &Req) -> Vec<u8> {
    request.clone().header("connection", "close").to_http1()
}

async fn send(gate: &Gate, header: &[u8], request: &Req) -> String {
    let stream = TcpStream::connect(gate.address).await.unwrap();
    talk(stream, &[header, &closing(request)].concat()).await
}

#[tokio::test]
async fn the_client_that_the_proxy_names_is_the_peer() {
    let gate = gate(&[PROXIED, "services.cloudaicompanion.forward=[origin]"]);
    // A client behind the proxy is not a trusted proxy: what it writes into this header counts for nothing.
    let request = cancel().header("x-forwarded-for", "198.51.100.1");
    for header in [LINE.to_vec(), over_ipv6()] {
        assert_eq!(status(&send(&gate, &header, &request).await), 200);
    }
    let lines = gate.audit(2);
    assert_eq!(lines.iter().map(caller).collect::<Vec<_>>(), ["192.0.2.7", "2001:db8::7"]);
    let told = |field: &str| -> Vec<String> {
        let requests = gate.backend.requests();
        requests.iter().map(|request| request.headers[field].to_str().unwrap().to_owned()).collect()
    };
    assert_eq!(told("x-forwarded-for"), ["192.0.2.7", "2001:db8::7"]);

    // Byte by byte, and several requests on one connection.
    let mut connection = Connection::open(gate.address).await;
    for byte in LINE {
        connection.send([*byte]).await;
    }
    for _ in 0..2 {
        connection.send(get().to_http1()).await;
        assert_eq!(connection.status().await, Some(200));
    }
    let mut stream = TcpStream::connect(gate.address).await.unwrap();
    stream.write_all(&over_ipv6()).await.unwrap();
    let client = Http2::over(stream).await;
    assert_eq!(client_get(client).await, 200);
    let lines = gate.audit(5);
    let last: Vec<_> = lines[2..].iter().map(caller).collect();
    assert_eq!(last, ["192.0.2.7", "192.0.2.7", "2001:db8::7"]);
}

async fn client_get(mut client: Http2) -> u16 {
    let (response, _) = client.start(&get(), true).await;
    client.finish(response).await.status
}

/// The header goes ahead of TLS.
#[tokio::test]
async fn a_tls_handshake_follows_the_header() {
    let (authority, files) = (Authority::new(), tempfile::tempdir().unwrap());
    let (cert, key) = authority.issue(&[COMPANION]).write(files.path(), "server");
    let tls = format!("listeners.0.tls={}", json!({ "certificates": [{ "cert": cert, "key": key }] }));
    let gate = gate(&[PROXIED, &tls]);
    let mut stream = TcpStream::connect(gate.address).await.unwrap();
    stream.write_all(LINE).await.unwrap();
    let stream = authority.client().over(stream, COMPANION).await.unwrap();
    assert_eq!(status(&talk(stream, &closing(&cancel())).await), 200);
    assert_eq!(caller(&gate.audit(1)[0]), "192.0.2.7");
}

#[tokio::test]
async fn a_connection_without_a_header_or_from_elsewhere_is_closed_and_counted() {
    let gate = gate(&[PROXIED, "limits.handshake_timeout=1s"]);
    let request = closing(&cancel());
    let malformed: [&[u8]; 6] = [
        b"",
        b"PROXY TCP4 192.0.2.7 203.0.113.9 56324 443\n",
        b"PROXY TCP4 192.0.2.7 203.0.113.9 56324\r\n",
        &version2(2, 0x11, &[0; 12]),
        &version2(1, 0x11, &[0; 11]),
        &version2(0, 0, &[0; 4097]),
    ];
    for (count, header) in (1..).zip(malformed) {
        let stream = TcpStream::connect(gate.address).await.unwrap();
        assert_eq!(talk(stream, &[header, &request].concat()).await, "", "{header:?}");
        until_refused(&gate, "proxy_protocol_malformed", count).await;
    }
    // It is not the proxy, whatever it sends.
    let stranger = connect_from("127.0.0.2", gate.address).await;
    assert_eq!(talk(stranger, &[LINE, &request].concat()).await, "");
    until_refused(&gate, "proxy_protocol_untrusted", 1).await;
    // A header that does not come, or not all of it.
    for (count, beginning) in [(1, &b""[..]), (2, b"PROXY TC"), (3, &over_ipv6()[..20])] {
        let stream = TcpStream::connect(gate.address).await.unwrap();
        assert_eq!(talk(stream, beginning).await, "", "{beginning:?}");
        until_refused(&gate, "proxy_protocol_timeout", count).await;
    }
    let mut stream = TcpStream::connect(gate.address).await.unwrap();
    stream.write_all(b"PROXY").await.unwrap();
    drop(stream);
    until_refused(&gate, "proxy_protocol_closed", 1).await;
    assert_eq!(status(&send(&gate, LINE, &cancel()).await), 200);
    assert_eq!(gate.audit(1).len(), 1, "the others have left no line");
}

/// Without the setting, nothing changes: such a header is not a request.
#[tokio::test]
async fn a_header_that_is_not_expected_is_refused() {
    let gate = gate(&[]);
    for header in [LINE.to_vec(), over_ipv6()] {
        assert_eq!(status(&send(&gate, &header, &cancel()).await), 400);
    }
}

/// A proxy that speaks for itself, or that does not know its client, is no client with an address.
#[tokio::test]
async fn an_unknown_client_has_no_address_and_is_not_believed() {
    let trusted = "trusted_proxies={addresses: [127.0.0.1, unix]}";
    let gate = gate(&[PROXIED, trusted, "listeners.0.health_path=/healthz"]);
    let request = cancel().header("x-forwarded-for", "198.51.100.1");
    for header in [b"PROXY UNKNOWN\r\n".to_vec(), version2(0, 0, &[]), version2(1, 0, &[])] {
        assert_eq!(status(&send(&gate, &header, &request).await), 200);
        let probe = Req::new("GET", COMPANION, "/healthz");
        assert_eq!(status(&send(&gate, &header, &probe).await), 200);
    }
    assert_eq!(gate.audit(3).iter().map(caller).collect::<Vec<_>>(), ["-"; 3]);
}

/// The limit of connections by address is each client's, and not the proxy's.
#[tokio::test]
async fn connections_count_for_the_client_that_the_proxy_names() {
    let gate = gate(&[PROXIED, "limits.connections_per_address=1"]);
    let wait = Req::new("POST", COMPANION, &format!("{TRAIN}:wait"))
        .bearer(&token("ana@example.com"))
        .body(crate::harness::Body::Length(b"{\"timeout\":\"5s\"}".to_vec()));
    let mut held = Connection::open(gate.address).await;
    held.send([LINE, &wait.to_http1()].concat()).await;
    gate.backend_has_seen(1).await;
    let stream = TcpStream::connect(gate.address).await.unwrap();
    assert_eq!(talk(stream, &[LINE, &closing(&cancel())].concat()).await, "");
    until_refused(&gate, "connections_per_address", 1).await;
    assert_eq!(status(&send(&gate, &over_ipv6(), &cancel()).await), 200);
    assert_eq!(held.status().await, Some(200));
}
