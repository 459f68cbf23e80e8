use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;

use super::*;

/// What is read of these bytes, written in pieces of this size, and what is left on the connection.
async fn read_in_pieces(bytes: &[u8], size: usize) -> (Result<ConnectionPeer, HeaderError>, Vec<u8>) {
    let (mut proxy, ours) = UnixStream::pair().unwrap();
    let pieces: Vec<Vec<u8>> = bytes.chunks(size).map(<[u8]>::to_vec).collect();
    let writing = tokio::spawn(async move {
        for piece in pieces {
            // The reader may have given up.
            if proxy.write_all(&piece).await.is_err() {
                break;
            }
            tokio::task::yield_now().await;
        }
        let _ = proxy.shutdown().await;
        proxy
    });
    let mut socket = ClientSocket::Unix(ours);
    let read = read_header(&mut socket).await;
    let mut left = Vec::new();
    if read.is_ok() {
        socket.read_to_end(&mut left).await.unwrap();
    }
    // The writer may wait for room.
    drop(socket);
    writing.await.unwrap();
    (read, left)
}

/// The same however the bytes come.
async fn read(bytes: &[u8]) -> Result<ConnectionPeer, HeaderError> {
    let (first, _) = read_in_pieces(bytes, bytes.len().max(1)).await;
    for size in [1, 5, 13] {
        assert_eq!(read_in_pieces(bytes, size).await.0, first, "{bytes:?} in pieces of {size}");
    }
    first
}

fn version2(command: u8, protocol: u8, rest: &[u8]) -> Vec<u8> {
    let mut header = SIGNATURE.to_vec();
    header.extend([command, protocol]);
    header.extend((rest.len() as u16).to_be_bytes());
    header.extend(rest);
    header
}

fn peer(text: &str) -> Result<ConnectionPeer, HeaderError> {
    Ok(ConnectionPeer::Ip(text.parse().unwrap()))
}

const IPV4: [u8; 12] = [192, 0, 2, 1, 203, 0, 113, 9, 0xdc, 0x04, 0x01, 0xbb];

fn ipv6() -> Vec<u8> {
    let address = |text: &str| text.parse::<Ipv6Addr>().unwrap().octets();
    let mut bytes = [address("2001:db8::1"), address("2001:db8::2")].concat();
    bytes.extend([0xdc, 0x04, 0x01, 0xbb]);
    bytes
}

#[tokio::test]
async fn both_versions_name_the_client() {
    assert_eq!(read(b"PROXY TCP4 192.0.2.1 203.0.113.9 56324 443\r\n").await, peer("192.0.2.1:56324"));
    assert_eq!(read(b"PROXY TCP6 2001:db8::1 ::1 0 65535\r\n").await, peer("[2001:db8::1]:0"));
    assert_eq!(read(&version2(0x21, 0x11, &IPV4)).await, peer("192.0.2.1:56324"));
    assert_eq!(read(&version2(0x21, 0x21, &ipv6())).await, peer("[2001:db8::1]:56324"));
    let longest = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
    let line = format!("PROXY TCP6 {longest} {longest} 65535 65535\r\n");
    assert_eq!(read(line.as_bytes()).await, peer(&format!("[{longest}]:65535")));
}

#[tokio::test]
async fn a_proxy_may_say_that_it_speaks_for_no_client() {
    let unknown = Ok(ConnectionPeer::Unknown);
    let longest = format!("PROXY UNKNOWN {}\r\n", "x".repeat(LONGEST_LINE - 16));
    for line in ["PROXY UNKNOWN\r\n", "PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", &longest] {
        assert_eq!(read(line.as_bytes()).await, unknown, "{line}");
    }
    for header in [
        version2(0x20, 0x00, &[]),
        version2(0x20, 0x11, &IPV4),
        version2(0x20, 0xff, b"anything"),
        version2(0x21, 0x00, &[]),
        version2(0x21, 0x31, &[0; 216]),
    ] {
        assert_eq!(read(&header).await, unknown, "{header:?}");
    }
}

#[tokio::test]
async fn what_follows_the_header_is_left_on_the_connection() {
    let lines = [b"PROXY TCP4 192.0.2.1 203.0.113.9 56324 443\r\n".to_vec(), b"PROXY UNKNOWN\r\n".to_vec()];
    let with_tlvs = [IPV4.as_slice(), &[0x04, 0x00, 0x02, 0, 0], &[0xe0, 0, 1, 7]].concat();
    let headers = [version2(0x21, 0x11, &with_tlvs), version2(0x20, 0, &[])];
    for header in lines.into_iter().chain(headers) {
        for behind in [b"GET / HTTP/1.1\r\n\r\n".as_slice(), b"\n", b"\r\n\r\n\0\r\nQUIT\n", b""] {
            for size in [1, 3, 1000] {
                let (read, left) = read_in_pieces(&[&header, behind].concat(), size).await;
                assert!(read.is_ok(), "{header:?}");
                assert_eq!(left, behind, "{header:?} in pieces of {size}");
            }
        }
    }
}

