//! Headers of the PROXY protocol: the client that the gate takes a connection for is the one that a second reader reads, and the
//! header ends where it does for that reader.
//!
//! The first byte says what the input begins with: a version's beginning is hard to find by chance.
#![no_main]

use std::io::Write as _;
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};

use libfuzzer_sys::fuzz_target;
use opgate::http::ConnectionPeer;
use opgate::listener::read_proxy_header;
use ppp::{HeaderResult, v1, v2};

/// What a reader takes from the bytes: the client, where one is named, and how long the header is.
type Reading = (Option<SocketAddr>, usize);

fuzz_target!(|input: &[u8]| {
    let Some((first, rest)) = input.split_first() else { return };
    let beginning: &[u8] = match first % 4 {
        0 => b"",
        1 => b"PROXY TCP4 ",
        2 => b"PROXY TCP6 ",
        _ => b"\r\n\r\n\0\r\nQUIT\n\x21",
    };
    let bytes = [beginning, rest].concat();
    // What a socket takes without a reader.
    if bytes.len() > 16 * 1024 {
        return;
    }
    let Some(ours) = ours(&bytes) else { return };
    let Some((client, length)) = theirs(&bytes) else { panic!("{ours:?} where a second reader reads nothing") };
    assert_eq!(ours.1, length, "the length of the header");
    // The gate takes no client from a header that names none; it reads none in fewer headers than the other.
    if ours.0.is_some() {
        assert_eq!(ours.0, client);
    }
});

fn ours(bytes: &[u8]) -> Option<Reading> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    runtime.block_on(async {
        let (mut proxy, gate) = std::os::unix::net::UnixStream::pair().unwrap();
        proxy.write_all(bytes).unwrap();
        drop(proxy);
        gate.set_nonblocking(true).unwrap();
        let (client, left) = read_proxy_header(tokio::net::UnixStream::from_std(gate).unwrap()).await?;
        let client = match client {
            ConnectionPeer::Ip(address) => Some(address),
            ConnectionPeer::Unix | ConnectionPeer::Unknown => None,
        };
        Some((client, bytes.len() - left.len()))
    })
}

fn theirs(bytes: &[u8]) -> Option<Reading> {
    match HeaderResult::parse(bytes) {
        HeaderResult::V1(Ok(header)) => {
            let client = match header.addresses {
                v1::Addresses::Tcp4(tcp) => {
                    Some(SocketAddrV4::new(tcp.source_address, tcp.source_port).into())
                }
                v1::Addresses::Tcp6(tcp) => {
                    Some(SocketAddrV6::new(tcp.source_address, tcp.source_port, 0, 0).into())
                }
                v1::Addresses::Unknown => None,
            };
            Some((client, header.header.len()))
        }
        HeaderResult::V2(Ok(header)) => {
            let client = match header.addresses {
                v2::Addresses::IPv4(tcp) => {
                    Some(SocketAddrV4::new(tcp.source_address, tcp.source_port).into())
                }
                v2::Addresses::IPv6(tcp) => {
                    Some(SocketAddrV6::new(tcp.source_address, tcp.source_port, 0, 0).into())
                }
                _ => None,
            };
            Some((client, header.header.len()))
        }
        _ => None,
    }
}
