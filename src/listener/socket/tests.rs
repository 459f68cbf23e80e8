use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::*;

const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

fn ip(listening: &ListenSocket) -> SocketAddr {
    match listening.bound() {
        ListenAddress::Ip(address) => *address,
        ListenAddress::Unix(path) => panic!("{}", path.display()),
    }
}

fn bind(address: &ListenAddress) -> io::Result<ListenSocket> {
    ListenSocket::bind_with(address, SocketOptions::default())
}

fn unix(path: &Path) -> ListenAddress {
    ListenAddress::Unix(path.to_owned())
}

#[tokio::test]
async fn a_client_that_waits_to_be_accepted_is_not_reset() {
    let listening = ListenSocket::bind(ANY).unwrap();
    let mut clients: Vec<_> =
        (0..20).map(|_| std::net::TcpStream::connect(ip(&listening)).unwrap()).collect();
    for client in &mut clients {
        client.write_all(b"hello").unwrap();
    }
    let waiting = listening.waiting();
    assert_eq!(waiting.len(), 20);
    drop(listening);
    for (stream, _) in waiting {
        let ClientSocket::Tcp(stream) = stream else { panic!("{stream:?}") };
        let mut stream = stream.into_std().unwrap();
        stream.set_nonblocking(false).unwrap();
        stream.write_all(b"welcome").unwrap();
    }
    for client in &mut clients {
        let mut heard = [0; 7];
        client.read_exact(&mut heard).unwrap();
        assert_eq!(&heard, b"welcome");
    }
}

#[tokio::test]
async fn clients_that_wait_in_a_passed_socket_are_left_to_the_successor() {
    let folder = tempfile::tempdir().unwrap();
    for address in [ANY.into(), unix(&folder.path().join("gate.sock"))] {
        let listening = bind(&address).unwrap();
        let socket = listening.as_fd().try_clone_to_owned().unwrap();
        let successor = ListenSocket::inherited(socket, &address).unwrap();
        let _client: Box<dyn Send> = match listening.bound() {
            ListenAddress::Ip(address) => Box::new(std::net::TcpStream::connect(address).unwrap()),
            ListenAddress::Unix(path) => Box::new(std::os::unix::net::UnixStream::connect(path).unwrap()),
        };
        listening.pass_on();
        assert!(listening.waiting().is_empty());
        drop(listening);
        assert_eq!(successor.waiting().len(), 1, "{address}");
    }
}

#[tokio::test]
async fn the_file_of_a_unix_socket_has_its_mode_and_goes_with_the_socket() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gate.sock");
    for (mode, expected) in [(None, 0o600), (Some(0o660), 0o660), (Some(0o666), 0o666)] {
        let options = SocketOptions { mode, ..SocketOptions::default() };
        let listening = ListenSocket::bind_with(&unix(&path), options).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, expected);
        assert_eq!(listening.bound().to_string(), format!("unix:{}", path.display()));
        let second = bind(&unix(&path)).unwrap_err();
        assert_eq!(second.to_string(), "another process listens there");
        drop(listening);
        assert!(!path.exists());
    }
}

/// A new process that could not take over removed the file of the running one.
#[tokio::test]
async fn the_file_stays_where_a_process_ends_that_has_not_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gate.sock");
    let running = bind(&unix(&path)).unwrap();
    let inherited = || {
        let socket = running.as_fd().try_clone_to_owned().unwrap();
        ListenSocket::inherited(socket, &unix(&path)).unwrap()
    };
    drop(inherited());
    assert!(path.exists());
    let successor = inherited();
    running.pass_on();
    successor.own();
    drop(running);
    assert!(path.exists());
    drop(successor);
    assert!(!path.exists());
}

#[tokio::test]
async fn a_socket_that_a_killed_process_has_left_is_replaced_and_nothing_else_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gate.sock");
    drop(StdUnixListener::bind(&path).unwrap());
    assert!(path.exists(), "the kernel leaves the file");
    let listening = bind(&unix(&path)).unwrap();
    // Another process has put its own in the place: that one stays.
    std::fs::remove_file(&path).unwrap();
    let _other = StdUnixListener::bind(&path).unwrap();
    drop(listening);
    assert!(path.exists());
    let file = folder.path().join("file");
    std::fs::write(&file, "precious").unwrap();
    assert!(bind(&unix(&file)).is_err());
    assert_eq!(std::fs::read(&file).unwrap(), b"precious");
}

#[tokio::test]
async fn an_inherited_socket_has_to_be_of_the_kind() {
    let folder = tempfile::tempdir().unwrap();
    let path = unix(&folder.path().join("gate.sock"));
    let [tcp, over_unix] = [ListenSocket::bind(ANY).unwrap(), bind(&path).unwrap()];
    let of = |socket: &ListenSocket| socket.as_fd().try_clone_to_owned().unwrap();
    assert!(ListenSocket::inherited(of(&tcp), &path).is_err());
    assert!(ListenSocket::inherited(of(&over_unix), &ANY.into()).is_err());
    let client = std::net::TcpStream::connect(ip(&tcp)).unwrap();
    assert!(ListenSocket::inherited(client.into(), &ANY.into()).is_err(), "it does not listen");
}

/// A gate that is stopped by a debugger, say: the start of another one waited for it without an end.
#[tokio::test]
async fn a_socket_that_is_not_accepted_from_does_not_hold_a_start_up() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gate.sock");
    let _busy = bind(&unix(&path)).unwrap();
    let address = rustix::net::SocketAddrUnix::new(&path).unwrap();
    let mut clients = Vec::new();
    // What does not fit into the queue is told at once.
    let full = loop {
        use rustix::net::{SocketFlags, SocketType, connect, socket_with};
        let client =
            socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::NONBLOCK, None).unwrap();
        match connect(&client, &address) {
            Ok(()) => clients.push(client),
            Err(error) => break error,
        }
    };
    assert_eq!(full, rustix::io::Errno::AGAIN);
    let refused = bind(&unix(&path)).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::AddrInUse, "{refused}");
}