#[tokio::test]
async fn a_line_with_any_other_spelling_is_refused() {
    for line in [
        "PROXY TCP4 192.0.2.1 203.0.113.9 56324 443\n",
        "PROXY TCP4  192.0.2.1 203.0.113.9 56324 443\r\n",
        "PROXY TCP4 192.0.2.1 203.0.113.9 56324 443 \r\n",
        "PROXY TCP4 192.0.2.1 203.0.113.9 56324 443 1\r\n",
        "PROXY TCP4 192.0.2.1 203.0.113.9 56324\r\n",
        "PROXY TCP4 192.0.2.1 203.0.113.9 056324 443\r\n",
        "PROXY TCP4 192.0.2.1 203.0.113.9 +56324 443\r\n",
        "PROXY TCP4 192.0.2.1 203.0.113.9 56324 65536\r\n",
        "PROXY TCP4 192.0.2.01 203.0.113.9 56324 443\r\n",
        "PROXY TCP4 192.0.2 203.0.113.9 56324 443\r\n",
        "PROXY TCP4 2001:db8::1 203.0.113.9 56324 443\r\n",
        "PROXY TCP6 192.0.2.1 203.0.113.9 56324 443\r\n",
        "PROXY TCP4 192.0.2.1 gate.example 56324 443\r\n",
        "PROXY UDP4 192.0.2.1 203.0.113.9 56324 443\r\n",
        "PROXY tcp4 192.0.2.1 203.0.113.9 56324 443\r\n",
        "proxy TCP4 192.0.2.1 203.0.113.9 56324 443\r\n",
        "PROXY TCP4 192.0.2.1 203.0.113.9 56324\t443\r\n",
        "PROXY TCP4 192.0.2.1 203.0.113.9 56324 443\r\r\n",
        "PROXY UNKNOWNX\r\n",
        "PROXY UNKNOWN\0\r\n",
        "PROXY UNKNOWN \u{e9}\r\n",
        "PROXY \r\n        ",
        "GET / HTTP/1.1\r\n\r\n",
        "\u{16}\u{3}\u{1}\u{2}",
    ] {
        assert_eq!(read(line.as_bytes()).await, Err(HeaderError::Malformed), "{line:?}");
    }
    let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(LONGEST_LINE));
    assert_eq!(read(long.as_bytes()).await, Err(HeaderError::Malformed));
}

#[tokio::test]
async fn a_header_of_version_2_that_breaks_the_rules_is_refused() {
    for header in [
        version2(0x11, 0x11, &IPV4),
        version2(0x31, 0x11, &IPV4),
        version2(0x22, 0x11, &IPV4),
        version2(0x21, 0x12, &IPV4),
        version2(0x21, 0x22, &ipv6()),
        version2(0x21, 0x41, &IPV4),
        version2(0x21, 0x11, &IPV4[..11]),
        version2(0x21, 0x21, &ipv6()[..35]),
        version2(0x21, 0x31, &[0; 215]),
        version2(0x21, 0x11, &[&IPV4[..], &[0; MOST_BYTES]].concat()),
        version2(0x20, 0x00, &[0; MOST_BYTES + 1]),
    ] {
        assert_eq!(read(&header).await, Err(HeaderError::Malformed), "{:?}", &header[..16]);
    }
    let most = [&IPV4[..], &[0; MOST_BYTES - IPV4.len()]].concat();
    assert_eq!(read(&version2(0x21, 0x11, &most)).await, peer("192.0.2.1:56324"));
}

#[tokio::test]
async fn a_header_that_ends_early_names_no_client() {
    let whole = [version2(0x21, 0x11, &IPV4), b"PROXY TCP4 192.0.2.1 203.0.113.9 56324 443\r\n".to_vec()];
    for header in &whole {
        for length in 0..header.len() {
            assert_eq!(read(&header[..length]).await, Err(HeaderError::Closed), "{:?}", &header[..length]);
        }
    }
}

/// As IPv6 or not, an address of IPv4 is the same one.
#[test]
fn trust_is_by_network() {
    let networks = vec!["10.0.0.0/8".parse().unwrap(), "2001:db8::/32".parse().unwrap()];
    let trusted = ProxyProtocol { networks, unix: false };
    let trusts = |text: &str| trusted.trusts(text.parse::<SocketAddr>().unwrap().into());
    assert!(trusts("10.1.2.3:1") && trusts("[::ffff:10.1.2.3]:1") && trusts("[2001:db8::7]:1"));
    assert!(!trusts("11.0.0.1:1") && !trusts("[::1]:1") && !trusted.trusts(ConnectionPeer::Unix));
    assert!(ProxyProtocol { networks: Vec::new(), unix: true }.trusts(ConnectionPeer::Unix));
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(200))]

    /// Whatever comes: the same is read of it in any pieces, and nothing but a header is taken.
    #[test]
    fn the_pieces_make_no_difference(
        beginning in 0..6_usize,
        rest in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300),
        size in 1..40_usize,
    ) {
        let beginnings: [&[u8]; 6] =
            [b"", b"PROXY ", b"PROXY TCP4 1.2.3.4 5.6.7.8 1 ", b"PROXY UNKNOWN", &SIGNATURE, &version2(0x21, 0x11, &[0; 12])[..15]];
        let bytes = [beginnings[beginning], &rest].concat();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let [whole, pieces] =
            [bytes.len().max(1), size].map(|size| runtime.block_on(read_in_pieces(&bytes, size)));
        proptest::prop_assert_eq!(&whole, &pieces);
        if whole.0.is_ok() {
            proptest::prop_assert!(bytes.ends_with(&whole.1));
        }
    }
}
